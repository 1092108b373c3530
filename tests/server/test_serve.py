"""`flue serve` as a process: who may reach it, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.flue_serve import Answer, Served
from support.requirements import needs_root

from flue_cli.installation import install_extra_command

if TYPE_CHECKING:
    from conftest import Flue

TOKEN = "sesame-0123456789"
SLEEPY = """
import pathlib, time
def agent(prompt, session, context):
    print("asleep", flush=True)
    waited = 0
    while not pathlib.Path(prompt).exists():
        time.sleep(0.02)
    return "awake"
"""
STUBBORN = """
import time
def agent(prompt, session, context):
    print("asleep", flush=True)
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass
"""


def outcomes(flue: Flue, session: str) -> list[str]:
    """What became of each turn of a session."""
    return [
        turn["outcome"] for turn in json.loads(flue("sessions", "export", session, stdin=None).out)["turns"]
    ]


def log_lines(flue: Flue) -> list[dict[str, object]]:
    return [json.loads(line) for line in (flue.home / "log" / "flue.jsonl").read_text().splitlines()]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


def test_a_session_goes_on_in_the_terminal(flue: Flue) -> None:
    """What was said over HTTP is known in the terminal, and the other way round."""
    served = Served(flue)

    assert served.url == f"http://127.0.0.1:{served.port}"
    hello = served.prompt("greeting", "my-unique-session-123", "Hello there, my name is Alice")
    assert (hello.status, hello.text) == (200, "Nice to meet you, Alice! How can I help?")
    again = flue("chat", "greeting", "-s", "my-unique-session-123", "Tell me a joke", stdin=None)
    assert again.out == 'Hello again, Alice! You said: "Tell me a joke"\n'
    assert served.prompt("greeting", "my-unique-session-123", "And?").text.startswith("Hello again, Alice!")

    assert served.stop() == -signal.SIGTERM
    assert served.process.stdout.read() == b""
    assert served.process.stderr.read() == b""


def test_a_request_is_one_line_in_the_log(flue: Flue) -> None:
    """It names agent, session and turn, not prompt, reply and query; a health probe leaves none."""
    served = Served(flue)
    served.prompt("greeting", "alice", "my name is Ada")
    served.ask("/openapi.json?who=secret")
    served.ask("/healthz")
    served.stop()

    lines = [line for line in log_lines(flue) if line["event"] == "request"]
    assert [
        (line["path"], line["status"], line["agent"], line["session"], line["turn"]) for line in lines
    ] == [
        ("/api/agent/greeting", 200, "greeting", "alice", 1),
        ("/openapi.json", 200, None, None, None),
    ]
    assert not any(word in json.dumps(lines) for word in ("Ada", "secret"))


def test_pages_of_other_sites(flue: Flue) -> None:
    """A page of another server on this machine may not ask, one of this server may."""
    served = Served(flue, "--allow-host", "flue.example")
    pages = {
        origin: served.prompt("greeting", "a", "hello", Origin=origin).status
        for origin in (served.url, "http://127.0.0.1", "http://127.0.0.1:1", "https://flue.example", "null")
    }

    assert list(pages.values()) == [200, 403, 403, 200, 403]
    assert served.ask("/api/agents", headers={"Sec-Fetch-Site": "cross-site"}).status == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "*"])
def test_other_machines_need_a_token(flue: Flue, host: str) -> None:
    """Listening for others without a token is refused before anything listens."""
    done = flue("serve", "--port", "0", "--host", host, stdin=None)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: --host {host} lets other machines in")
    assert "\nhint: " in done.err
    assert "listening" not in done.err


def test_with_a_token_file(flue: Flue, token_file: Path) -> None:
    """Other machines may ask under the names that are allowed, with the token; health needs none."""
    served = Served(
        flue, "--host", "0.0.0.0", "--token-file", str(token_file), "--allow-host", "Flue.example"
    )
    allowed = {"Host": "flue.example"}
    right = allowed | {"Authorization": f"Bearer {TOKEN}"}
    body = {"prompt": "hello", "sessionId": "a"}

    assert served.ask("/api/agent/greeting", body, headers=allowed).status == 401
    assert (
        served.ask("/api/agent/greeting", body, headers=allowed | {"Authorization": "Bearer x"}).status == 401
    )
    assert served.ask("/api/agent/greeting", body, headers=right).status == 200
    assert served.ask("/api/agent/greeting", body, headers=right | {"Host": "other.example"}).status == 421
    assert served.ask("/healthz", headers=allowed).status == 200
    assert served.prompt("greeting", "a", "hello", Authorization=f"Bearer {TOKEN}").status == 200


def test_the_name_that_it_listens_on_is_its_own(flue: Flue, token_file: Path) -> None:
    """The address that it prints can be used as it stands."""
    if not (own := own_address()):
        pytest.skip("this machine has no address but loopback's")
    served = Served(flue, "--host", own, "--token-file", str(token_file))

    assert served.host == own
    assert served.prompt("greeting", "a", "hello", Authorization=f"Bearer {TOKEN}").status == 200
    assert served.ask("/api/agents", headers={"Host": "evil.example"}).status == 421


def own_address() -> str:
    """An address at which other machines might reach this one, "" if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def test_a_token_from_the_environment_stays_there(flue: Flue) -> None:
    """FLUE_TOKEN guards the server, and no agent, log line, error or process list shows it."""
    flue.agent("spy", "import os\ndef agent(p, s, c):\n    return str(os.environ.get('FLUE_TOKEN'))")
    flue.env["FLUE_TOKEN"] = TOKEN
    served = Served(flue)
    right = {"Authorization": f"Bearer {TOKEN}"}

    refused = served.prompt("spy", "a", "well?")
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="flue"')
    assert served.prompt("spy", "a", "well?", **right).text == "None"
    command = Path(f"/proc/{served.process.pid}/cmdline")
    assert not command.exists() or TOKEN.encode() not in command.read_bytes()
    served.stop()
    assert TOKEN not in (flue.home / "log" / "flue.jsonl").read_text()
    assert TOKEN not in "".join(served.said) + served.process.stderr.read().decode()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (f"{TOKEN}\n", 0o644, "can be used by others"),
        (f"{TOKEN}\n", 0o640, "can be used by others"),
        (f"{TOKEN}\n", 0o602, "can be used by others"),
        ("", 0o600, "is empty"),
        ("\n", 0o600, "is empty"),
        (f"{TOKEN}\x1b[2J", 0o600, "holds what a token cannot"),
        (f"{TOKEN}\n{TOKEN}\n", 0o600, "holds what a token cannot"),
        (f"{TOKEN} {TOKEN}", 0o600, "holds what a token cannot"),
        (f"{TOKEN}\u00e4", 0o600, "holds what a token cannot"),
        (TOKEN * 1000, 0o600, "more than 4096 bytes"),
        (None, 0, "cannot be read"),
    ],
)
def test_an_unusable_token(flue: Flue, token_file: Path, content: str | None, mode: int, words: str) -> None:
    """A token that others can read, or that is none, is refused (2), and is not repeated."""
    if content is None:
        token_file.unlink()
    else:
        token_file.write_text(content)
        token_file.chmod(mode)

    done = flue("serve", "--port", "0", "--token-file", str(token_file), stdin=None)

    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert TOKEN not in done.err
    if content and mode == 0o600:
        done = flue("serve", "--port", "0", stdin=None, env={"FLUE_TOKEN": content})
        assert (done.code, TOKEN in done.err) == (2, False)


