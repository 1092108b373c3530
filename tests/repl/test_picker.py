"""The session picker, in a terminal of this process: what it shows, finds, renames and deletes."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyte
import pytest
from prompt_toolkit.application import create_app_session
from support.fake_terminal import handlers_restored
from support.hostile_texts import HOSTILE, OBEYED
from support.real_terminal import CTRL_C, CTRL_D, CTRL_R, ENTER, UP

from flue_cli.cli.signals import Signals
from flue_cli.errors import SessionNotFound, StoppedBySignal
from flue_cli.repl.picker import pick_session
from flue_cli.repl.picker.session_list import SessionList
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, Failure, SessionSummary, TurnFailure, TurnRequest, TurnResult

ESC, DOWN, PAGE_DOWN, PAGE_UP, HOME, END = "\x1b", "\x1b[B", "\x1b[6~", "\x1b[5~", "\x1b[H", "\x1b[F"
CTRL_X, DELETE, CTRL_L, CTRL_U = "\x18", "\x1b[3~", "\x0c", "\x15"
PATIENCE = 15.0


class Window:
    """A terminal window with a picker in it, and the person before it."""

    is_terminal = True

    def __init__(self, keyboard: int, store: Store) -> None:
        self.store = store
        self.signals = Signals()
        self._keyboard = keyboard
        self._taking: Callable[[bytes], object] = len
        self.size(24, 80)

    def size(self, rows: int, columns: int) -> None:
        """Make the window so large, before the picker opens."""
        fcntl.ioctl(self._keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)

    def resize(self, rows: int, columns: int) -> None:
        """Drag its corner while it is open."""
        self._screen.resize(rows, columns)
        fcntl.ioctl(self._keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(os.getpid(), signal.SIGWINCH)

    def terminal_file(self) -> Any:
        return open(os.ttyname(sys.stdin.fileno()), "w", encoding="utf-8")

    def pick(self, person: Callable[[], object], **how: Any) -> SessionSummary | None:
        """What `person`, once the list is there, does and so chooses; what fails for them fails the test."""
        failed: list[BaseException] = []

        def act() -> None:
            try:
                self.until(lambda: "> " in self.lines[0], "the list")
                person()
            except BaseException as error:  # noqa: BLE001 - raised again where the test sees it
                failed.append(error)
                self.type(CTRL_C)
                time.sleep(0.2)
                self.type(CTRL_C)

        thread = threading.Thread(target=act)
        thread.start()
        try:
            return pick_session(self.store, self, self.signals.cancelling, **how)  # type: ignore[arg-type]
        finally:
            thread.join()
            if failed:
                raise failed[0]

    def watch(self, take: Callable[[bytes], object]) -> None:
        """Hand on what reaches the screen, too."""
        self._taking = take

    def type(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def sees(self, *texts: str) -> None:
        """Wait until the screen shows all `texts`."""
        self.until(lambda: all(text in self.text for text in texts), repr(texts))

    def until(self, happened: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, f"waited for {what}\n" + "\n".join(self.lines)
            if select.select([self._keyboard], [], [], 0.05)[0]:
                came = os.read(self._keyboard, 65536)
                self._taking(came)
                self._stream.feed(came)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def column(self, text: str, row: int) -> int:
        """Where on a line of the screen `text` begins."""
        line = self._screen.buffer[row]
        cells = [line[x].data for x in range(self._screen.columns)]
        return next(x for x in range(len(cells)) if "".join(cells[x:]).startswith(text))

    @property
    def marked(self) -> str:
        """The line of the selected session."""
        return next((line[2:] for line in self.lines[1:] if line.startswith("> ")), "")


@pytest.fixture
def window(tty: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("PROMPT_TOOLKIT_NO_CPR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with closing(open_store(str(tmp_path / "flue.db"))) as store, create_app_session():
        yield Window(tty, store)


def add(store: Store, name: str, *prompts: str, agent: str = "greeting", reply: str = "yes") -> None:
    """A session with so many turns."""
    now = time.time_ns() // 1000
    store.import_session(
        agent,
        name,
        [
            Entry(number, "prompt", "completed", None, prompt, reply, (), now, now, None, {}, "{}")
            for number, prompt in enumerate(prompts or ("hello",), 1)
        ],
    )


def names(store: Store) -> list[str]:
    return [one.name for one in store.sessions(with_undone_forks=True)]


def test_the_session_used_last_is_chosen_by_enter(window: Window) -> None:
    """The list begins with the session used last, which Enter opens."""
    add(window.store, "older")
    add(window.store, "newer")

    def person() -> None:
        window.sees("older", "newer", "2/2")
        assert window.marked.split()[:4] == ["greeting", "newer", "1", "just"]
        window.type(ENTER)

    chosen = window.pick(person)

    assert chosen
    assert (chosen.agent, chosen.name) == ("greeting", "newer")


def test_the_keys_move_the_selection(window: Window) -> None:
    """Down, Up, Page Down, Page Up, End and Home move through a list that is longer than the screen."""
    for number in range(60):
        add(window.store, f"s{number:02}")

    def person() -> None:
        for keys, name in (
            (DOWN, "s58"),
            (UP, "s59"),
            (UP, "s59"),
            (END, "s00"),
            (DOWN, "s00"),
            (HOME, "s59"),
            (PAGE_DOWN, None),
            (PAGE_UP, "s59"),
            ("\x0e\x0e", "s57"),
            ("\x10", "s58"),
        ):
            before = window.marked
            window.type(keys)
            if name is None:
                window.until(lambda: window.marked not in ("", before), "another page")  # noqa: B023
                assert int(window.marked.split()[1][1:]) < 55
            else:
                window.until(lambda: f" {name} " in f" {window.marked} ", name)  # noqa: B023
        window.type(ENTER)

    chosen = window.pick(person)

    assert chosen
    assert chosen.name == "s58"


def test_typing_filters(window: Window) -> None:
    """Every word typed must be in the agent, the name or the last prompt, whatever its case."""
    add(window.store, "Ärger", "about the WEATHER in Oslo")
    add(window.store, "travel", "weather in Rome")
    add(window.store, "work", "nothing", agent="journal")

    def person() -> None:
        window.sees("3/3")
        window.type("weather")
        window.sees("2/3")
        window.type(" äRG")
        window.sees("1/3")
        window.type(CTRL_U + "journal")
        window.until(lambda: "work" in window.marked, "the other one")
        window.type("xyz")
        window.sees("0/3")
        window.type(ENTER)  # nothing to choose
        window.type(CTRL_U + "oslo")
        window.until(lambda: "rger" in window.marked, "the first one")
        window.type(ENTER)

    chosen = window.pick(person)

    assert chosen
    assert chosen.name == "Ärger"


def test_the_preview_shows_the_last_turns(window: Window) -> None:
    """Below the list are the last turns of the selected session, and of no other."""
    add(window.store, "other", "something else")
    add(window.store, "talk", "first", "second", "third", reply="an answer\nof two lines")

    def person() -> None:
        window.sees("── greeting/talk ─", "> third", "of two lines")
        window.type(DOWN)
        window.sees("── greeting/other ─", "> something else")
        assert "> third" not in window.text
        window.type(ESC)

    assert window.pick(person) is None


@pytest.mark.parametrize("key", [ESC, CTRL_C, CTRL_D])
def test_leaving_chooses_nothing(window: Window, key: str) -> None:
    """Esc, Ctrl-C and Ctrl-D leave without a choice, whatever was typed."""
    add(window.store, "one")

    def person() -> None:
        window.type("on")
        window.sees("> on")
        window.type(key)

    assert window.pick(person) is None


def test_unknown_alt_keys_do_nothing(window: Window) -> None:
    """Alt with a key that means nothing is not taken for Esc."""
    add(window.store, "one")

    def person() -> None:
        window.type("\x1bq")
        window.type("on")
        window.sees("> on")
        window.type(ENTER)

    assert window.pick(person)


def test_only_sessions_of_the_agent(window: Window) -> None:
    """With an agent, only its sessions are offered; with no sessions at all there is nothing to pick."""

    def person() -> None:
        window.sees("1/1", "hers")
        assert "his" not in window.text
        window.type(ENTER)

    with pytest.raises(SessionNotFound):  # not even a store
        pick_session(window.store, window, window.signals.cancelling)  # type: ignore[arg-type]
    add(window.store, "hers", agent="journal")
    add(window.store, "his", agent="greeting")
    assert window.pick(person, agent="journal")
    with pytest.raises(SessionNotFound):
        pick_session(window.store, window, window.signals.cancelling, agent="nobody")  # type: ignore[arg-type]


def test_a_session_is_renamed(window: Window) -> None:
    """Ctrl-R renames; a name that is taken or cannot be one is refused, and the person asked again.

    AGENT/NAME is the same as NAME.
    """
    add(window.store, "taken")
    add(window.store, "old")

    def person() -> None:
        window.type(CTRL_R)
        window.sees("new name: old")
        window.type(CTRL_U + "taken" + ENTER)
        window.sees("error: session 'taken' of agent 'greeting' exists already", "new name: taken")
        window.type(CTRL_U + "-x" + ENTER)
        window.sees("error: a session name cannot start with a hyphen")
        window.type(CTRL_U + "greeting/new" + ENTER)
        window.sees("greeting/old is now greeting/new")
        window.type(CTRL_R)
        window.sees("new name: new")
        window.type("er" + ESC)
        window.until(lambda: "new name" not in window.text, "the list")
        window.type(ENTER)

    chosen = window.pick(person)

    assert chosen
    assert chosen.name == "new"
    assert names(window.store) == ["new", "taken"]


def test_a_session_is_deleted_after_asking(window: Window) -> None:
    """Ctrl-X deletes after a question that names the forks which go too; anything but y keeps them."""
    add(window.store, "keep")
    add(window.store, "gone", "one", "two")
    store = window.store
    head = store.move_head(store.head("greeting", "gone"), 1, wait=0, pause=lambda *_: None)
    begun: Any = store.begin(TurnRequest("greeting", "gone", "another way"), lambda *_: None)
    store.commit(begun.lease, TurnResult(reply="so", messages=(), data="{}", meta={}))
    assert names(store) == ["gone", "gone~1", "keep"]
    assert head.turn == 1

    def person() -> None:
        window.type(CTRL_X)
        window.sees("Delete greeting/gone (2 turns), greeting/gone~1 (2 turns) for good? [y/N]")
        window.type("n")
        window.sees("nothing was deleted")
        window.type(DELETE)
        window.sees("for good? [y/N]")
        window.type(ENTER)
        window.sees("nothing was deleted")
        window.type(CTRL_X)
        window.sees("for good? [y/N]")
        window.type("y")
        window.sees("deleted greeting/gone, greeting/gone~1", "input history", "1/1")
        window.type(ESC)

    assert window.pick(person) is None
    assert names(store) == ["keep"]


def test_a_busy_session_is_left_alone(window: Window) -> None:
    """While a turn runs in a session it is neither deleted nor renamed, and the picker says so."""
    add(window.store, "busy")
    begun: Any = window.store.begin(TurnRequest("greeting", "busy", "think"), lambda *_: None)

    def person() -> None:
        window.type(CTRL_X)
        window.sees("for good? [y/N]")
        window.type("y")
        window.sees("error: session 'busy' is busy")
        window.type(CTRL_R)
        window.sees("new name: busy")
        window.type("2" + ENTER)
        window.sees("error: session 'busy' is busy")
        window.type(CTRL_C)
        window.until(lambda: "new name" not in window.text, "the list")
        window.type(ESC)

    assert window.pick(person) is None
    assert names(window.store) == ["busy"]
    window.store.abandon(begun.lease, TurnFailure("cancelled", Failure("cancelled", "enough"), {}))


def test_the_session_one_is_in_stays(window: Window) -> None:
    """In a chat, its own session can be looked at and chosen, but not deleted from under it."""
    add(window.store, "mine")
    here = window.store.head("greeting", "mine").uid

    def person() -> None:
        for key in (CTRL_X, CTRL_R):
            window.type(key)
            window.sees("error: that is the session you are in")
            window.type(DOWN)
            window.until(lambda: "error" not in window.text, "the hints")
        window.type(ENTER)

    assert window.pick(person, current_uid=here)


def test_the_list_follows_other_processes(window: Window, tmp_path: Path) -> None:
    """A session that another process adds appears, and the selection stays on its session."""
    add(window.store, "first")
    add(window.store, "second")

    def person() -> None:
        window.sees("2/2")
        window.type(DOWN)
        window.until(lambda: "first" in window.marked, "the other session")
        with closing(open_store(str(tmp_path / "flue.db"))) as other:
            add(other, "third")
            window.sees("third", "3/3")
            assert "first" in window.marked
            head = other.head("greeting", "first")
            other.rename(head, "renamed", wait=0, pause=lambda *_: None)
            window.until(lambda: "renamed" in window.marked, "its new name")
            other.delete(other.head("greeting", "renamed"))
            window.sees("greeting/renamed was deleted meanwhile", "2/2")
        window.type(ENTER)

    chosen = window.pick(person)

    assert chosen
    assert chosen.name == "second"


def test_what_vanished_cannot_be_chosen(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session deleted a moment ago is not opened: a message says so, and the list is up to date."""
    monkeypatch.setattr("flue_cli.repl.picker.REFRESH_SECONDS", 3600)  # before the picker looks
    add(window.store, "stays")
    add(window.store, "goes")

    def person() -> None:
        window.sees("2/2")
        with closing(open_store(str(tmp_path / "flue.db"))) as other:
            other.delete(other.head("greeting", "goes"))
            add(other, "goes")  # another one of that name
        window.type(ENTER)
        window.sees("error: session 'goes' was deleted", "2/2")
        window.type(DOWN + ENTER)

    assert window.pick(person)


