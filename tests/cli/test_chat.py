"""`flue chat` without a terminal: arguments, pipes, options and exit codes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support.sessions import json_document

if TYPE_CHECKING:
    from conftest import Flue

COUNTING = """
def agent(prompt, session, context):
    session.data["count"] = session.data.get("count", 0) + 1
    return f"{session.data['count']} {len(session.history)} {prompt}"
"""
SLEEPING = """
import time
def agent(prompt, session, context):
    time.sleep(float(prompt))
    return "slept"
"""
STUCK = """
import time
def agent(prompt, session, context):
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            pass
"""
RUNS = """
import pathlib
def agent(prompt, session, context):
    with open(pathlib.Path(__file__).parent / "runs", "a") as file:
        file.write(prompt + "\\n")
    if prompt == "fail":
        raise ValueError("as asked")
    return "ran"
"""


def wait_until_running(flue: Flue, session: str) -> None:
    """Come back once a turn of `session` is running."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if "(running)" in flue("sessions", "show", session, stdin=None).out:
            return
    pytest.fail(f"no turn of {session} ever ran")


# Prompts


def test_an_argument_is_a_prompt(flue: Flue) -> None:
    """A prompt given as an argument is answered, whether or not there is a standard input."""
    assert flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None).out.startswith(
        "Nice to meet you, Ada"
    )
    assert flue("chat", "greeting", "-s", "a", "hi", stdin="").out == 'Hello again, Ada! You said: "hi"\n'


def test_an_argument_and_a_pipe_are_one_prompt(flue: Flue) -> None:
    """The argument comes first, then a blank line, then what was piped in."""
    flue.agent("repeat", "def agent(prompt, session, context): return prompt")

    done = flue("chat", "repeat", "-s", "a", "Summarise this:", stdin="one\ntwo\n")

    assert done.out == "Summarise this:\n\none\ntwo\n"


def test_standard_input_is_left_alone(flue: Flue) -> None:
    """With -n the prompt is the argument, and a shell's loop over its own standard input runs for every line."""
    (flue.folder / "list").write_text("one\ntwo\nthree\n")
    command = shlex.join([*flue.command, "chat", "greeting", "-n", "hello", "-s"])
    loop = f'while read -r name; do {command} "$name" || exit; done < list'
    done = subprocess.run(["sh", "-c", loop], cwd=flue.folder, env=flue.env, capture_output=True, check=True)

    assert done.stderr == b""
    listed = flue("sessions", "list", stdin=None).out.splitlines()
    assert [line.split("\t")[1] for line in listed] == ["three", "two", "one"]
    resumed = flue("sessions", "resume", "one", "--no-stdin", "--json", "hi", stdin="two")
    assert json_document(resumed.out)["prompt"] == "hi"


@pytest.mark.parametrize("rest", [(), ("-s", "a")])
def test_no_stdin_needs_a_prompt(flue: Flue, rest: tuple[str, ...]) -> None:
    """-n without a PROMPT leaves nothing to answer: 2, also with a prompt on standard input."""
    done = flue("chat", "greeting", "-n", *rest, stdin="x")

    assert (done.code, done.out) == (2, "")
    assert "give a PROMPT" in done.err


def test_what_was_added_to_the_prompt_is_said_on_a_terminal(flue: Flue) -> None:
    """A terminal is told how much of standard input the agent got; a log or pipe behind stderr is not."""
    screen, stderr = os.openpty()
    (flue.folder / "list").write_text("two\nthree\n")
    with open(flue.folder / "list") as rest, open(stderr, "wb", buffering=0) as terminal:
        process = flue.start("chat", "greeting", "-s", "one", "hello", stdin=rest, stderr=terminal)
        assert process.wait() == 0
    told = os.read(screen, 4096).decode()
    os.close(screen)

    assert "added 10 bytes of standard input to the prompt (-n leaves standard input alone)" in told
    assert flue("chat", "greeting", "-s", "one", "hello", stdin="two\n").err == ""


