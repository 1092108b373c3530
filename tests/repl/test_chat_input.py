"""The chat's line: several lines, pastes, files, history, keys and colours of one's own."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.utils import get_cwidth
from support.fake_terminal import ChatDriver, echo
from support.real_terminal import ALT_ENTER, CTRL_C, CTRL_D, CTRL_J, ENTER, PASTE_BEGINS, PASTE_ENDS, UP

from flue_cli.agents.discovery import Agent
from flue_cli.config_file import KEY_ACTIONS, THEME_PARTS
from flue_cli.errors import UsageError
from flue_cli.repl.agent_file import AgentLoader, LoadedAgent
from flue_cli.repl.history import HistorySuggester, InputHistory
from flue_cli.repl.keymap import DEFAULT_KEYS, build_keymap, format_keystrokes
from flue_cli.repl.loop import run_chat
from flue_cli.repl.paste_folding import PasteFolder
from flue_cli.repl.theme import THEME_CLASSES
from flue_cli.repl.toolbar import fit_toolbar
from flue_cli.settings import ChatStyle

BACKSPACE, DELETE_WORD, UNDO, LEFT, ESCAPE = "\x7f", "\x17", "\x1f", "\x1b[D", "\x1b"
CTRL_O, CTRL_R, F2, F4 = "\x0f", "\x12", "\x1bOQ", "\x1bOS"
LONG = "\n".join(f"line {number}" for number in range(214))


def paste(text: str) -> str:
    return PASTE_BEGINS + text + PASTE_ENDS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the chat was started in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def styled(driver: ChatDriver, style: ChatStyle, *typed: str) -> str:
    """Chat in a style of one's own; what the page shows then."""
    driver.keys.send_text("".join(typed))
    run_chat(
        driver.conversation(echo), driver.page, driver.cancelling, history_path=driver.history_of, style=style
    )
    shown: str = driver.page.text
    return shown


# Several lines


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("one\\" + ENTER + "two", "one\ntwo"),
        ("\\" + ENTER + "\\" + ENTER + "three", "\n\nthree"),
        ("one" + ALT_ENTER + "two\\" + ENTER + "three", "one\ntwo\nthree"),
        ("one\\\\", "one\\\\"),
        ("one\\\\\\" + ENTER + "two", "one\\\\\ntwo"),
        ("C:\\x" + LEFT, "C:\\x"),
    ],
)
def test_a_backslash_at_the_end_goes_on(driver: ChatDriver, typed: str, sent: str) -> None:
    r"""Enter behind a `\` is a new line instead of it; two are sent as they are, and so is one elsewhere."""
    driver.chat(echo, typed + ENTER, CTRL_D)
    assert driver.sent() == [sent]


# Pastes


@pytest.mark.parametrize("text", [LONG, LONG + "\n", "x" * 2001, "\n" * 8, "one\n" * 9])
def test_a_long_paste_is_sent_whole(driver: ChatDriver, text: str) -> None:
    """What is shown in short reaches the agent in full, with what was typed around it."""
    driver.chat(echo, "see: " + paste(text) + " (end)" + ENTER, CTRL_D)
    assert driver.sent() == [f"see: {text} (end)"]


def test_several_long_pastes(driver: ChatDriver) -> None:
    """Each paste stands for its own text, also if two are of the same length."""
    other = LONG.replace("line", "word")
    driver.chat(echo, paste(LONG) + " or " + paste(other) + "?" + ENTER, CTRL_D)
    assert driver.sent() == [f"{LONG} or {other}?"]


def test_the_words_of_a_folded_paste_are_words(driver: ChatDriver) -> None:
    """Who types by hand what a long paste is shown as sends these words."""
    driver.chat(echo, "[pasted 214 lines] " + paste(LONG) + ENTER, CTRL_D)
    assert driver.sent() == [f"[pasted 214 lines] {LONG}"]


