"""What a terminal is shown of text that came from somewhere else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flue_cli.stores.search_query import SearchQuery
from flue_cli.text import SafeStream, fold_text, safe_line, safe_text

ESCAPE = "\x1b"

any_text = st.text(st.characters() | st.sampled_from("\r\n\t\x00\x1b\x7f\x85\u202e\u2028\ud800\U000e0041"))


def named(*codes: int) -> list[tuple[str, str]]:
    return [(chr(code), f"<U+{code:04X}>") for code in codes]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\r\ntwo", "one\ntwo"),
        ("12%\r34%", "12%^M34%"),
        ("\r", "^M"),
        ("\r\r\n\n\r", "^M\n\n^M"),
        ("a\n\tb\n", "a\n\tb\n"),
    ],
)
def test_line_ends_come_out_as_lines(text: str, shown: str) -> None:
    """Lines from Windows read as lines, and a lone carriage return cannot overwrite what stood there."""
    assert safe_text(text) == shown


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        (chr(code), "^" + "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_"[code])
        for code in range(32)
        if chr(code) not in "\n\t"
    ]
    + [("\x7f", "^?")],
)
def test_control_characters_are_shown_as_keys(character: str, shown: str) -> None:
    """Each control character but newline and tab is shown by the name of its key."""
    assert safe_text(f"a{character}b") == f"a{shown}b"


@pytest.mark.parametrize(
    ("character", "shown"),
    named(*range(0x80, 0xA0))
    + named(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    + named(0x2028, 0x2029)
    + named(0xD800, 0xDBFF, 0xDC00, 0xDFFF)
    + named(0xE0000, 0xE0001, 0xE0020, 0xE0041, 0xE007F),
)
def test_what_no_eye_can_see_is_shown_by_its_number(character: str, shown: str) -> None:
    """C1 controls, text direction, hidden line ends, broken and invisible characters show as numbers."""
    assert safe_text(f"a{character}b") == f"a{shown}b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[bold red]not markup[/] [/] :smile: \\[x]",
        "<b>&amp; <script>alert(1)</script>",
        "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽",
        "e\u0301 n\u0303 Z\u0351\u036b\u0343",
        "日本語 한국어 中文",
        "שלום مرحبا हिन्दी",
        "\u00a0\u00ad\u200b\ufeff\ufffd",
        "a^Mb <U+202E>",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Markup, HTML, emoji, combining characters and every script come out as they went in."""
    assert safe_text(text) == text


@given(any_text)
def test_no_character_that_a_terminal_obeys_is_left(text: str) -> None:
    """Whatever a text holds, what is shown holds nothing for the terminal to obey."""
    shown = safe_text(text)

    assert not [
        character for character in shown if character not in "\n\t" and not 0x20 <= ord(character) != 0x7F
    ]
    assert not [character for character in shown if 0x80 <= ord(character) < 0xA0]
    assert not [character for character in shown if 0xD800 <= ord(character) < 0xE000]
    assert safe_text(shown) == shown


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
        "\x1b]8;;https://evil.example\x07click\x1b]8;;\x07",
        "\x1b]52;c;cm0gLXJmIC8=\x07",
        "\x9d52;c;cm0gLXJmIC8=\x9c",
        "\x1bP1;1|17/727866\x1b\\",
        "\x90+q544e\x9c",
        "\x1b[2J\x1b[H\x1b[31mred\x1b[0m",
        "\x9b2J",
        "\x1b]0;title\x07",
        "\x1b\x1b[6n",
        "\x1bc",
    ],
)
def test_no_escape_sequence_reaches_the_terminal(sequence: str) -> None:
    """Links, clipboard writes, device strings and colours arrive as visible text, in one piece or in many."""
    stream = SafeStream()
    streamed = "".join(stream.feed(character) for character in sequence) + stream.close()

    assert streamed == safe_text(sequence)
    assert not set(streamed) & {ESCAPE, "\x07", "\x90", "\x9b", "\x9c", "\x9d"}


@given(st.lists(any_text | st.sampled_from(["\r", "\n", "\r\n", ""])))
def test_a_stream_shows_what_the_whole_would(pieces: list[str]) -> None:
    """A reply that streams in pieces looks the same as one that came whole, wherever it was cut."""
    stream = SafeStream()
    streamed = "".join(stream.feed(piece) for piece in pieces) + stream.close()

    assert streamed == safe_text("".join(pieces))


def test_a_line_end_may_be_cut_in_two() -> None:
    r"""A `\r\n` of which each half comes in a piece of its own is one newline."""
    stream = SafeStream()

    assert [stream.feed("one\r"), stream.feed(""), stream.feed("\ntwo"), stream.close()] == [
        "one",
        "",
        "\ntwo",
        "",
    ]


def test_a_carriage_return_at_the_end_of_a_stream_is_shown() -> None:
    """What a stream held back is shown when it closes, once, and the stream can be used again."""
    stream = SafeStream()

    assert [stream.feed("one\r"), stream.close(), stream.close()] == ["one", "^M", ""]
    assert [stream.feed("\n"), stream.close()] == ["\n", ""]


@given(any_text)
def test_a_line_is_one_line(text: str) -> None:
    """A field of a list is one line without tabs, whatever the text in it."""
    shown = safe_line(text)

    assert len(shown.splitlines()) == (1 if text else 0)
    assert "\t" not in shown


def test_a_line_keeps_its_words_apart() -> None:
    """Line ends and tabs become spaces, the rest is as in any safe text."""
    assert safe_line("one\r\ntwo\nthree\tfour\x1b") == "one two three four^["


@pytest.mark.parametrize(
    "line", ["x" * 10_000_000, "\x1b[31mlog line\x1b[0m\t" * 400_000, "日" * 3_000_000 + "\r\n"]
)
def test_a_line_of_ten_megabytes_takes_no_time_to_speak_of(line: str) -> None:
    """A log in one line of ten megabytes is shown within two seconds."""
    began = time.process_time()
    safe_line(line)

    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    ("one", "other"),
    [("Éclair", "e\u0301CLAIR"), ("STRASSE", "straße"), ("\u1112\u1161\u11ab", "한"), ("\u2126", "\u03c9")],
)
def test_texts_that_differ_only_in_case_and_composition_are_equal(one: str, other: str) -> None:
    """Texts are compared without regard to case and to the way in which accents are encoded."""
    assert fold_text(one) == fold_text(other)


@pytest.mark.parametrize(
    ("text", "word", "marked"),
    [
        ("an e\u0301clair, please", "éclair", "e\u0301clair"),
        ("ein Straßenfest", "STRASSE", "Straße"),
        ("e\u0301 und ß und éclair", "éclair", "éclair"),
        ("\u1112\u1161\u11ab국어", "한국", "\u1112\u1161\u11ab국"),
        ("1.\u0301 ßx", "ssx", "ßx"),
        ("ßß\u0301", "ßß\u0301", "ßß\u0301"),
    ],
)
def test_a_hit_marks_the_text_as_it_was_written(text: str, word: str, marked: str) -> None:
    """The part that a search marks is the written one, also where its compared form is longer or shorter."""
    assert [text[start:stop] for start, stop in SearchQuery([word]).spans(text)] == [marked]


@given(any_text, any_text)
def test_the_marks_of_a_hit_are_inside_of_the_text(text: str, word: str) -> None:
    """Whatever the characters, marks are in order, apart, and within the text."""
    spans = SearchQuery(word.split()).spans(text)
    positions = [position for span in spans for position in span]
    assert positions == sorted(positions)
    assert all(0 <= position <= len(text) for position in positions)