def test_the_reply_is_printed_byte_for_byte(flue: Flue) -> None:
    """Off a terminal nothing is done to a reply but that a missing newline is added."""
    reply = "\x1b[31mred\x1b[0m [bold]x[/bold] <b>&amp;</b> \r\n\t\u202e\x00\x7f end"
    flue.agent("raw", f"def agent(prompt, session, context): return {reply!r} + prompt")

    assert flue("chat", "raw", "-s", "a", "", stdin="x").out == reply + "x\n"
    assert flue("chat", "raw", "-s", "a", "newline\n", stdin=None).out == reply + "newline\n"


@pytest.mark.parametrize(
    ("piped", "prompt"),
    [
        (b"\xef\xbb\xbfhello", "hello"),
        (b"one\r\ntwo\r\n", "one\ntwo"),
        (b"two newlines\n\n", "two newlines\n"),
        (b"/help", "/help"),
        ("日本語 🎉".encode(), "日本語 🎉"),
        (b" \n", " "),
    ],
)
def test_what_is_piped_becomes_the_prompt(flue: Flue, piped: bytes, prompt: str) -> None:
    """A BOM and one final newline go, CRLF is a newline, and nothing is ever a slash command."""
    assert json_document(flue("chat", "greeting", "-s", "a", "--json", stdin=piped).out)["prompt"] == prompt


@pytest.mark.parametrize(
    ("piped", "complaint"),
    [
        (b"", "there is no prompt"),
        (b"\n", "there is no prompt"),
        (b"ab\xff", "not UTF-8 at byte 2"),
        (b"\xef\xbb\xbfab\xff", "not UTF-8 at byte 5"),
        (b"a\0b", "NUL at byte 1"),
        (b"x" * (16 * 2**20 + 1), "more than 16 MiB"),
    ],
)
def test_input_that_is_no_prompt_is_refused(flue: Flue, piped: bytes, complaint: str) -> None:
    """Unusable input is an error of its own (2), says where, and leaves no session behind."""
    done = flue("chat", "greeting", "-s", "a", stdin=piped)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert complaint in done.err
    assert not flue.store.exists()


def test_a_prompt_of_16_mib_is_kept_whole(flue: Flue) -> None:
    """The largest prompt that is allowed is answered and stored."""
    flue.agent("measure", "def agent(prompt, session, context): return str(len(prompt))")

    assert flue("chat", "measure", "-s", "a", stdin=b"x" * 16 * 2**20).out == f"{16 * 2**20}\n"