def test_a_folded_paste_is_one_place(driver: ChatDriver) -> None:
    """Backspace takes all of a long paste, undoing brings it back, and the cursor steps over it."""
    driver.chat(
        echo,
        "a" + paste(LONG) + BACKSPACE + "b" + ENTER,
        "a" + paste(LONG) + BACKSPACE + UNDO + ENTER,
        "a" + paste(LONG) + LEFT + LEFT + "b" + ENTER,
        CTRL_D,
    )
    assert driver.sent() == ["ab", f"a{LONG}", f"ba{LONG}"]


def test_a_folded_paste_can_be_unfolded(driver: ChatDriver) -> None:
    """Ctrl-O makes text of it, to be edited; the cursor stays where it was, and undoing folds it again."""
    driver.chat(
        echo,
        "a" + paste(LONG) + CTRL_O + BACKSPACE + BACKSPACE + "!" + ENTER,
        "a" + paste(LONG) + "b" + LEFT + LEFT + CTRL_O + "c" + ENTER,
        "a" + paste(LONG) + CTRL_O + UNDO + BACKSPACE + ENTER,
        "nothing folded" + CTRL_O + ENTER,
        CTRL_D,
    )
    assert driver.sent() == [f"a{LONG[:-2]}!", f"ac{LONG}b", "a", "nothing folded"]


def test_a_long_paste_comes_back_whole(driver: ChatDriver) -> None:
    """Up brings a long paste back as text, after it was sent and after Ctrl-C; the history keeps it all."""
    driver.chat(echo, paste(LONG) + ENTER, CTRL_D)
    driver.chat(echo, UP + BACKSPACE + "!" + ENTER, CTRL_D)
    driver.chat(echo, "b" + paste(LONG) + CTRL_C, CTRL_D)
    driver.chat(echo, UP + ENTER, CTRL_D)

    assert driver.sent() == [LONG, f"{LONG[:-1]}!", f"b{LONG}"]
    assert "+bline 0\n" in driver.history.read_text()
    assert driver.history.read_text().count("+line 212\n") == 3


def test_a_long_paste_in_a_command(driver: ChatDriver) -> None:
    """A command gets a long paste whole too."""
    driver.chat(echo, "hi" + ENTER, "/data set said " + paste(f'["{"x" * 3000}"]') + ENTER, CTRL_D)
    assert json.loads(driver.entries()[-1].data) == {"said": ["x" * 3000]}


def test_characters_that_pastes_are_made_of(driver: ChatDriver) -> None:
    """Even the characters that stand for pastes can be pasted, and mean themselves."""
    hostile = "".join(map(chr, (0x100000, 0x100001, 0x100002, 0x10FFFD)))
    driver.chat(echo, paste(LONG) + paste(hostile) + ENTER, paste(hostile) + ENTER, CTRL_D)
    driver.chat(echo, UP + paste(LONG) + CTRL_O + " again" + ENTER, CTRL_D)

    assert driver.sent() == [LONG + hostile, hostile, f"{hostile}{LONG} again"]


@given(st.lists(st.text(alphabet="ab\n\r\t@ \U00100000\U00100001\U0010fffd", max_size=30), max_size=4))
def test_whatever_is_pasted_is_sent(texts: list[str]) -> None:
    """What goes into the line for some pastes is, as a whole, these pastes, unfolded or not."""
    pastes = PasteFolder()
    line = "".join(map(pastes.fold_paste, texts))
    buffer = Buffer(document=Document(line))
    pastes.unfold(buffer)
    whole = "".join(texts).replace("\r\n", "\n").replace("\r", "\n")

    assert pastes.expand(line).replace("\n", "") == whole.replace("\n", "")
    assert pastes.expand(buffer.text) == pastes.expand(line)
    assert not pastes.has_foldings(buffer.text)


# Files


def test_a_file_is_put_below_the_prompt(driver: ChatDriver, folder: Path) -> None:
    """@path stays in the prompt, and the file's text comes below, under its name; it is said how much."""
    (folder / "notes.txt").write_text("first\nsecond\n")
    page = driver.chat(echo, "Summarise @notes.txt" + ENTER, CTRL_D)

    assert driver.sent() == ["Summarise @notes.txt\n\n@notes.txt:\n```\nfirst\nsecond\n```"]
    assert "attached notes.txt (13 bytes)\n" in page


