"""The input history: one private file per agent, and suggestions from it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from time import strftime

from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.history import History

from flue_cli.files import make_private_folder
from flue_cli.repl.paste_folding import PasteFolder

_MAX_READ_BYTES = 2 * 2**20
_MAX_READ_ENTRIES = 10_000
"""Most bytes and entries read from the end of a history file."""


HistoryPath = Callable[[str], str]
"""An agent's name to its history file, "" for none."""


class InputHistory(History):
    """The input history of the selected agent; each agent has a file in prompt_toolkit's format, or none.

    A line that begins with a space is remembered until the chat ends, but not written to the file. If the
    file cannot be written, the history still works within the chat.
    """

    def __init__(self, pastes: PasteFolder) -> None:
        """`pastes` expands the folded texts of a line."""
        super().__init__()
        self._pastes = pastes
        self._path = ""
        self._newest_first: list[str] = []
        self._entries_by_agent: dict[str, list[str]] = {}
        self._write_problem = ""
        self._is_problem_reported = False

    def select_agent(self, agent: str, path: str) -> None:
        """Switch to the history of `agent`, stored at `path`; "" for none."""
        self._path = path
        if agent not in self._entries_by_agent:
            self._entries_by_agent[agent] = [
                self._pastes.fold_draft(text) for text in self.load_history_strings()
            ]
        self._newest_first = self._entries_by_agent[agent]

    def take_write_problem(self) -> str:
        """Return the reason why the file cannot be written, the first time only; else ""."""
        said, self._is_problem_reported = (
            self._is_problem_reported,
            self._is_problem_reported or bool(self._write_problem),
        )
        return "" if said else self._write_problem

    @property
    def newest_first(self) -> Sequence[str]:
        """All entries, without the copy that `get_strings` makes at every key."""
        return self._newest_first

    async def load(self) -> AsyncGenerator[str, None]:
        """Yield all entries, the newest first."""
        for line in [*self._newest_first]:
            yield line

    def get_strings(self) -> list[str]:
        """Return all entries, the newest last."""
        return self._newest_first[::-1]

    def append_string(self, string: str) -> None:
        """Remember a line, unless it is the same as the last."""
        text = self._pastes.expand(string)
        if [self._pastes.expand(line) for line in self._newest_first[:1]] == [text]:
            return
        self._newest_first.insert(0, self._pastes.fold_draft(text))
        if not text.startswith(" "):
            self.store_string(text)

    def store_string(self, string: str) -> None:
        """Append an entry to the file, in one write because other chats write to it too."""
        if not self._path:
            return
        lines = "".join(f"+{line}\n" for line in string.split("\n"))
        try:
            make_private_folder(os.path.dirname(self._path))
            _append_privately(
                self._path, f"\n# {strftime('%Y-%m-%d %H:%M:%S')}\n{lines}".encode(errors="replace")
            )
        except OSError as error:
            self._write_problem = str(error)

    def load_history_strings(self) -> Iterable[str]:
        """Read the file's entries, the newest first; none if it cannot be read."""
        try:
            return _parse_entries(_read_tail(self._path)) if self._path else []
        except OSError:
            return []


class HistorySuggester(AutoSuggest):
    """Suggests the rest of the line from the newest entry that begins with what is typed."""

    def __init__(self, history: InputHistory) -> None:
        self._history = history

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        """Return the rest of the newest entry that begins with the typed text; None if there is none."""
        typed = document.text
        if not typed.strip():
            return None
        for entry in self._history.newest_first:
            if entry.startswith(typed):
                rest = entry[len(typed) : len(typed) + 1000].partition("\n")[0]
                if rest:
                    return Suggestion(rest)
        return None


def _append_privately(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        if os.fstat(descriptor).st_mode & 0o077:  # another program created the file, readable by others
            os.fchmod(descriptor, 0o600)
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def _read_tail(path: str) -> bytes:
    """Read the newest part of a history file, from the beginning of an entry."""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        start = max(0, file.tell() - _MAX_READ_BYTES)
        file.seek(start)
        content = file.read()
    return content[content.find(b"\n\n#") + 1 :] if start else content


def _parse_entries(content: bytes) -> list[str]:
    """Parse the newest entries of a history file, the newest first: runs of lines that begin with a plus."""
    runs = re.findall(r"(?:^\+.*\n)+", content.decode(errors="replace"), re.MULTILINE)
    return [run[1:-1].replace("\n+", "\n") for run in reversed(runs[-_MAX_READ_ENTRIES:])]
