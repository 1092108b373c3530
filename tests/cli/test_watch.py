"""`flue sessions watch`: a session that another process talks to, live."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.real_terminal import CTRL_C, Terminal

from flue_cli.agents.api import Message
from flue_cli.errors import SessionChanged
from flue_cli.sessions.follow import TurnBegan, TurnSettled, TurnsUndone, follow
from flue_cli.stores import open_store
from flue_cli.stores.records import Failure, TurnFailure
from flue_cli.testing.run_turns import (
    AGENT,
    begin_expired_turn,
    begin_turn,
    complete_turn,
    edit_data,
    move_head_to,
    run_failed_turn,
    run_turns,
)

if TYPE_CHECKING:
    from conftest import Flue, Process

    from flue_cli.stores.contract import Store

PATIENCE = 20


@pytest.fixture
def store(flue: Flue) -> Iterator[Store]:
    """The store of the command, in a process that is not the watching one; it has a session of one turn."""
    flue.home.mkdir(exist_ok=True)
    opened = open_store(str(flue.store))
    run_turns(opened, "zero")
    yield opened
    opened.close()


class Watching:
    """A watching process, and the lines that came from it."""

    def __init__(self, flue: Flue, *options: str) -> None:
        self.process: Process = flue.start("sessions", "watch", "main", *options)
        self.process.stdin.close()
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.decode())

    def until(self, text: str) -> str:
        """All that came, once the last of it is `text`."""
        deadline = time.monotonic() + PATIENCE
        while not "".join(self.lines).endswith(text):
            assert time.monotonic() < deadline, (text, self.lines, self.process.poll())
            time.sleep(0.01)
        return "".join(self.lines)

    def documents(self, count: int) -> list[dict[str, Any]]:
        """What came, once it is so much."""
        deadline = time.monotonic() + PATIENCE
        while len(self.lines) < count:
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.01)
        return [json.loads(line) for line in self.lines]

    def ended(self) -> int:
        """Its exit code as a shell reports it."""
        code = self.process.wait(PATIENCE)
        self._reader.join()
        return 128 - code if code < 0 else code


def test_turns_are_shown_as_they_come(flue: Flue, store: Store) -> None:
    """In a pipe each settled turn is a block of text, failed ones marked, undone ones told."""
    begin_expired_turn(store, "lost")
    watching = Watching(flue)
    watching.until("[2] (interrupted)\n> lost\n(its process ended or was stopped)\n")

    complete_turn(store, begin_turn(store, "hello").lease, reply="there\nyou are")
    watching.until("\n[3]\n> hello\nthere\nyou are\n")
    run_failed_turn(store, "break")
    watching.until("\n[4] (failed)\n> break\n(the agent broke)\n")
    move_head_to(store, 1)
    watching.until("\n(turns 2 to 4 were undone)\n")
    edit_data(store, '{"n": 1}')
    watching.until("\n[2] (data edited)\n")
    run_turns(store, "more")
    shown = watching.until("\n[3]\n> more\nok\n")

    assert shown.count("\n\n") == 5


def test_a_partial_reply_is_marked(flue: Flue, store: Store) -> None:
    """The part of a reply that came before its turn was cancelled is shown as such, and has a field in JSON."""
    begin_expired_turn(store, "lost")
    lines, documents = Watching(flue), Watching(flue, "--json")
    lines.until("(its process ended or was stopped)\n")
    seen = len(documents.documents(1))
    failure = TurnFailure("cancelled", Failure("cancelled", "cancelled"), {"partial_reply": "once upon\n"})
    store.abandon(begin_turn(store, "tell").lease, failure)

    lines.until("[3] (cancelled)\n> tell\n(before it was cancelled:)\nonce upon\n(cancelled)\n")
    settled = documents.documents(seen + 1)[-1]
    if settled["type"] == "turn.started":
        settled = documents.documents(seen + 2)[-1]
    assert (settled["type"], settled["reply"]) == ("turn.cancelled", None)
    assert settled["partial_reply"] == "once upon\n"


def test_json_is_a_document_a_line(flue: Flue, store: Store) -> None:
    """--json tells of the prompt that runs, of every outcome with reply and data, of undoing and renaming."""
    lease = begin_turn(store, "one").lease
    watching = Watching(flue, "--json")
    (began,) = watching.documents(1)
    complete_turn(store, lease, data='{"n": 1}')
    completed = watching.documents(2)[-1]
    run_failed_turn(store, "two")
    failed = watching.documents(3)[-1]
    if failed["type"] == "turn.started":
        failed = watching.documents(4)[-1]
    count = len(watching.lines)
    edit_data(store, '{"n": 2}')
    edited = watching.documents(count + 1)[-1]
    move_head_to(store, 2)
    undone = watching.documents(count + 2)[-1]
    store.rename(store.head(AGENT, "main"), "new", wait=0, pause=lambda *_: None)
    renamed = watching.documents(count + 3)[-1]
    run_turns(store, "three", name="new")
    last = watching.documents(count + 4)
    if last[-1]["type"] == "turn.started":
        last = watching.documents(count + 5)

    whose = {"agent": AGENT, "session": "main"}
    assert began == {"type": "turn.started"} | whose | {"turn": 2, "prompt": "one", "key": None}
    assert completed["type"] == "turn.completed"
    assert (completed["turn"], completed["reply"], completed["data"]) == (2, "ok", {"n": 1})
    assert completed["started_at"] < completed["finished_at"]
    assert failed["type"] == "turn.failed"
    assert (failed["error"], failed["data"]) == (
        {"type": "agent_error", "message": "the agent broke"},
        {"n": 1},
    )
    assert (edited["type"], edited["turn"], edited["data"]) == ("data.edited", 4, {"n": 2})
    assert undone == {"type": "turns.undone"} | whose | {"first": 3, "last": 4}
    assert renamed == {"type": "session.renamed", "agent": AGENT, "session": "new", "before": "main"}
    assert (last[-1]["session"], last[-1]["prompt"]) == ("new", "three")


def test_a_deleted_session_ends_it(flue: Flue, store: Store) -> None:
    """Nothing more can come: 4, and what happened in words."""
    lease = begin_turn(store, "one").lease
    watching = Watching(flue, "--json")
    watching.documents(1)
    complete_turn(store, lease)
    store.delete(store.head(AGENT, "main"))

    assert watching.ended() == 4
    assert watching.process.stderr.read() == b"error: session 'main' was deleted\n"


def test_a_store_that_is_removed_ends_it(flue: Flue, store: Store) -> None:
    """A store that was removed or replaced has nothing more to tell: 5."""
    begin_turn(store, "one")
    watching = Watching(flue, "--json")
    watching.documents(1)
    os.rename(flue.store, flue.home / "elsewhere.db")

    assert watching.ended() == 5


def test_ctrl_c_ends_it(flue: Flue, store: Store) -> None:
    """By the signal, as a shell expects of a command that it interrupted; unknown sessions are 3."""
    begin_turn(store, "one")
    watching = Watching(flue, "--json")
    watching.documents(1)
    watching.process.send_signal(signal.SIGINT)

    assert watching.ended() == 130
    assert watching.process.stderr.read() == b""
    assert flue("sessions", "watch", "nobody", stdin=None).code == 3


def test_waiting_costs_next_to_nothing(flue: Flue, store: Store) -> None:
    """Two seconds in which nothing happens take less than a fiftieth of a processor."""
    lease = begin_turn(store, "one").lease
    watching = Watching(flue, "--json")
    watching.documents(1)
    complete_turn(store, lease)
    watching.documents(2)

    def spent() -> float:
        figures = Path(f"/proc/{watching.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, figures[11:13])) / os.sysconf("SC_CLK_TCK")

    before = spent()
    time.sleep(2)
    assert spent() - before <= 0.04
    run_turns(store, "two")
    assert watching.documents(3)


def test_on_a_terminal_the_prompt_comes_first(flue: Flue, store: Store) -> None:
    """A person sees the prompt that runs at once, then tool messages and reply, and nothing that does harm."""
    command = [*flue.command, "sessions", "watch", "main"]
    with closing(Terminal(command, cwd=flue.folder, env=flue.env)) as terminal:
        terminal.wait_for("parrot/main is at turn 1; what comes is shown here, until Ctrl-C")
        lease = begin_turn(store, "hello\x1b[2J").lease
        terminal.wait_for("> hello^[[2J\n")
        assert "nobody" not in terminal.screen
        call = {"id": "1", "function": {"name": "search", "arguments": '{"q": "flue"}'}}
        asked = [
            Message("assistant", None, {"tool_calls": [call]}),
            Message("tool", "3", {"tool_call_id": "1"}),
        ]
        complete_turn(store, lease, reply="nobody\x07 here", messages=asked)
        terminal.wait_for('> hello^[[2J\n⚙ search("flue") -> 3\nnobody^G here\n')
        move_head_to(store, 1)
        terminal.wait_for("turn 2 was undone")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130


# What can only be seen from inside: what happens between two looks


class Looks:
    """What `follow` tells of a store of ours, look by look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
        self._between: Iterator[Callable[[], object]] = iter(())
        self._store = store
        monkeypatch.setattr("flue_cli.sessions.follow.time.sleep", self._pause)

    def _pause(self, seconds: float) -> None:
        next(self._between)()

    def __call__(self, *acts: Any, with_data: bool = False) -> list[object]:
        """What is told when each of `acts` happens between two looks."""

        def stop() -> None:
            raise StopWatchingError

        self._between = iter([*acts, stop])
        told: list[object] = []
        with pytest.raises(StopWatchingError):
            told.extend(map(short, follow(self._store, self._store.head(AGENT, "main"), with_data=with_data)))
        return told


