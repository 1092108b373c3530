"""Replies in markdown: laid out, and nothing of them lost, whatever they hold."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.hostile_texts import HOSTILE, OBEYED

from flue_cli.render.markdown import MOST_CHARACTERS, MOST_COLUMNS, finished_length, render_markdown

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

WORDS = st.sampled_from("alpha Beta GAMMA delta42 größe 日本語 e\u0301te\u0301 42 x List int".split())
SIGNS = st.sampled_from(
    [
        *"<>[]()*_`~#|!&;:/\\\"'=+-.{}$^@%?,\n\t ",
        *[
            "\n\n",
            "\n- ",
            "\n1. ",
            "\n7) ",
            "\n> ",
            "\n# ",
            "\n```",
            "```py\n",
            "\n    ",
            "\n---\n",
            "\n***\n",
        ],
        *[
            "|",
            "\n| ",
            "|---|---|\n",
            "](",
            "![",
            "<!--",
            "-->",
            "</",
            "/>",
            "&lt;",
            "&amp;",
            "~~",
            "**",
            "__",
        ],
        *[
            "<List<",
            "<br>",
            "<script>",
            "<div\n",
            "<?",
            "<![CDATA[",
            "]]>",
            "https://",
            "[^1]:",
            "]: ",
            '"',
            "\\",
        ],
    ]
)
REPLIES = st.lists(st.one_of(WORDS, SIGNS, SIGNS), max_size=40).map("".join)
"""Texts of words and of signs that mean something in markdown."""


@pytest.fixture(autouse=True)
def colourful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


def seen(text: str, columns: int = 80) -> str:
    """What a person reads of `text` laid out."""
    return ESCAPES.sub("", render_markdown(text, columns))


def squeezed(text: str) -> str:
    return re.sub(r"[\s▌]+", "", text)


# Nothing is lost


@settings(max_examples=200)
@given(reply=REPLIES, columns=st.sampled_from([80, 80, 20, 500]))
@example(reply="a List<String> b", columns=80)
@example(reply="<div>\nalpha\n</div>", columns=80)
@example(reply="[alpha]: http://example.invalid 'Beta'", columns=80)
@example(reply="| alpha |\n|---|\n| Beta | GAMMA |", columns=80)
@example(reply="> " * 40 + "alpha", columns=80)
@example(reply="- " * 12 + "alpha", columns=20)
@example(reply="5. alpha\n5. Beta\n42. GAMMA", columns=80)
@example(reply="```py alpha\nBeta", columns=80)
@example(reply="[alpha](Beta 'GAMMA') ![x](int \"42\")", columns=80)
def test_no_word_is_lost(reply: str, columns: int) -> None:
    """Every word of a reply can be read, whatever signs stand around it."""
    shown = squeezed(seen(reply, columns))
    assert [word for word in re.findall(r"[^\W_]+", reply) if word not in shown] == []


@pytest.mark.parametrize(
    "text",
    [
        "List<String> and Map<K, V>",
        "<script>alert(1)</script>",
        "<!-- a remark -->",
        "&lt; &amp; &#65;",
        "0<foo or foo>10",
        "a <br> b",
        "<details><summary>more</summary></details>",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "text {} text", "- {}", "> {}", "# {}", "| {} |\n|---|\n| {} |", "**{}**"]
)
def test_html_is_shown_as_it_was_written(text: str, around: str) -> None:
    """What looks like HTML is text like any other, anywhere in a reply."""
    assert text in seen(around.replace("{}", text))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("around", ["{}", "`{}`", "```\n{}\n```", "[{}]({})", "```{}\nx\n```"])
def test_nothing_gives_orders_to_the_terminal(name: str, around: str) -> None:
    """A reply laid out holds no sequence but for the colours that we give it."""
    text = render_markdown(around.replace("{}", HOSTILE[name]), 80)
    assert OBEYED.isdisjoint(ESCAPES.sub("", text))


def test_links_show_where_they_lead() -> None:
    """A link's address and title are shown behind its words; a bare address once."""
    assert seen("see [the **docs**](http://example.invalid/ü?a=1 'all') <https://b.invalid>") == (
        'see the docs (http://example.invalid/ü?a=1 "all") https://b.invalid\n'
    )


def test_pictures_are_named() -> None:
    """A picture is named where it stands, as it was written."""
    assert seen("before ![a cat](cat.png) after") == "before ![a cat](cat.png) after\n"


# How it looks


