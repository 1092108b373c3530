"""Every operation of a store, in any order, against a plain model of lists and dicts."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flue_cli.agents.api import Message
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
from flue_cli.jsondata.strict import dumps
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import (
    ABSENT,
    PREVIEW_CHARACTERS,
    BegunTurn,
    Entry,
    Failure,
    ForkOrigin,
    Lease,
    ReplayedTurn,
    SearchHit,
    SessionHead,
    TurnFailure,
    TurnRequest,
    TurnResult,
)

AGENTS = ("one", "two")
NAMES = ("a", "b", "one/a", "a~1")
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
WORDS = ("hello", "AGAIN", "hel", "ok", "a", "b", "ab", "ü", "🦜", "\x1b", "lo", "never")
UNSAID: tuple[Any, ...] = (1, "edit", "completed", None, "", None, (), 1, 1, None, {})
"""The fields of an edit, but for its data."""
OBJECTS = st.dictionaries(st.text("xyzü", max_size=3), DATA, max_size=4)
TEXTS = st.text("ab\n🦜\x1b", max_size=6)
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(("assistant", "tool")), DATA, OBJECTS.map(lambda extra: {f"_{k}": v for k, v in extra.items()})),
    max_size=2,
)  # fmt: skip
ENTRIES = st.lists(
    st.builds(
        Entry,
        turn=st.integers(1, 9),
        kind=st.just("prompt"),
        outcome=st.sampled_from(("completed", "failed", "interrupted")),
        key=st.sampled_from(KEYS),
        prompt=st.sampled_from(PROMPTS),
        reply=st.none(),
        messages=MESSAGES.map(tuple),
        started_at=st.integers(0, 9),
        finished_at=st.integers(0, 9),
        error=st.none(),
        meta=OBJECTS,
        data=OBJECTS.map(dumps),
    ).map(
        lambda entry: (
            entry._replace(reply="ok")
            if entry.outcome == "completed"
            else entry._replace(messages=(), error=Failure("kind", "words"))
        )
    )
    | st.builds(
        Entry,
        *map(st.just, UNSAID),
        data=OBJECTS.map(dumps),
    ),
    max_size=3,
)


@dataclass
class Turn:
    """What the model knows of a turn.

    `maker` is the uid of the session that it was made in, `number` the higher the later it was recorded.
    """

    prompt: str
    key: str | None
    maker: int
    kind: str = "prompt"
    outcome: str = "running"
    reply: str | None = None
    messages: list[Message] = field(default_factory=list)
    data: str = "{}"
    error: Failure | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    number: int = 0

    def says(self, word: str) -> bool:
        """Whether the word is found in it."""
        begins = r"(?<![a-zü])" if word.isalpha() else ""
        return any(
            re.search(begins + re.escape(word.lower()), text) for text in (self.prompt, self.reply or "")
        )

    @property
    def added(self) -> list[Message]:
        if self.outcome != "completed" or self.kind != "prompt":
            return []
        return [Message("user", self.prompt), *self.messages, Message("assistant", self.reply)]

    @property
    def shown(self) -> tuple[object, ...]:
        """All that a store tells of it."""
        return (
            self.kind, self.outcome, self.prompt, self.key, self.reply, self.messages, self.data,
            self.error, self.meta,
        )  # fmt: skip


def shown(entry: Entry) -> tuple[object, ...]:
    """The same of a store's entry."""
    return (
        entry.kind, entry.outcome, entry.prompt, entry.key, entry.reply, list(entry.messages), entry.data,
        entry.error, dict(entry.meta),
    )  # fmt: skip


def found(hit: SearchHit) -> tuple[object, ...]:
    """What a search tells of a turn, but for the time."""
    return (hit.agent, hit.name, hit.uid, hit.turn, hit.prompt, hit.reply)


