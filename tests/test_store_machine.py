"""Every operation of a store, in any order, against a plain model of lists and dicts."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flue_cli.errors import (
    FlueError,
    KeyConflict,
    LeaseLost,
    SessionBusy,
    SessionChanged,
    SessionExists,
    SessionNotFound,
    TurnNotFound,
)
from flue_cli.session import Message
from flue_cli.stores import open_store
from flue_cli.stores.contract import ABSENT, PREVIEW, Ask, Begun, Failure, Head, Lease, Replayed, Store
from flue_cli.strict_json import dumps

AGENTS = ("one", "two")
NAMES = ("a", "b", "one/a")
KEYS = (None, "k", "l")
PROMPTS = ("hello", "hello again", "ü" * 300)
DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aü\0🦜"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text("xyzü", max_size=3), DATA, max_size=4)
TEXTS = st.text("ab\n🦜\x1b", max_size=6)
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(("assistant", "tool")), DATA, OBJECTS.map(lambda extra: {f"_{k}": v for k, v in extra.items()})),
    max_size=2,
)  # fmt: skip


@dataclass
class Turn:
    """What the model knows of a turn."""

    prompt: str
    key: str | None
    outcome: str = "running"
    reply: str | None = None
    messages: list[Message] = field(default_factory=list)
    data: str = "{}"
    error: Failure | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def added(self) -> list[Message]:
        if self.outcome != "completed":
            return []
        return [Message("user", self.prompt), *self.messages, Message("assistant", self.reply)]


@dataclass
class Session:
    """What the model knows of a session; `lease` is the one that counts, alive or expired."""

    agent: str
    name: str
    uid: int
    turns: list[Turn] = field(default_factory=list)
    running: Turn | None = None
    lease: Lease | None = None
    alive: bool = False
    used: int = 0
    version: int = -1

    @property
    def data(self) -> str:
        return self.turns[-1].data if self.turns else "{}"

    @property
    def history(self) -> list[Message]:
        return [message for turn in self.turns for message in turn.added]

    def settle(self, outcome: str) -> Turn:
        """The running turn ends."""
        turn = self.running
        assert turn
        turn.outcome = outcome
        if outcome != "completed":
            turn.data = self.data
        self.turns.append(turn)
        self.running, self.lease, self.alive = None, None, False
        return turn


def never(seconds: float, holder: object) -> None:
    """Nobody waits here."""
    raise AssertionError("asked to wait though wait is 0")


class StoreMachine(RuleBasedStateMachine):
    """Openings of one store, and the model."""

    openings: list[Store]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.openings = self.open()
        self.sessions: dict[tuple[str, str], Session] = {}
        self.leases: list[tuple[Store, Lease]] = []
        self.heads: list[Head] = []  # of sessions that may be gone by now
        self.uses = 0

    def open(self) -> list[Store]:
        raise NotImplementedError

    def teardown(self) -> None:
        for store in self.openings:
            store.close()
        shutil.rmtree(self.folder)

    def find(self, lease: Lease) -> Session | None:
        """The session in which the lease still counts."""
        for session in self.sessions.values():
            if session.uid == lease.head.uid and session.lease == lease:
                return session
        return None

    @rule(
        which=st.integers(0, 1),
        agent=st.sampled_from(AGENTS),
        name=st.sampled_from(NAMES),
        prompt=st.sampled_from(PROMPTS),
        key=st.sampled_from(KEYS),
        expect=st.sampled_from(("any", "any", "new", "existing")),
        seen=st.sampled_from(("nothing", "nothing", "it", "another")),
        lives=st.booleans(),
    )
    def begin(
        self,
        which: int,
        agent: str,
        name: str,
        prompt: str,
        key: str | None,
        expect: str,
        seen: str,
        lives: bool,
    ) -> None:
        store = self.openings[which % len(self.openings)]
        session = self.sessions.get((agent, name))
        uid = {"nothing": ABSENT, "it": session.uid if session else ABSENT, "another": 999_999}[seen]
        ask = Ask(agent, name, prompt, key=key, uid=uid, expect=expect, wait=0)
        expected = self.answer(session, ask)
        usual, store.lease_seconds = store.lease_seconds, store.lease_seconds if lives else 0
        try:
            got: Any = store.begin(ask, never)
        except FlueError as error:
            got = type(error)
        finally:
            store.lease_seconds = usual
        if isinstance(expected, type):
            assert got is expected, (ask, got, expected)
            return
        if isinstance(expected, Turn):
            assert isinstance(got, Replayed)
            assert (got.entry.prompt, got.entry.reply, got.entry.data) == (
                prompt,
                expected.reply,
                expected.data,
            )
            return
        assert isinstance(got, Begun)
        if session is None:
            session = self.sessions[agent, name] = Session(agent, name, got.lease.head.uid)
        if session.running:
            lost = session.settle("interrupted")
            assert got.interrupted
            assert (got.interrupted.prompt, got.interrupted.turn) == (lost.prompt, len(session.turns))
            lost.error = got.interrupted.error
        else:
            assert got.interrupted is None
        assert (got.lease.turn, got.lease.data, got.lease.head.uid) == (
            len(session.turns) + 1,
            session.data,
            session.uid,
        )
        session.running, session.lease, session.alive = Turn(prompt, key), got.lease, lives
        self.uses += 1
        session.used = self.uses
        self.leases.append((store, got.lease))

    def answer(self, session: Session | None, ask: Ask) -> Any:
        """What the contract says of `ask`: an error, the turn that is replayed, or None for a new one."""
        if session and ask.uid in (ABSENT, session.uid) and ask.key:
            for turn in session.turns:
                if turn.key == ask.key and turn.outcome == "completed":
                    return turn if turn.prompt == ask.prompt else KeyConflict
        if ask.uid != ABSENT and (session is None or session.uid != ask.uid):
            return SessionChanged
        if session is None:
            return SessionNotFound if ask.expect == "existing" else None
        if ask.expect == "new" and ask.uid == ABSENT:
            return SessionExists
        return SessionBusy if session.alive else None

    @precondition(lambda self: self.leases)
    @rule(
        pick=st.integers(0, 99),
        reply=TEXTS,
        messages=MESSAGES,
        data=OBJECTS,
        meta=OBJECTS,
        same=st.booleans(),
    )
    def commit(
        self, pick: int, reply: str, messages: list[Message], data: Any, meta: dict[str, Any], same: bool
    ) -> None:
        store, lease = self.leases[-1 - pick % min(len(self.leases), 4)]
        session = self.find(lease)
        text = lease.data if same else dumps(data)
        try:
            head = store.commit(lease, reply=reply, messages=messages, data=text, meta=meta)
        except LeaseLost:
            assert session is None
            return
        assert session
        turn = session.settle("completed")
        turn.reply, turn.messages, turn.data, turn.meta = reply, messages, text, meta
        assert (head.turn, head.messages) == (len(session.turns), len(session.history))

    @precondition(lambda self: self.leases)
    @rule(pick=st.integers(0, 99), outcome=st.sampled_from(("failed", "cancelled")), words=TEXTS)
    def abandon(self, pick: int, outcome: str, words: str) -> None:
        store, lease = self.leases[-1 - pick % min(len(self.leases), 4)]
        session = self.find(lease)
        try:
            store.abandon(lease, outcome, Failure("kind", words), {"words": words})
        except LeaseLost:
            assert session is None
            return
        assert session
        turn = session.settle(outcome)
        turn.error, turn.meta = Failure("kind", words), {"words": words}

    @precondition(lambda self: self.leases)
    @rule(pick=st.integers(0, 99))
    def renew(self, pick: int) -> None:
        store, lease = self.leases[-1 - pick % min(len(self.leases), 4)]
        session = self.find(lease)
        try:
            store.renew(lease)
        except LeaseLost:
            assert session is None
            return
        assert session
        session.alive = True

    @precondition(lambda self: self.heads)
    @rule(which=st.integers(0, 1), pick=st.integers(0, 99), new=st.sampled_from(NAMES))
    def rename(self, which: int, pick: int, new: str) -> None:
        store, head = (
            self.openings[which % len(self.openings)],
            self.heads[-1 - pick % min(len(self.heads), 6)],
        )
        session = self.sessions.get((head.agent, head.name))
        expected: Any = None
        if session is None or session.uid != head.uid:
            expected = SessionChanged
        elif session.alive:
            expected = SessionBusy
        elif new != head.name and (head.agent, new) in self.sessions:
            expected = SessionExists
        try:
            renamed = store.rename(head, new, wait=0, pause=never)
        except FlueError as error:
            got = type(error)
            assert got is expected
            return
        assert expected is None
        assert session
        del self.sessions[head.agent, head.name]
        session.name = new
        self.sessions[head.agent, new] = session
        assert (renamed.uid, renamed.name) == (session.uid, new)

    @precondition(lambda self: self.heads)
    @rule(which=st.integers(0, 1), pick=st.integers(0, 99))
    def delete(self, which: int, pick: int) -> None:
        store, head = (
            self.openings[which % len(self.openings)],
            self.heads[-1 - pick % min(len(self.heads), 6)],
        )
        session = self.sessions.get((head.agent, head.name))
        try:
            store.delete(head)
        except SessionChanged:
            assert session is None or session.uid != head.uid
        except SessionBusy:
            assert session
            assert session.alive
        else:
            assert session
            assert session.uid == head.uid
            assert not session.alive
            del self.sessions[head.agent, head.name]

    @precondition(lambda self: not any(session.alive for session in self.sessions.values()))
    @rule(which=st.integers(0, 1))
    def close(self, which: int) -> None:
        self.openings[which % len(self.openings)].close()

    @precondition(lambda self: self.sessions)
    @rule(pick=st.integers(0, 99), low=st.integers(-1, 8), count=st.integers(0, 6), which=st.integers(0, 1))
    def read(self, pick: int, low: int, count: int, which: int) -> None:
        store = self.openings[which % len(self.openings)]
        session = list(self.sessions.values())[pick % len(self.sessions)]
        head = store.head(session.agent, session.name)
        low_position = max(low, 0)
        assert (
            store.messages(head, low_position, low_position + count) == session.history[low_position:][:count]
        )
        numbers = [n for n in range(max(low, 1), low + count + 1) if n <= len(session.turns)]
        entries = list(store.entries(head, low, low + count, with_data=True))
        assert [(entry.turn, entry.data) for entry in entries] == [
            (n, session.turns[n - 1].data) for n in numbers
        ]
        if 0 <= low <= len(session.turns):
            assert store.data_at(head, low) == (session.turns[low - 1].data if low else "{}")
        else:
            try:
                store.data_at(head, low)
            except TurnNotFound:
                return
            raise AssertionError("data after a turn that never was")

    @rule(which=st.integers(0, 1))
    def health(self, which: int) -> None:
        found = list(self.openings[which % len(self.openings)].health())
        assert [finding for finding in found if finding.level == "problem"] == []

    @rule()
    def look_away(self) -> None:
        """Nothing is seen of a head that nobody asked for."""
        self.heads = [self.openings[0].head(agent, name) for agent in AGENTS for name in NAMES]

    @invariant()
    def everything_is_as_expected(self) -> None:
        for store in self.openings:
            for (agent, name), session in self.sessions.items():
                head = store.head(agent, name)
                assert (head.uid, head.turn, head.messages) == (
                    session.uid,
                    len(session.turns),
                    len(session.history),
                )
                if head not in self.heads:
                    self.heads.append(head)
                for entry, turn in zip(
                    store.entries(head, 1, head.turn, with_data=True), session.turns, strict=True
                ):
                    assert (
                        entry.outcome, entry.prompt, entry.key, entry.reply, list(entry.messages), entry.data,
                        entry.error, dict(entry.meta),
                    ) == (
                        turn.outcome, turn.prompt, turn.key, turn.reply, turn.messages, turn.data,
                        turn.error, turn.meta,
                    )  # fmt: skip
                assert store.messages(head, 0, head.messages) == session.history
                running = store.running(head)
                if session.running is None:
                    assert running is None
                else:
                    assert running
                    assert running.prompt == session.running.prompt
                    assert running.outcome == ("running" if session.alive else "interrupted")
            listed = sorted(self.sessions.values(), key=lambda session: -session.used)
            assert [(s.agent, s.name, s.turns, s.preview) for s in store.sessions()] == [
                (s.agent, s.name, len(s.turns), (s.running or s.turns[-1]).prompt[:PREVIEW]) for s in listed
            ]
            for agent in AGENTS:
                mine = [session.uid for session in listed if session.agent == agent]
                assert [summary.uid for summary in store.sessions(agent=agent)] == mine
            meant = {s.uid for s in listed if s.name == "one/a" or (s.agent, s.name) == ("one", "a")}
            assert {head.uid for head in store.resolve("one/a")} == meant


class MemoryMachine(StoreMachine):
    """The store that lives as long as the process."""

    def open(self) -> list[Store]:
        return [open_store("memory:")]


class SqliteMachine(StoreMachine):
    """Two openings of one file, as two processes have them."""

    def open(self) -> list[Store]:
        first, second = (open_store(str(self.folder / "flue.db")) for _ in range(2))
        begun = first.begin(Ask("one", "a", "hello", wait=0), never)  # so that there is a file
        assert isinstance(begun, Begun)
        first.abandon(begun.lease, "failed", Failure("kind", ""), {})
        first.delete(first.head("one", "a"))
        return [first, second]


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = _settings(60)
TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = _settings(25)