def test_an_argument_that_is_not_utf8_is_refused(flue: Flue) -> None:
    """Bytes that are no text cannot be a prompt or a name, and are shown as what they are."""
    done = subprocess.run(
        [*flue.command, "chat", "greeting", b"caf\xe9"],
        env=flue.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == b"error: the prompt is not UTF-8\n"


def test_a_silent_pipe_is_named_after_two_seconds(flue: Flue) -> None:
    """With a PROMPT and an open, silent standard input we say what we wait for."""
    process = flue.start("chat", "greeting", "-s", "a", "hello")
    try:
        assert b"waiting for standard input" in process.stderr.readline()
    finally:
        out, _ = process.communicate()
    assert out.startswith(b"I don't know your name yet")


def test_a_prompt_that_looks_like_an_option_gets_a_hint(flue: Flue) -> None:
    """A prompt that begins with a hyphen is an unknown option; the hint says how to send it."""
    done = flue("chat", "greeting", "-hello", stdin=None)
    assert done.code == 2
    assert "'-' goes after '--'" in done.err

    assert flue("chat", "greeting", "-s", "a", "--", "--my name is Ada", stdin=None).out.startswith("Nice")


# Lines


def test_every_line_is_a_turn(flue: Flue) -> None:
    """With --lines each line that is not blank is answered in order, in one session."""
    flue.agent("counting", COUNTING)

    done = flue("chat", "counting", "-s", "a", "--lines", stdin="one\n\n   \ntwo\r\nthree")

    assert done == (0, "1 0 one\n2 2 two\n3 4 three\n", "")


def test_lines_stop_at_the_first_failure(flue: Flue) -> None:
    """What comes after a turn that failed is not sent, and the person is told which line failed."""
    flue.agent("runs", RUNS)

    lines = "one\n\nfail\nthree\n \nfour"
    done = flue("chat", "runs", "-s", "a", "--lines", "--json", stdin=lines)

    assert done.code == 1
    assert [json_document(line)["outcome"] for line in done.out.splitlines()] == ["completed", "failed"]
    stopped, error, _ = done.err.splitlines()
    assert stopped == "stopped at line 3: 2 lines were not run; --keep-going goes on after a line that fails"
    assert error.startswith("error: line 3: the agent failed: ValueError: as asked")
    assert (flue.home / "agents" / "runs").read_text() == "one\nfail\n"


def test_a_last_line_that_fails(flue: Flue) -> None:
    """If the last line fails, nothing is left that was not run."""
    flue.agent("runs", RUNS)

    done = flue("chat", "runs", "--lines", stdin="one\nfail\n\n")

    assert done.err.startswith("error: line 2: the agent failed: ")


def test_a_failure_while_more_may_come(flue: Flue) -> None:
    """A pipe whose other end is still open is not waited for: what follows is not run."""
    flue.agent("runs", RUNS)
    process = flue.start("chat", "runs", "--lines")
    process.stdin.write(b"fail\ntwo\n")
    process.stdin.flush()

    assert process.stderr.readline().decode().startswith("stopped at line 1: what follows was not run; ")
    assert process.wait() == 1


def test_lines_that_keep_going(flue: Flue) -> None:
    """With --keep-going every line is sent, each failure names its line, and the exit code is 1 at the end."""
    flue.agent("runs", RUNS)

    lines = b"fail\none\nt\xffo\nfail\nfour\n"
    done = flue("chat", "runs", "--lines", "--keep-going", stdin=lines)

    assert (done.code, done.out) == (1, "ran\nran\n")
    errors = [line for line in done.err.splitlines() if not line.startswith("hint: ")]
    assert [error.partition(": the agent failed")[0] for error in errors] == [
        "error: line 1",
        "error: line 3: standard input is not UTF-8 at byte 10",
        "error: line 4",
        "3 of 5 lines failed",
    ]
    assert (flue.home / "agents" / "runs").read_text() == "fail\none\nfail\nfour\n"
    assert len(flue("sessions", "list", stdin=None).out.splitlines()) == 1
    assert flue("chat", "runs", "--lines", "--keep-going", stdin="one\ntwo\n") == (0, "ran\nran\n", "")


def test_keep_going_does_not_outlive_a_signal(flue: Flue) -> None:
    """Ctrl-C ends a run of lines with --keep-going, and what was not run is counted."""
    flue.agent("sleeping", SLEEPING)
    (flue.folder / "lines").write_text("0\n30\n30\n30\n")
    with open(flue.folder / "lines") as lines:
        process = flue.start("chat", "sleeping", "-s", "a", "--lines", "--keep-going", stdin=lines)
    assert process.stdout.readline() == b"slept\n"
    wait_until_running(flue, "a")
    process.send_signal(signal.SIGINT)

    _, err = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert err.decode().splitlines() == ["stopped at line 2: 2 lines were not run", "cancelled"]


def test_a_stuck_agent_ends_a_run_of_lines(flue: Flue) -> None:
    """An agent that does not stop in time ends the process with 124, and the line that it was is named."""
    flue.agent("stuck", STUCK)

    done = flue("chat", "stuck", "--lines", "--keep-going", "--timeout", "0.2", stdin="one\ntwo\n")

    assert (done.code, done.out) == (124, "")
    stopped, error = done.err.splitlines()
    assert stopped == "stopped at line 1: 1 line was not run"
    assert error.startswith("error: line 1: ")


def test_lines_are_answered_as_they_come(flue: Flue) -> None:
    """A program at the other end of the pipe gets each reply before it sends the next line."""
    flue.agent("counting", COUNTING)
    process = flue.start("chat", "counting", "-s", "a", "--lines")
    for number in (1, 2, 3):
        process.stdin.write(f"line {number}\n".encode())
        process.stdin.flush()
        assert process.stdout.readline().decode() == f"{number} {2 * number - 2} line {number}\n"
    process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("also", [("hello",), ("--turn-key", "k"), ("-n",)])
def test_lines_go_with_neither_prompt_nor_key(flue: Flue, also: tuple[str, ...]) -> None:
    """--lines makes many turns of standard input: a PROMPT, --turn-key or --no-stdin beside it is a mistake."""
    assert flue("chat", "greeting", "-s", "a", "--lines", *also, stdin="x").code == 2


def test_keep_going_needs_lines(flue: Flue) -> None:
    """--keep-going for a single prompt is a mistake."""
    assert flue("chat", "greeting", "-s", "a", "--keep-going", "x", stdin=None).code == 2


def test_a_bad_line_is_found_where_it_is(flue: Flue) -> None:
    """Turns before an unusable line are kept; the error names the byte in the whole input."""
    flue.agent("counting", COUNTING)

    done = flue("chat", "counting", "-s", "a", "--lines", stdin=b"one\nt\xffo\n")

    assert (done.code, done.out) == (2, "1 0 one\n")
    assert done.err == "error: line 2: standard input is not UTF-8 at byte 5\n"


# JSON


def test_json_is_one_document_a_turn(flue: Flue) -> None:
    """--json gives everything a program needs to go on, with the field names of the manual."""
    done = flue("chat", "greeting", "-s", "ålice", "--json", "--turn-key", "k1", "my name is Ada", stdin=None)

    assert json_document(done.out) == {
        "agent": "greeting",
        "session": "ålice",
        "turn": 1,
        "outcome": "completed",
        "prompt": "my name is Ada",
        "reply": "Nice to meet you, Ada! How can I help?",
        "data": {"userName": "Ada"},
        "version": 1,
        "key": "k1",
        "replayed": False,
    }
    assert list(json_document(done.out))[:4] == ["agent", "session", "turn", "outcome"]
    assert done.out.count("\n") == 1


def test_json_of_a_failed_turn_has_its_error(flue: Flue) -> None:
    """A turn that began and failed has a document too, with the data as it was before."""
    flue.agent(
        "fails",
        'def agent(prompt, session, context):\n    session.data["x"] = 1\n    raise ValueError("no [red]luck[/]")',
    )

    done = flue("chat", "fails", "-s", "a", "--json", "hello", stdin=None)

    found = json_document(done.out)
    assert done.code == 1
    assert (found["outcome"], found["reply"], found["data"]) == ("failed", None, {})
    assert found["error"] == {"type": "exception", "message": "the agent failed: ValueError: no [red]luck[/]"}


def test_stream_json_is_an_event_a_line(flue: Flue) -> None:
    """A program that follows a turn is told when it begins, every piece of the reply, and how it ended."""
    flue.agent(
        "counts",
        "def agent(prompt, session, context):\n    session.data['n'] = 1\n    yield 'one '\n    yield 'two\\n'\n"
        "    if prompt == 'fail':\n        raise ValueError('no three')",
    )
    chat = ("chat", "counts", "-s", "a", "--output-format", "stream-json")

    done = flue(*chat, "go", stdin=None)
    started, *deltas, ended = map(json.loads, done.out.splitlines())
    assert started == {
        "type": "turn.started", "agent": "counts", "session": "a", "turn": 1, "prompt": "go", "key": None,
    }  # fmt: skip
    assert deltas == [{"type": "reply.delta", "text": "one "}, {"type": "reply.delta", "text": "two\n"}]
    exported = json.loads(flue("chat", "counts", "-s", "b", "--json", "go", stdin=None).out)
    assert ended == {"type": "turn.completed", **exported, "session": "a"}

    failed = flue(*chat, "fail", stdin=None)
    kinds = [json.loads(line)["type"] for line in failed.out.splitlines()]
    assert kinds == ["turn.started", "reply.delta", "reply.delta", "turn.failed"]
    last = json.loads(failed.out.splitlines()[-1])
    assert (failed.code, last["outcome"], last["reply"]) == (1, "failed", None)
    assert last["error"] == {"type": "exception", "message": "the agent failed: ValueError: no three"}


def test_stream_json_comes_as_it_happens(flue: Flue) -> None:
    """An event can be read while the agent still works."""
    flue.agent(
        "slow", "import time\ndef agent(prompt, session, context):\n    yield 'one'\n    time.sleep(60)"
    )
    process = flue.start("chat", "slow", "-s", "a", "--output-format", "stream-json", "x", stdin=None)

    assert json.loads(process.stdout.readline())["type"] == "turn.started"
    assert json.loads(process.stdout.readline()) == {"type": "reply.delta", "text": "one"}
    process.send_signal(signal.SIGTERM)
    assert json.loads(process.stdout.readline())["type"] == "turn.cancelled"
    assert process.wait(timeout=30) in (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_the_deltas_are_the_reply(flue: Flue) -> None:
    """Also of an agent that does not stream, of an empty reply, and of a turn that is answered again."""
    flue.agent("says", "def agent(prompt, session, context):\n    return prompt.removeprefix('nothing')")
    chat = ("chat", "says", "-s", "a", "--output-format", "stream-json")
    for options, kinds, text in (
        (("--turn-key", "k", "hello"), ["turn.started", "reply.delta", "turn.completed"], "hello"),
        (("nothing",), ["turn.started", "turn.completed"], ""),
        (("--turn-key", "k", "hello"), ["turn.started", "reply.delta", "turn.completed"], "hello"),
    ):
        events = [json.loads(line) for line in flue(*chat, *options, stdin=None).out.splitlines()]
        assert [event["type"] for event in events] == kinds
        assert "".join(event.get("text", "") for event in events) == events[-1]["reply"] == text


def test_lines_stream_turn_after_turn(flue: Flue) -> None:
    """With --lines the events of one turn follow those of the one before."""
    done = flue("chat", "greeting", "-s", "a", "--lines", "--output-format", "stream-json", stdin="x\ny\n")

    assert [json.loads(line)["type"] for line in done.out.splitlines()] == [
        "turn.started",
        "reply.delta",
        "turn.completed",
    ] * 2


def test_output_formats_have_names(flue: Flue) -> None:
    """--json is --output-format json, text is what there is without, and anything else is refused."""
    chat = ("chat", "greeting", "-s", "a", "--turn-key", "k", "hi")
    flue(*chat, stdin=None)
    plain = flue(*chat, stdin=None).out

    assert flue(*chat, "--output-format", "text", stdin=None).out == plain
    assert flue(*chat, "--output-format", "json", stdin=None) == flue(*chat, "--json", stdin=None)
    assert flue(*chat, "--output-format", "xml", stdin=None) == (
        2, "", "error: there is no output format 'xml'\nhint: there are: text, json, stream-json\n",
    )  # fmt: skip
    assert flue(*chat, "--json", "--output-format", "text", stdin=None).code == 2
    resumed = flue("sessions", "resume", "a", "--output-format", "stream-json", "hi", stdin=None).out
    assert json.loads(resumed.splitlines()[-1])["type"] == "turn.completed"


def test_an_error_before_the_turn_is_on_stderr_alone(flue: Flue) -> None:
    """Where no turn began, stdout stays empty even with --json."""
    done = flue("chat", "nobody", "-s", "a", "--json", "hello", stdin=None)
    assert (done.code, done.out) == (3, "")


# Keys, waiting and time


def test_the_same_key_runs_once(flue: Flue) -> None:
    """A retry with the same --turn-key gets the same reply, and the agent ran once."""
    runs = flue.agent("runs", RUNS).parent / "runs"

    replies = [
        flue("chat", "runs", "-s", "a", "--turn-key", "k", "--json", "do it", stdin=None) for _ in range(2)
    ]

    first, second = (json_document(done.out) for done in replies)
    assert runs.read_text() == "do it\n"
    assert (first.pop("replayed"), second.pop("replayed")) == (False, True)
    assert first == second


def test_a_key_names_one_prompt(flue: Flue) -> None:
    """Another prompt under a used key is a conflict (4); one that failed may run anew."""
    flue.agent("runs", RUNS)
    flue("chat", "runs", "-s", "a", "--turn-key", "k", "one", stdin=None)

    assert flue("chat", "runs", "-s", "a", "--turn-key", "k", "two", stdin=None).code == 4
    assert flue("chat", "runs", "-s", "a", "--turn-key", "f", "fail", stdin=None).code == 1
    assert flue("chat", "runs", "-s", "a", "--turn-key", "f", "now", stdin=None).code == 0


def test_a_retry_of_a_new_session_is_answered(flue: Flue) -> None:
    """A command with --new and a key can be repeated as it stands."""
    command = ("chat", "greeting", "-s", "a", "--new", "--turn-key", "k", "my name is Ada")

    assert flue(*command, stdin=None) == flue(*command, stdin=None)
    assert flue(*command[:-1], "another", stdin=None).code == 4


def test_a_busy_session_is_waited_for(flue: Flue) -> None:
    """A second terminal waits its turn; with --wait 0 it is told who is there, and since when."""
    flue.agent("sleeping", SLEEPING)
    first = flue.start("chat", "sleeping", "-s", "a", "3", stdin=subprocess.DEVNULL)
    wait_until_running(flue, "a")

    refused = flue("chat", "sleeping", "-s", "a", "--wait", "0", "0", stdin=None)
    other = flue("chat", "sleeping", "-s", "b", "--wait", "0", "0", stdin=None)
    waited = flue("chat", "sleeping", "-s", "a", "0", stdin=None)

    assert refused.code == 4
    assert f"session 'a' is busy: another process (pid {first.pid} on {os.uname().nodename})" in refused.err
    assert other == (0, "slept\n", "")
    assert waited == (0, "slept\n", "")
    assert first.wait() == 0
    assert flue("sessions", "show", "a", stdin=None).out.split("\n\n")[0] == "[1]\n> 3\nslept"


def test_a_timeout_bounds_the_agent(flue: Flue) -> None:
    """An agent that takes longer than --timeout fails with 124, and nothing of it is kept."""
    flue.agent("sleeping", SLEEPING)

    done = flue("chat", "sleeping", "-s", "a", "--timeout", "0.3", "--json", "60", stdin=None)

    found = json_document(done.out)
    assert done.code == 124
    assert (found["outcome"], found["error"]["type"]) == ("failed", "timeout")
    assert flue("chat", "sleeping", "-s", "a", "--timeout", "20", "0", stdin=None).code == 0


def test_what_an_agent_prints_is_not_the_result(flue: Flue) -> None:
    """Prints of an agent and of programs it starts go to stderr; its escapes are left out or visible there."""
    flue.agent(
        "loud",
        'import subprocess, sys\nprint("while loading")\ndef agent(prompt, session, context):\n    print("\\x1b[31mprinted\\x1b[0m \\x1b[2J")\n'
        '    sys.stdout.buffer.write(b"bytes\\n")\n    subprocess.run(["echo", "child"], check=True)\n    return "result"',
    )

    done = flue("chat", "loud", "-s", "a", "hi", stdin=None)

    assert (done.code, done.out) == (0, "result\n")
    assert done.err.splitlines() == ["while loading", "printed ^[[2J", "bytes", "child"]


def test_large_data_is_warned_about(flue: Flue) -> None:
    """Past 1 MiB of data the turn still completes, with a warning; past 16 MiB it fails."""
    flue.agent(
        "grow",
        'def agent(prompt, session, context):\n    session.data["x"] = "x" * int(prompt)\n    return "ok"',
    )

    warned = flue("chat", "grow", "-s", "a", str(2 * 2**20), stdin=None)
    refused = flue("chat", "grow", "-s", "a", str(17 * 2**20), stdin=None)

    assert (warned.code, warned.out) == (0, "ok\n")
    assert warned.err.startswith("warning: the session's data has grown to 2.0 MiB")
    assert refused.code == 1
    assert "more than 16 MiB" in refused.err


def test_a_thread_left_running_does_not_keep_the_command(flue: Flue) -> None:
    """The reply is there at once, and the command ends although the agent's thread would not."""
    flue.agent(
        "threads",
        'import threading, time\ndef agent(prompt, session, context):\n    threading.Thread(target=time.sleep, args=(600,)).start()\n    return "done"',
    )

    assert flue("chat", "threads", "hi", stdin=None).out == "done\n"
