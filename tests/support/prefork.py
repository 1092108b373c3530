"""The command, started ahead of time: a process that has imported it, and forks for every run.

Importing is nearly all that a short command does, and the tests run it a thousand times. A run is still a
process of its own, with its own descriptors, folder, environment, signals and end; what it must not be used
for is the start-up itself (imports, locale).
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_IMPORTED = (
    "flue_cli.cli.main",
    "flue_cli.cli.chat",
    "flue_cli.cli.sessions",
    "flue_cli.cli.agents",
    "flue_cli.stores.memory.store",
    "sqlite_utils",
    "flue_cli.stores.sqlite.store",
    "flue_cli.render.tables",
    "platformdirs",
)
_LIMIT = 2**20
"""Bytes of arguments and environment that one run may have."""


class Ahead:
    """A process that waits to become the command."""

    def __init__(self, env: Mapping[str, str]) -> None:
        """`env` is what the interpreter starts with; every run gets its own on top of that."""
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=dict(env),
            )

    def start(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], files: tuple[int, int, int]
    ) -> Callable[[], int]:
        """Start the command on descriptors for stdin, stdout and stderr; what waits for its end.

        That gives the code as subprocess does: negative for a signal.
        """
        request = json.dumps([list(arguments), str(folder), dict(env)]).encode()
        answers, end = socket.socketpair()
        answers.settimeout(60)
        with end, self._lock:
            socket.send_fds(self._ours, [request], [*files, end.fileno()])

        def ended() -> int:
            with answers:
                return os.waitstatus_to_exitcode(int(answers.recv(32)))

        return ended

    def run(
        self, arguments: Sequence[str], stdin: bytes | None, folder: Path, env: Mapping[str, str]
    ) -> tuple[int, bytes, bytes]:
        """Run the command to its end: its code, its stdout, its stderr."""
        pipes = [os.pipe(), os.pipe()]
        source, feed = os.pipe() if stdin is not None else (os.open(os.devnull, os.O_RDONLY), -1)
        files = (source, pipes[0][1], pipes[1][1])
        ended = self.start(arguments, folder, env, files)
        for descriptor in files:
            os.close(descriptor)
        taken = [b"", b""]
        threads = [
            threading.Thread(target=_read, args=(taken, place, ours)) for place, (ours, _) in enumerate(pipes)
        ]
        if stdin is not None:
            threads.append(threading.Thread(target=_feed, args=(feed, stdin)))
        for thread in threads:
            thread.start()
        code = ended()
        for thread in threads:
            thread.join()
        return code, taken[0], taken[1]

    def close(self) -> None:
        """No more runs."""
        self._ours.close()
        self._process.wait(10)


def _read(taken: list[bytes], place: int, descriptor: int) -> None:
    with open(descriptor, "rb") as pipe:
        taken[place] = pipe.read()


def _feed(descriptor: int, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as pipe:
        pipe.write(content)


def _serve(requests: socket.socket) -> None:
    """Fork for each request until there are no more; comes back in each child, as the command."""
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            if selector.select(0.002 if running else None):
                message, descriptors, _, _ = socket.recv_fds(requests, _LIMIT, 4)
                if not message:
                    sys.exit()
                child = os.fork()
                if not child:
                    requests.close()
                    for answers in running.values():
                        answers.close()
                    _become(descriptors, *json.loads(message))
                    return
                running[child] = socket.socket(fileno=descriptors[3])
                for descriptor in descriptors[:3]:
                    os.close(descriptor)
            while running:
                child, status = os.waitpid(-1, os.WNOHANG)
                if not child:
                    break
                with running.pop(child) as answers:
                    answers.send(str(status).encode())


def _become(descriptors: list[int], arguments: list[str], folder: str, env: dict[str, str]) -> None:
    for place, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, place)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0] = folder
    sys.argv = ["flue", *arguments]


if __name__ == "__main__":
    from importlib import import_module

    from flue_cli.cli import run

    for module in _IMPORTED:
        import_module(module)
    gc.freeze()  # or every run would copy what it only looks through
    _serve(socket.socket(fileno=int(sys.argv[1])))
    run()
