"""The chat, key by key, without a terminal: what is typed goes in, what would be read comes out."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fake_terminal import ChatDriver, echo, sample, without_colours
from support.real_terminal import ALT_ENTER, CTRL_C, CTRL_D, CTRL_J, ENTER, PASTE_BEGINS, PASTE_ENDS

from flue_cli.errors import OutputClosed, StoppedBySignal, StoreError
from flue_cli.render.streams import Output
from flue_cli.repl.agent_thread import AgentThread
from flue_cli.repl.options import ChatOptions
from flue_cli.repl.slash import COMMANDS, help_summary
from flue_cli.repl.terminal import restore_terminal, silent_keyboard
from flue_cli.stores.records import ABSENT

# What is typed


def test_greeting_remembers_a_name(driver: ChatDriver) -> None:
    """Who has said their name is greeted by it from the second prompt on."""
    page = driver.chat(
        sample("greeting"), "my name is Alice", ENTER, "Tell me a joke", ENTER, CTRL_D
    ).splitlines()

    assert page == [
        "greeting · session work (new) · /help",
        "Nice to meet you, Alice! How can I help?",
        'Hello again, Alice! You said: "Tell me a joke"',
        "resume with: flue chat greeting -r work",
    ]


def test_task_planner_keeps_a_list_per_session(driver: ChatDriver) -> None:
    """Tasks add up in one session, and a new session begins without any."""
    page = driver.chat(
        sample("task-planner"),
        "add Buy groceries" + ENTER,
        "add Call mom" + ENTER,
        "list tasks" + ENTER,
        "/new errands" + ENTER,
        "list tasks" + ENTER,
        CTRL_D,
    )

    assert page.splitlines() == [
        "task-planner · session work (new) · /help",
        'Added task: "Buy groceries". You now have 1 tasks.',
        'Added task: "Call mom". You now have 2 tasks.',
        "Your tasks:",
        "1. Buy groceries",
        "2. Call mom",
        "new session errands",
        "You currently have no tasks.",
        "resume with: flue chat task-planner -r errands",
    ]


def test_looking_in_makes_no_session(driver: ChatDriver) -> None:
    """Who opens a chat and leaves it again leaves nothing behind."""
    assert driver.chat(echo, CTRL_D) == "tester · session work (new) · /help\n"
    assert not driver.file.exists()


@pytest.mark.parametrize("way", ["/exit", "/quit"])
def test_leaving_by_a_command(driver: ChatDriver, way: str) -> None:
    """/exit and /quit end the chat."""
    page = driver.chat(echo, "hello" + ENTER, way + ENTER, "never sent" + ENTER)

    assert page.endswith("<hello>\nresume with: flue chat tester -r work\n")
    assert driver.sent() == ["hello"]


def test_nothing_is_not_a_prompt(driver: ChatDriver) -> None:
    """Enter on an empty or blank line sends nothing."""
    driver.chat(echo, ENTER, "   " + ENTER, CTRL_J + ENTER, "hello" + ENTER, CTRL_D)
    assert driver.sent() == ["hello"]


@pytest.mark.parametrize("key", [ALT_ENTER, CTRL_J], ids=["Alt-Enter", "Ctrl-J"])
def test_a_prompt_of_several_lines(driver: ChatDriver, key: str) -> None:
    """Alt-Enter and Ctrl-J add a line; Enter sends them all as one prompt."""
    driver.chat(echo, "one", key, "two", key, key, "four", ENTER, CTRL_D)
    assert driver.sent() == ["one\ntwo\n\nfour"]


@pytest.mark.parametrize("lines", [3, 5000])
@pytest.mark.parametrize("newline", ["\n", "\r", "\r\n"], ids=["LF", "CR", "CRLF"])
def test_pasted_lines_are_one_prompt(driver: ChatDriver, lines: int, newline: str) -> None:
    """What is pasted waits for Enter, however many lines it has, and is one prompt."""
    pasted = [f"line {number}" for number in range(lines)]
    text = f"{PASTE_BEGINS}{newline.join(pasted)}{PASTE_ENDS}" + ENTER
    typing = threading.Thread(target=driver.keys.send_text, args=(text + CTRL_D,))  # a pipe holds 64 KiB
    typing.start()
    driver.chat(lambda prompt, session, context: "seen")
    typing.join()

    assert driver.sent() == ["\n".join(pasted)]


def test_the_line_can_be_edited(driver: ChatDriver) -> None:
    """The keys that move and delete in a shell do so here."""
    home, end, backspace, delete_word = "\x01", "\x05", "\x7f", "\x17"
    typed = ["world" + home + "hello " + end + "!?" + backspace, "one two" + delete_word + "three"]
    driver.chat(echo, *(text + ENTER for text in typed), CTRL_D)

    assert driver.sent() == ["hello world!", "one three"]


@pytest.mark.parametrize(
    "text", ["naïve café", "日本語", "👩‍👩‍👧", "e\u0301", "a\tb", "[bold]not markup[/bold]"]
)
def test_a_prompt_is_sent_as_it_was_pasted(driver: ChatDriver, text: str) -> None:
    """Letters of any language, tabs and brackets reach the agent unchanged."""
    driver.chat(echo, PASTE_BEGINS + text + PASTE_ENDS + ENTER, CTRL_D)
    assert driver.sent() == [text]


def test_keys_that_are_not_utf_8_do_not_end_the_chat(driver: ChatDriver) -> None:
    """Bytes from a terminal with another encoding spoil their own prompt at most."""
    driver.keys.send_bytes(b"caf\xe9")
    driver.chat(echo, ENTER, "hello" + ENTER, CTRL_D)

    assert driver.sent()[-1] == "hello"


# Ctrl-C at the prompt


def test_a_second_ctrl_c_leaves(driver: ChatDriver) -> None:
    """Ctrl-C on an empty line says what a second one does, and the second one leaves as a signal would."""
    driver.page.when("press Ctrl-C again to leave, or Ctrl-D", lambda: driver.keys.send_text(CTRL_C))
    with pytest.raises(StoppedBySignal) as stop:
        driver.chat(echo, CTRL_C)

    assert stop.value.signum == signal.SIGINT


def test_ctrl_c_clears_the_line(driver: ChatDriver) -> None:
    """Ctrl-C with something typed throws it away and does not count as the first of two."""
    driver.page.when("press Ctrl-C again", lambda: driver.keys.send_text("hello" + ENTER + CTRL_D))
    page = driver.chat(echo, "oh no" + CTRL_C, CTRL_C)

    assert page.count("press Ctrl-C again") == 1
    assert driver.sent() == ["hello"]


def test_ctrl_c_counts_anew_after_a_prompt(driver: ChatDriver) -> None:
    """Two presses with a prompt between them do not leave."""
    driver.page.when("press Ctrl-C again", lambda: driver.keys.send_text("hello" + ENTER + CTRL_C))
    driver.page.when("<hello>\npress Ctrl-C again", lambda: driver.keys.send_text(CTRL_D))
    page = driver.chat(echo, CTRL_C)

    assert page.count("press Ctrl-C again") == 2


# Slash commands


def test_help_names_every_command(driver: ChatDriver) -> None:
    """/help has each command with its summary, and the keys that nobody would guess."""
    page = without_colours(driver.chat(echo, "/help" + ENTER, CTRL_D))

    for name in COMMANDS.keys() - {"/quit"}:
        assert re.search(rf"^(.*  )?{name} +{re.escape(help_summary(name)[:-1])}(  |$)", page, re.MULTILINE)
    assert max(map(len, page.splitlines())) <= 80
    for key in ("Enter", "Alt-Enter", "Ctrl-J", "Ctrl-C", "Ctrl-D", "//"):
        assert key in page
    assert driver.sent() == []


def test_data_shows_what_the_agent_keeps(driver: ChatDriver) -> None:
    """/data PATH is what is there as JSON, $ all of it: an empty object before the first turn."""
    page = driver.chat(echo, "/data $" + ENTER, "hello" + ENTER, "/data $" + ENTER, CTRL_D)
    before, _, after = page.partition("<hello>\n")

    assert before.splitlines()[1:] == ["{}"]
    assert json.loads(after.partition("resume")[0]) == {"said": ["hello"]}


def test_history_shows_the_newest_turns(driver: ChatDriver) -> None:
    """/history shows the last ten turns, /history N the last N, each prompt with its reply."""
    typed = [f"prompt {number}" + ENTER for number in range(1, 13)]
    page = driver.chat(echo, *typed, "/history" + ENTER, "/help" + ENTER, "/history 2" + ENTER, CTRL_D)
    ten, _, two = without_colours(page).partition("<prompt 12>\n")[2].partition("/help")

    assert _prompts(ten) == [f"prompt {number}" for number in range(3, 13)]
    assert _prompts(two) == ["prompt 11", "prompt 12"]
    assert "> prompt 11\n<prompt 11>\n\n[12]" in two


def test_history_marks_what_came_before_a_failure(driver: ChatDriver) -> None:
    """/history has the part of a reply that came before its turn failed, and says that it is only a part."""

    def breaking_off(*_: Any) -> Iterator[str]:
        yield "once upon\n"
        raise ValueError("no more")

    page = without_colours(driver.chat(breaking_off, "tell" + ENTER, "/history" + ENTER, CTRL_D))

    assert "failed\n> tell\nbefore it failed:\nonce upon\nthe agent failed: ValueError: no more\n" in page


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/history", "nothing has been said yet"),
        ("/history 0", "error: /history takes a number of turns"),
        ("/history some", "error: /history takes a number of turns"),
        ("/history -1", "error: /history takes a number of turns"),
        ("/history ²", "error: /history takes a number of turns"),
    ],
)
def test_history_that_cannot_be_shown(driver: ChatDriver, typed: str, words: str) -> None:
    """/history says so when there is nothing to show or its number is none."""
    assert driver.chat(echo, typed + ENTER, CTRL_D).splitlines()[1:] == [words]


def test_a_new_session_by_name(driver: ChatDriver) -> None:
    """/new NAME goes on in a fresh session of that name; the one before stays as it was."""
    page = driver.chat(echo, "one" + ENTER, "/new other one" + ENTER, "two" + ENTER, CTRL_D)

    assert "new session other one\n<two>\nresume with: flue chat tester -r 'other one'\n" in page
    assert (driver.sent(), driver.sent("other one")) == (["one"], ["two"])


def test_a_new_session_without_a_name(driver: ChatDriver) -> None:
    """/new alone makes up a name, and the session exists once something is said in it."""
    page = driver.chat(echo, "one" + ENTER, "/new" + ENTER, "two" + ENTER, CTRL_D)
    name = page.partition("new session ")[2].partition("\n")[0]

    assert name != "work"
    assert driver.sent(name) == ["two"]


def test_a_new_session_without_a_prompt_is_none(driver: ChatDriver) -> None:
    """Who leaves right after /new leaves no empty session behind, and is not told to resume one."""
    page = driver.chat(echo, "one" + ENTER, "/new other" + ENTER, CTRL_D)

    assert page.endswith("new session other\n")
    assert driver.store.head("tester", "other").uid == ABSENT


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/new taken", "error: session 'taken' exists already"),
        ("/new -x", "error: a session name cannot start with a hyphen: '-x'"),
        ("/new " + "x" * 257, "error: a session name has at most 256 characters, this one has 257"),
    ],
)
def test_a_new_session_that_cannot_be(driver: ChatDriver, typed: str, words: str) -> None:
    """/new with a name that is taken or is none says so, and the chat stays where it was."""
    driver.elsewhere("hi", name="taken")
    page = driver.chat(echo, typed + ENTER, "hello" + ENTER, CTRL_D)

    assert words in page
    assert (driver.sent(), driver.sent("taken")) == (["hello"], ["hi"])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/zap", "error: there is no command /zap\nhint: see /help; // sends a line"),
        ("/histroy 3", "error: there is no command /histroy\nhint: did you mean /history?"),
        ("/", "error: there is no command /\n"),
        ("/usr/bin/env", "error: there is no command /usr/bin/env\n"),
        ("/HELP", "error: there is no command /HELP\n"),
    ],
)
def test_an_unknown_command_is_not_sent(driver: ChatDriver, typed: str, words: str) -> None:
    """What begins with a slash and is no command is reported, and the agent never sees it."""
    assert words in driver.chat(echo, typed + ENTER, CTRL_D)
    assert driver.sent() == []


@pytest.mark.parametrize(
    ("typed", "sent"),
    [("//x", "/x"), ("//help", "/help"), ("///", "//"), (" /help", " /help"), ("a /b", "a /b")],
)
def test_two_slashes_send_one(driver: ChatDriver, typed: str, sent: str) -> None:
    """A prompt that begins with a slash is typed with two."""
    driver.chat(echo, typed + ENTER, CTRL_D)
    assert driver.sent() == [sent]


def test_hostile_names_of_commands_are_shown_safe(driver: ChatDriver) -> None:
    """A pasted command with control characters in it is reported without obeying them."""
    page = driver.chat(echo, f"{PASTE_BEGINS}/\x1b]52;c;aGk=\x07{PASTE_ENDS}" + ENTER, CTRL_D)

    assert "there is no command /^[]52;c;aGk=^G" in page
    assert "\x1b" not in page


# Beginning and end


def test_a_notice_comes_first(driver: ChatDriver) -> None:
    """What there is to say about the agent is said before the chat begins."""
    page = driver.chat(driver.conversation(echo, notice="using ./agents/tester.py"), CTRL_D)
    assert page.splitlines() == ["using ./agents/tester.py", "tester · session work (new) · /help"]


@pytest.mark.parametrize(("turns", "words"), [(1, "1 turn"), (2, "2 turns")])
def test_a_resumed_chat_says_how_much_there_is(driver: ChatDriver, turns: int, words: str) -> None:
    """Who comes back reads how many turns there were."""
    for number in range(turns):
        driver.elsewhere(f"prompt {number}")
    assert driver.chat(echo, CTRL_D).startswith(f"tester · session work ({words}) · /help\n")


def test_a_resumed_chat_recalls_the_last_turns(driver: ChatDriver) -> None:
    """Who comes back reads the last three turns, and those that failed are marked."""

    def broken(prompt: str, session: Any, context: Any) -> str:
        raise ValueError("no such colour")

    for prompt in ("one", "two", "three"):
        driver.elsewhere(prompt)
    driver.elsewhere("four", broken)
    page = without_colours(driver.chat(echo, CTRL_D))

    assert "one" not in page
    assert "> two\n<two>\n" in page
    assert "> three\n<three>\n" in page
    assert "failed\n> four\nthe agent failed: ValueError: no such colour\n" in page


def test_what_is_recalled_is_made_safe(driver: ChatDriver) -> None:
    """Prompts and replies from elsewhere cannot give the terminal orders when they are shown again."""
    driver.elsewhere("\x1b]52;c;aGk=\x07 prompt \u202eback", lambda *_: "\x1b[2Jreply\r\x9b31m")
    page = driver.chat(echo, CTRL_D)

    assert "> ^[]52;c;aGk=^G prompt <U+202E>back" in page
    assert "^[[2Jreply^M<U+009B>31m" in page


@pytest.mark.parametrize(
    "name", ["plain", "two words", 'it\'s "quoted"', "$(id) `id` !1 \\", "日本", "*?[a]"]
)
@pytest.mark.parametrize("repeat", [(), ("--store", "my store.db", "--agents", "a'b")], ids=["", "options"])
def test_the_hint_names_the_session_for_a_shell(
    driver: ChatDriver, name: str, repeat: tuple[str, ...]
) -> None:
    """On leaving one reads the command that comes back here, quoted so that a shell takes it as it is."""
    options = ChatOptions(0, None, is_saved=True, repeat_flags=repeat)
    page = driver.chat(driver.conversation(echo, name=name, options=options), "hello" + ENTER, CTRL_D)
    hint = page.splitlines()[-1]

    assert hint.startswith("resume with: flue chat tester -r ")
    assert shlex.split(hint.removeprefix("resume with: ")) == ["flue", "chat", "tester", "-r", name, *repeat]


def test_what_is_not_kept_cannot_be_resumed(driver: ChatDriver) -> None:
    """A chat that keeps nothing says so at the beginning and has no hint at the end."""
    options = ChatOptions(0, None, is_saved=False)
    page = driver.chat(driver.conversation(echo, options=options), "hello" + ENTER, CTRL_D)

    assert page == "tester · session work (new, not saved) · /help\n<hello>\n"


# Replies


def test_a_reply_ends_its_line_once(driver: ChatDriver) -> None:
    """Replies with and without a newline, streamed or whole, leave no blank line and share none."""

    def in_pieces(prompt: str, session: Any, context: Any) -> Any:
        if prompt.startswith("whole"):
            return "reply" + "\n" * prompt.count("+")
        return iter(["re", "ply" + "\n" * prompt.count("+")])

    typed = ["whole", "whole+", "pieces", "pieces+"]
    page = driver.chat(in_pieces, *(text + ENTER for text in typed), "/exit" + ENTER)

    assert page.splitlines()[1:-1] == ["reply"] * 4


def test_a_reply_comes_piece_by_piece(driver: ChatDriver) -> None:
    """The first piece is there to be read while the agent still works on the second."""
    seen = threading.Event()

    def slowly(prompt: str, session: Any, context: Any) -> Iterator[str]:
        yield "first"
        assert seen.wait(30)
        yield ", second"

    driver.page.when("first", seen.set)
    assert "first, second\n" in driver.chat(slowly, "hello" + ENTER, CTRL_D)


def test_replies_are_made_safe(driver: ChatDriver) -> None:
    """A reply cannot give the terminal orders, not even when it comes in pieces."""

    def hostile(prompt: str, session: Any, context: Any) -> Any:
        orders = "\x1b]52;c;aGk=\x07\u202e\x9b2J"
        return orders if prompt == "whole" else iter(orders)

    page = driver.chat(hostile, "whole" + ENTER, "pieces" + ENTER, CTRL_D)
    assert page.count("^[]52;c;aGk=^G<U+202E><U+009B>2J\n") == 2


def test_an_agent_that_fails_does_not_end_the_chat(driver: ChatDriver) -> None:
    """What went wrong is said below what was heard so far, and the next prompt is answered."""

    def breaks(prompt: str, session: Any, context: Any) -> Iterator[str]:
        yield f"<{prompt}>"
        if prompt == "break":
            raise SystemExit(3)

    page = driver.chat(breaks, "break" + ENTER, "go on" + ENTER, CTRL_D)

    assert re.search(
        r"<break>\nerror: the agent called sys.exit\(3\) \(.*test_repl\.py:\d+\)\n"
        r"hint: /traceback shows the traceback\n<go on>\n",
        page,
    )
    assert [entry.outcome for entry in driver.entries()] == ["failed", "completed"]


def test_verbose_shows_where_an_agent_failed(driver: ChatDriver) -> None:
    """With --verbose the error stands below the agent's traceback, and the chat goes on."""

    def divides(prompt: str, session: Any, context: Any) -> str:
        return f"<{1 / (prompt != 'bad')}>"

    verbose = ChatOptions(0, None, is_saved=True, verbose=True)
    page = driver.chat(driver.conversation(divides, options=verbose), "bad" + ENTER, "good" + ENTER, CTRL_D)

    assert "/help\nTraceback (most recent call last):\n" in page
    assert re.search(r"by zero\nerror: the agent failed: .* by zero \(.*test_repl\.py:\d+\)\n<1.0>\n", page)