@dataclass
class Session:
    """What the model knows of a session; `lease` is the one that counts, alive or expired.

    `line` has all turns up to the tip, `position` tells how many of them count.
    """

    agent: str
    name: str
    uid: int
    line: list[Turn] = field(default_factory=list)
    position: int = 0
    origin: ForkOrigin | None = None
    running: Turn | None = None
    lease: Lease | None = None
    alive: bool = False
    used: int = 0
    version: int = 0

    @property
    def turns(self) -> list[Turn]:
        return self.line[: self.position]

    @property
    def data(self) -> str:
        return self.turns[-1].data if self.position else "{}"

    @property
    def history(self) -> list[Message]:
        return history(self.turns)

    @property
    def is_kept(self) -> bool:
        return bool(self.origin and self.origin.is_undone_fork)

    @property
    def preview(self) -> str:
        said = [turn.prompt for turn in self.turns if turn.kind == "prompt"]
        return (self.running.prompt if self.running else said[-1] if said else "")[:PREVIEW_CHARACTERS]

    def settle(self, outcome: str) -> Turn:
        """The running turn ends."""
        turn = self.running
        assert turn
        turn.outcome = outcome
        if outcome != "completed":
            turn.data = self.data
        self.add(turn)
        self.running, self.lease, self.alive = None, None, False
        return turn

    def add(self, turn: Turn) -> None:
        """One more turn, where nothing is undone."""
        assert self.position == len(self.line)
        self.line.append(turn)
        self.position += 1


def history(turns: list[Turn]) -> list[Message]:
    """The messages that turns add."""
    return [message for turn in turns for message in turn.added]


def never(seconds: float, holder: object) -> None:
    """Nobody waits here."""
    raise AssertionError("asked to wait though wait is 0")


