"""A chat without a terminal: a keyboard, a page, and a store with room for one conversation."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from prompt_toolkit.input import PipeInput

from flue_cli.agents import discovery
from flue_cli.agents.discovery import Agent, AgentFunction
from flue_cli.errors import cancelled_by
from flue_cli.render.streams import Output
from flue_cli.repl.agent_file import AgentLoader, LoadedAgent
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.loop import run_chat
from flue_cli.repl.options import ChatOptions
from flue_cli.settings import Settings
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, TurnRequest
from flue_cli.text import SafeStream
from flue_cli.turns.cancellation import Cancellation, Stoppable
from flue_cli.turns.runner import Runner, Turn


class Page(Output):
    """Where results and notices go, in one text, as a person would read them."""

    can_draw = False

    def __init__(self) -> None:
        super().__init__()
        self.is_terminal = self.notices_on_terminal = True
        self.text = ""
        self._stream = SafeStream()
        self._expected: list[tuple[str, Callable[[], object]]] = []

    def when(self, text: str, action: Callable[[], object]) -> None:
        """Do `action` as soon as the page shows `text`."""
        self._expected.append((text, action))

    def result(self, text: str) -> None:
        self.write(text)
        self.end_line()

    def write(self, text: str) -> None:
        self.write_raw(self._stream.feed(text))

    def end_line(self) -> None:
        held = self._stream.close()
        self.write_raw(held if self.text.endswith("\n") and not held else held + "\n")

    def write_notice(self, text: str) -> None:
        self.write_raw(text)

    def write_raw(self, text: str) -> None:
        self.text += text.replace("\x1b[?2004h", "").replace("\x1b[?2004l", "")  # moves nothing
        for expected in list(self._expected):
            if expected[0] in self.text:
                self._expected.remove(expected)
                expected[1]()

    def terminal_file(self) -> Any:
        return open(os.devnull, "w")


class ChatDriver:
    """A keyboard, a page, and a store with room for one conversation."""

    def __init__(self, keys: PipeInput, page: Any, folder: Path) -> None:
        self.keys = keys
        self.page = page
        self.file = folder / "flue.db"
        self.history = folder / "history" / "tester.txt"
        self.store: Store = open_store(str(self.file))
        self.runner = Runner(self.store)
        self.cancellation: Stoppable | None = None
        self._to_type: list[str] = []

    def conversation(
        self,
        agent: AgentFunction | Agent | LoadedAgent,
        *,
        name: str = "work",
        expect: str = "any",
        options: ChatOptions | None = None,
        notice: str = "",
        agents: AgentLoader = AgentLoader(),  # noqa: B008 - immutable
    ) -> Conversation:
        """A conversation with `agent`, from which those of `agents` can be reached."""
        if not isinstance(agent, LoadedAgent):
            agent = LoadedAgent(
                agent if isinstance(agent, Agent) else Agent("tester", agent, "v1"), notice=notice
            )
        options = options or ChatOptions(0, None, is_saved=True)
        return Conversation(self.runner, agent, name, expect, options, agents)

    def history_of(self, agent: str) -> str:
        """The file that keeps what was typed to an agent."""
        return str(self.history.with_name(f"{agent}.txt"))

    def chat(self, agent: AgentFunction | Agent | Conversation, *typed: str) -> str:
        """Chat with `agent`, the keys of `typed` coming in one after another; what the page shows then.

        Those up to an Enter are pressed when the chat waits for them, the next ones at the next prompt.
        """
        conversation = agent if isinstance(agent, Conversation) else self.conversation(agent)
        self._to_type = list(typed)
        try:
            run_chat(conversation, self.page, self._press_keys_at_prompts, history_path=self.history_of)
        finally:
            seen: str = self.page.text
            self.page.text = ""
        return seen

    @contextmanager
    def cancelling(self, cancellation: Stoppable) -> Iterator[None]:
        """What the signal handlers do around a turn: `signal` ends it from here on."""
        self.cancellation = cancellation
        try:
            yield
        finally:
            self.cancellation = None

    def signal(self, signum: int) -> None:
        """A signal, if a turn runs."""
        if self.cancellation:
            self.cancellation.request(cancelled_by(signum))

    @contextmanager
    def _press_keys_at_prompts(self, stoppable: Stoppable) -> Iterator[None]:
        with self.cancelling(stoppable):
            if not isinstance(stoppable, Cancellation):  # not a turn or a command: the chat waits for keys
                self._press_keys()
            yield

    def _press_keys(self) -> None:
        while self._to_type:
            keys = self._to_type.pop(0)
            self.keys.send_text(keys)
            if keys.endswith("\r") and not keys.endswith(("\x1b\r", "\\\r")):
                return

    def elsewhere(self, prompt: str, agent: AgentFunction | None = None, name: str = "work") -> Turn:
        """Make a turn as another process would."""
        ask = TurnRequest("tester", name, prompt, wait=0)
        with closing(open_store(str(self.file))) as other, closing(Runner(other)) as runner:
            return runner.run(Agent("tester", agent or echo, "v1"), ask, cancellation=Cancellation())

    def entries(self, name: str = "work", agent: str = "tester") -> list[Entry]:
        """What is kept of a session."""
        head = self.store.head(agent, name)
        return list(self.store.entries(head, 1, head.turn, with_data=True))

    def sent(self, name: str = "work", agent: str = "tester") -> list[str]:
        """The prompts that reached the agent."""
        return [entry.prompt for entry in self.entries(name, agent)]


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Have the signals' handlers afterwards as they were before."""
    signums = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(signum) for signum in signums]
    try:
        yield
    finally:
        for signum, handler in zip(signums, before, strict=True):
            signal.signal(signum, handler)


def echo(prompt: str, session: Any, context: Any) -> str:
    session.data["said"] = [*session.data.get("said", []), prompt]
    return f"<{prompt}>"


def sample(name: str) -> Agent:
    return discovery.load_agent(discovery.find_agent(Settings.load(os.environ), name))


def without_colours(text: str) -> str:
    """`text` without the sequences that colour it."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
