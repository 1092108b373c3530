"""`flue serve` in a process of its own, and what to ask it."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import Flue

PATIENCE = 30


class Answer(NamedTuple):
    """What came back for a request."""

    status: int
    text: str
    headers: http.client.HTTPMessage

    @property
    def error(self) -> str:
        return str(json.loads(self.text)["error"]["type"])


class Served:
    """A running `flue serve`; `url` is what it says it listens on."""

    def __init__(self, flue: Flue, *arguments: str, **settings: Any) -> None:
        self.process = flue.start("serve", "--port", "0", *arguments, **settings)
        self.said: list[str] = []
        while not (found := re.search(r"listening on (http://(\S+):(\d+)) ", self.line())):
            assert self.said[-1], f"it ended: {self.said}"
        self.url, self.host, self.port = found[1], found[2].strip("[]"), int(found[3])

    def line(self) -> str:
        """The next line that it prints on stderr."""
        self.said.append(self.process.stderr.readline().decode())
        return self.said[-1]

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own; with a body, it is JSON and posted."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            sent = ({"Content-Type": "application/json"} if data else {}) | dict(headers or {})
            connection.request(method or ("POST" if data else "GET"), path, data, sent)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(), response.headers)

    def prompt(self, agent: str, session: str, words: str, **headers: str) -> Answer:
        """A prompt, as the page that Flue comes from sends it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(f"/api/agent/{agent}", {"prompt": words, "sessionId": session}, headers=named)

    def prompt_later(self, agent: str, session: str, words: str) -> Later:
        """The same in a thread."""
        return Later(lambda: self.prompt(agent, session, words))

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end: its exit code as Popen has it."""
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE)


class Later:
    """A request under way in a thread."""

    def __init__(self, ask: Any) -> None:
        self._found: list[Any] = []

        def run() -> None:
            try:
                self._found.append(ask())
            except (OSError, http.client.HTTPException) as error:
                self._found.append(error)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def answer(self) -> Any:
        """What came of it: an Answer, or the exception."""
        self._thread.join(PATIENCE)
        return self._found[0]