def test_files_named_in_a_sentence(driver: ChatDriver, folder: Path) -> None:
    """Punctuation is no part of a name, quotes hold one with blanks, and a file comes once."""
    (folder / "my notes").mkdir()
    (folder / "my notes" / "a b.txt").write_text("blank")
    (folder / "c.txt").write_text("end")
    driver.chat(echo, 'Is @"my notes/a b.txt" like @c.txt, or (well) @c.txt?' + ENTER, CTRL_D)

    assert driver.sent()[0].split("\n\n")[1:] == [
        '@"my notes/a b.txt":\n```\nblank\n```',
        "@c.txt:\n```\nend\n```",
    ]


def test_a_file_that_has_fences(driver: ChatDriver, folder: Path) -> None:
    """The fence is longer than any in the file, so that nothing of it ends it early."""
    (folder / "a.md").write_text("````\ncode\n````\n")
    driver.chat(echo, "@a.md" + ENTER, CTRL_D)
    assert driver.sent() == ["@a.md\n\n@a.md:\n`````\n````\ncode\n````\n`````"]


@pytest.mark.parametrize(
    "prompt",
    [
        "ask @nobody",
        "me@notes.txt",
        "@ notes.txt",
        "@",
        '@"notes.txt',
        "@folder",
        "@./",
        "x@@notes.txt",
        "@a\tb",
    ],
)
def test_what_names_no_file_is_a_word(driver: ChatDriver, folder: Path, prompt: str) -> None:
    """An @ in front of something else, or within a word, is sent as it is."""
    (folder / "notes.txt").write_text("secret")
    (folder / "folder").mkdir()
    driver.chat(echo, prompt.replace("\t", CTRL_J) + ENTER, CTRL_D)
    assert driver.sent() == [prompt.replace("\t", "\n")]


@pytest.mark.parametrize("text", ["see @notes.txt", "@notes.txt", LONG + "\n@notes.txt"])
def test_pasted_text_names_no_file(driver: ChatDriver, folder: Path, text: str) -> None:
    """Whoever wrote a text that is pasted does not get our files into the prompt, unfolded or not."""
    (folder / "notes.txt").write_text("secret")
    driver.chat(echo, paste(text) + ENTER, paste(text) + CTRL_O + ENTER, CTRL_D)
    assert driver.sent() == [text, text]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x00\x01", "it is not text"),
        (b"caf\xe9", "it is not text"),
        (b"x" * (2**20 + 1), "it has more than 1.0 MiB"),
        (None, "it is not a regular file"),
    ],
    ids=["NUL", "Latin-1", "large", "pipe"],
)
def test_a_file_that_cannot_go_along(
    driver: ChatDriver, folder: Path, content: bytes | None, why: str
) -> None:
    """A file that is not text or too large is refused: nothing is sent, and the draft is in the line again."""
    if content is None:
        os.mkfifo(folder / "blob")
    else:
        (folder / "blob").write_bytes(content)
    page = driver.chat(echo, "see @blob" + ENTER, DELETE_WORD + "nothing" + ENTER, CTRL_D)

    assert f"error: @blob cannot be attached: {why}\nhint: nothing was sent\n" in page
    assert driver.sent() == ["see nothing"]


def test_a_refused_draft_keeps_its_pastes(driver: ChatDriver, folder: Path) -> None:
    """What was pasted into a prompt that was refused is still there when it is sent."""
    (folder / "blob").write_bytes(b"\0")
    driver.chat(echo, paste(LONG) + " @blob" + ENTER, DELETE_WORD + ENTER, CTRL_D)
    assert driver.sent() == [LONG + " "]


def test_the_largest_file(driver: ChatDriver, folder: Path) -> None:
    """A file of exactly 1 MiB goes along; a byte order mark and CRLF do not."""
    (folder / "big").write_bytes(b"x" * 2**20)
    (folder / "dos").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    driver.chat(echo, "@big" + ENTER, "@dos" + ENTER, CTRL_D)

    assert len(driver.sent()[0]) > 2**20
    assert driver.sent()[1] == "@dos\n\n@dos:\n```\none\ntwo\n```"


