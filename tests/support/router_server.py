"""An AgentRouter behind a real server on a loopback port, in a thread of the test's process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from flue_cli.server import AgentRouter
from support.app_server import app_server

PATIENCE = 30


class Gate:
    """An agent that says that it runs and waits to be let go; `prompts` are those that it was given."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()
        self.prompts: list[str] = []

    def __call__(self, prompt: str, session: Any, context: Any) -> str:
        self.prompts.append(prompt)
        self.entered.release()
        while not self.go.wait(0.01):
            if context.cancelled:
                break
        return f"done: {prompt}"

    def await_one(self) -> None:
        """Wait until another prompt has come in."""
        assert self.entered.acquire(timeout=PATIENCE)


def counting(prompt: str, session: Any, context: Any) -> str:
    """Counts its turns."""
    session.data["count"] = session.data.get("count", 0) + 1
    return str(session.data["count"])


def echo(prompt: str, session: Any, context: Any) -> str:
    """Says what it hears."""
    return prompt


def words(prompt: str, session: Any, context: Any) -> Iterator[str]:
    """Says word by word what it hears."""
    for word in prompt.split():
        yield word + " "


def failing(prompt: str, session: Any, context: Any) -> str:
    """Fails, and says too much."""
    session.data["half"] = "done"
    raise ValueError(f"password {prompt}")


class Client(httpx.Client):
    """Who asks the server; `router` and `app` are what it serves."""

    router: AgentRouter
    app: Any

    def prompt(self, agent: str, prompt: str, session: str | None = None, **headers: str) -> httpx.Response:
        """POST one prompt; `accept="application/json"` and the like are headers."""
        body = {"prompt": prompt} | ({} if session is None else {"sessionId": session})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.post(f"/api/agent/{agent}", json=body, headers=named)

    def session(self, agent: str, name: str, **query: Any) -> dict[str, Any]:
        """The document of a session."""
        answer = self.get(f"/api/agent/{agent}/sessions/{name}", params=query)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document


def events_of(response: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a stream as they come: their names and what they say."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


@contextmanager
def serving(
    *, store: Any = None, wait: float | None = None, timeout: float | None = None, **agents: Any
) -> Iterator[Client]:
    """A client of a server with these agents, and some that every test has."""
    router = AgentRouter(store, wait=wait, timeout=timeout)
    for name, function in {
        "echo": echo,
        "counter": counting,
        "words": words,
        "failing": failing,
        **agents,
    }.items():
        router.agent(name, function)
    with running(router.app) as url, Client(base_url=url, timeout=PATIENCE) as client:
        client.router, client.app = router, router.app
        yield client


@contextmanager
def running(app: Any, behind: Any = app_server) -> Iterator[str]:
    """The address of a server that runs `app` until the end."""
    with behind(app) as port:
        yield f"http://127.0.0.1:{port}"


def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never was"
        time.sleep(0.002)


def together(count: int, ask: Callable[[int], Any]) -> list[Any]:
    """What `ask(0)`, `ask(1)` … give, each in a thread of its own, all at once."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))