def test_a_question_is_about_what_it_named(window: Window, tmp_path: Path) -> None:
    """If the session was talked to since the question, y deletes nothing."""
    add(window.store, "talk")

    def person() -> None:
        window.type(CTRL_X)
        window.sees("Delete greeting/talk (1 turn) for good? [y/N]")
        with closing(open_store(str(tmp_path / "flue.db"))) as other:
            begun: Any = other.begin(TurnRequest("greeting", "talk", "wait!"), lambda *_: None)
            other.commit(begun.lease, TurnResult(reply="so", messages=(), data="{}", meta={}))
        window.type("y")
        window.sees("error: session 'talk' was changed meanwhile")
        window.type(ESC)

    assert window.pick(person) is None
    assert names(window.store) == ["talk"]


@pytest.mark.parametrize(("rows", "columns"), [(5, 20), (3, 10), (12, 30), (40, 200)])
def test_every_size_of_window_is_usable(window: Window, rows: int, columns: int) -> None:
    """In a window of 20 columns and 5 lines, or smaller, names can be read and chosen."""
    for name in ("one", "two", "three"):
        add(window.store, name, "a rather long prompt " * 20)
    window.size(rows, columns)

    def person() -> None:
        window.until(lambda: "three" in window.marked, "the newest")
        window.type(DOWN)
        window.until(lambda: "two" in window.marked, "the next")
        assert ("──" in window.text) == (rows >= 12)
        window.type(ENTER)

    chosen = window.pick(person)

    assert chosen
    assert chosen.name == "two"


