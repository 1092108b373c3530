"""What the chat is about: an agent, a session, and how far we have seen it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from flue_cli import hand_edits, timeline
from flue_cli.agents import Agent
from flue_cli.cancellation import Cancellation
from flue_cli.changes import Change, changes
from flue_cli.errors import FlueError, NothingToMove
from flue_cli.hand_edits import Drafts, Edited, Waiting
from flue_cli.invoke import OnPiece
from flue_cli.kept import data_of
from flue_cli.rehearsal import Rehearser, Scene
from flue_cli.stores.records import (
    ABSENT,
    Ask,
    Begun,
    Entry,
    Head,
    Pause,
)
from flue_cli.stores.rules import absent, changed, unchanged
from flue_cli.text import safe_line, turns
from flue_cli.timeline import Missed, Moved, missed_between
from flue_cli.turn import Listener, Runner, Turn, history_before, new_seed


class Manners(NamedTuple):
    """How turns are run: waiting and thinking time in seconds, and options a resume must repeat."""

    wait: float
    timeout: float | None
    keeps: bool
    verbose: bool = False
    repeat: tuple[str, ...] = ()
    drafts: str = ""


class Tried(NamedTuple):
    """What came of a prompt that was only tried: the reply, or the error, and what it would change."""

    reply: str | None
    error: FlueError | None = None
    changes: Sequence[Change] = ()


class Conversation:
    """A chat's session and agent. The session is only made by its first prompt."""

    def __init__(
        self, runner: Runner, agent: Agent, name: str, expect: str, manners: Manners, remark: str
    ) -> None:
        """`expect` is "any", "new" or "existing"; `remark` is said at the beginning, "" for nothing."""
        self.store = runner.store
        self._runner = runner
        self._rehearser = Rehearser()
        self.agent = agent
        self.manners = manners
        self._remark = remark
        self.switch(name, expect)

    def switch(self, name: str, expect: str) -> None:
        """Go on in the session `name` of the same agent."""
        self.name = name
        self._expect = expect
        self._seen = self.head()  # the session as it stands on the screen

    def resume(self, name: str) -> None:
        """Go on in the session `name` of the same agent, which must exist; else SessionNotFound."""
        if self.store.head(self.agent.name, name).uid == ABSENT:
            raise absent(self.agent.name, name)
        self.switch(name, "existing")

    def head(self) -> Head:
        """The session as it stands now."""
        return self.store.head(self.agent.name, self.name)

    def data(self) -> str:
        """The session's data as it stands now, as JSON text."""
        head = self.head()
        return self.store.data_at(head, head.turn)

    # Turns

    def turn(self, prompt: str, listener: Listener, cancellation: Cancellation) -> Turn:
        """Answer `prompt`; see flue_cli.turn.Runner. From the first on, the session must be the same one."""
        ask = Ask(
            self.agent.name,
            self.name,
            prompt,
            uid=self._seen.uid,
            expect=self._expect,
            wait=self.manners.wait,
        )
        turn = self._runner.run(
            self.agent, ask, listener, cancellation=cancellation, timeout=self.manners.timeout
        )
        self._seen = self._seen._replace(version=turn.version)
        return turn

    def rehearse(
        self,
        prompt: str,
        on_piece: OnPiece,
        stuck: Callable[[Tried], None],
        cancellation: Cancellation,
    ) -> Tried:
        """What the agent would answer to `prompt` and change in the data, of which nothing is kept."""
        head = self.head()
        before = self.store.data_at(head, head.turn)
        scene = Scene(
            session=self.name,
            prompt=prompt,
            data=before,
            history=history_before(self.store, head),
            turn=head.turn + 1,
            started_at=time.time_ns() // 1000,
            seed=new_seed(),
        )
        rehearsed = self._rehearser.run(
            self.agent,
            scene,
            cancellation=cancellation,
            timeout=self.manners.timeout,
            on_piece=on_piece,
            stuck=lambda error: stuck(Tried(None, error)),
        )
        kept = rehearsed.kept
        if kept is None:
            return Tried(None, rehearsed.error)
        made = changes(data_of(before, self.name), data_of(kept.data, self.name))
        return Tried(kept.reply, None, made)

    # The timeline

    def undo(self, count: int, pause: Pause) -> Moved:
        """Take back the last `count` turns; raises as timeline.undo."""
        return self._moved(
            timeline.undo(self.store, self._seen_now(), count, wait=self.manners.wait, pause=pause)
        )

    def redo(self, count: int, pause: Pause) -> Moved:
        """Bring back what was undone; raises as timeline.redo."""
        return self._moved(
            timeline.redo(self.store, self._seen_now(), count, wait=self.manners.wait, pause=pause)
        )

    def rewind(self, turn: int, pause: Pause) -> tuple[Moved, str]:
        """Go to `turn`; the prompt that came after it, "" for none. Raises as timeline.rewind."""
        head = self._seen_now()
        moved = self._moved(timeline.rewind(self.store, head, turn, wait=self.manners.wait, pause=pause))
        tip = self.store.tip(moved.after)
        later = self.store.entries(tip, turn + 1, tip.turn)
        return moved, next((entry.prompt for entry in later if entry.kind == "prompt"), "")

    def before_last_prompt(self, pause: Pause) -> tuple[Moved | None, str]:
        """Go to before the last prompt, if it was answered; that prompt. NothingToMove if there is none."""
        head = self._seen_now()
        last = next((entry for entry in timeline.backwards(self.store, head) if entry.kind == "prompt"), None)
        if last is None:
            raise NothingToMove("there is no prompt to send again")
        if last.outcome != "completed":
            return None, last.prompt
        moved = timeline.rewind(self.store, head, last.turn - 1, wait=self.manners.wait, pause=pause)
        return self._moved(moved), last.prompt

    def fork(self, name: str, turn: int | None) -> Head:
        """Go on in a copy of the session, as it is or as of `turn`; raises as Store.fork."""
        head = self._current()
        made = self.store.fork(head if turn is None else self.store.at(head, turn), name)
        self.switch(name, "existing")
        return made

    def put(self, path: str, value: str, pause: Pause) -> str:
        """Put the JSON `value` into the data at `path`; what to say of it. Raises as hand_edits.put."""
        return self._edited(hand_edits.put(self.store, self._current(), path, value, self._waiting(pause)))

    def take_out(self, path: str, pause: Pause) -> str:
        """Take what is at `path` out of the data; the same. Raises as hand_edits.take_out."""
        return self._edited(hand_edits.take_out(self.store, self._current(), path, self._waiting(pause)))

    def edit(self, note: Callable[[str], None], pause: Pause) -> str:
        """Have the data edited; the same. Raises as hand_edits.in_editor."""
        import shlex

        again = shlex.join(
            ["flue", "sessions", "set", f"{self.agent.name}/{self.name}", "", *self.manners.repeat]
        )
        drafts = Drafts(self.manners.drafts, again, note)
        return self._edited(hand_edits.in_editor(self.store, self._current(), drafts, self._waiting(pause)))

    def _edited(self, edited: Edited) -> str:
        if edited.head.version == self._seen.version + 1:  # else somebody made turns that are to be shown
            self._seen = edited.head
        return edited.words

    def _waiting(self, pause: Pause) -> Waiting:
        return Waiting(self.manners.wait, pause)

    def _seen_now(self) -> Head:
        """The session as it stands, which must be as we saw it: only that may be taken back."""
        head = self._current()
        unchanged(self._seen, head)
        return head

    def _current(self) -> Head:
        """The session as it stands now, which must be the one that we saw."""
        head = self.head()
        if head.uid == ABSENT:
            raise NothingToMove("nothing has been said yet")
        if self._seen.uid not in (ABSENT, head.uid):
            raise changed(self.name)
        return head

    def _moved(self, moved: Moved) -> Moved:
        self._seen = moved.after
        return moved

    # What others did

    def missed(self) -> Missed:
        """What somebody else did to the session since we last looked; it counts as seen then."""
        head = self.head()
        if self._seen.uid not in (ABSENT, head.uid):
            return Missed()
        missed = missed_between(self.store, self._seen, head)
        self._seen = head
        return missed

    def missed_before(self, begun: Begun) -> Missed:
        """What came between what we saw and the turn that begins; all of it counts as seen.

        But for a prompt that was interrupted: that is said on its own.
        """
        lease = begun.lease
        missed = missed_between(self.store, self._seen, lease.head)
        self._seen = lease.head._replace(turn=lease.turn, line=lease.line or lease.head.line)
        self._expect = "existing"
        interrupted = begun.interrupted.turn if begun.interrupted else 0
        return missed._replace(turns=[entry for entry in missed.turns if entry.turn != interrupted])

    def unanswered(self) -> list[Entry]:
        """The prompt that is being answered elsewhere, or that a crash left, if there is one."""
        running = self.store.running(self.head())
        return [running] if running else []

    def last_turns(self, count: int) -> list[Entry]:
        """The newest `count` turns, oldest of them first."""
        head = self.head()
        return list(self.store.entries(head, max(1, head.turn - count + 1), head.turn))

    def opening(self, count: int) -> tuple[list[str], list[Entry]]:
        """What to say when the chat begins, and the newest `count` turns to show."""
        head = self.head()
        self._seen = head
        size = turns(head.turn) if head.uid != ABSENT else "new"
        kept = "" if self.manners.keeps else ", not kept"
        lines = [f"{safe_line(self.agent.name)} · session {safe_line(self.name)} ({size}{kept}) · /help"]
        recap = list(self.store.entries(head, max(1, head.turn - count + 1), head.turn))
        return [self._remark, *lines] if self._remark else lines, recap + self.unanswered()

    def resume_command(self) -> str:
        """What to type to come back, quoted for a shell; "" if there is nothing to come back to."""
        if not self.manners.keeps or self.head().uid == ABSENT:
            return ""
        import shlex

        return shlex.join(["flue", "chat", self.agent.name, "-r", self.name, *self.manners.repeat])

    def close(self) -> None:
        """End the thread that watches over rehearsals."""
        self._rehearser.close()