def test_a_reply_is_laid_out() -> None:
    """Headings, lists, quotes, rules and tables can be told apart even without colour."""
    reply = (
        "# Plan\n**First** *this*\nthen that:\n* one\n* two\n  3. deep\n  5. deeper\n\n"
        "> said\n> so\n***\n| a | b |\n|---|--:|\n| 1 | 22 |\n"
    )
    assert seen(reply).splitlines() == [
        *["# Plan", ""],
        *["First this", "then that:", ""],
        *[" • one", " • two", "   3. deep", "   5. deeper", ""],
        *["▌ said", "▌ so", ""],
        *["---", ""],
        *["a   b", "─────", "1  22"],
    ]


def test_code_can_be_copied() -> None:
    """A block of code keeps its lines, however long, its indentation and its fences."""
    code = "```python title=x\nif x:\n    " + "call(a) + " * 30 + "b\n\n\tdone()\n```\n"
    assert seen(code) == code


def test_code_is_highlighted() -> None:
    """Code is coloured by its language, with the terminal's own sixteen colours."""
    text = render_markdown("```python\nreturn 'x'\n```", 80)
    assert "\x1b[35mreturn\x1b[0m" in text
    assert not re.search(r"\x1b\[[0-9;]*(38|48);", text)
    assert render_markdown("```nonsense\nreturn 'x'\n```", 80).count("\x1b") == 4  # the fences alone


def test_emphasis_is_shown() -> None:
    """Bold and italic words are so on the screen."""
    assert render_markdown("**a** *b*", 80) == "\x1b[1ma\x1b[0m \x1b[3mb\x1b[0m\n"


@pytest.mark.parametrize("settings", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants no colour, or has a terminal without, gets the same layout without a sequence."""
    reply = "# a\n**b** `c`\n- d\n\n```python\nreturn 1\n```\n"
    expected = seen(reply)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert render_markdown(reply, 80) == expected


@pytest.mark.parametrize("columns", [8, 20, 80, 500])
def test_prose_fits_the_screen(columns: int) -> None:
    """No line of prose is wider than the screen, nor so wide that it is hard to read."""
    from rich.cells import cell_len

    words = "word 日本語 e\u0301 👩‍👩‍👧 " * 60
    shown = seen(f"{words}\n\n> {words}\n\n- {words}", columns)
    assert max(cell_len(line) for line in shown.splitlines()) <= min(columns, MOST_COLUMNS)


def test_blanks_at_the_ends_of_lines_are_left_out() -> None:
    """Lines end where their text ends, so that what is copied has no blanks at its ends."""
    shown = seen("# a\n\n- b\n- c\n\n> d\n\n| e | f |\n|---|---|\n| 1 | |\n\ntext " + "word " * 40)
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []


# Piece by piece


@settings(max_examples=100)
@given(reply=REPLIES, cuts=st.lists(st.integers(0, 120), max_size=6))
def test_pieces_look_like_the_whole(reply: str, cuts: list[int]) -> None:
    """A reply that came in pieces, block after block, looks as if it had come at once."""
    held, blocks, places = "", [], sorted({min(cut, len(reply)) for cut in cuts} | {0, len(reply)})
    for start, stop in zip(places, [*places[1:], len(reply)], strict=True):
        held += reply[start:stop]
        done = finished_length(held)
        if held[:done].strip():
            blocks.append(render_markdown(held[:done], 80))
        held = held[done:]
    if held.strip():
        blocks.append(render_markdown(held, 80))
    assert "\n".join(blocks) == (render_markdown(reply, 80) if reply.strip() else "")


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("para", ""),
        ("para\n", ""),
        ("para\n\n", ""),
        ("para\n\n#", ""),
        ("para\n\n# x\n", "para\n\n"),
        ("- a\n- b\n\n", ""),
        ("```\na\n\nb\n", ""),
        ("```\na\n\nb\n```\nc\n", "```\na\n\nb\n```\n"),
        ("a\u2028\n\nb\n", "a\u2028\n\n"),
    ],
)
def test_a_block_is_done_when_another_begins(text: str, done: str) -> None:
    """What may still change is not laid out for good."""
    assert text[: finished_length(text)] == done


# Endurance


@pytest.mark.parametrize(
    "text",
    [
        *["[" * 20_000, "![" * 20_000, "[a](<" * 8_000, "*a " * 20_000, "a**b" * 8_000, "_a__b" * 8_000],
        *["- " * 5_000, "> " * 5_000, "|a" * 4_000 + "\n" + "|-" * 4_000 + "\n" + "|a" * 4_000],
        *["x" * (MOST_CHARACTERS + 1), "`" + " " * 50_000 + "x" + "\x1b[" * 20_000],
    ],
    ids=lambda text: text[:5],
)
def test_nonsense_takes_no_time(text: str) -> None:
    """A reply that is made to be hard to lay out is shown all the same, and soon."""
    began = time.process_time()
    shown = render_markdown(text, 80)
    assert time.process_time() - began < 20
    assert shown.strip()