def test_a_prompt_that_comes_back_has_its_files_once(driver: ChatDriver, folder: Path) -> None:
    """A prompt that is edited and sent again does not get its files twice, nor those that they name."""
    (folder / "a.py").write_text("@b.py\nclass A: ...\n")
    (folder / "b.py").write_text("secret")

    def failing(prompt: str, session: Any, context: Any) -> str:
        raise ValueError("no")

    driver.chat(failing, "fix @a.py" + ENTER, "/edit" + ENTER, "\x1b< please" + ENTER, CTRL_D)
    first, second = driver.sent()

    assert "secret" not in first
    assert second.replace(" please", "") == first


def test_the_history_keeps_the_name_and_not_the_file(driver: ChatDriver, folder: Path) -> None:
    """Up brings back what was typed; what is in the file is in no history of the input."""
    (folder / "notes.txt").write_text("secret")
    driver.chat(echo, "see @notes.txt" + ENTER, CTRL_D)
    driver.chat(echo, UP + " again" + ENTER, CTRL_D)

    assert [prompt.partition("\n")[0] for prompt in driver.sent()] == [
        "see @notes.txt",
        "see @notes.txt again",
    ]
    assert "secret" not in driver.history.read_text()


def test_commands_take_no_files(driver: ChatDriver, folder: Path) -> None:
    """An @ in a command is not looked at, except for a dry run; // sends one with its file."""
    (folder / "notes.txt").write_text("text")
    page = driver.chat(
        echo, "/rename @notes.txt" + ENTER, "/try @notes.txt" + ENTER, "//x @notes.txt" + ENTER, CTRL_D
    )

    assert "work is now @notes.txt\n" in page
    assert page.count("attached notes.txt") == 2
    assert "<@notes.txt\n\n@notes.txt:\n```\ntext\n```>" in page
    assert driver.sent("@notes.txt") == ["/x @notes.txt\n\n@notes.txt:\n```\ntext\n```"]


# History


def test_a_space_in_front_keeps_a_prompt_out_of_the_history(driver: ChatDriver) -> None:
    """Such a prompt is sent, and Up has it as long as the chat lasts; the file never does."""
    driver.page.when("< secret>", lambda: driver.keys.send_text(UP + "!" + ENTER))
    driver.page.when("< secret!>", lambda: driver.keys.send_text("plain" + ENTER + " lost" + CTRL_C + CTRL_D))
    driver.chat(echo, " secret" + ENTER)
    assert driver.sent() == [" secret", " secret!", "plain"]
    assert "secret" not in driver.history.read_text()
    assert "lost" not in driver.history.read_text()

    driver.chat(echo, UP + UP + "?" + ENTER, CTRL_D)
    assert driver.sent()[-1] == "plain?"


def test_a_draft_survives(driver: ChatDriver) -> None:
    """Up brings back a prompt that failed, also after other commands, and what Ctrl-C cleared."""

    def failing(prompt: str, session: Any, context: Any) -> str:
        if prompt == "bad":
            raise ValueError("no")
        return prompt

    driver.page.when(
        "error: agent 'tester' has no file", lambda: driver.keys.send_text(UP + UP + " luck" + ENTER)
    )
    driver.page.when("bad luck\n", lambda: driver.keys.send_text("draft" + CTRL_C + CTRL_D))
    page = driver.chat(failing, "bad" + ENTER, "/reload" + ENTER)
    driver.chat(failing, UP + " one" + ENTER, CTRL_D)

    assert "ValueError: no" in page
    assert driver.sent() == ["bad", "bad luck", "draft one"]


def test_what_a_command_left_in_the_line_is_there_once(driver: ChatDriver) -> None:
    """A prompt that /undo or /edit brought back and that was cleared does not come again."""

    def failing(prompt: str, session: Any, context: Any) -> str:
        raise ValueError("no")

    driver.chat(failing, "hello" + ENTER, "/edit" + ENTER, CTRL_C + ENTER + "other" + ENTER, CTRL_D)
    assert driver.sent() == ["hello", "other"]


