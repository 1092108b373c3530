"""Conversations as files. A format is one module, and one row here for each direction."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from flue_cli.errors import UsageError
from flue_cli.stores.records import SessionHead
from flue_cli.text import safe_line
from flue_cli.transcripts.export_view import ExportSource

if TYPE_CHECKING:
    from flue_cli.transcripts.import_source import ImportedSession, Skipped, Source

Export = Callable[[ExportSource, SessionHead, int], Iterator[str]]
"""`(store, head, first)`: the text of turns `first` and later up to `head`, in pieces."""

Read = Callable[["Source", "Skipped"], "Iterator[ImportedSession]"]
"""`(source, skipped)`: the sessions that are found in a source, each to be read before the next."""

FORMATS = {
    "json": "flue_cli.transcripts.json_document:export",
    "jsonl": "flue_cli.transcripts.json_lines:export",
    "md": "flue_cli.transcripts.markdown:export",
    "html": "flue_cli.transcripts.html_page:export",
    "txt": "flue_cli.transcripts.plain_text:export",
    "openai": "flue_cli.transcripts.openai_messages:export",
    "script": "flue_cli.transcripts.flue_script:export",
}
"""Format, which is also the file name's ending, to `module:function`."""

LAID_OUT = ("md", "html")
"""Formats that lay out replies in Markdown."""

READERS = {
    "json": "flue_cli.transcripts.json_document:read",
    "jsonl": "flue_cli.transcripts.json_lines:read",
    "openai": "flue_cli.transcripts.openai_messages:read",
    "chatgpt": "flue_cli.transcripts.foreign.chatgpt:read",
    "claude": "flue_cli.transcripts.foreign.claude:read",
    "sharegpt": "flue_cli.transcripts.foreign.sharegpt:read",
    "llm": "flue_cli.transcripts.foreign.llm_logs:read",
    "openai-agents": "flue_cli.transcripts.foreign.openai_agents:read",
}
"""Format that can be imported to `module:function`."""

ENDINGS = {"script": "flue", "openai": "openai.json"}
"""Endings of files, for formats whose ending is not the format's name."""

_FORMATS_OF_ENDINGS = {"flue": "script", "htm": "html", "markdown": "md"}


def exporter(name: str) -> Export:
    """The function that writes format `name`; raises UsageError for one we do not know."""
    return cast("Export", _load_format(name, FORMATS, "formats"))


def reader(name: str) -> Read:
    """The function that reads format `name`; raises UsageError for one we do not know."""
    return cast("Read", _load_format(name, READERS, "formats that can be imported"))


def format_of(path: str, default: str = "json") -> str:
    """The format that a file's ending asks for, `default` for a name without one.

    Raises UsageError for an ending that belongs to no format: the person expects something that we do not
    write.
    """
    name = os.path.basename(path).lower()
    if name.endswith(".openai.json"):
        return "openai"
    ending = os.path.splitext(name)[1].removeprefix(".")
    form = _FORMATS_OF_ENDINGS.get(ending, ending)
    if form and form not in FORMATS:
        endings = ", ".join(f".{ENDINGS.get(form, form)}" for form in FORMATS)
        raise UsageError(
            f"no format has the ending '.{safe_line(ending)}'",
            hint=f"endings are {endings}",
        )
    return form or default


def _load_format(name: str, table: dict[str, str], what: str) -> Any:
    if name not in table:
        raise UsageError(f"there is no format '{safe_line(name)}'", hint=f"{what} are {', '.join(table)}")
    module, _, function = table[name].partition(":")
    return getattr(import_module(module), function)