class StopWatchingError(Exception):
    """The test has seen enough."""


def short(what: object) -> object:
    match what:
        case TurnBegan(entry):
            return f"{entry.prompt} runs"
        case TurnSettled(entry):
            return f"{entry.turn} {entry.prompt} {entry.outcome}{entry.data}"
        case TurnsUndone(first, last):
            return (first, last)
    return what


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, store: Store) -> Looks:
    return Looks(monkeypatch, store)


def test_what_was_undone_at_once_is_told(looks: Looks, store: Store) -> None:
    """A turn that was settled and undone between two looks was there all the same."""

    def act() -> None:
        run_turns(store, "two", "three")
        move_head_to(store, 2)

    assert looks(act) == ["2 two completed", "3 three completed", (3, 3)]


def test_more_is_undone_than_was_seen(looks: Looks, store: Store) -> None:
    """A turn that was seen and one that was not, undone together, are told as one."""
    run_turns(store, "two")

    def act() -> None:
        run_failed_turn(store, "three")
        move_head_to(store, 1)

    assert looks(act) == ["3 three failed", (2, 3)]


def test_redo_tells_only_what_came_back(looks: Looks, store: Store) -> None:
    """What stays undone is not told again."""
    run_turns(store, "two", "three")
    move_head_to(store, 1)

    assert looks(
        lambda: move_head_to(store, 2), lambda: move_head_to(store, 3), lambda: move_head_to(store, 1)
    ) == [
        "2 two completed",
        "3 three completed",
        (2, 3),
    ]


def test_another_line_is_told_in_order(looks: Looks, store: Store) -> None:
    """What was undone first, then what came instead of it."""
    run_turns(store, "two", "three")

    def act() -> None:
        move_head_to(store, 1)
        run_turns(store, "instead")

    assert looks(act) == [(2, 3), "2 instead completed"]
    assert looks(act, with_data=True) == [(2, 2), '2 instead completed{"last": "instead", "turn": 2}']


def test_a_crash_is_told_once(looks: Looks, store: Store) -> None:
    """A prompt whose process died is interrupted as soon as that is known, and not again when it is settled."""

    def crash() -> None:
        begin_expired_turn(store, "two")

    assert looks(crash, lambda: run_turns(store, "three")) == ["2 two interrupted", "3 three completed"]
    begin_expired_turn(store, "four")
    assert looks() == ["4 four interrupted"]


def test_a_session_made_anew_is_another_one(looks: Looks, store: Store) -> None:
    """One of the same name does not pass for the one that was watched."""

    def act() -> None:
        store.delete(store.head(AGENT, "main"))
        run_turns(store, "anew")

    with pytest.raises(SessionChanged):
        looks(act)
