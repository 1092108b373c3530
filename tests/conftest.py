"""Every test gets a home of its own, and talks to the real command in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from support.prefork import Ahead

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedReader
    from types import FrameType

    from support.agent_search_path import Folders
    from support.fake_terminal import ChatDriver
    from support.terminals import Terminals
    from support.turn_host import Host


# Whoever starts the tests in the background may have them ignore signals; the commands that they start must not.
for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.default_int_handler if ignored == signal.SIGINT else signal.SIG_DFL)


# How soon an example is made or tried depends on whatever else the machine does.
settings.register_profile("loaded machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loaded machine")

collect_ignore = ["data"]  # what older versions wrote: its script test belongs to an agent that is not there

COMMAND = [sys.executable, "-m", "flue_cli"]
AT_START = {"LC_ALL", "PYTHONOPTIMIZE", "PYTHONUTF8", "PYTHONPATH"}
"""What an interpreter obeys as it starts, and not later."""


class Done(NamedTuple):
    """What a finished command left: exit code as a shell reports it, stdout and stderr as text."""

    code: int
    out: str
    err: str


class Process(subprocess.Popen[bytes]):
    """A started command, whose pipes are there unless its start said otherwise."""

    stdin: IO[bytes]
    stdout: BufferedReader
    stderr: BufferedReader

    def end_input(self, content: bytes = b"") -> None:
        """Write `content` as the last of its input; `communicate` then has nothing left to write."""
        self.stdin.write(content)
        self.stdin.close()
        setattr(self, "stdin", None)  # noqa: B010 - typed as always there


class Flue:
    """The `flue` command in a home of its own."""

    def __init__(self, home: Path, folder: Path, ahead: Ahead) -> None:
        """`ahead` runs it where nothing hangs on how it starts."""
        self.home = home
        self.folder = folder
        self.ahead = ahead
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home / "nobody"),  # whoever forgets FLUE_HOME lands here, not in a real home
            "FLUE_HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        }
        self.started: list[Process] = []
        self.command = COMMAND

    def __call__(
        self, *arguments: str, stdin: str | bytes | None = "", env: dict[str, str] | None = None
    ) -> Done:
        """Run it to its end, `stdin` piped in; None: /dev/null."""
        content = stdin.encode() if isinstance(stdin, str) else stdin
        env = self.env | (env or {})
        if self.command == COMMAND and not env.keys() & AT_START:
            code, out, err = self.ahead.run(arguments, content, self.folder, env)
        else:
            code, out, err = self._from_scratch(arguments, content, env)
        code = 128 - code if code < 0 else code
        return Done(code, out.decode(errors="surrogateescape"), err.decode(errors="surrogateescape"))

    def _from_scratch(
        self, arguments: Sequence[str], stdin: bytes | None, env: dict[str, str]
    ) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            cwd=self.folder,
            env=env,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def start(self, *arguments: str, **settings: Any) -> Process:
        """Start it and come back at once; the end of the test ends it."""
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        process = Process([*self.command, *arguments], cwd=self.folder, env=self.env, **(pipes | settings))
        self.started.append(process)
        return process

    def stop(self) -> None:
        """End whatever still runs."""
        for process in self.started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()

    def agent(self, name: str, source: str) -> Path:
        """Put an agent into the user's agents folder."""
        path = self.home / "agents" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path

    @property
    def store(self) -> Path:
        return self.home / "flue.db"


def pytest_xdist_auto_num_workers() -> int:
    """Give `-n auto` two workers per core: many tests wait for a process, a terminal or a time limit."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def no_real_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test can reach the person's own sessions, agents or settings."""
    for name in list(os.environ):
        if name.startswith(("FLUE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("FLUE_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def ahead() -> Iterator[Ahead]:
    """The command, imported once for all short runs."""
    command = Ahead({"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent"})
    yield command
    command.close()


@pytest.fixture
def flue(tmp_path: Path, ahead: Ahead) -> Iterator[Flue]:
    folder = tmp_path / "work"
    folder.mkdir()
    command = Flue(tmp_path / "home", folder, ahead)
    yield command
    command.stop()


@pytest.fixture
def no_endless_wait() -> Iterator[None]:
    """A chat that waits for keys that nobody will type fails its test instead of hanging it."""

    def give_up(signum: int, frame: FrameType | None) -> None:
        signal.alarm(1)  # again and again: event loops swallow what is raised in them
        raise TimeoutError("the chat waits for ever")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch, no_endless_wait: None) -> Iterator[int]:
    """A terminal as standard input; the end at which a person would sit."""
    master, slave = os.openpty()
    with open(slave) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield master
    os.close(master)


@pytest.fixture
def driver(tty: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatDriver]:
    """A chat without a terminal; see support/fake_terminal.py."""
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput
    from support.fake_terminal import ChatDriver, Page

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "100")  # or a pager would take what is long
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        driver = ChatDriver(keys, Page(), tmp_path / "kept")
        yield driver
        driver.runner.close()
        driver.store.close()


@pytest.fixture
def terminals(flue: Flue) -> Iterator[Terminals]:
    """Terminals that run the command, where the agent `echo` can be talked to."""
    from support.terminals import ECHO, Terminals

    flue.agent("echo", ECHO)
    terminals = Terminals(flue)
    yield terminals
    terminals.close()


@pytest.fixture(params=["memory", "sqlite"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    """A host on each kind of store."""
    from support.turn_host import Host

    from flue_cli.stores import open_store

    store = open_store("memory:" if request.param == "memory" else str(tmp_path / "flue.db"))
    host = Host(store)
    yield host
    host.runner.close()
    store.close()


@pytest.fixture
def quick() -> Iterator[Host]:
    """A host on the store that keeps nothing, where the kind of store makes no difference."""
    from support.turn_host import Host

    from flue_cli.stores.memory.store import MemoryStore

    host = Host(MemoryStore())
    yield host
    host.runner.close()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folders]:
    """The folders where agents may be, one of them the working folder's; none has any yet."""
    from support.agent_search_path import Folders

    made = Folders(tmp_path)
    monkeypatch.chdir(tmp_path / "work")
    yield made
    for name in [name for name in sys.modules if name.startswith("flue_cli.agents.loaded.")]:
        del sys.modules[name]
