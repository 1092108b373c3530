"""What a terminal sends besides keys, keys in newer notations, and pastes that lose their end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flue_cli.repl.input_filter import InputFilter, Paste

REPORTS = {
    "colour": "\x1b]11;rgb:1c1c/1c1c/1c1c\x1b\\",
    "colour, ended by BEL": "\x1b]11;rgb:1c1c/1c1c/1c1c\x07",
    "colour of the palette": "\x1b]4;1;rgb:8080/0000/0000\x07",
    "clipboard": "\x1b]52;c;aGVsbG8=\x07",
    "focus in": "\x1b[I",
    "focus out": "\x1b[O",
    "device": "\x1b[?62;22c",
    "secondary device": "\x1b[>41;354;0c",
    "version": "\x1bP>|tmux 3.4\x1b\\",
    "setting": "\x1bP1$r0m\x1b\\",
    "capability": "\x1bP1+r544e=787465726d\x1b\\",
    "mode": "\x1b[?2026;2$y",
    "keyboard": "\x1b[?1u",
    "status": "\x1b[0n",
    "colour scheme": "\x1b[?997;1n",
    "size": "\x1b[8;24;80t",
    "mouse": "\x1b[<35;12;7M\x1b[<0;12;7m",
    "mouse, urxvt": "\x1b[96;14;13M",
    "mouse, oldest": "\x1b[M \x21\x22",
    "picture": "\x1b_Gi=31;OK\x1b\\",
    "unknown key": "\x1b[1;99X",
    "end of a paste": "\x1b[201~",
    "released key": "\x1b[97;1:3u",
    "Caps Lock": "\x1b[57358u",
}


def keys(*reads: str) -> str:
    """What reaches the parser of keys when the terminal's input is read in these pieces."""
    chars = InputFilter()
    parts = [part for read in reads for part in chars.feed(read)] + chars.flush()
    assert all(isinstance(part, str) for part in parts)
    return "".join(map(str, parts))


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_reports_of_the_terminal_are_not_typed(report: str) -> None:
    """What a terminal says by itself is dropped, in whatever pieces it comes."""
    assert keys("one" + report + "two") == "onetwo"
    for place in range(1, len(report)):
        assert keys("one" + report[:place], report[place:] + "two") == "onetwo"


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("\x1b[13;2u", "\n"),
        ("\x1b[27;2;13~", "\n"),
        ("\x1b[13u", "\r"),
        ("\x1b[13;5u", "\r"),
        ("\x1b[13;3u", "\x1b\r"),
        ("\x1b[57414u", "\r"),
        ("\x1b[9;2u", "\x1b[Z"),
        ("\x1b[27u", "\x1b"),
        ("\x1b[127u", "\x7f"),
        ("\x1b[99;5u", "\x03"),
        ("\x1b[99;133u", "\x03"),
        ("\x1b[27;5;99~", "\x03"),
        ("\x1b[97;2u", "A"),
        ("\x1b[49:33;2u", "!"),
        ("\x1b[246;2;214u", "Ö"),
        ("\x1b[98;3u", "\x1bb"),
        ("\x1b[97;9u", ""),
        ("\x1b[1114112u", ""),
        ("\x1b[1;1:1A", "\x1b[A"),
        ("\x1b[1;129A", "\x1b[A"),
        ("\x1b[1;5:2C", "\x1b[1;5C"),
        ("\x1b[1;1:3A", ""),
        ("\x1b[57419u", "\x1b[A"),
        ("\x1b[3;5~", "\x1b[3;5~"),
        ("\x1b[15;5~", "\x1b[15;5~"),
    ],
)
def test_keys_of_newer_protocols(sent: str, key: str) -> None:
    """A key in the notation of kitty or xterm does what the key does; Shift-Enter begins a new line."""
    assert keys(sent) == key


@pytest.mark.parametrize(
    "typed",
    [
        "\x1b", "\x1b\x1b", "\x1b\x1b[A", "\x1bb", "\x1b\r", "\x1b\x7f", "\x1b[", "\x1b]", "\x1b]x", "\x1bP", "\x1bPp",
        "\x1b_", "\x1b_x", "\x1bOA", "\x1bOP", "\x1b[A", "\x1b[1;5C", "\x1b[[A", "\x1b[3~", "\x1b[5;3R", "\x1b[Z", "ž\x04",
    ],
)  # fmt: skip
def test_keys_pass(typed: str) -> None:
    """Keys, among them the Escape key and Alt with any character, reach the parser as they are."""
    assert keys(typed) == typed
    assert keys(*typed) == typed


def test_a_report_that_is_torn_ends_at_the_next_key() -> None:
    """After half a report, Enter and Ctrl-C are keys again."""
    assert keys("a\x1b]11;rgb:1c1c", "\r", "b") == "a\rb"
    assert keys("a\x1bP>|tmux", "\x03") == "a\x03"
    assert keys("a\x1b]11;rgb:1c\x1b[A") == "a\x1b[A"
    assert keys("a\x1b[38;5\r") == "a\r"


def test_a_torn_paste_ends_by_ctrl_c_or_silence() -> None:
    """A paste whose end mark is lost is text after all, and what follows is keys."""
    chars = InputFilter()
    assert chars.feed("\x1b[200~half a\rpaste\x1b[20") == []
    assert chars.feed("\x03") == [Paste("half a\rpaste\x1b[20")]
    assert chars.feed("\x03") == ["\x03"]

    assert chars.feed("\x1b[200~half") == []
    assert chars.flush() == []
    assert chars.expire() == [Paste("half")]
    assert chars.feed("x\r") == ["x\r"]


def test_a_paste_that_goes_on_after_a_long_pause_is_not_sent() -> None:
    """Lines that come after a pause of the connection are still a paste, and do not send themselves."""
    chars = InputFilter()
    chars.feed("\x1b[200~one\r")
    assert chars.expire() == [Paste("one\r")]
    assert chars.feed("two\rthree\x1b[201~\r") == [Paste("two\rthree"), "\r"]

    chars.feed("\x1b[200~one\r")
    chars.expire()
    assert chars.feed("two\r" * 20) == []
    assert chars.feed("three\x1b[201~") == [Paste("two\r" * 20 + "three")]


@given(
    st.lists(st.sampled_from(["\x1b", "[", "201~", "\r", "\x03x", "text", "]11;", "ž"])).map("".join),
    st.lists(st.integers(1, 30), max_size=5),
)
def test_a_paste_is_left_as_it_is(text: str, sizes: list[int]) -> None:
    """Whatever a paste contains, and in whatever pieces it comes, it is one paste of that text."""
    if "\x1b[201~" in text:
        return
    chars, sent, parts = InputFilter(), f"\x1b[200~{text}\x1b[201~", []
    for size in [*sizes, len(sent)]:
        parts += chars.feed(sent[:size])
        sent = sent[size:]
    assert parts == [Paste(text)]


@given(
    st.text(st.sampled_from("\x1b[]P_<>?0123456789;:$Mmu~AIO\\\x07\x03\rx"), max_size=40), st.integers(0, 40)
)
def test_pieces_make_no_difference(sent: str, place: int) -> None:
    """Where a read ends changes nothing of what is understood."""
    if "\x1b[200~" in sent:
        return
    assert keys(sent) == keys(sent[:place], sent[place:])
