"""Moves on a session's timeline, and edits of it. History and data always move together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from flue_cli.errors import NotFound, NothingToMove, SessionChanged, StoreError, TurnNotFound
from flue_cli.jsondata.strict import dumps
from flue_cli.stores.contract import Store
from flue_cli.stores.queueing import SessionTaken, wait_for_session
from flue_cli.stores.records import Entry, LeaseHolder, Pause, SessionHead
from flue_cli.stores.rules import request_for
from flue_cli.times import monotonic
from flue_cli.turns.result import parse_data

_PAGE_TURNS = 64


class TimelineMove(NamedTuple):
    """Move of a session on its timeline: its head before and after."""

    before: SessionHead
    after: SessionHead

    @property
    def turns(self) -> range:
        """Numbers of the turns that were undone or redone, including failed ones."""
        low, high = sorted((self.before.turn, self.after.turn))
        return range(low + 1, high + 1)


def undo_turns(store: Store, head: SessionHead, count: int = 1, *, wait: float, pause: Pause) -> TimelineMove:
    """Go back `count` completed turns or edits, and the failed turns after them.

    Raises NothingToMove if there are fewer, and as Store.move_head.
    """
    undone = 0
    for entry in entries_backwards(store, head):
        undone += entry.outcome == "completed"
        if undone == count:
            return TimelineMove(head, store.move_head(head, entry.turn - 1, wait=wait, pause=pause))
    raise NothingToMove(_too_few_turns("undo", head, undone))


def redo_turns(store: Store, head: SessionHead, count: int = 1, *, wait: float, pause: Pause) -> TimelineMove:
    """Go forward again over `count` undone completed turns or edits. Raises as undo_turns."""
    tip = store.redo_head(head)
    done, target = 0, tip.turn
    for entry in store.entries(tip, head.turn + 1, tip.turn):
        if entry.outcome == "completed":
            if done == count:
                target = entry.turn - 1
                break
            done += 1
    if done < count:
        raise NothingToMove(_too_few_turns("redo", head, done))
    return TimelineMove(head, store.move_head(head, target, wait=wait, pause=pause))


def rewind_to_turn(store: Store, head: SessionHead, turn: int, *, wait: float, pause: Pause) -> TimelineMove:
    """Go back or forward to `turn`; TurnNotFound if the branch has no such turn, and as Store.move_head."""
    tip = store.redo_head(head)
    if not 0 <= turn <= tip.turn:
        raise TurnNotFound(
            f"session '{head.name}' has no turn {turn}", hint=f"it has turns 1 to {tip.turn}; 0 is the start"
        )
    return TimelineMove(head, store.move_head(head, turn, wait=wait, pause=pause))


def move_when_idle(
    store: Store, head: SessionHead, move: Callable[..., TimelineMove], *, wait: float, pause: Pause
) -> TimelineMove:
    """Call `move(store, head, wait=…, pause=…)` with the newest head, once no turn runs.

    For a caller that refers to the newest state, not to `head`. Raises as `move`; SessionBusy after `wait`
    seconds; SessionChanged if the session was deleted or renamed.
    """
    deadline = monotonic() + wait
    while True:
        seconds_left = max(0.0, deadline - monotonic())
        try:
            return move(store, head, wait=seconds_left, pause=pause)
        except (SessionChanged, NotFound) as error:
            # The turn that is not found may be the one that runs.
            waited = isinstance(error, NotFound) and _await_running_turn(
                store, head, wait=seconds_left, pause=pause
            )
            now = store.head(head.agent, head.name)
            if now.uid != head.uid or (now.version == head.version and not waited):
                raise
            head = now


def _await_running_turn(store: Store, head: SessionHead, *, wait: float, pause: Pause) -> bool:
    """Wait until the turn that runs after `head` is over; False if none runs. Raises SessionBusy.

    Changes nothing. Store.move_head would wait too, but if the turn's process dies meanwhile, it settles the
    prompt and moves back before it: the next prompt would not report it as interrupted.
    """
    waited = False

    def attempt() -> SessionTaken | None:
        nonlocal waited
        running = store.unsettled_prompt(head)
        if running is None or running.outcome != "running" or running.turn != head.turn + 1:
            return None
        waited = True
        return SessionTaken(LeaseHolder(0, "", running.started_at), 1)

    wait_for_session(attempt, request_for(head, wait), pause)
    return waited


def undone_fork(store: Store, head: SessionHead) -> str:
    """Name the fork with the turns undone before the entry at `head` was added; "" if there is none."""
    for fork in sorted(store.undone_forks(head), reverse=True):  # newest first
        origin = store.origin(fork)
        if origin and origin.uid == head.uid:
            return fork.name if origin.turn == head.turn - 1 else ""
    return ""


def edit_data(
    store: Store, head: SessionHead, change: Callable[[Any], Any], *, wait: float, pause: Pause
) -> SessionHead:
    """Replace the data by the result of `change`, as an entry of its own; no entry if they are equal.

    `change` gets the newest data, also if turns were added since `head`. Raises DataError for a result that
    JSON cannot hold, SessionBusy after `wait` seconds, SessionChanged if the session was deleted or renamed.
    """
    deadline = monotonic() + wait
    while True:
        text = store.data_at(head, head.turn)
        changed = change(parse_data(text, head.name))
        after = dumps(changed)
        if after == text:
            return head
        try:
            return store.edit(head, after, wait=max(0.0, deadline - monotonic()), pause=pause)
        except SessionChanged:
            now = store.head(head.agent, head.name)
            if now.uid != head.uid or now.version == head.version:
                raise
            head = now


def replace_data(store: Store, head: SessionHead, data: str, *, wait: float, pause: Pause) -> SessionHead:
    """Replace the data by the JSON text `data`, as an entry of its own; no entry if they are equal.

    Raises SessionChanged if the session has changed since `head`, SessionBusy after `wait` seconds.
    """
    if data == store.data_at(head, head.turn):
        return head
    return store.edit(head, data, wait=wait, pause=pause)


class MissedChanges(NamedTuple):
    """Changes of a session between two heads: the numbers of `undone` turns, and the new `turns`."""

    undone: Sequence[int] = ()
    turns: Sequence[Entry] = ()


def find_missed_changes(store: Store, seen: SessionHead, now: SessionHead) -> MissedChanges:
    """List the changes from `seen` to `now`, two heads of a session; it may be new since `seen`."""
    if seen.version == now.version and seen.uid == now.uid:
        return MissedChanges()
    common = _last_common_turn(store, seen, now)
    return MissedChanges(range(common + 1, seen.turn + 1), list(store.entries(now, common + 1, now.turn)))


def last_turns(store: Store, head: SessionHead, count: int) -> list[Entry]:
    """Read the newest `count` turns, oldest first, and after them the unsettled prompt."""
    turns = store.entries(head, max(1, head.turn - count + 1), head.turn)
    running = store.unsettled_prompt(head)
    return [*turns, running] if running else [*turns]


def entries_backwards(store: Store, head: SessionHead) -> Iterator[Entry]:
    """Read the entries up to `head`, newest first, in pages."""
    for last in range(head.turn, 0, -_PAGE_TURNS):
        yield from reversed(list(store.entries(head, max(1, last - _PAGE_TURNS + 1), last)))


def _last_common_turn(store: Store, seen: SessionHead, now: SessionHead) -> int:
    """Find the last turn that two heads of a session share."""
    # Binary search: two heads agree up to some turn, and on no turn after it.

    def agree(turn: int) -> bool:
        try:
            old, new = store.head_at(seen, turn), store.head_at(now, turn)
        except (StoreError, SessionChanged):  # the undone turns have been deleted since
            return False
        return (old.branch, old.turn) == (new.branch, new.turn)

    low, high = 0, min(seen.turn, now.turn)
    if agree(high):
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if agree(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _too_few_turns(move: str, head: SessionHead, count: int) -> str:
    past = {"undo": "undone", "redo": "redone"}[move]
    if not count:
        return f"session '{head.name}' has nothing to {move}"
    number = "only one turn or edit" if count == 1 else f"only {count} turns and edits"
    return f"session '{head.name}' has {number} that can be {past}"