def test_a_token_that_is_lent(flue: Flue, token_file: Path) -> None:
    """Of a file that belongs to another user, as credentials of a service manager do, the mode does not matter."""
    needs_root()
    token_file.chmod(0o440)
    os.chown(token_file, 65534, 65534)
    served = Served(flue, "--token-file", str(token_file))

    assert served.prompt("greeting", "a", "hello", Authorization=f"Bearer {TOKEN}").status == 200


def test_a_name_for_loopback_is_loopback(flue: Flue) -> None:
    """`localhost` needs no token, and is listened on at one port, whatever addresses it has."""
    served = Served(flue, "--host", "localhost")

    assert served.url == f"http://localhost:{served.port}"
    assert served.ask("/healthz").status == 200


def test_ipv6(flue: Flue) -> None:
    """`--host ::1` works, and its address is printed as browsers want it."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    served = Served(flue, "--host", "::1")

    assert served.url == f"http://[::1]:{served.port}"
    assert served.prompt("greeting", "a", "hello").status == 200


@pytest.mark.parametrize(
    "host", ["no-such-host.invalid", "300.1.2.3", "192.0.2.1", "a b", "\udcff", "x" * 300]
)
def test_a_host_that_is_not_this_machine(flue: Flue, token_file: Path, host: str) -> None:
    """An address that cannot be listened on is 2, in one line."""
    done = flue("serve", "--port", "0", "--host", host, "--token-file", str(token_file), stdin=None)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: --host '")
    assert done.err.count("\n") == 1


def test_a_port_that_another_program_has(flue: Flue) -> None:
    """It is a conflict (4), with another port to try; none but a whole number is a port (2)."""
    served = Served(flue)
    done = flue("serve", "--port", str(served.port), stdin=None)

    assert (done.code, done.out) == (4, "")
    assert done.err.startswith(f"error: port {served.port} is in use by another program\nhint: take another")
    for port in ("-1", "65536", "http", "1.5"):
        assert flue("serve", "--port", port, stdin=None).code == 2
    assert served.ask("/healthz").status == 200


def test_a_port_that_is_kept_for_root(flue: Flue) -> None:
    """It is 2 and says what to do."""
    first = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not first.exists() or int(first.read_text()) <= 81:
        pytest.skip("here everybody may listen on every port")
    if os.geteuid() == 0:
        flue.command = ["setpriv", "--bounding-set", "-net_bind_service", *flue.command]
    done = flue("serve", "--port", "81", stdin=None)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: port 81 may not be used: the system keeps it for root\nhint: ")


@pytest.mark.parametrize(
    "options",
    [
        ("--allow-host", "http://flue.example"),
        ("--allow-host", "*"),
        ("--allow-host", ""),
        ("--grace", "-1"),
        ("--grace", "nan"),
        ("--grace", "inf"),
        ("--wait", "-1"),
        ("--timeout", "0"),
        ("--store", "ftp://x"),
        ("hello",),
    ],
)
def test_options_that_make_no_sense(flue: Flue, options: tuple[str, ...]) -> None:
    """They are 2, and nothing listens."""
    done = flue("serve", "--port", "0", *options, stdin=None)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")


def test_without_the_libraries(flue: Flue) -> None:
    """It is 2 and says what to install; a fault of our own is not taken for that, and help needs nothing."""
    blocker = flue.folder / "blocked"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text("import sys\nsys.modules['granian'] = None\n")
    env = {"PYTHONPATH": str(blocker)}

    done = flue("serve", "--port", "0", stdin=None, env=env)
    assert done == (
        2, "", f"error: serving needs what is not installed: granian\nhint: {install_extra_command('serve')}\n",
    )  # fmt: skip
    assert flue("serve", "--help", stdin=None, env=env).code == 0
    (blocker / "sitecustomize.py").write_text(
        "import sys\nsys.modules['flue_cli.server.access_guard'] = None\n"
    )
    done = flue("serve", "--port", "0", stdin=None, env=env)
    assert done.code == 70
    assert "pip install" not in done.err


def test_a_store_that_cannot_be_read(flue: Flue) -> None:
    """It is told at the start (5), not at the first request."""
    flue.home.mkdir()
    flue.store.write_bytes(b"not a database at all" * 100)

    done = flue("serve", "--port", "0", stdin=None)
    assert (done.code, done.out) == (5, "")
    assert "listening" not in done.err


def test_starting_creates_nothing(flue: Flue) -> None:
    """A server that nobody asks anything leaves no store behind."""
    served = Served(flue)
    served.stop()

    assert not flue.store.exists()


def test_agents_keep_to_stderr_and_have_no_input(flue: Flue) -> None:
    """What agents print appears on stderr, and one that reads input finds none."""
    flue.agent(
        "asks",
        "def agent(p, s, c):\n    print('hello')\n    try:\n        return input()\n    except EOFError:\n        return 'none'",
    )
    served = Served(flue)

    assert served.prompt("asks", "a", "well?").text == "none"
    assert served.line() == "hello\n"
    served.stop()
    assert served.process.stdout.read() == b""


def test_whoever_runs_it_hears_what_failed(flue: Flue) -> None:
    """What a client is not told, the terminal is: the agent's words, its traceback with --verbose, the reference."""
    flue.agent("broken", "def agent(p, s, c):\n    raise ValueError('the cat\\x1b[2J sat on it')")
    served = Served(flue, "--verbose")
    answer = served.prompt("broken", "a", "hello")

    assert answer.status == 500
    assert "cat" not in answer.text
    said = served.line()
    reference = said.rpartition("(reference ")[2].removesuffix(")\n")
    assert said.startswith("error: ")
    assert "the cat^[[2J sat on it" in said
    assert reference
    assert reference in answer.text
    assert served.line() == "Traceback (most recent call last):\n"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_idle_server_ends_at_once(flue: Flue, signum: signal.Signals) -> None:
    """It dies by the signal, as a shell and systemd expect, without a word and within a second or two."""
    served = Served(flue)
    assert served.ask("/healthz").status == 200
    began = time.monotonic()

    assert served.stop(signum) == -signum
    assert time.monotonic() - began < 10
    assert served.process.stderr.read() == b""