def test_every_agent_has_a_history_of_its_own(driver: ChatDriver) -> None:
    """Who turns to another agent finds there what was typed to it, and back what was typed here."""

    def load(name: str) -> LoadedAgent:
        return LoadedAgent(Agent(name, echo, "v1"))

    conversation = driver.conversation(echo, agents=AgentLoader(load))
    driver.page.when("<to other>", lambda: driver.keys.send_text("/agent tester" + ENTER))
    driver.page.when("now talking to tester", lambda: driver.keys.send_text(UP + UP + "!" + ENTER + CTRL_D))
    driver.chat(conversation, "to tester" + ENTER + "/agent other" + ENTER + "to other" + ENTER)

    assert driver.sent(conversation.name) == ["to tester!"]
    other = driver.history.with_name("other.txt")
    assert [line for line in other.read_text().splitlines() if line.startswith("+")] == [
        "+to other",
        "+/agent tester",
    ]
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


def test_a_history_that_others_could_read_is_closed(driver: ChatDriver) -> None:
    """A history file that came from elsewhere is for its owner's eyes from the next prompt on."""
    driver.history.parent.mkdir(parents=True)
    driver.history.write_text("\n# 2020-01-01 00:00:00.000000\n+from before\n+and below\n")
    driver.history.chmod(0o644)
    driver.chat(echo, UP + "!" + ENTER, CTRL_D)

    assert driver.sent() == ["from before\nand below!"]
    assert stat.S_IMODE(driver.history.stat().st_mode) == 0o600


def test_nothing_typed_is_kept_without_a_history(driver: ChatDriver) -> None:
    """Without a history file nothing is written, and Up works all the same."""
    driver.page.when("<one>", lambda: driver.keys.send_text(UP + "!" + ENTER + CTRL_D))
    driver.keys.send_text("one" + ENTER)
    run_chat(driver.conversation(echo), driver.page, driver.cancelling, history_path=lambda agent: "")

    assert driver.sent() == ["one", "one!"]
    assert not driver.history.parent.exists()


def test_a_huge_history_is_read_from_its_end(tmp_path: Path) -> None:
    """Of many megabytes the newest entries are there, each of them whole."""
    file = tmp_path / "history.txt"
    entry = "\n# then\n+number {}\n+" + "x" * 1000 + "\n"
    file.write_text("".join(entry.format(number) for number in range(5000)))
    history = InputHistory(PasteFolder())
    history.select_agent("echo", str(file))

    assert history.newest_first[0] == "number 4999\n" + "x" * 1000
    assert 1000 < len(history.newest_first) < 5000
    assert set(map(len, history.newest_first)) == {len("number 4999\n") + 1000}


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("s", "omething newer"),
        ("something o", "lder"),
        ("two", " lines"),
        ("below", None),
        ("", None),
        (" ", None),
    ],
)
def test_what_is_suggested(typed: str, suggested: str | None) -> None:
    """The rest of the newest line that began like this; nothing for an empty line."""
    history = InputHistory(PasteFolder())
    history.select_agent("echo", "")
    for entry in ("something older", "two lines\nbelow", "something newer"):
        history.append_string(entry)
    suggestion = HistorySuggester(history).get_suggestion(Buffer(), Document(typed))

    assert (suggestion and suggestion.text) == suggested


# Keys and colours of one's own


def test_enter_and_alt_enter_can_change_places(driver: ChatDriver) -> None:
    """A key that was chosen does that instead of what it did; the action's other keys go on working."""
    style = ChatStyle(keys={"newline": "enter", "send": "escape enter"})
    styled(driver, style, "one" + ENTER + "two" + CTRL_J + "three" + ALT_ENTER, CTRL_D)
    assert driver.sent() == ["one\ntwo\nthree"]


def test_a_key_of_ones_own(driver: ChatDriver) -> None:
    """The key of the configuration works, and so does the usual one."""
    style = ChatStyle(keys={"expand": "f2"})
    for key in (F2, CTRL_O):
        styled(driver, style, paste(LONG) + key + BACKSPACE + ENTER, CTRL_D)
    assert driver.sent() == [LONG[:-1], LONG[:-1]]