def test_the_traceback_of_a_failure_can_be_had_afterwards(driver: ChatDriver) -> None:
    """/traceback shows the whole traceback of the last failure, also after other turns and of a dry run."""

    def divides(prompt: str, session: Any, context: Any) -> str:
        return f"<{1 / (prompt != 'bad')}>"

    def chat(*lines: str) -> str:
        return driver.chat(divides, *[line + ENTER for line in lines], CTRL_D)

    assert "error: the agent has not failed in this chat\n" in chat("good", "/traceback")
    for page in (chat("bad", "good", "/traceback"), chat("/try bad", "/traceback")):
        shown = page.partition("Traceback (most recent call last):\n")[2]
        assert "in divides\n" in shown
        assert "ZeroDivisionError: division by zero\n" in shown


def test_an_agent_has_only_the_time_it_is_given(driver: ChatDriver) -> None:
    """With --timeout, an agent that takes longer is stopped, and the chat goes on."""

    def sleepy(prompt: str, session: Any, context: Any) -> str:
        deadline = time.monotonic() + 30
        while prompt == "sleep" and time.monotonic() < deadline:
            time.sleep(0.01)
        return f"<{prompt}>"

    talk = driver.conversation(sleepy, options=ChatOptions(0, 0.2, is_saved=True))
    page = driver.chat(talk, "sleep" + ENTER, "wake up" + ENTER, CTRL_D)

    assert "error: the agent took longer than 0.2 s\n<wake up>\n" in page


