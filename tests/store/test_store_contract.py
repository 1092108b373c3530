"""What every store promises, asked of each of them; and that the contract notices who breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getsource, isfunction, signature
from pathlib import Path
from typing import Any

import pytest

from flue_cli.agents.api import Message
from flue_cli.errors import FlueError
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.contract_errors import session_busy_error
from flue_cli.stores.memory.sessions import Session, Sessions
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.stores.records import LeaseHolder, TurnRequest, TurnResult
from flue_cli.testing import StoreContract
from flue_cli.testing.timeline import CHANGES


class TestMemory(StoreContract):
    """The store that lives as long as the process."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        opened = open_store("memory:")
        yield opened
        opened.close()


class TestSqlite(StoreContract):
    """The store in a file."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        opened = open_store(str(tmp_path / "flue.db"))
        yield opened
        opened.close()


def test_busy_tells_who_and_how_long() -> None:
    """The error for a taken session names the process, its host and the seconds so far."""
    error = session_busy_error("main", LeaseHolder(4711, "box", 1_000_000), 43_500_000)
    assert "'main' is busy: another process (pid 4711 on box) has been answering for 42 s" in error.message

    error = session_busy_error("main", LeaseHolder(0, "", 1_000_000), 43_500_000)
    assert "another process has been answering for 42 s" in error.message


# The contract notices a store that breaks it


class ForgetsTheFence(MemoryStore):
    """Lets whoever lost the lease commit."""

    def _leased_session(self, lease: Any) -> Any:
        session = self._sessions.by_name[lease.head.agent, lease.head.name]
        return super()._leased_session(
            lease._replace(head=session.head, fence=session.fence) if session.running else lease
        )


class ForgetsTheVersion(MemoryStore):
    """Settles a turn again and again."""

    def _settle_entry(self, session: Any, entry: Any) -> Any:
        running, head = session.running, session.head
        settled = super()._settle_entry(session, entry)
        session.running = running
        session.head = session.head._replace(version=head.version)
        return settled


class SharesWhatItHolds(MemoryStore):
    """Hands out its own objects."""

    def entries(self, head: Any, first: int, last: int, *, with_data: bool = False) -> Any:
        if head.turn:
            yield from self._sessions.branch_of(head).entries[max(first, 1) - 1 : min(last, head.turn)]


class ReadsFromTheWrongEnd(MemoryStore):
    """Gives the oldest messages for the newest."""

    def messages(self, head: Any, start: int, stop: int) -> list[Message]:
        return super().messages(head, 0, max(0, min(stop, head.messages) - start))


class LeavesTraces(MemoryStore):
    """Deletes what was said, and keeps the name."""

    def delete(self, head: Any, *, seen_forks: Any = None) -> None:
        session = self._sessions.by_name[head.agent, head.name]
        super().delete(head, seen_forks=seen_forks)
        self._sessions.by_name[head.agent, head.name] = session


class ForgetsKeys(MemoryStore):
    """Runs a retry again."""

    def _completed_turn(self, session: Any, request: Any) -> Any:
        return None


class KeepsWhatFailed(MemoryStore):
    """Takes the data of the running turn over, whatever becomes of it."""

    def abandon(self, lease: Any, failure: Any) -> Any:
        self.commit(lease, TurnResult(reply="", messages=(), data='{"half":1}', meta={}))
        return self.head(lease.head.agent, lease.head.name)


class LetsTheLastInFirst(MemoryStore):
    """Has no line: whoever comes at the right moment gets in."""

    def _run_when_free(self, request: Any, pause: Any, act: Any, *, shortcut: Any = None) -> Any:
        for session in self._sessions.by_name.values():
            session.wait_queue.clear()
        return super()._run_when_free(request, pause, act, shortcut=shortcut)


class UsesUidsAgain(MemoryStore):
    """Gives a session made anew the identity of the deleted one."""

    def delete(self, head: Any, *, seen_forks: Any = None) -> None:
        super().delete(head, seen_forks=seen_forks)
        self._sessions._last_uid = head.uid - 1


class NeverExpires(MemoryStore):
    """Waits for ever for a turn that a crash left."""

    lease_seconds = property(lambda self: 1e9, lambda self, value: None)


class MakesWhatItLooksAt(MemoryStore):
    """Creates a session when asked for its head."""

    def head(self, agent: str, name: str) -> Any:
        self.begin(TurnRequest(agent, name, "x", wait=0), lambda *_: None)
        return super().head(agent, name)


class DropsUndoneTurns(MemoryStore):
    """Cuts off what was undone when something is added."""

    def __init__(self) -> None:
        super().__init__()
        self._sessions = CutsOff()


class CutsOff(Sessions):
    """Sessions that lose what was undone."""

    def fork_undone_branch(self, session: Session) -> str:
        for part in (session.branch.entries, session.branch.totals, session.branch.owners):
            del part[session.head.turn :]
        return ""


class MovesFromStaleHeads(MemoryStore):
    """Moves whatever turns came since the head was read."""

    def move_head(self, head: Any, turn: int, *, wait: float, pause: Any) -> Any:
        return super().move_head(self.head(head.agent, head.name), turn, wait=wait, pause=pause)


class ForksUndoneTurns(MemoryStore):
    """Copies the whole line, wherever its head is."""

    def fork(self, head: Any, name: str) -> Any:
        return super().fork(self.redo_head(head), name)


class LeavesUndoneForks(MemoryStore):
    """Deletes a session and not what was kept of it."""

    def delete(self, head: Any, *, seen_forks: Any = None) -> None:
        self._sessions.remove(self._sessions.by_uid[head.uid])


class KeepsTheAgent(MemoryStore):
    """Gives a session another name and not another agent."""

    def rename(self, head: Any, name: str, *, agent: str = "", wait: float, pause: Any) -> Any:
        return super().rename(head, name, wait=wait, pause=pause)


class ImportsPartly(MemoryStore):
    """Keeps the entries that came before one that could not be had."""

    def import_session(self, agent: str, name: str, entries: Any, origin: Any = None) -> Any:
        got: list[Any] = []
        try:
            got.extend(entries)
        finally:
            brought = super().import_session(agent, name, got, origin)
        return brought


class ForgetsKeysOfUndoneTurns(MemoryStore):
    """Answers only those keys again whose turns still count."""

    def _completed_turn(self, session: Any, request: Any) -> Any:
        replayed = super()._completed_turn(session, request)
        return replayed if replayed and replayed.entry.turn <= session.head.turn else None


class ReadsWhatStandsNow(MemoryStore):
    """Reads a session as it is now, whatever head is asked about."""

    def data_at(self, head: Any, turn: int) -> str:
        return super().data_at(self.head(head.agent, head.name), turn)


class PromisesToLast(MemoryStore):
    """Says that another process can come back to it."""

    is_ephemeral = False


class NamesFilesItHasNot(MemoryStore):
    """Names a file that it never writes."""

    files = ("/nowhere/flue.db",)


class NamesFilesByHalf(MemoryStore):
    """Names a file that depends on the working folder."""

    is_ephemeral = False
    files = ("flue.db",)


CASES = [getattr(StoreContract, name) for name in dir(StoreContract) if name.startswith("test_")]

BROKEN: dict[type[MemoryStore], list[str]] = {
    ForgetsTheFence: ["test_a_late_commit_does_not_reach_a_session_made_anew"],
    ForgetsTheVersion: ["test_a_turn_settles_once"],
    SharesWhatItHolds: ["test_what_was_given_and_what_comes_back_is_independent"],
    ReadsFromTheWrongEnd: ["test_nothing_shows_before_the_commit"],
    LeavesTraces: ["test_a_deleted_session_is_gone"],
    ForgetsKeys: ["test_a_key_replays_its_turn", "test_a_retry_is_answered_whatever_it_expects"],
    KeepsWhatFailed: ["test_an_abandoned_turn_keeps_data_and_history"],
    LetsTheLastInFirst: ["test_nobody_overtakes_whoever_waits"],
    UsesUidsAgain: ["test_a_uid_is_never_used_again"],
    NeverExpires: ["test_an_expired_turn_is_taken_over_and_reported"],
    MakesWhatItLooksAt: ["test_a_head_is_there_before_the_session"],
    DropsUndoneTurns: ["test_undone_forks_are_numbered", "test_the_start_can_be_gone_back_to"],
    MovesFromStaleHeads: ["test_a_stale_head_changes_nothing"],
    ForksUndoneTurns: [
        "test_a_fork_copies_keys_but_not_undone_turns",
        "test_a_fork_may_be_as_of_any_turn",
    ],
    LeavesUndoneForks: ["test_undone_forks_are_deleted_with_their_session"],
    KeepsTheAgent: [
        "test_a_session_given_to_another_agent_keeps_everything",
        "test_lists_and_searches_show_the_new_agent",
        "test_undone_forks_go_to_another_agent_with_their_session",
    ],
    ImportsPartly: ["test_an_import_is_whole_or_nothing"],
    ForgetsKeysOfUndoneTurns: ["test_keys_of_undone_turns_still_replay"],
    PromisesToLast: ["test_a_store_is_found_again_by_its_url"],
    NamesFilesItHasNot: ["test_what_ends_with_the_process_has_no_files"],
    NamesFilesByHalf: ["test_files_are_named_in_full"],
    ReadsWhatStandsNow: ["test_a_head_seen_before_it_was_undone_still_reads"],
}
"""Broken stores, and the cases of the contract that must notice them."""


@pytest.mark.parametrize("broken", BROKEN, ids=lambda store: store.__name__)
def test_a_broken_store_is_caught(broken: type[MemoryStore]) -> None:
    """A store that breaks a promise fails the case that states it; the sound one passes the same case."""
    for name in BROKEN[broken]:
        case = getattr(StoreContract(), name)
        more = [CHANGES["move"]] if "change" in signature(case).parameters else []
        case(MemoryStore(), *more)
        with pytest.raises((AssertionError, FlueError, pytest.fail.Exception)):
            case(broken(), *more)


NEEDS_NOTHING = {"share_commits", "disconnect", "close", "reindex", "back_up", "restore"}
"""Methods in which a store may have nothing to do; copies are made of stores in files alone."""

METHODS = [name for name, value in vars(Store).items() if isfunction(value) and not name.startswith("_")]


@pytest.mark.parametrize("method", [name for name in METHODS if name not in NEEDS_NOTHING])
def test_a_method_that_does_nothing_is_caught(method: str) -> None:
    """Whichever method of a store is left empty, a case of the contract fails for it."""
    idle = type("Idle", (MemoryStore,), {method: lambda *_, **__: None})
    cases = [case for case in CASES if list(signature(case).parameters) == ["self", "store"]]
    cases.sort(key=lambda case: f".{method}(" not in getsource(case))  # the likely ones first

    def fails(case: Any) -> bool:
        try:
            case(StoreContract(), idle())
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - however it fails
            return True
        return False

    assert any(map(fails, cases))


def test_every_case_says_what_it_promises() -> None:
    """Who implements a store reads the promise of every case in words."""
    assert [case.__name__ for case in CASES if not case.__doc__] == []
