"""Conversation scripts in a person's own tests: pytest with the plugin that Flue brings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

ECHO = "def agent(prompt, session, context):\n    return prompt\n"


def script(pytester: pytest.Pytester, name: str, text: str) -> None:
    """A script beside the person's tests, and the agent it is about."""
    agents = pytester.path / "agents"
    agents.mkdir(exist_ok=True)
    (agents / "echo.py").write_text(ECHO)
    (pytester.path / name).parent.mkdir(exist_ok=True)
    (pytester.path / name).write_text(text)


def test_scripts_are_tests(pytester: pytest.Pytester) -> None:
    """Each *.flue file is a test of its own beside the others; agents are found in ./agents."""
    script(pytester, "tests/one.flue", "agent: echo\n> hi\n  hi\n")
    script(pytester, "tests/two.flue", "agent: echo\n> hi\n  hi\n")
    pytester.makepyfile(test_other="def test_other(): pass")

    done = pytester.runpytest("-v")

    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines(["tests/one.flue::one PASSED*", "tests/two.flue::two PASSED*"])


def test_a_failure_is_readable(pytester: pytest.Pytester) -> None:
    """Every turn that is not as expected, with its place and a diff, and no traceback of ours."""
    script(pytester, "one.flue", "agent: echo\n> hi\n  hi\n> a\n  b\n> c\n  d\n")

    done = pytester.runpytest()

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*one.flue:5: the reply differs", "> a", "-b", "+a", "*one.flue:7: *", "> c"])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_mistakes_are_told(pytester: pytest.Pytester) -> None:
    """A script that cannot be understood, a missing and a broken agent are failures; other scripts run."""
    script(pytester, "one.flue", "agent: echo\n> hi\nsed: 1\n")
    script(pytester, "two.flue", "\nagent: ecko\n> hi\n")
    script(pytester, "three.flue", "agent: broken\n> hi\n")
    (pytester.path / "agents" / "broken.py").write_text("raise LookupError('nothing here')")

    script(pytester, "four.flue", "agent: echo\n> hi\n  hi\n")

    done = pytester.runpytest()

    done.assert_outcomes(passed=1, failed=3)
    done.stdout.fnmatch_lines(
        [
            "*one.flue:3: there is no field 'sed'",
            "hint: did you mean seed?",
            "*three.flue:1: agent 'broken' cannot be loaded: LookupError: nothing here (agents/broken.py:1)",
            "*two.flue:2: there is no agent 'ecko'",
            "hint: did you mean echo?",
        ]
    )


def test_agents_may_be_elsewhere(pytester: pytest.Pytester) -> None:
    """The ini option names folders, which come first; a folder that is not there is told."""
    script(pytester, "one.flue", "agent: echo\n> hi\n  HI\n")
    (pytester.path / "src").mkdir()
    (pytester.path / "src" / "echo.py").write_text(ECHO.replace("return prompt", "return prompt.upper()"))
    pytester.makeini("[pytest]\nflue_agents = src")

    pytester.runpytest().assert_outcomes(passed=1)
    pytester.makeini("[pytest]\nflue_agents = source")
    done = pytester.runpytest()

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*flue_agents: there is no folder *source"])


def test_an_agent_is_loaded_once(pytester: pytest.Pytester) -> None:
    """However many scripts are about it; what it prints is captured as any test's."""
    for name in ("one.flue", "two.flue"):
        script(pytester, name, "agent: echo\n> hi\n  ho\n")
    (pytester.path / "agents" / "echo.py").write_text("print('loaded')\n" + ECHO)

    done = pytester.runpytest()

    assert done.stdout.str().count("Captured stdout") == done.stdout.str().count("\nloaded\n") == 1


def test_other_projects_pay_nothing(pytester: pytest.Pytester) -> None:
    """Where there is no script, the plugin has imported nothing but itself."""
    pytester.makepyfile(
        "import json, sys\n"
        "def test_modules():\n"
        "    print(json.dumps([name for name in sys.modules if name.startswith('flue_cli')]))\n"
    )

    done = pytester.runpytest_subprocess("-s", "-q")

    (line,) = [line for line in done.outlines if "[" in line and "flue_cli" in line]
    assert json.loads(line[: line.index("]") + 1]) == ["flue_cli", "flue_cli.pytest_plugin"]


def test_ctrl_c_ends_the_run(pytester: pytest.Pytester) -> None:
    """An agent that is thinking is stopped; it is pytest that was interrupted, not a test that failed."""
    script(pytester, "one.flue", "agent: echo\n> hi\n  hi\n")
    (pytester.path / "agents" / "echo.py").write_text(
        "import sys, time\ndef agent(prompt, session, context):\n    print('thinking', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s"], stdout=subprocess.PIPE, env=dict(os.environ), text=True
    )
    assert process.stdout
    assert any("thinking" in line for line in iter(process.stdout.readline, ""))

    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)

    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in out
    assert "failed" not in out
