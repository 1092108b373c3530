"""Signals, pipes and full disks: how a command ends, and what is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.requirements import needs, needs_program

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Flue

SLEEPING = "import time\ndef agent(prompt, session, context):\n    print('asleep', flush=True)\n    session.data['x'] = 1\n    time.sleep(100)"
ASYNC = "import asyncio\nasync def agent(prompt, session, context):\n    print('asleep', flush=True)\n    session.data['x'] = 1\n    try:\n        await asyncio.sleep(100)\n    finally:\n        print('cleaned up')"
STREAMING = "import time\ndef agent(prompt, session, context):\n    print('asleep', flush=True)\n    session.data['x'] = 1\n    for n in range(1000):\n        yield f'{n} '\n        time.sleep(0.1)"
STUBBORN = "import time\ndef agent(prompt, session, context):\n    print('asleep', flush=True)\n    session.data['x'] = 1\n    while True:\n        try:\n            time.sleep(1)\n        except BaseException:\n            pass"
BUSY = "def agent(prompt, session, context):\n    print('asleep', flush=True)\n    session.data['x'] = 1\n    while True:\n        pass"
REGEX = "import re\ndef agent(prompt, session, context):\n    print('asleep', flush=True)\n    session.data['x'] = 1\n    re.match(r'(a+)+$', 'a' * 40 + 'b')"


def last_turn(flue: Flue, session: str = "a") -> dict[str, Any]:
    """The newest turn as exported."""
    turn: dict[str, Any] = json.loads(flue("sessions", "export", session, stdin=None).out)["turns"][-1]
    return turn


@pytest.mark.parametrize(
    "source", [SLEEPING, ASYNC, STREAMING, BUSY, REGEX], ids=["sleep", "async", "stream", "busy", "regex"]
)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_turn(flue: Flue, source: str, signum: signal.Signals) -> None:
    """The command dies by the signal, the turn is marked cancelled, data is as before."""
    flue.agent("long", source)
    process = flue.start("chat", "long", "-s", "a", "hello", stdin=subprocess.DEVNULL)
    assert process.stderr.readline() == b"asleep\n"
    began = time.monotonic()

    process.send_signal(signum)
    _, err = process.communicate(timeout=20)

    assert process.returncode == -signum
    assert time.monotonic() - began < 1.9
    assert err.decode().endswith("cancelled\n")
    assert b"Traceback" not in err
    found = last_turn(flue)
    assert (found["outcome"], found["data"]) == ("cancelled", {})
    assert flue("chat", "greeting", "-s", "a", "--wait", "0", "hi", stdin=None).code == 0


def test_an_agent_that_will_not_stop_is_left(flue: Flue) -> None:
    """After two seconds of grace the command ends with the promised code, the turn settled first."""
    flue.agent("stubborn", STUBBORN)
    process = flue.start("chat", "stubborn", "-s", "a", "--json", "hello", stdin=subprocess.DEVNULL)
    assert process.stderr.readline() == b"asleep\n"
    time.sleep(0.3)  # until it really sleeps, inside its try

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGTERM
    assert json.loads(out)["error"] == {"type": "cancelled", "message": "cancelled"}
    assert err == b"cancelled\n"
    assert last_turn(flue)["outcome"] == "cancelled"
    assert flue("chat", "stubborn", "-s", "a", "--timeout", "0.1", "hello", stdin=None).code == 124
    assert last_turn(flue)["error"] == {"type": "timeout", "message": "the agent took longer than 0.1 s"}


def test_a_signal_while_waiting_leaves_nothing(flue: Flue) -> None:
    """Ctrl-C behind another turn ends the wait: no turn began, and the queue is clear."""
    flue.agent("long", SLEEPING)
    holder = flue.start("chat", "long", "-s", "a", "first", stdin=subprocess.DEVNULL)
    assert holder.stderr.readline() == b"asleep\n"
    waiter = flue.start("chat", "long", "-s", "a", "second", stdin=subprocess.DEVNULL)
    time.sleep(1)

    waiter.send_signal(signal.SIGINT)
    out, err = waiter.communicate(timeout=10)
    assert (waiter.returncode, out, err) == (-signal.SIGINT, b"", b"cancelled\n")
    holder.send_signal(signal.SIGINT)
    holder.communicate(timeout=10)

    assert [
        turn["turn"] for turn in json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]
    ] == [1]


def test_a_signal_while_reading_the_prompt(flue: Flue) -> None:
    """A signal before there is a prompt ends the command quietly; nothing was made."""
    process = flue.start("chat", "greeting", "-s", "a")
    time.sleep(0.7)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)

    assert (process.returncode, out, err) == (-signal.SIGTERM, b"", b"")
    assert not flue.store.exists()


def test_an_ignored_signal_stays_ignored(flue: Flue) -> None:
    """Under nohup a hang-up does not reach the turn."""
    flue.agent(
        "nap",
        "import time\ndef agent(prompt, session, context):\n    print('asleep', flush=True)\n    time.sleep(0.5)\n    return 'slept'",
    )
    process = flue.start(
        "chat",
        "nap",
        "-s",
        "a",
        "x",
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stderr.readline() == b"asleep\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate()[0] == b"slept\n"


def test_lines_end_at_a_signal(flue: Flue) -> None:
    """Of several lines the ones before the signal are kept, the running one is cancelled."""
    flue.agent(
        "mixed",
        "import time\ndef agent(prompt, session, context):\n    if prompt == 'long':\n        print('asleep', flush=True)\n        time.sleep(100)\n    return prompt",
    )
    process = flue.start("chat", "mixed", "-s", "a", "--lines")
    process.stdin.write(b"one\nlong\nthree\n")
    process.stdin.flush()
    assert process.stderr.readline() == b"asleep\n"
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=10)[0] == b"one\n"
    assert process.returncode == -signal.SIGINT
    turns = json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]
    assert [turn["outcome"] for turn in turns] == ["completed", "cancelled"]


def test_a_reply_whose_reader_goes_away(flue: Flue) -> None:
    """`| head -c 5` cancels what still streams, and ends as SIGPIPE would, without a word."""
    flue.agent("long", STREAMING.replace("print('asleep', flush=True)", "pass"))
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -c 5; echo "${PIPESTATUS[0]}"', "x", *flue.command, "chat", "long", "-s", "a", "go"],
        env=flue.env, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=20,
    )  # fmt: skip
    assert done.stdout == b"0 1 2141\n"
    assert done.stderr == b""
    assert (last_turn(flue)["outcome"], last_turn(flue)["error"]["type"]) == ("cancelled", "output_closed")


def test_a_reader_that_was_never_there(flue: Flue) -> None:
    """A whole reply that nobody reads is kept all the same."""
    reading, writing = os.pipe()
    os.close(reading)
    process = flue.start(
        "chat", "greeting", "-s", "a", "my name is Ada", stdin=subprocess.DEVNULL, stdout=writing
    )
    os.close(writing)
    assert process.wait() == -signal.SIGPIPE
    assert process.stderr.read() == b""
    assert last_turn(flue)["outcome"] == "completed"


def test_a_result_that_cannot_be_written(flue: Flue) -> None:
    """/dev/full and a closed standard output are 74 in one line; a whole turn was kept."""
    with open("/dev/full", "wb") as full:
        process = flue.start(
            "chat", "greeting", "-s", "a", "my name is Ada", stdin=subprocess.DEVNULL, stdout=full
        )
        assert process.wait() == 74
    assert process.stderr.read() == b"error: the result cannot be written: No space left on device\n"
    closed = subprocess.run(
        ["bash", "-c", '"$@" >&-', "x", *flue.command, "chat", "greeting", "-s", "a", "hi"],
        env=flue.env, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    assert closed.returncode == 74
    assert last_turn(flue)["messages"][1]["content"] == 'Hello again, Ada! You said: "hi"'


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_never_reach_the_store(flue: Flue, closed: str) -> None:
    """With descriptors 0 to 2 closed, prints go nowhere: above all not into the database file."""
    flue.agent("loud", "def agent(prompt, session, context):\n    print('loud' * 1000)\n    return 'reply'")
    for _ in range(2):
        done = subprocess.run(
            ["bash", "-c", f'"$@" {closed}', "x", *flue.command, "chat", "loud", "-s", "a", "hi"],
            env=flue.env, stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) in [(0, b"reply\n"), (74, b"")]
    assert b"loudloud" not in flue.store.read_bytes()
    assert flue("sessions", "show", "a", stdin=None).out.count("reply") == 2


@pytest.mark.parametrize("command", [("--help",), ("chat", "--help"), ("--version",)])
def test_help_that_cannot_be_written(flue: Flue, command: tuple[str, ...]) -> None:
    """Help into /dev/full is 74, into a pipe that closed 141, and never a traceback."""
    with open("/dev/full", "wb") as full:
        process = flue.start(*command, stdout=full)
        assert process.wait() == 74
    assert b"Traceback" not in process.stderr.read()


def test_a_plain_locale(flue: Flue) -> None:
    """In LC_ALL=C replies go out in UTF-8 and errors do not fail on a letter."""
    flue.agent(
        "umlaut",
        "def agent(prompt, session, context):\n    if prompt == 'fail':\n        raise ValueError('grün 日本')\n    return 'grün 日本'",
    )
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    assert flue("chat", "umlaut", "-s", "ä", "ja", stdin=None, env=plain).out == "grün 日本\n"
    failed = flue("chat", "umlaut", "-s", "ä", "fail", stdin=None, env=plain)
    assert failed.code == 1
    assert failed.err.startswith("error: the agent failed: ValueError: gr")
    assert flue("sessions", "list", stdin=None, env=plain).out.split("\t")[1] == "ä"


LOCALES = {"ja_JP": "EUC-JP", "zh_CN": "GBK", "en_US": "ISO-8859-1"}


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with locales that are not UTF-8."""
    folder = tmp_path_factory.mktemp("locales")
    for name, charset in LOCALES.items():
        made = subprocess.run(
            [needs_program("localedef"), "-i", name, "-f", charset, str(folder / f"{name}.{charset}")],
            capture_output=True,
            check=False,
        )
        needs(made.returncode == 0, f"the sources of the locale {name}.{charset}")
    return folder


