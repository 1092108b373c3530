"""Display of a reply: as it comes, or laid out as Markdown."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from flue_cli.agents.api import Message
from flue_cli.render.status_line import StatusLine
from flue_cli.render.streams import Output
from flue_cli.render.tool_lines import tool_lines
from flue_cli.text import SafeStream

_MAX_PREVIEW_CHARACTERS = 8_000
"""Longest unfinished block that is laid out at each redraw; of a longer one the end is shown as it is."""

_CHECK_EACH_LINE_CHARACTERS = 2_000
"""Length up to which an unfinished block is checked for its end at every line."""


class ReplyView:
    """A reply shown as it comes. Pieces after `end`, from an agent that did not stop, are dropped."""

    def __init__(self, output: Output, status_line: StatusLine) -> None:
        self._output = output
        self._status_line = status_line
        self._has_pieces = self._is_ended = False

    def piece(self, text: str) -> None:
        """Show a piece of a reply."""
        if not self._is_ended:
            self._has_pieces = True
            self._write(text)

    def end(self, reply: str | None, messages: Sequence[Message] = ()) -> None:
        """End the reply; `reply` is shown unless it came in pieces.

        The tool `messages` between prompt and reply stand above a reply, or below one that is there already.
        """
        self._is_ended = True
        self._status_line.hide()
        if not self._has_pieces:
            self._show_messages(messages)
        if not self._has_pieces and reply is not None:
            self._write(reply)
        if self._has_pieces or reply is not None:
            self._finish()
        if self._has_pieces:
            self._show_messages(messages)

    def _show_messages(self, messages: Sequence[Message]) -> None:
        columns = shutil.get_terminal_size().columns - 1
        for line in tool_lines(messages, columns, has_unicode=self._output.has_unicode):
            self._output.note(line)

    def _write(self, text: str) -> None:
        self._status_line.note_piece()
        self._output.write(text)

    def _finish(self) -> None:
        self._output.end_line()


class MarkdownReplyView(ReplyView):
    """A reply laid out block by block: a finished block is printed once and may scroll off the screen.

    The unfinished block is shown in the status line below, which is redrawn.
    """

    def __init__(self, output: Output, status_line: StatusLine) -> None:
        super().__init__(output, status_line)
        self._safe_stream = SafeStream()
        self._rest = ""
        self._next_check_length = 0
        self._has_printed = False
        status_line.preview = self._preview

    def _write(self, text: str) -> None:
        from flue_cli.render.markdown import MOST_CHARACTERS, finished_length

        text = self._safe_stream.feed(text)
        self._rest += text
        # Checking a long block at every line would take time quadratic in its length.
        if "\n" not in text or len(self._rest) < self._next_check_length:
            return
        done = finished_length(self._rest) if len(text) <= MOST_CHARACTERS else self._rest.rfind("\n") + 1
        block, self._rest = self._rest[:done], self._rest[done:]
        self._next_check_length = (
            len(self._rest) * 9 // 8 if len(self._rest) > _CHECK_EACH_LINE_CHARACTERS else 0
        )
        self._print(block)

    def _finish(self) -> None:
        block, self._rest = self._rest + self._safe_stream.close(), ""
        self._print(block)
        if not self._has_printed:
            self._output.write_raw("\n")

    def _print(self, text: str) -> None:
        from flue_cli.render.markdown import render_markdown

        if text.strip():
            separator = "\n" if self._has_printed else ""
            self._has_printed = True
            self._output.write_raw(separator + render_markdown(text, shutil.get_terminal_size().columns))

    def _preview(self, columns: int) -> str:
        from flue_cli.render.markdown import render_markdown

        rest = self._rest
        if not rest.strip():
            return ""
        if len(rest) > _MAX_PREVIEW_CHARACTERS:
            return f"{rest[-_MAX_PREVIEW_CHARACTERS:]}\n"
        return render_markdown(rest, columns, breaks_code=True)


REPLY_VIEWS = {"text": ReplyView, "markdown": MarkdownReplyView}
"""An agent's `reply_format` to the view of its replies."""
