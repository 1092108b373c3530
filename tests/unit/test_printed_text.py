"""Text that agents print: progress bars rewrite their line, and nothing else is erased."""

from __future__ import annotations

import pytest

from flue_cli.render.printed_text import PrintedText


@pytest.mark.parametrize(
    ("pieces", "drawn", "plain"),
    [
        (["one\n", "two", "\n"], "one\ntwo\n", "one\ntwo\n"),
        (["one\r\n", "two\r", "\n"], "one\ntwo\n", "one\ntwo\n"),
        (["\r1/2", "\r2/2", "\n", "x\n"], "1/2\r\x1b[K2/2\nx\n", "2/2\nx\n"),
        (["\r1/2\r2/2\nx\n"], "1/2\r\x1b[K2/2\nx\n", "2/2\nx\n"),
        (["\r1", "/2", "\r2", "/2\n"], "1/2\r\x1b[K2/2\n", "2/2\n"),
        (["load\rdone\n"], "load\r\x1b[Kdone\n", "load\ndone\n"),
        (["\r100%", "\r    ", "\r", "x\n"], "100%\r\x1b[K    \r\x1b[Kx\n", "x\n"),
        (["\r\r\n", ""], "\n", "\n"),
        (["\x1b[1;31mred\x1b[0m\x1b[K\n"], "red\n", "red\n"),
        (["\x1b[?25l\x1b[2K\x1b[1A1%\x1b[?25h\n"], "1%\n", "1%\n"),
        (["\x1b[2J\x1b]0;x\x07\x9b1m\x08\n"], *["^[[2J^[]0;x^G<U+009B>1m^H\n"] * 2),
        (["1%\r\x1b[2J\u202e\n"], "1%\r\x1b[K^[[2J<U+202E>\n", "1%\n^[[2J<U+202E>\n"),
    ],
)
def test_lines_are_rewritten_safely(pieces: list[str], drawn: str, plain: str) -> None:
    """On a terminal a rewritten line takes the place of itself; elsewhere its last form is written once."""
    for can_draw, expected in ((True, drawn), (False, plain)):
        printed = PrintedText(can_draw=can_draw)
        assert "".join(map(printed.feed, pieces)) == expected


@pytest.mark.parametrize(
    ("pieces", "drawn", "plain"),
    [
        (["\r1/2", "\r2/2"], "\n", "2/2\n"),
        (["\r1/2\n"], "", ""),
        (["1/2"], "", ""),
        ([], "", ""),
        (["\r100%", "\r    ", "\r"], "\n", ""),
    ],
)
def test_a_progress_bar_that_is_left_is_ended(pieces: list[str], drawn: str, plain: str) -> None:
    """What others write after a progress bar stands on a line of its own."""
    for can_draw, expected in ((True, drawn), (False, plain)):
        printed = PrintedText(can_draw=can_draw)
        for piece in pieces:
            printed.feed(piece)
        assert printed.end_line() == expected
        assert printed.end_line() == ""


def test_nothing_of_others_is_erased() -> None:
    """A carriage return spares what others wrote on the line meanwhile."""
    printed = PrintedText(can_draw=True)
    printed.feed("so far ")
    printed.end_line()

    assert printed.feed("\r10%") == "10%"
    assert printed.feed("\r20%") == "\r\x1b[K20%"
