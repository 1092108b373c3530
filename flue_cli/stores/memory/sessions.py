"""Sessions and their lines in memory: what there is, and how one becomes another."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

from flue_cli import times
from flue_cli.stores.contract_errors import session_changed_error
from flue_cli.stores.records import (
    PREVIEW_CHARACTERS,
    Entry,
    ForkOrigin,
    LeaseHolder,
    SessionHead,
    SessionSummary,
)
from flue_cli.stores.rules import count_messages, undone_fork_name


class Branch:
    """Settled entries from the empty start on; after each the length of the history, and who made it.

    `numbers` are those of the entries: a later one has a higher number, whatever session it is of.
    """

    def __init__(
        self, entries: Iterable[Entry] = (), makers: Iterable[int] = (), numbers: Iterable[int] = ()
    ) -> None:
        self.entries: list[Entry] = []
        self.totals: list[int] = []
        self.owners: list[int] = []
        self.numbers: list[int] = []
        for entry, maker, number in zip(entries, makers, numbers, strict=False):
            self.add(entry, maker, number)

    def add(self, entry: Entry, maker: int, number: int) -> None:
        """Put `entry`, made by the session with uid `maker`, at the end."""
        self.totals.append(self.messages_after(len(self.entries)) + count_messages(entry))
        self.entries.append(entry)
        self.owners.append(maker)
        self.numbers.append(number)

    def messages_after(self, turn: int) -> int:
        """The length of the history after `turn`."""
        return self.totals[turn - 1] if turn else 0

    def upto(self, turn: int) -> Branch:
        """A copy that ends with `turn`."""
        return Branch(self.entries[:turn], self.owners, self.numbers)


class Session:
    """One session: where it stands on its line, and the lease on it. Behind its head is what was undone."""

    def __init__(self, head: SessionHead, line: Branch, origin: ForkOrigin | None) -> None:
        self.head = head
        self.branch = line
        self.origin = origin
        self.agent_origins: tuple[str, ...] = ()
        self.fence = 0
        self.running: Entry | None = None
        self.running_number = 0  # of the running entry
        self.expires = 0.0
        self.use_number = 0
        self.wait_queue: list[object] = []

    @property
    def is_undone_fork(self) -> bool:
        """True if it is an undone fork."""
        return self.origin is not None and self.origin.is_undone_fork

    @property
    def is_held(self) -> bool:
        """True if a turn runs on it and its lease has not expired."""
        return self.running is not None and times.monotonic() < self.expires

    @property
    def used_at(self) -> int:
        """Time of its last use."""
        return max(self.head.updated_at, self.running.started_at if self.running else 0)

    @property
    def holder(self) -> LeaseHolder:
        """Holder of its lease."""
        return LeaseHolder(0, "", self.running.started_at if self.running else times.now())

    @property
    def summary(self) -> SessionSummary:
        """Its line in a list."""
        said = [*self.branch.entries[: self.head.turn], *([self.running] if self.running else [])]
        last = next((entry.prompt for entry in reversed(said) if entry.kind == "prompt"), "")
        uid, agent, name, _, _, turn, _, created, updated = self.head
        return SessionSummary(
            uid,
            agent,
            name,
            turn,
            created,
            updated,
            last[:PREVIEW_CHARACTERS],
            self.origin,
            self.agent_origins,
            self.use_number,
        )


class Sessions:
    """All sessions by agent and name, and by uid; all lines by number. The caller holds the lock."""

    def __init__(self) -> None:
        self.by_name: dict[tuple[str, str], Session] = {}
        self.by_uid: dict[int, Session] = {}
        self._branches: dict[int, Branch] = {}
        self._last_uid = 0
        self._last_branch = 0
        self._last_use = 0
        self._last_entry = 0

    def add(
        self, agent: str, name: str, entries: Iterable[Entry] = (), origin: ForkOrigin | None = None
    ) -> Session:
        """A new session at the end of a line of its own, on which `entries` lie."""
        self._last_uid += 1
        line = Branch(entries, repeat(self._last_uid), iter(self.next_entry_number, 0))
        now, turn = times.now(), len(line.entries)
        head = SessionHead(
            self._last_uid, agent, name, 0, self._add_branch(line), turn, line.messages_after(turn), now, now
        )
        session = self.by_name[agent, name] = self.by_uid[head.uid] = Session(head, line, origin)
        self.mark_used(session)
        return session

    def branch_of(self, head: SessionHead) -> Branch:
        """The line that `head` lies on; SessionChanged if it is gone."""
        line = self._branches.get(head.branch)
        if head.uid not in self.by_uid or line is None:
            raise session_changed_error(head.name)
        return line

    def move_head(self, session: Session, turn: int, when: int) -> SessionHead:
        """Make `turn` of its line the newest one of the session, as of the moment `when`."""
        session.head = session.head._replace(
            version=session.head.version + 1,
            turn=turn,
            messages=session.branch.messages_after(turn),
            updated_at=when,
        )
        return session.head

    def set_label(self, head: SessionHead, turn: int, label: str) -> None:
        """Label the entry of `turn` on every branch that has it."""
        number = self.branch_of(head).numbers[turn - 1]
        for branch in self._branches.values():
            if turn <= len(branch.entries) and branch.numbers[turn - 1] == number:
                branch.entries[turn - 1] = branch.entries[turn - 1]._replace(label=label)

    def next_entry_number(self) -> int:
        """The number of a new entry, higher than all before."""
        self._last_entry += 1
        return self._last_entry

    def mark_used(self, session: Session) -> None:
        """It is the one used last."""
        self._last_use += 1
        session.use_number = self._last_use

    def fork_undone_branch(self, session: Session) -> str:
        """Before something is added: make what was undone a fork; the session goes on on a copy.

        Gives the fork's name, "" if nothing was undone.
        """
        head, line = session.head, session.branch
        if len(line.entries) == head.turn:
            return ""
        session.branch = line.upto(head.turn)
        session.head = head._replace(branch=self._add_branch(session.branch))
        origin = ForkOrigin(head.uid, head.name, head.turn, is_undone_fork=True)
        fork = self.add(head.agent, undone_fork_name(head.name, self._session_names(head.agent)), (), origin)
        del self._branches[fork.head.branch]
        turn, when = len(line.entries), line.entries[-1].finished_at or head.updated_at
        fork.branch, fork.use_number = line, session.use_number
        fork.agent_origins = session.agent_origins
        fork.head = fork.head._replace(
            branch=head.branch, turn=turn, messages=line.messages_after(turn), updated_at=when
        )
        return fork.head.name

    def find_completed_key(self, session: Session, key: str) -> Entry | None:
        """The turn that the key completed before, on the session's line or on one that it left."""
        own = list(session.branch.entries)
        for fork in self.undone_forks(session.head.uid):
            makers = zip(fork.branch.entries, fork.branch.owners, strict=True)
            own += [entry for entry, maker in makers if maker == session.head.uid]
        return next((entry for entry in own if entry.key == key and entry.outcome == "completed"), None)

    def undone_forks(self, uid: int) -> list[Session]:
        """The forks kept of a session, and of those in turn."""
        own = [fork for fork in self._forks_of(uid) if fork.is_undone_fork]
        return [found for fork in own for found in (fork, *self.undone_forks(fork.head.uid))]

    def rename(self, session: Session, agent: str, name: str) -> SessionHead:
        """Give a session and its undone forks another agent and name."""
        if (agent, name) != (session.head.agent, session.head.name):
            del self.by_name[session.head.agent, session.head.name]
            self.by_name[agent, name] = session
            if agent != session.head.agent:
                session.agent_origins = ()  # those of the other agent
            session.head = session.head._replace(agent=agent, name=name)
            for fork in self._forks_of(session.head.uid):
                assert fork.origin  # noqa: S101 - it is a fork
                fork.origin = fork.origin._replace(name=name)
                if fork.is_undone_fork:
                    self.rename(fork, agent, undone_fork_name(name, self._session_names(agent)))
        return session.head

    def remove(self, session: Session) -> None:
        """Forget it and its line."""
        del self.by_name[session.head.agent, session.head.name]
        del self.by_uid[session.head.uid]
        del self._branches[session.head.branch]

    def _forks_of(self, uid: int) -> list[Session]:
        return [session for session in self.by_uid.values() if session.origin and session.origin.uid == uid]

    def _session_names(self, agent: str) -> list[str]:
        return [name for whose, name in self.by_name if whose == agent]

    def _add_branch(self, line: Branch) -> int:
        self._last_branch += 1
        self._branches[self._last_branch] = line
        return self._last_branch