def test_a_signal_that_is_ignored_stays_ignored(flue: Flue) -> None:
    """`nohup flue serve` outlives its terminal."""
    served = Served(flue, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    served.process.send_signal(signal.SIGHUP)

    assert served.prompt("greeting", "a", "hello").status == 200
    assert served.stop() == -signal.SIGTERM


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_running_turn_may_finish(flue: Flue, signum: signal.Signals) -> None:
    """Told to stop, the server takes no more requests, finishes what runs, answers, and goes."""
    flue.agent("sleepy", SLEEPY)
    served = Served(flue)
    wake = flue.folder / "wake"
    asked = served.prompt_later("sleepy", "a", str(wake))
    assert served.line() == "asleep\n"

    served.process.send_signal(signum)
    assert served.line() == "stopping: 1 turn may go on for 20 s (once more ends at once)\n"
    refused(served)
    wake.touch()

    assert asked.answer()[:2] == (200, "awake")
    assert served.process.wait(30) == -signum
    assert outcomes(flue, "a") == ["completed"]


def refused(served: Served) -> None:
    """Wait until it takes no more connections."""
    for _ in range(1000):
        try:
            served.ask("/healthz")
        except OSError:
            return
        time.sleep(0.01)
    raise AssertionError


@pytest.mark.parametrize("source", [SLEEPY, STUBBORN], ids=["sleepy", "stubborn"])
def test_a_turn_that_takes_too_long_is_cancelled(flue: Flue, source: str) -> None:
    """After the time of grace it is cancelled, its client told, and the server ends all the same."""
    flue.agent("sleepy", source)
    served = Served(flue, "--grace", "0.2")
    asked = served.prompt_later("sleepy", "a", "/nowhere")
    assert served.line() == "asleep\n"

    assert served.stop() == -signal.SIGTERM
    answer = asked.answer()
    assert isinstance(answer, Answer)
    assert (answer.status, answer.error) == (503, "cancelled")
    assert outcomes(flue, "a") == ["cancelled"]
    assert flue("chat", "greeting", "-s", "a", "--wait", "0", "hi", stdin=None).code == 0


def test_the_second_signal_ends_it_at_once(flue: Flue) -> None:
    """Whoever presses Ctrl-C twice has his prompt back; the turn counts as interrupted, nothing else is lost."""
    flue.agent("sleepy", SLEEPY)
    served = Served(flue, "--grace", "1000")
    served.prompt("greeting", "b", "my name is Ada")
    asked = served.prompt_later("sleepy", "a", "/nowhere")
    assert served.line() == "asleep\n"

    served.process.send_signal(signal.SIGTERM)
    assert served.line().startswith("stopping: ")
    began = time.monotonic()
    assert served.stop(signal.SIGINT) == -signal.SIGINT
    assert time.monotonic() - began < 10
    assert isinstance(asked.answer(), Exception)
    flue.agent("sleepy", "def agent(p, s, c):\n    return 'hello'")
    flue("chat", "sleepy", "-s", "a", "--wait", "0", "hi", stdin=None)
    assert outcomes(flue, "a") == ["interrupted", "completed"]
    assert outcomes(flue, "b") == ["completed"]


def test_a_client_that_follows_does_not_hold_up_the_end(flue: Flue) -> None:
    """Whoever watches a session live is hung up when the server is told to stop."""
    served = Served(flue)
    served.prompt("greeting", "a", "hello")
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as follower:
        follower.sendall(b"GET /api/agent/greeting/sessions/a/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in follower.recv(1000)
        began = time.monotonic()
        assert served.stop() == -signal.SIGTERM
        assert time.monotonic() - began < 15


def test_slow_clients_keep_nobody_waiting(flue: Flue) -> None:
    """While hundreds hold connections half way through their headers or bodies, a prompt takes no second."""
    served = Served(flue)
    half = b"POST /api/agent/greeting HTTP/1.1\r\nHost: localhost\r\n"
    body = half + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    slow = []
    for number in range(400):
        slow.append(socket.create_connection(("127.0.0.1", served.port), timeout=30))
        slow[-1].sendall(body if number % 2 else half)
    began = time.monotonic()
    answered = [served.prompt("greeting", str(number), "hello").status for number in range(5)]
    took = (time.monotonic() - began) / 5
    for connection in slow:
        connection.close()

    assert answered == [200] * 5
    assert took < 1
