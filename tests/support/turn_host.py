"""A store with one session and the turns on it, and agents that are easy to recognize."""

from __future__ import annotations

import json
import traceback
from typing import Any

from flue_cli.agents.api import Message
from flue_cli.agents.discovery import Agent
from flue_cli.errors import (
    FlueError,
)
from flue_cli.stores.records import Entry, TurnRequest
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.runner import Listener, Runner, Turn


class Host:
    """A store with one session, and turns on it."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.runner = Runner(store)

    def turn(
        self,
        function: Any,
        prompt: str = "hi",
        *,
        cancellation: Cancellation | None = None,
        key: str | None = None,
        timeout: float | None = None,
        **heard: Any,
    ) -> Turn:
        try:
            return self.runner.run(
                Agent("tester", function, "v1"),
                TurnRequest("tester", "work", prompt, key=key, wait=0),
                Listener(**heard),
                cancellation=cancellation or Cancellation(),
                timeout=timeout,
            )
        except FlueError:
            raise
        except BaseException as error:  # noqa: BLE001 - an exit would end the test run
            where = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{error!a} came out of the turn, from {where.filename}:{where.lineno}"
        raise AssertionError(problem)  # without its cause: xdist cannot report a lone surrogate

    @property
    def head(self) -> Any:
        return self.store.head("tester", "work")

    @property
    def data(self) -> Any:
        return json.loads(self.store.data_at(self.head, self.head.turn))

    @property
    def history(self) -> list[Message]:
        return list(self.store.messages(self.head, 0, self.head.messages))

    @property
    def entries(self) -> list[Entry]:
        return list(self.store.entries(self.head, 1, self.head.turn))


def echo(prompt: str, session: Any, context: Any) -> str:
    return f"you said {prompt}"


def remember(prompt: str, session: Any, context: Any) -> str:
    session.data.setdefault("said", []).append(prompt)
    return f"noted {prompt}"


def broken_by(error: BaseException) -> Any:
    def agent(*_: Any) -> str:
        raise error

    return agent