@pytest.mark.parametrize("name", ["C", *(f"{name}.{charset}" for name, charset in LOCALES.items())])
def test_names_are_what_was_typed(flue: Flue, locales: Path, name: str) -> None:
    """In a locale of another encoding UTF-8 is read and written, in texts, options and names of files."""
    env = {"LC_ALL": name, "LOCPATH": str(locales), "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env["FLUE_HOME"] = str(flue.home / "hömé")
    flue.home.mkdir()

    talked = flue("chat", "greeting", "-s", "žluť", "my name is Žofie日😀", stdin=None, env=env)
    assert (talked.code, talked.err) == (0, "")
    assert talked.out == "Nice to meet you, Žofie日! How can I help?\n"
    assert flue("sessions", "export", "žluť", "-o", "žluť 日.json", stdin=None, env=env).code == 0
    assert [path.name for path in flue.folder.iterdir()] == ["žluť 日.json"]
    assert flue("sessions", "import", "žluť 日.json", "--session", "é", stdin=None, env=env).code == 0
    assert "é\t" in flue("sessions", "list", stdin=None, env=env).out
    missing = flue("sessions", "show", "é日", stdin=None, env=env)
    assert missing.code == 3
    assert missing.err.startswith("error: there is no session '")


# What an agent's own processes do


def test_a_process_that_an_agent_ends_is_not_the_turn(flue: Flue) -> None:
    """An agent may start processes and terminate them: the signal is theirs, and the turn completes."""
    flue.agent(
        "parent",
        "import multiprocessing, time\n"
        "def work():\n    time.sleep(30)\n"
        "def agent(prompt, session, context):\n"
        "    child = multiprocessing.get_context('fork').Process(target=work)\n"
        "    child.start()\n    time.sleep(0.1)\n    child.terminate()\n    child.join()\n    time.sleep(0.1)\n"
        "    return f'ended with {child.exitcode}'",
    )

    assert flue("chat", "parent", "-s", "a", "hi", stdin=None) == (0, "ended with -15\n", "")


def test_a_process_that_outlives_the_turn_does_not_hold_the_session(flue: Flue) -> None:
    """When a turn is killed, the processes that its agent had started do not pass for it."""
    flue.agent(
        "orphan",
        "import os, pathlib, time\n"
        "def agent(prompt, session, context):\n"
        "    if prompt == 'next':\n        return prompt\n"
        "    child = os.fork()\n    if not child:\n        time.sleep(20)\n        os._exit(0)\n"
        "    pathlib.Path('child').write_text(str(child))\n    time.sleep(60)",
    )
    killed = flue.start("chat", "orphan", "-s", "a", "hang", stdin=subprocess.DEVNULL)
    child = flue.folder / "child"
    while not (child.exists() and child.read_text()):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    try:
        after = flue("chat", "orphan", "-s", "a", "--wait", "0", "next", stdin=None)
    finally:
        os.kill(int(child.read_text()), signal.SIGKILL)

    assert after == (0, "next\n", "note: turn 1 was interrupted and not answered: hang\n")


@pytest.mark.slow
def test_an_agent_that_closes_what_is_not_its_own(flue: Flue) -> None:
    """Descriptors closed behind our back cost the turn and a clear line, never a traceback or a wrong word."""
    flue.agent(
        "closing",
        "import os, time\ndef agent(prompt, session, context):\n    os.closerange(3, 200)\n    return 'done'",
    )

    done = flue("chat", "closing", "-s", "a", "hi", stdin=None)

    assert (done.code, done.out) == (74, "")
    assert done.err == "error: the result cannot be written: Bad file descriptor\n"
    assert flue("chat", "greeting", "-s", "a", "hi", stdin=None).code == 0
