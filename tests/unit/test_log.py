"""The log says what happened and when, and never what was said."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flue_cli import log
from flue_cli.log import KEPT_FILES, Log

if TYPE_CHECKING:
    from conftest import Flue

SECRET = "xyzzy-4711"


def events(flue: Flue) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (flue.home / "log" / "flue.jsonl").read_text().splitlines()]


def test_every_turn_is_written_down(flue: Flue) -> None:
    """The log has a line for every turn: when, whose, how it ended and how long it took."""
    flue.agent("fails", "def agent(prompt, session, context):\n    raise ValueError(prompt)")
    flue("chat", "greeting", "-s", "a", "--lines", stdin="one\ntwo\n")
    flue("chat", "fails", "-s", "b", "three", stdin=None)

    turns = [event for event in events(flue) if event["event"] == "turn"]
    assert [(turn["agent"], turn["session"], turn["turn"]) for turn in turns] == [
        ("greeting", "a", 1),
        ("greeting", "a", 2),
        ("fails", "b", 1),
    ]
    assert [(turn["outcome"], turn["error"]) for turn in turns] == [
        ("completed", None),
        ("completed", None),
        ("failed", "exception"),
    ]
    assert all(turn["milliseconds"] >= 0 and turn["time"].endswith("Z") for turn in turns)


def test_a_command_that_failed_is_written_down(flue: Flue) -> None:
    """An error that ended a command is in the log with its type and exit code."""
    flue("chat", "greeting", "-s", "a", "hi", stdin=None)
    flue("sessions", "show", "nobody", stdin=None)

    assert (
        events(flue)[-1].items()
        >= {
            "event": "error",
            "command": "sessions",
            "type": "session_not_found",
            "exit_code": 3,
        }.items()
    )


def test_nothing_that_was_said_is_in_the_log(flue: Flue) -> None:
    """Prompts, replies, data, keys and the words of errors stay out of the log, whatever goes wrong."""
    flue.agent(
        "tells",
        "import os\ndef agent(prompt, session, context):\n    session.data['secret'] = prompt\n"
        "    if 'fail' in prompt:\n        raise ValueError(prompt)\n"
        "    if 'exit' in prompt:\n        raise SystemExit(prompt)\n"
        "    print(prompt)\n    return prompt",
    )
    chat = ("chat", "tells", "-s", "a")
    flue(*chat, "--turn-key", SECRET, f"{SECRET} ok", stdin=None)
    flue(*chat, "--turn-key", SECRET, "another", stdin=None)
    flue(*chat, f"{SECRET} fail", "--verbose", stdin=None)
    flue(*chat, f"{SECRET} exit", stdin=None)
    flue(*chat, "two", SECRET, stdin=None)
    flue(*chat, f"--{SECRET}", stdin=None)
    flue("chat", SECRET, "hi", stdin=None)
    flue(f"{SECRET}", stdin=None)
    flue(*chat, stdin=f"{SECRET}\0".encode())

    assert {event["event"] for event in events(flue)} == {"turn", "error"}
    assert len(events(flue)) >= 10
    assert SECRET not in (flue.home / "log" / "flue.jsonl").read_text()


def test_no_save_leaves_no_log(flue: Flue) -> None:
    """A conversation that is not kept is not written down either."""
    flue("chat", "greeting", "--no-save", "hi", stdin=None)

    assert not flue.home.exists()


def test_a_mistyped_command_makes_no_log(flue: Flue) -> None:
    """What goes wrong before there is anything to keep leaves no folder behind."""
    assert flue("chat", "nobody", "hi", stdin=None).code == 3

    assert not flue.home.exists()


def test_the_log_is_private(flue: Flue) -> None:
    """Nobody else can read the log, whatever the umask, nor the older ones beside it."""
    subprocess.run(
        ["bash", "-c", 'umask 000; exec "$@"', "-", *flue.command, "chat", "greeting", "-s", "a", "hi"],
        env=flue.env,
        stdin=subprocess.DEVNULL,
        check=True,
        capture_output=True,
    )

    assert stat.S_IMODE((flue.home / "log").stat().st_mode) == 0o700
    assert stat.S_IMODE((flue.home / "log" / "flue.jsonl").stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_costs_no_turn(flue: Flue) -> None:
    """When the log's place is taken, turns are answered all the same, without a word."""
    flue.home.mkdir(parents=True)
    (flue.home / "log").write_text("in the way")

    done = flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None)

    assert done == (0, "Nice to meet you, Ada! How can I help?\n", "")


def test_the_log_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log grows to a bound, a few older ones are kept, and no line is lost on the way."""
    monkeypatch.setattr(log, "MAX_BYTES", 2_000)
    path = tmp_path / "log" / "flue.jsonl"
    written = Log(str(path))
    for number in range(150):
        assert written.write("test", number=number)

    files = sorted(os.listdir(path.parent))
    assert files == ["flue.jsonl", *(f"flue.jsonl.{number}" for number in range(1, KEPT_FILES + 1))]
    assert all((path.parent / name).stat().st_size < 2_200 for name in files)
    newest_first = [path, *(path.with_name(f"flue.jsonl.{number}") for number in range(1, KEPT_FILES + 1))]
    kept = [
        json.loads(line)["number"] for file in newest_first[::-1] for line in file.read_text().splitlines()
    ]
    assert kept == list(range(150 - len(kept), 150))
    assert len(kept) > 60


def test_two_processes_rotate_without_losing_a_line(tmp_path: Path) -> None:
    """Several processes that fill the log at once keep every line of it, each whole."""
    script = (
        "import sys\nfrom flue_cli import log\nassert log.MAX_BYTES and log.KEPT_FILES\n"
        "log.MAX_BYTES, log.KEPT_FILES = 20_000, 99\n"
        "for number in range(300):\n    log.Log(sys.argv[1]).write('test', who=sys.argv[2], number=number)"
    )
    path = tmp_path / "log" / "flue.jsonl"

    def fill(who: int) -> int:
        return subprocess.run([sys.executable, "-c", script, str(path), str(who)], check=False).returncode

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(fill, range(4))) == [0] * 4

    lines = [json.loads(line) for file in path.parent.iterdir() for line in file.read_text().splitlines()]
    assert sorted((line["who"], line["number"]) for line in lines) == sorted(
        (str(who), number) for who in range(4) for number in range(300)
    )


def test_a_bug_is_one_line_and_a_place_to_look(flue: Flue) -> None:
    """A bug of Flue's is exit 70 with the log's path; the log has where it was, not what was said."""
    flue("chat", "greeting", "-s", "a", "hi", stdin=None)
    script = (
        "import sys\nfrom flue_cli.cli import run_command\nimport flue_cli.cli.chat as chat\n"
        f"def broken(*_, **__):\n    raise KeyError({SECRET!r})\n"
        "chat.Runner.run = broken\nsys.exit(run_command(['chat', 'greeting', '-s', 'a', 'hi']))"
    )

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script], env=flue.env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    done = run()
    path = flue.home / "log" / "flue.jsonl"
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr.splitlines() == [
        f"error: a bug in Flue: KeyError: '{SECRET}'",
        f"hint: what you had is kept; please report this with the last line of {path}",
    ]
    assert events(flue)[-1]["type"] == "KeyError"
    assert "broken" in events(flue)[-1]["frames"][-1]
    assert SECRET not in path.read_text()

    path.unlink()
    path.mkdir()
    done = run()
    assert done.returncode == 70
    assert "Traceback" in done.stderr