def test_a_small_window_still_asks(window: Window) -> None:
    """The question before a deletion can be read in the smallest window too."""
    add(window.store, "one")
    window.size(5, 20)

    def person() -> None:
        window.type(CTRL_X)
        window.sees("Delete greeting/one", "good? [")
        window.type(CTRL_C)
        window.sees("nothing was deleted")
        window.type(ESC)

    assert window.pick(person) is None
    assert names(window.store) == ["one"]


def test_a_resized_window_is_drawn_anew(window: Window) -> None:
    """When the window changes its size, or is asked to by Ctrl-L, the list fits it again."""
    for number in range(30):
        add(window.store, f"s{number:02}", "p " * 90)

    def person() -> None:
        window.sees("s29", "30/30")
        window.resize(8, 40)
        window.until(
            lambda: window.lines[0].endswith("30/30") and len(window.lines[0]) == 40, "its new width"
        )
        assert "──" not in window.text
        window.type(CTRL_L + ENTER)

    assert window.pick(person)


def test_foreign_text_moves_nothing(window: Window) -> None:
    """Escape sequences, bells and text directions in prompts and replies are shown by their names."""
    for name, text in HOSTILE.items():
        add(window.store, name, text, reply=text)
    window.size(50, 200)
    written = bytearray()
    window.watch(written.extend)

    def person() -> None:
        window.sees("colour", "^[[31mred")
        for name in reversed(HOSTILE):
            window.sees(f"── greeting/{name} ─")
            window.type(DOWN)
        window.type("\x1b[200~a\x07b\u202e\x9b c\x1b[201~")
        window.sees("> a^Gb<U+202E><U+009B> c")
        window.type(ESC)

    assert window.pick(person) is None
    ours = {"\x1b", "\r", "\x08"}
    assert not (OBEYED - ours) & set(written.decode())
    assert b"\x1b]" not in written
    assert b"\x1b[31mred" not in written


