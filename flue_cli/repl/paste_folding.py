"""Long pastes, each one place in the line: shown as `[pasted 214 lines]`, sent whole.

Such a place is one character that nobody types, of a private use area, and a table says what it stands
for. So the cursor steps over it, Backspace takes all of it, and the same words typed by hand are words.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import fragment_list_to_text
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

from flue_cli.text import count_of, safe_text

MOST_LINES = 8
MOST_CHARACTERS = 2_000
"""What is pasted and has more lines or characters is folded."""

MOST_DRAFTED, _BEGINNING = 10_000, 100
"""What comes back into the line and has more characters is folded after its beginning, to fit the screen."""

_FIRST, _LAST = 0x100000, 0x10FFFC
_PASTED_AT = "\U0010fffd"
"""A pasted `@`: it names no file, as whoever wrote the text cannot know ours."""

_MARK = re.compile("[\U00100000-\U0010fffd]")
_NAMING = re.compile(r"(?<!\S)@")
_TAB = "    "


class Pastes:
    """What was pasted into the lines of a chat and is shown folded."""

    def __init__(self) -> None:
        self._texts = {_PASTED_AT: "@"}
        self._labels = {_PASTED_AT: "@"}

    def taken(self, pasted: str) -> str:
        """What goes into the line for `pasted`: as it is, or one character that stands for it."""
        text = pasted.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.count("\n") + (not text.endswith("\n"))
        if lines > MOST_LINES or len(text) > MOST_CHARACTERS or _MARK.search(text):
            what = count_of(lines, "line") if lines > 1 else count_of(len(text), "character")
            return self._folded(text, f"[pasted {what}]")
        return _NAMING.sub(_PASTED_AT, text)

    def draft(self, text: str) -> str:
        """What goes into the line for a `text` from elsewhere: all of it that is shown counts as typed."""
        shown = 0 if _MARK.search(text) else len(text) if len(text) <= MOST_DRAFTED else _BEGINNING
        rest = text[shown:]
        return text[:shown] + (self._folded(rest, f"[{count_of(len(rest), 'character')}]") if rest else "")

    def whole(self, line: str) -> str:
        """The text of a line, with all that was pasted."""
        return _MARK.sub(lambda mark: self._texts.get(mark[0], mark[0]), line)

    def label(self, character: str) -> str:
        """How a character of a line is shown, if it stands for what was pasted; else ""."""
        return self._labels.get(character, "")

    def folds(self, line: str) -> bool:
        """Whether the line shows something folded that can be unfolded."""
        return self._unfolded(line) != line

    def unfold(self, buffer: Buffer) -> None:
        """Put into the line, as text, all that it shows folded; undoing folds it again."""
        before, after = buffer.document.text_before_cursor, buffer.document.text_after_cursor
        if self.folds(before + after):
            buffer.save_to_undo_stack()
            before = self._unfolded(before)
            buffer.document = Document(before + self._unfolded(after), len(before))

    def _unfolded(self, line: str) -> str:
        """The line with what was pasted, where it can stand there as text."""
        return _MARK.sub(lambda mark: self._as_text(mark[0]), line)

    def _as_text(self, mark: str) -> str:
        text = self._texts.get(mark, mark)
        return mark if mark == _PASTED_AT or _MARK.search(text) else _NAMING.sub(_PASTED_AT, text)

    def _folded(self, text: str, label: str) -> str:
        mark = chr(_FIRST + len(self._texts))
        if mark > chr(_LAST):
            return text  # sixty thousand pastes in one chat: from here on they are shown
        self._texts[mark], self._labels[mark] = text, label
        return mark


class Visible(Processor):
    """Shows what was pasted by its label, and what a terminal might obey by its name."""

    def __init__(self, pastes: Pastes) -> None:
        self._pastes = pastes

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """The line as it is shown, and which place in it is which character."""
        fragments = transformation_input.fragments
        line = fragment_list_to_text(fragments)
        if "\t" not in line and safe_text(line) == line and not _MARK.search(line):
            return Transformation(fragments)
        shown = [(style, self._shown(character)) for style, text, *_ in fragments for character in text]
        starts = [0]
        for _, text in shown:
            starts.append(starts[-1] + len(text))
        last = len(starts) - 1
        return Transformation(
            [*shown],
            source_to_display=lambda place: starts[min(place, last)] + max(0, place - last),
            display_to_source=lambda place: bisect_right(starts, place) - 1 + max(0, place - starts[last]),
        )

    def _shown(self, character: str) -> str:
        return self._pastes.label(character) or safe_text(character).replace("\t", _TAB)
