"""What a turn costs over HTTP: `python tests/bench/serve.py [--memory]`.

Turns of the greeting agent against a bare text route of the same server (guard and all), the same over
many connections, a busy session beside a free one, and agents that sleep. The numbers to hold:

- 16 connections on 16 sessions: at least 0.1 of the bare route's requests a second;
- 200 connections on 200 sessions: none fails;
- 200 on one session: all answered, in sequence, none lost, and another session answers within 0.2 s;
- 200 turns of an agent that sleeps 1 s, on 200 sessions: all within 2.5 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flue_cli import AgentContext, AgentSession

SECONDS = 1.0
ROUNDS = 7


def serve(url: str) -> None:
    """The server's process: prints its port, and serves until it is killed."""
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from flue_cli.agents import discovery
    from flue_cli.log import Log
    from flue_cli.server.access_guard import AccessGuard
    from flue_cli.server.agent_registry import RegisteredAgents
    from flue_cli.server.app import build_app
    from flue_cli.server.http_server import Served, Shutdown, run
    from flue_cli.server.sockets import look_up, reserve
    from flue_cli.settings import Settings
    from flue_cli.stores import open_store

    roster = RegisteredAgents()
    roster.add(
        "greeting",
        discovery.load_agent(discovery.find_agent(Settings.load({}, file=""), "greeting")).function,
    )
    roster.add("sleeper", sleep)
    roster.add("counter", count)
    app = build_app(open_store(url), roster)

    async def bare(_: object) -> PlainTextResponse:
        return PlainTextResponse("Hello again, Alice!")

    app.router.routes.append(Route("/bare", bare))
    reserved = reserve(look_up("127.0.0.1", 0))
    port = reserved[0].getsockname()[1]
    served = Served(AccessGuard(app), app.router.lifespan_context(app), app.state.turns)
    run(
        served,
        reserved,
        Shutdown(),
        log=Log(),
        listening=lambda: print(port, flush=True),
        draining=print,
        grace=0,
    )


def sleep(prompt: str, session: AgentSession[dict[str, Any]], context: AgentContext) -> str:
    """Take as long as a model does."""
    time.sleep(1)
    return "slept"


def count(prompt: str, session: AgentSession[dict[str, Any]], context: AgentContext) -> str:
    """An agent that counts its turns."""
    session.data["count"] = session.data.get("count", 0) + 1
    return str(session.data["count"])


@contextmanager
def server(url: str) -> Iterator[int]:
    """The port of a server on the store `url`."""
    with subprocess.Popen([sys.executable, __file__, "--serve", url], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def post(agent: str, session: str, prompt: str = "Hello there, my name is Alice") -> bytes:
    """A request for a turn."""
    body = json.dumps({"prompt": prompt, "sessionId": session})
    return (
        f"POST /api/agent/{agent} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


BARE = b"GET /bare HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, str]:
    """Status and body of the answer to `request`."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return int(head[9:12]), (await reader.readexactly(length)).decode()


async def rate(port: int, requests: list[bytes], seconds: float) -> tuple[float, int, float]:
    """Requests a second with a connection for each of `requests`; how many failed; the slowest, in seconds."""
    done = failed = 0
    slowest = 0.0
    end = time.perf_counter() + seconds

    async def client(request: bytes) -> None:
        nonlocal done, failed, slowest
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < end:
            status, _ = await ask(reader, writer, request)
            slowest = max(slowest, time.perf_counter() - began)
            done += 1
            failed += status != 200
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client(request) for request in requests))
    return done / (time.perf_counter() - began), failed, slowest


async def once(port: int, request: bytes) -> tuple[int, str, float]:
    """Status, body and seconds of one request on a connection of its own."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    status, body = await ask(reader, writer, request)
    writer.close()
    return status, body, time.perf_counter() - began


async def crowd(port: int) -> None:
    """200 prompts for one session, and one for another meanwhile."""
    began = time.perf_counter()
    tasks = [asyncio.create_task(once(port, post("counter", "crowded"))) for _ in range(200)]
    await asyncio.sleep(0.05)
    others = [await once(port, post("greeting", f"beside-{number}")) for number in range(5)]
    answers = await asyncio.gather(*tasks)
    numbers = sorted(int(body) for status, body, _ in answers if status == 200)
    print(
        f"200 on one session: {time.perf_counter() - began:.2f} s, in sequence: {numbers == list(range(1, 201))};"
        f" another session meanwhile: {max(seconds for *_, seconds in others):.3f} s at most"
    )


async def sleepers(port: int) -> None:
    """200 agents that sleep."""
    began = time.perf_counter()
    answers = await asyncio.gather(*(once(port, post("sleeper", f"bed-{number}")) for number in range(200)))
    failed = sum(status != 200 for status, *_ in answers)
    print(f"200 turns that sleep 1 s: {time.perf_counter() - began:.2f} s, {failed} failed")


async def measure(port: int) -> None:
    """Everything, in words. Bare route and turns alternate, so that a drifting machine touches both."""
    await rate(port, [BARE] * 16, SECONDS)
    for count in (1, 16, 200):
        requests = [post("greeting", f"session-{number}") for number in range(count)]
        bare, turns, failures, slowest = [], [], 0, 0.0
        for _ in range(ROUNDS):
            bare.append((await rate(port, [BARE] * 16, SECONDS))[0])
            done, failed, longest = await rate(port, requests, SECONDS)
            turns.append(done)
            failures += failed
            slowest = max(slowest, longest)
        ratio = statistics.median(one / other for one, other in zip(turns, bare, strict=True))
        print(
            f"{count} sessions: {statistics.median(turns):.0f} turns/s, {ratio:.2f} of the bare route's"
            f" {statistics.median(bare):.0f}/s; {failures} failed, slowest {slowest:.3f} s"
        )
    await crowd(port)
    await sleepers(port)


def main() -> None:
    """Run the benchmark, or its server."""
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        url = "memory:" if "--memory" in sys.argv else os.path.join(folder, "flue.db")
        with server(url) as port:
            asyncio.run(measure(port))


if __name__ == "__main__":
    main()