def test_wide_characters_keep_the_columns(window: Window) -> None:
    """Names and prompts in characters of two columns are cut where the screen ends."""
    add(window.store, "日本語のとても長い名前" * 5, "漢字" * 80, reply="漢字" * 200)
    add(window.store, "plain")

    def person() -> None:
        window.sees("日本語", "…", "plain")
        assert window.column("just now", 1) == window.column("just now", 2) > 0
        window.type(ESC)

    assert window.pick(person) is None


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(window: Window, signum: signal.Signals) -> None:
    """TERM and HUP end the picker, and the terminal has its settings and its handlers back."""
    add(window.store, "one")
    with handlers_restored():
        window.signals.install()
        before = termios.tcgetattr(sys.stdin), signal.getsignal(signum)
        with pytest.raises(StoppedBySignal) as stopped:
            window.pick(lambda: os.kill(os.getpid(), signum))
        after = termios.tcgetattr(sys.stdin), signal.getsignal(signum)

    assert stopped.value.signum == signum
    assert after == before


def test_ten_thousand_sessions_feel_instant() -> None:
    """Among ten thousand sessions the filter is done before one notices."""
    with closing(open_store("memory:")) as store:
        for number in range(10_000):
            add(store, f"session {number}")
        choices = SessionList(store)
        began = time.perf_counter()
        for typed in ("7", "77", "777", "777 greet"):
            choices.filter(typed)
        seconds = (time.perf_counter() - began) / 4

    assert [one.name for one in choices.filtered][:2] == ["session 9777", "session 8777"]
    assert seconds < 0.2  # 6 ms where nothing else runs