# The pieces


def test_what_is_typed_is_kept_for_its_owner_alone(driver: ChatDriver) -> None:
    """The history of what was typed is a file of mode 0600 in a folder of 0700, whatever the umask."""
    before = os.umask(0)
    try:
        driver.chat(echo, "my secret" + ENTER, CTRL_D)
    finally:
        os.umask(before)

    assert "+my secret\n" in driver.history.read_text()
    assert stat.S_IMODE(driver.history.stat().st_mode) == 0o600
    assert stat.S_IMODE(driver.history.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(driver.history.parent.parent.stat().st_mode) & 0o022 == 0


def test_history_that_cannot_be_kept_costs_only_itself(driver: ChatDriver) -> None:
    """When what was typed cannot be kept in a file, the chat says so and goes on."""
    driver.history.parent.parent.mkdir()
    driver.history.parent.write_text("in the way")
    page = driver.chat(echo, "hello" + ENTER, CTRL_D)

    assert "the input history cannot be saved" in page
    assert driver.sent() == ["hello"]


def test_the_terminal_is_left_as_it_was_found(tty: int) -> None:
    """Whatever is done to the terminal meanwhile, and however it ends, its settings come back."""
    found = termios.tcgetattr(tty)
    with pytest.raises(StoreError, match="on holiday"), restore_terminal():
        _spoil(tty)
    assert termios.tcgetattr(tty) == found


def test_what_is_typed_early_is_neither_shown_nor_lost(tty: int) -> None:
    """While an agent works the terminal does not show what is typed, and keeps it, Enter as Enter."""
    found = termios.tcgetattr(tty)
    with silent_keyboard():
        os.write(tty, b"early\r")
        assert _available(sys.stdin.fileno()) == b"early\r"
        assert _available(tty) == b""
        assert termios.tcgetattr(tty)[3] & termios.ISIG  # Ctrl-C still is a signal

    assert termios.tcgetattr(tty) == found


def test_a_closed_window_is_a_reader_who_left() -> None:
    """A reply that cannot be written because the window was closed is cancelled, not a failure of the turn."""
    master, slave = os.openpty()
    output = Output(slave)
    os.close(master)
    with pytest.raises(OutputClosed):
        output.write("hello")
    os.close(slave)


def test_a_worker_hands_back_what_happened() -> None:
    """A turn's result and its exception both come back to whoever waits for it, from one thread."""
    worker: Any = AgentThread()
    threads = []

    def job(on_stuck: Any) -> Any:
        threads.append(threading.current_thread())
        if len(threads) == 2:
            raise StoreError("the disk is on holiday")
        return len(threads)

    assert worker.run(job) == 1
    with pytest.raises(StoreError, match="on holiday"):
        worker.run(job)
    assert worker.run(job) == 3
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_a_worker_goes_on_without_a_job_that_is_stuck() -> None:
    """A job that says it is stuck is left alone, and the next one runs in another thread."""
    worker: Any = AgentThread()
    threads, released = [], threading.Event()

    def job(on_stuck: Any) -> Any:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            on_stuck("stuck")
            released.wait(30)
        return "done"

    assert worker.run(job) == "stuck"
    assert worker.run(job) == "done"
    released.set()
    assert worker.run(job) == "done"
    assert threads[1] is threads[2] is not threads[0]


def test_a_recap_needs_no_pager(driver: ChatDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recalled never goes through a pager, which would stand between a person and the prompt."""
    monkeypatch.setenv("PAGER", f"tee {tmp_path / 'paged'}")
    monkeypatch.setenv("LINES", "2")
    driver.elsewhere("before")

    assert "<before>" in driver.chat(echo, CTRL_D)
    assert not (tmp_path / "paged").exists()


def _prompts(transcript: str) -> list[str]:
    return [line.removeprefix("> ") for line in transcript.splitlines() if line.startswith("> ")]


def _spoil(tty: int) -> None:
    """Change a terminal's settings, and fail."""
    changed = termios.tcgetattr(tty)
    changed[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    termios.tcsetattr(tty, termios.TCSANOW, changed)
    raise StoreError("the disk is on holiday")


def _available(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 1000)
    except BlockingIOError:
        return b""