class StoreMachine(RuleBasedStateMachine):
    """Openings of one store, and the model."""

    openings: list[Store]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.uids: set[int] = set()
        self.openings = self.open()
        self.sessions: dict[tuple[str, str], Session] = {}
        self.leases: list[tuple[Store, Lease]] = []
        # Every head there was, of sessions that may be gone by now, and what was there to see.
        self.heads: dict[SessionHead, tuple[Any, ...]] = {}
        self.uses = 0
        self.turns = 0
        self.looks = 0

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

    def store(self, which: int) -> Store:
        return self.openings[which % len(self.openings)]

    def pick_head(self, pick: int) -> SessionHead:
        """Mostly a session as it stands, else one as it was."""
        if pick % 4 and self.sessions:
            session = self.pick_session(pick // 4)
            return self.openings[0].head(session.agent, session.name)
        heads = list(self.heads)
        return heads[-1 - pick // 4 % min(len(heads), 8)]

    def pick_session(self, pick: int) -> Session:
        """Any session; kept forks as often as all others."""
        found = list(self.sessions.values())
        chosen = [session for session in found if session.is_kept == (pick % 2 == 0)] or found
        return chosen[pick // 2 % len(chosen)]

    def use(self, session: Session) -> None:
        self.uses += 1
        session.used = self.uses

    def recorded(self) -> int:
        """The number of a turn that is made now."""
        self.turns += 1
        return self.turns

    def made(self, session: Session) -> None:
        """A session that a store has made: it has a uid that no other one had."""
        session.uid = session.uid or self.openings[0].head(session.agent, session.name).uid
        assert session.uid not in (ABSENT, *self.uids)
        self.uids.add(session.uid)
        self.sessions[session.agent, session.name] = session

    def kept(self, session: Session) -> list[Session]:
        """The forks kept of it, and of those in turn."""
        own = [fork for fork in self.forks(session) if fork.is_kept]
        return [one for fork in own for one in (fork, *self.kept(fork))]

    def forks(self, session: Session) -> list[Session]:
        found = [fork for fork in self.sessions.values() if fork.origin and fork.origin.uid == session.uid]
        return sorted(found, key=lambda fork: fork.uid)

    def kept_name(self, agent: str, name: str) -> str:
        """Past the largest number that is taken."""
        numbers = [
            int(other.removeprefix(f"{name}~"))
            for whose, other in self.sessions
            if whose == agent and other.startswith(f"{name}~") and other.removeprefix(f"{name}~").isdigit()
        ]
        return f"{name}~{max([0, *numbers]) + 1}"

    def leave_undone(self, session: Session) -> None:
        """Something is about to be added: what was undone becomes a session of its own."""
        if session.position < len(session.line):
            name = self.kept_name(session.agent, session.name)
            origin = ForkOrigin(session.uid, session.name, session.position, is_undone_fork=True)
            fork = Session(session.agent, name, 0, session.line, len(session.line), origin, used=session.used)
            self.made(fork)
            session.line = session.turns

    def refused(self, session: Session | None, head: SessionHead) -> type[FlueError] | None:
        """What keeps whoever saw `head` from changing the session."""
        if session is None or session.uid != head.uid:
            return SessionChanged
        if session.alive:
            return SessionBusy
        return SessionChanged if session.version != head.version else None

    def interrupt(self, session: Session) -> None:
        """Settle the prompt that a crash left, if one did."""
        if session.running:
            turn = session.settle("interrupted")
            turn.error = Failure("interrupted", "its process ended or was stopped")

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
        ask = TurnRequest(agent, name, prompt, key=key, uid=uid, expect=expect, wait=0)
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
            assert isinstance(got, ReplayedTurn)
            assert (got.entry.prompt, got.entry.reply, got.entry.data) == (
                prompt,
                expected.reply,
                expected.data,
            )
            return
        assert isinstance(got, BegunTurn)
        if session is None:
            session = Session(agent, name, got.lease.head.uid)
            self.made(session)
        lost = session.running
        assert (got.interrupted is None) == (lost is None)
        self.interrupt(session)
        self.leave_undone(session)
        if lost and got.interrupted:
            assert (got.interrupted.prompt, got.interrupted.turn) == (lost.prompt, len(session.turns))
            assert got.interrupted.error == lost.error
        assert (got.lease.turn, got.lease.data, got.lease.head.uid) == (
            len(session.turns) + 1,
            session.data,
            session.uid,
        )
        session.running = Turn(prompt, key, session.uid, number=self.recorded())
        session.lease, session.alive, session.version = got.lease, lives, got.lease.head.version
        self.use(session)
        self.leases.append((store, got.lease))

    def answer(self, session: Session | None, ask: TurnRequest) -> Any:
        """What the contract says of `ask`: an error, the turn that is replayed, or None for a new one."""
        if session and ask.uid in (ABSENT, session.uid) and ask.key:
            own = [t for fork in self.kept(session) for t in fork.line if t.maker == session.uid]
            for turn in (*session.line, *own):
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
            head = store.commit(
                lease, TurnResult(reply=reply, messages=tuple(messages), data=text, meta=meta)
            )
        except LeaseLost:
            assert session is None
            return
        assert session
        turn = session.settle("completed")
        turn.reply, turn.messages, turn.data, turn.meta = reply, messages, text, meta
        session.version = head.version
        assert (head.turn, head.messages) == (len(session.turns), len(session.history))

    @precondition(lambda self: self.leases)
    @rule(pick=st.integers(0, 99), outcome=st.sampled_from(("failed", "cancelled")), words=TEXTS)
    def abandon(self, pick: int, outcome: str, words: str) -> None:
        store, lease = self.leases[-1 - pick % min(len(self.leases), 4)]
        session = self.find(lease)
        try:
            head = store.abandon(lease, TurnFailure(outcome, Failure("kind", words), {"words": words}))
        except LeaseLost:
            assert session is None
            return
        assert session
        turn = session.settle(outcome)
        turn.error, turn.meta = Failure("kind", words), {"words": words}
        session.version = head.version

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
    @rule(
        which=st.integers(0, 1),
        pick=st.integers(0, 99),
        new=st.sampled_from(NAMES),
        agent=st.sampled_from(("", *AGENTS)),
    )
    def rename(self, which: int, pick: int, new: str, agent: str) -> None:
        store, head = self.store(which), self.pick_head(pick)
        session = self.sessions.get((head.agent, head.name))
        if session and session.is_kept:  # it belongs to its parent's agent
            agent = ""
        place = (agent or head.agent, new)
        expected: Any = None
        if session is None or session.uid != head.uid:
            expected = SessionChanged
        elif session.alive:
            expected = SessionBusy
        elif place != (head.agent, head.name) and place in self.sessions:
            expected = SessionExists
        try:
            renamed = store.rename(head, new, agent=agent, wait=0, pause=never)
        except FlueError as error:
            got = type(error)
            assert got is expected
            return
        assert expected is None
        assert session
        assert (renamed.uid, renamed.agent, renamed.name) == (session.uid, *place)
        if place != (head.agent, head.name):
            self.renamed(session, *place)

    def renamed(self, session: Session, agent: str, new: str) -> None:
        del self.sessions[session.agent, session.name]
        session.agent, session.name = agent, new
        self.sessions[agent, new] = session
        for fork in self.forks(session):
            assert fork.origin
            fork.origin = fork.origin._replace(name=new)
            if fork.is_kept:
                self.renamed(fork, agent, self.kept_name(agent, new))

    @precondition(lambda self: len(self.sessions) > 3)
    @rule(which=st.integers(0, 1), pick=st.integers(0, 99))
    def delete(self, which: int, pick: int) -> None:
        self.delete_one(self.store(which), self.pick_head(pick))

    def delete_one(self, store: Store, head: SessionHead) -> None:
        session = self.sessions.get((head.agent, head.name))
        try:
            store.delete(head)
        except SessionChanged:
            assert session is None or session.uid != head.uid
        except SessionBusy:
            assert session
            assert any(one.alive for one in (session, *self.kept(session)))
        else:
            assert session
            assert session.uid == head.uid
            for one in (session, *self.kept(session)):
                assert not one.alive
                del self.sessions[one.agent, one.name]

    @precondition(lambda self: self.sessions)
    @rule(
        which=st.integers(0, 1),
        pick=st.integers(0, 99),
        moves=st.lists(st.integers(0, 99), max_size=3),
        then=st.sampled_from(("say", "say", "edit", "fork", "delete", "nothing")),
        key=st.sampled_from(KEYS),
        data=OBJECTS,
    )
    def wander(self, which: int, pick: int, moves: list[int], then: str, key: str | None, data: Any) -> None:
        """Back and forth and on, as people do: what random steps alone seldom come to."""
        session = self.pick_session(pick)
        store = self.store(which)
        for to in moves:
            head = store.head(session.agent, session.name)
            self.move_to(store, head, to % (len(session.line) + 1))
        if then == "say":
            count = len(self.leases)
            self.begin(which, session.agent, session.name, "hello", key, "existing", "nothing", lives=True)
            if len(self.leases) > count:
                self.commit(0, "ok", [], data, {}, same=False)
        elif then == "edit":
            self.edit_from(store, store.head(session.agent, session.name), dumps(data))
        elif then == "fork":
            self.fork_from(store, store.head(session.agent, session.name), pick, "fork")
        elif then == "delete" and (kept := self.kept(session)):
            fork = kept[pick % len(kept)]
            self.delete_one(store, store.head(fork.agent, fork.name))

    @precondition(lambda self: self.heads)
    @rule(which=st.integers(0, 1), pick=st.integers(0, 99), turn=st.integers(-1, 6), back=st.booleans())
    def move(self, which: int, pick: int, turn: int, back: bool) -> None:
        head = self.pick_head(pick)
        self.move_to(self.store(which), head, max(0, head.turn - 1 - turn % 2) if back else turn)

    def move_to(self, store: Store, head: SessionHead, turn: int) -> None:
        session = self.sessions.get((head.agent, head.name))
        expected: Any = self.refused(session, head)
        if expected is None and session and not 0 <= turn <= len(session.line):
            expected = TurnNotFound
        try:
            moved = store.move_head(head, turn, wait=0, pause=never)
        except FlueError as error:
            got = type(error)
            assert got is expected
            return
        assert expected is None
        assert session
        self.interrupt(session)
        if session.position != turn:
            session.position = turn
            self.use(session)
            assert moved.version > head.version
        session.version = moved.version
        assert (moved.turn, moved.messages) == (turn, len(session.history))

    @precondition(lambda self: self.heads)
    @rule(which=st.integers(0, 1), pick=st.integers(0, 99), data=OBJECTS, same=st.booleans())
    def edit(self, which: int, pick: int, data: Any, same: bool) -> None:
        head = self.pick_head(pick)
        session = self.sessions.get((head.agent, head.name))
        self.edit_from(self.store(which), head, session.data if session and same else dumps(data))

    def edit_from(self, store: Store, head: SessionHead, text: str) -> None:
        session = self.sessions.get((head.agent, head.name))
        try:
            edited = store.edit(head, text, wait=0, pause=never)
        except FlueError as error:
            got = type(error)
            assert got is self.refused(session, head)
            return
        assert self.refused(session, head) is None
        assert session
        self.interrupt(session)
        self.leave_undone(session)
        session.add(Turn("", None, session.uid, "edit", "completed", data=text))
        self.use(session)
        session.version = edited.version
        assert (edited.turn, edited.messages) == (session.position, len(session.history))

    @precondition(lambda self: self.heads)
    @rule(
        which=st.integers(0, 1),
        pick=st.integers(0, 99),
        turn=st.integers(0, 99),
        new=st.sampled_from((*NAMES, "fork")),
    )
    def fork(self, which: int, pick: int, turn: int, new: str) -> None:
        self.fork_from(self.store(which), self.pick_head(pick), turn, new)

    def fork_from(self, store: Store, head: SessionHead, turn: int, new: str) -> None:
        session = next((one for one in self.sessions.values() if one.uid == head.uid), None)
        if session:  # as of any turn that can be reached now
            head = store.redo_head(store.head(session.agent, session.name))
            head = store.head_at(head, turn % (head.turn + 1))
        try:
            forked = store.fork(head, new)
        except SessionChanged:
            assert session is None
            return
        except SessionExists:
            assert (head.agent, new) in self.sessions
            return
        assert session
        assert (head.agent, new) not in self.sessions
        line = [replace(one, maker=forked.uid, number=self.recorded()) for one in session.line[: head.turn]]
        origin = ForkOrigin(session.uid, session.name, head.turn)
        made = Session(head.agent, new, forked.uid, line, head.turn, origin)
        self.made(made)
        self.use(made)
        assert (forked.turn, forked.messages) == (head.turn, len(made.history))

    @precondition(lambda self: len(self.sessions) < 6)
    @rule(
        which=st.integers(0, 1),
        agent=st.sampled_from(AGENTS),
        name=st.sampled_from((*NAMES, "brought")),
        entries=ENTRIES,
        breaks=st.sampled_from((False, False, False, True)),
        origin=st.sampled_from((None, ForkOrigin(0, "elsewhere", 3))),
    )
    def bring(
        self, which: int, agent: str, name: str, entries: list[Entry], breaks: bool, origin: ForkOrigin | None
    ) -> None:
        def given() -> Iterator[Entry]:
            yield from entries
            if breaks:
                raise ZeroDivisionError

        keys = [entry.key for entry in entries if entry.key and entry.outcome == "completed"]
        try:
            brought = self.store(which).import_session(agent, name, given(), origin)
        except SessionExists:
            assert (agent, name) in self.sessions
            return
        except KeyConflict:
            assert len(set(keys)) < len(keys)
            return
        except ZeroDivisionError:
            return
        assert not breaks
        assert (agent, name) not in self.sessions
        assert len(set(keys)) == len(keys)
        line = [
            Turn(
                entry.prompt, entry.key, brought.uid, entry.kind, entry.outcome, entry.reply,
                list(entry.messages), entry.data, entry.error, dict(entry.meta), self.recorded(),
            )
            for entry in entries
        ]  # fmt: skip
        made = Session(agent, name, brought.uid, line, len(line), origin)
        self.made(made)
        self.use(made)
        assert (brought.turn, brought.messages) == (len(line), len(made.history))

    @precondition(lambda self: not any(session.alive for session in self.sessions.values()))
    @rule(which=st.integers(0, 1))
    def close(self, which: int) -> None:
        self.openings[which % len(self.openings)].close()

    @precondition(lambda self: self.sessions)
    @rule(pick=st.integers(0, 99), low=st.integers(-1, 8), count=st.integers(0, 6), which=st.integers(0, 1))
    def read(self, pick: int, low: int, count: int, which: int) -> None:
        store, session = self.store(which), self.pick_session(pick)
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
        for turn in (-1, len(session.turns) + 1):
            try:
                store.data_at(head, turn)
            except TurnNotFound:
                continue
            raise AssertionError("data after a turn that never was")

        self.read_at_every_turn(store, session)

    def read_at_every_turn(self, store: Store, session: Session) -> None:
        tip = store.redo_head(store.head(session.agent, session.name))
        for turn in range(len(session.line) + 1):
            then = store.head_at(tip, turn)
            assert (then.uid, then.turn) == (session.uid, turn)
            assert store.messages(then, 0, 999) == history(session.line[:turn])
            assert store.data_at(tip, turn) == (session.line[turn - 1].data if turn else "{}")

    @precondition(lambda self: self.heads)
    @rule(pick=st.integers(0, 999), which=st.integers(0, 1))
    def read_what_was(self, pick: int, which: int) -> None:
        """A head reads as it did when it was seen, or not at all any more."""
        store = self.store(which)
        head, seen = list(self.heads.items())[pick % len(self.heads)]
        try:
            found = [shown(entry) for entry in store.entries(head, 1, head.turn, with_data=True)]
            said = store.messages(head, 0, head.messages)
        except SessionChanged:
            assert all(one.uid != head.uid or one.version != head.version for one in self.sessions.values())
            return
        assert (found, said) == seen

    @rule(which=st.integers(0, 1), word=st.sampled_from(WORDS), kept=st.booleans())
    def search(self, which: int, word: str, kept: bool) -> None:
        """Every turn is found by its words, where it is now, the newest first; what is gone is not."""
        expected: dict[int, tuple[Any, ...]] = {}
        for session in sorted(self.sessions.values(), key=lambda session: (session.is_kept, session.uid)):
            if session.is_kept <= kept:
                line = session.line if kept else session.turns
                running = [(session.position + 1, session.running)] if session.running else []
                for place, turn in (*enumerate(line, 1), *running):
                    if turn.says(word):
                        hit = (session.agent, session.name, session.uid, place, turn.prompt, turn.reply)
                        expected.setdefault(turn.number, hit)
        newest_first = [expected[number] for number in sorted(expected, reverse=True)]
        store = self.store(which)
        assert [found(hit) for hit in store.search([word], with_undone_forks=kept)] == newest_first
        assert [found(hit) for hit in store.search([word], with_undone_forks=kept, limit=2)] == newest_first[
            :2
        ]
        ranked = store.search([word], with_undone_forks=kept, ranked=True)
        assert sorted(map(found, ranked), key=repr) == sorted(newest_first, key=repr)

    @rule(which=st.integers(0, 1))
    def health(self, which: int) -> None:
        found = list(self.openings[which % len(self.openings)].health())
        assert [finding for finding in found if finding.level == "problem"] == []

    @rule()
    def look_away(self) -> None:
        """Nothing is seen of a head that nobody asked for."""
        absent = [SessionHead(ABSENT, agent, name) for agent in AGENTS for name in NAMES]
        self.heads = {head: ([], []) for head in absent if (head.agent, head.name) not in self.sessions}

    @invariant()
    def everything_is_as_expected(self) -> None:
        self.looks += 1
        store = self.store(self.looks)
        for (agent, name), session in self.sessions.items():
            self.is_as_expected(store, store.head(agent, name), session)
        listed = sorted(self.sessions.values(), key=lambda session: -session.used)
        self.are_listed(store, listed)
        for agent in AGENTS:
            mine = [one.uid for one in listed if one.agent == agent and not one.is_kept]
            assert [summary.uid for summary in store.sessions(agent=agent)] == mine
        meant = {s.uid for s in listed if s.name == "one/a" or (s.agent, s.name) == ("one", "a")}
        assert {head.uid for head in store.resolve("one/a")} == meant

    def is_as_expected(self, store: Store, head: SessionHead, session: Session) -> None:
        assert (head.uid, head.turn, head.messages) == (session.uid, session.position, len(session.history))
        assert head.version == session.version
        tip = store.redo_head(head)
        assert (tip.turn, tip.messages) == (len(session.line), len(history(session.line)))
        found = [shown(entry) for entry in store.entries(tip, 1, tip.turn, with_data=True)]
        assert found == [turn.shown for turn in session.line]
        said = store.messages(head, 0, head.messages)
        assert said == session.history
        self.heads.setdefault(head, (found[: head.turn], said))
        assert store.origin(head) == session.origin
        assert [fork.uid for fork in store.undone_forks(head)] == [fork.uid for fork in self.kept(session)]
        running = store.unsettled_prompt(head)
        if session.running is None:
            assert running is None
        else:
            assert running
            assert running.prompt == session.running.prompt
            assert running.outcome == ("running" if session.alive else "interrupted")

    def are_listed(self, store: Store, listed: list[Session]) -> None:
        expected = [(s.agent, s.name, s.position, s.preview, s.origin) for s in listed]
        found = [
            (s.agent, s.name, s.turns, s.preview, s.origin) for s in store.sessions(with_undone_forks=True)
        ]
        assert found == expected
        shown = [s for s in listed if not s.is_kept]
        assert [s.uid for s in store.sessions()] == [s.uid for s in shown]
        assert [s.uid for s in store.sessions(limit=2)] == [s.uid for s in shown[:2]]


class MemoryMachine(StoreMachine):
    """The store that lives as long as the process."""

    def open(self) -> list[Store]:
        return [open_store("memory:")]


class SqliteMachine(StoreMachine):
    """Two openings of one file, as two processes have them."""

    def open(self) -> list[Store]:
        first, second = (open_store(str(self.folder / "flue.db")) for _ in range(2))
        begun = first.begin(TurnRequest("one", "a", "hello", wait=0), never)  # so that there is a file
        assert isinstance(begun, BegunTurn)
        first.abandon(begun.lease, TurnFailure("failed", Failure("kind", ""), {}))
        first.delete(first.head("one", "a"))
        self.uids.add(begun.lease.head.uid)
        return [first, second]


class IndexedMachine(SqliteMachine):
    """The same, where every search and many commits ask and change the index of words."""

    def __init__(self) -> None:
        self.patches = [
            patch("flue_cli.stores.sqlite.search.fts_index.SCANNED_ENTRIES", 0),
            patch("flue_cli.stores.sqlite.search.fts_index.BATCH_ENTRIES", 3),
        ]
        for one in self.patches:
            one.start()
        super().__init__()

    def teardown(self) -> None:
        super().teardown()
        for one in self.patches:
            one.stop()


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
TestMemoryMachine.settings = _settings(80)
TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = _settings(40)
TestIndexedMachine = IndexedMachine.TestCase
TestIndexedMachine.settings = _settings(25)