@pytest.mark.parametrize("style", [ChatStyle(vi=True), ChatStyle()], ids=["chosen", "F4"])
def test_vi_mode(driver: ChatDriver, style: ChatStyle) -> None:
    """With `vi`, or after F4, Escape leads to vi's commands; F4 leads back."""
    first = "" if style.vi else F4
    styled(driver, style, first + "hellox" + ESCAPE + "x" + ENTER, "i" + F4 + "\x01a" + ENTER, CTRL_D)
    assert driver.sent() == ["hello", "ai"]


@pytest.mark.parametrize(
    ("style", "complaint"),
    [
        (ChatStyle(keys={"editor": "c-ö"}), "keys: editor: 'c-ö' is not a valid key"),
        (ChatStyle(keys={"editor": "ctrl o"}), "keys: editor: 'ctrl o' is not a valid key"),
        (ChatStyle(keys={"editor": "  "}), "keys: editor: '  ' is not a valid key"),
        (ChatStyle(keys={"editor": "e"}), "keys: editor: 'e' begins with a character"),
        (ChatStyle(keys={"editor": "c-c"}), "keys: editor: 'c-c' is reserved for cancelling and leaving"),
        (ChatStyle(keys={"editor": "c-t", "vi": "c-t"}), "keys: vi: 'c-t' is already used for editor"),
        (ChatStyle(keys={"newline": "enter"}), "keys: newline: 'enter' leaves no key that sends"),
        (ChatStyle(theme={"prompt": "greenish"}), "theme: prompt: 'greenish' is not a valid style"),
        (ChatStyle(theme={"toolbar": "bg:#22"}), "theme: toolbar: 'bg:#22' is not a valid style"),
    ],
)
def test_a_style_that_is_none(driver: ChatDriver, style: ChatStyle, complaint: str) -> None:
    """A bad key or colour is refused by the name of the file, before anything is shown."""
    with pytest.raises(UsageError, match=r"config\.toml: ") as refused:
        styled(driver, style)

    assert complaint in refused.value.message
    assert driver.page.text == ""


def test_the_configuration_knows_what_there_is() -> None:
    """Exactly the actions and parts that the chat has can be configured."""
    assert sorted(KEY_ACTIONS) == sorted(DEFAULT_KEYS)
    assert sorted(THEME_PARTS) == sorted(THEME_CLASSES)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ("escape enter", "Alt-Enter"),
        ("c-o", "Ctrl-O"),
        ("c-x c-e", "Ctrl-X Ctrl-E"),
        ("f12", "F12"),
        ("s-tab", "Shift-Tab"),
        ("c-right", "Ctrl-Right"),
        ("escape o", "Alt-O"),
    ],
)
def test_how_keys_are_called(keys: str, name: str) -> None:
    """Keys have in the toolbar the names that are on keyboards."""
    assert format_keystrokes(next(iter(build_keymap({"expand": keys})))) == name


# Toolbar


FACTS = ["task-planner", "holiday plans", "turn 12", "data 1.2 KiB", "24 messages"]
HINTS = ["Ctrl-O expands", "Alt-Enter new line", "/help"]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (
            120,
            " task-planner · holiday plans · turn 12 · data 1.2 KiB · 24 messages"
            "        Ctrl-O expands · Alt-Enter new line · /help ",
        ),
        (86, " task-planner · holiday plans · turn 12 · data 1.2 KiB · 24 messages   Ctrl-O expands "),
        (80, " task-planner · holiday plans · turn 12 · data 1.2 KiB · 24 messages      /help "),
        (60, " task-planner · holiday plans · turn 12 · data 1.2 KiB      "),
        (20, " task-planner · ho… "),
    ],
)
def test_a_toolbar_fits(columns: int, line: str) -> None:
    """What matters less is left out first, and the rest cut."""
    assert fit_toolbar(FACTS, HINTS, columns) == line


@given(st.lists(st.text(), min_size=1), st.lists(st.text(min_size=1)), st.integers(0, 200))
def test_a_toolbar_is_never_wider_than_the_screen(facts: list[str], hints: list[str], columns: int) -> None:
    """Whatever letters of whatever width there are."""
    assert get_cwidth(fit_toolbar(facts, hints, columns)) <= columns
