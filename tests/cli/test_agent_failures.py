"""An agent's failure names the line of its own code, its cause, and the option that shows the traceback."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING

import pytest
from support.flue_serve import Served

if TYPE_CHECKING:
    from conftest import Done, Flue


def make_agent(flue: Flue, source: str, name: str = "failing.py") -> None:
    """Write an agent's file into ./agents."""
    path = flue.folder / "agents" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))


def fail(flue: Flue, *options: str) -> Done:
    done = flue("chat", "failing", "-s", "a", "hi", *options, stdin=None)
    assert done.code == 1
    return done


def error_of(flue: Flue) -> str:
    """The error line of a failed turn."""
    (line,) = [line for line in fail(flue).err.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


MISSING_KEY = """
    def agent(prompt, session, context):
        return session.data["key"]
"""


def test_a_failure_names_its_line_and_the_traceback(flue: Flue) -> None:
    """The error has file and line, the hint names --verbose, and that shows the traceback and no hint."""
    make_agent(flue, MISSING_KEY)

    assert fail(flue).err == (
        "error: the agent failed: KeyError: 'key' (agents/failing.py:3)\nhint: --verbose shows the traceback\n"
    )
    verbose = fail(flue, "--verbose").err
    assert 'return session.data["key"]' in verbose
    assert verbose.endswith("\nerror: the agent failed: KeyError: 'key' (agents/failing.py:3)\n")


def test_the_place_is_for_the_terminal_alone(flue: Flue) -> None:
    """JSON, exports and every answer over HTTP have type and message of a failure, and no file's name."""
    make_agent(flue, MISSING_KEY)
    document = fail(flue, "--json").out
    export = flue("sessions", "export", "a", stdin=None).out
    served = Served(flue)
    answers = [
        served.ask("/api/agent/failing", {"prompt": "x", "sessionId": "b"}, headers={"Accept": accept})
        for accept in ("text/plain", "application/json", "text/event-stream")
    ]
    answers.append(served.ask("/api/agent/failing/sessions/b"))
    served.stop()

    failure = {"type": "exception", "message": "the agent failed: KeyError: 'key'"}
    assert json.loads(document)["error"] == failure
    assert json.loads(export)["turns"][0]["error"] == failure
    assert "failing.py" not in document + export
    for answer in answers:
        assert "the agent failed" in answer.text
        assert ".py" not in answer.text
        assert str(flue.folder) not in answer.text
    assert "(agents/failing.py:3)" in served.process.stderr.read().decode()


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import json\ndef agent(*_):\n    json.loads(\n        '{')\n", 3),
        ("async def agent(*_):\n    import asyncio\n    await asyncio.sleep(0)\n    raise OSError\n", 4),
        ("def agent(*_):\n    yield 'x'\n    yield 1 / 0\n", 3),
        ("async def agent(*_):\n    yield 'x'\n    yield 1 / 0\n", 3),
        ("import sys\n\ndef agent(*_):\n    sys.exit('bye')\n", 4),
        ("\ndef agent(prompt):\n    pass\n", 2),
        ("def agent(p, s, context):\n    return context.record('x', lambda: 1 / 0)\n", 2),
        (
            "def agent(p, s, context):\n    def call():\n        yield 1 / 0\n"
            "    return ''.join(context.record('x', call))\n",
            3,
        ),
        ("import functools\ndef f(a, *_):\n    return a['x']\nagent = functools.partial(f, {})\n", 3),
        ("class Agent:\n    def __call__(self, *_):\n        raise OSError\nagent = Agent()\n", 3),
        ("def agent(*_):\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n        raise OSError from e\n", 5),
        ("import re\ndef agent(*_):\n    return re.sub('x', lambda _: 1 / 0, 'x')\n", 3),
    ],
    ids=[
        "in a library", "async", "generator", "async generator", "exit", "signature", "recorded call", "recorded stream",
        "partial", "callable object", "from", "callback",
    ],
)  # fmt: skip
def test_the_line_is_the_agents_own(flue: Flue, source: str, line: int) -> None:
    """Of all the code that ran, the error names the innermost line of the agent's own."""
    make_agent(flue, source)

    assert error_of(flue).endswith(f" (agents/failing.py:{line})")


def test_the_line_may_be_in_another_module_of_the_agent(flue: Flue) -> None:
    """In a folder agent, the module that failed is named."""
    make_agent(flue, "from .parts.deep import agent\n", "failing/__init__.py")
    make_agent(flue, "", "failing/parts/__init__.py")
    make_agent(flue, MISSING_KEY, "failing/parts/deep.py")

    assert error_of(flue) == "the agent failed: KeyError: 'key' (agents/failing/parts/deep.py:3)"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import json\n\nraise ValueError('no key')", "ValueError: no key (agents/failing.py:3)"),
        ("import json\njson.loads('{')", "JSONDecodeError: .* (agents/failing.py:2)"),
        ("x = 1\ndef agent(:\n", "SyntaxError: invalid syntax (agents/failing.py:2)"),
        ("def agent():\n\tif 1:\n        pass\n", "TabError: inconsistent use .* (agents/failing.py:3)"),
    ],
)
def test_an_agent_that_cannot_be_loaded_names_its_line(flue: Flue, source: str, problem: str) -> None:
    """The error of loading has file and line too, once, in a chat and in `flue agents check`."""
    (flue.folder / "agents").mkdir()
    (flue.folder / "agents" / "failing.py").write_text(source)
    pattern = problem.replace("(", r"\(").replace(")", r"\)")

    assert re.fullmatch(f"agent 'failing' cannot be loaded: {pattern}", error_of(flue))
    assert fail(flue).err.endswith("\nhint: --verbose shows the traceback\n")
    assert re.search(pattern, flue("agents", "check", "failing", stdin=None).out)


GROUP = """
    import asyncio
    async def agent(prompt, session, context):
        async def call():
            {call}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call())
"""
CAUSE = """
    def agent(prompt, session, context):
        try:
            raise ConnectionError("no route")
        except ConnectionError as error:
            {failure}
"""


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            GROUP.format(call="raise OSError('refused')"),
            "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception): OSError: refused "
            "(agents/failing.py:5)",
        ),
        (
            GROUP.format(call="raise ExceptionGroup('inner', [OSError('refused'), OSError('lost')])"),
            "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception): OSError: refused "
            "(agents/failing.py:5)",
        ),
        (
            CAUSE.format(failure="raise RuntimeError('no weather') from error"),
            "RuntimeError: no weather, caused by ConnectionError: no route (agents/failing.py:6)",
        ),
        (
            CAUSE.format(failure="raise RuntimeError('no weather') from ExceptionGroup('all', [error])"),
            "RuntimeError: no weather, caused by ConnectionError: no route (agents/failing.py:6)",
        ),
        (
            CAUSE.format(failure="raise RuntimeError(f'lost: {error!r}, ConnectionError: no route') from error"),
            "RuntimeError: lost: ConnectionError('no route'), ConnectionError: no route (agents/failing.py:6)",
        ),
        (CAUSE.format(failure="raise RuntimeError('no weather')"), "RuntimeError: no weather (agents/failing.py:6)"),
        (CAUSE.format(failure="raise error from error"), "ConnectionError: no route (agents/failing.py:4)"),
    ],
    ids=["group", "nested group", "from", "from a group", "from, said already", "while handling", "from itself"],
)  # fmt: skip
def test_the_first_cause_is_named(flue: Flue, source: str, error: str) -> None:
    """A group of exceptions is described with the first one in it, and `raise ... from` with its cause."""
    make_agent(flue, source)

    assert error_of(flue) == f"the agent failed: {error}"
