"""Conversations as files. A format is one module and one row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import cast

from flue_cli.errors import UsageError
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Head
from flue_cli.text import safe_line

Export = Callable[[Store, Head, int], Iterator[str]]
"""`(store, head, first)`: the text of turns `first` and later up to `head`, in pieces."""

FORMATS = {
    "json": "flue_cli.transcripts.json_document:export",
    "jsonl": "flue_cli.transcripts.json_lines:export",
    "md": "flue_cli.transcripts.markdown:export",
    "txt": "flue_cli.transcripts.plain_text:export",
    "script": "flue_cli.transcripts.script:export",
}
"""Format, which is also the file name's ending, to `module:function`."""

_ENDINGS = {"flue": "script"}
"""Endings of file names that are not a format's name."""


def exporter(name: str) -> Export:
    """The function that writes format `name`; raises UsageError for one we do not know."""
    if name not in FORMATS:
        raise UsageError(f"there is no format '{safe_line(name)}'", hint=f"formats are {', '.join(FORMATS)}")
    module, _, function = FORMATS[name].partition(":")
    return cast("Export", getattr(import_module(module), function))


def format_of(path: str) -> str:
    """The format that a file's ending asks for, else json."""
    ending = path.rpartition(".")[2].lower()
    ending = _ENDINGS.get(ending, ending)
    return ending if ending in FORMATS else "json"
