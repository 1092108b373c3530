"""What the chat is about: an agent, a session, and how far we have seen it."""

from __future__ import annotations

from typing import NamedTuple

from flue_cli.agents import Agent
from flue_cli.cancellation import Cancellation
from flue_cli.stores.contract import ABSENT, Ask, Begun, Entry, Head
from flue_cli.text import safe_line, turns
from flue_cli.turn import Listener, Runner, Turn


class Manners(NamedTuple):
    """How turns are run: waiting and thinking time in seconds, and options a resume must repeat."""

    wait: float
    timeout: float | None
    keeps: bool
    verbose: bool = False
    repeat: tuple[str, ...] = ()


class Conversation:
    """A chat's session and agent. The session is only made by its first prompt."""

    def __init__(
        self, runner: Runner, agent: Agent, name: str, expect: str, manners: Manners, remark: str
    ) -> None:
        """`expect` is "any", "new" or "existing"; `remark` is said at the beginning, "" for nothing."""
        self.store = runner.store
        self._runner = runner
        self.agent = agent
        self.manners = manners
        self._remark = remark
        self.switch(name, expect)

    def switch(self, name: str, expect: str) -> None:
        """Go on in the session `name` of the same agent."""
        self.name = name
        self._expect = expect
        head = self.head()
        self._uid = head.uid
        self._seen = head.turn  # the newest turn that is on the screen

    def head(self) -> Head:
        """The session as it stands now."""
        return self.store.head(self.agent.name, self.name)

    def turn(self, prompt: str, listener: Listener, cancellation: Cancellation) -> Turn:
        """Answer `prompt`; see flue_cli.turn.Runner. From the first on, the session must be the same one."""
        ask = Ask(
            self.agent.name, self.name, prompt, uid=self._uid, expect=self._expect, wait=self.manners.wait
        )
        return self._runner.run(
            self.agent, ask, listener, cancellation=cancellation, timeout=self.manners.timeout
        )

    def missed_turns(self) -> list[Entry]:
        """The turns that somebody else made since we last looked; they count as seen then."""
        head = self.head()
        if self._uid not in (ABSENT, head.uid) or head.turn <= self._seen:
            return []
        first, self._seen = self._seen + 1, head.turn
        return list(self.store.entries(head, first, head.turn))

    def missed_before(self, begun: Begun) -> list[Entry]:
        """The turns that came between what we saw and the turn that begins; all of it counts as seen.

        But for one that was interrupted: that is said on its own.
        """
        lease = begun.lease
        first, self._seen = self._seen + 1, lease.turn
        self._uid, self._expect = lease.head.uid, "existing"
        entries = self.store.entries(lease.head, first, lease.turn - 1)
        return [entry for entry in entries if not begun.interrupted or entry.turn != begun.interrupted.turn]

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
        self._uid, self._seen = head.uid, head.turn
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
