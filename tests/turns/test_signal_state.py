"""Agents that change how their process handles signals."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Flue

AGENT = """
import asyncio, os, signal, sys, time

def ignore():
    signal.signal(signal.SIGINT, signal.SIG_IGN)

def default():
    signal.signal(signal.SIGINT, signal.SIG_DFL)

def block():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])

async def listen():
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, print)

def loop():
    asyncio.run(listen())

def alarm():
    signal.alarm(1)

def wakeup():
    signal.set_wakeup_fd(-1)

def agent(prompt, session, context):
    if prompt == "change":
        CHANGE()
        return "changed"
    print("asleep", file=sys.stderr, flush=True)
    time.sleep(float(prompt))
    return "slept"
"""

STREAMING = """
import signal, time

signal.signal(signal.SIGPIPE, signal.SIG_DFL)

def agent(prompt, session, context):
    while True:
        yield "once\\n"
        time.sleep(0.1)
"""


@pytest.mark.parametrize("change", ["ignore", "default", "block", "loop", "wakeup"])
@pytest.mark.parametrize("when", ["in a turn", "when it is loaded"])
def test_a_later_turn_can_be_cancelled(flue: Flue, change: str, when: str) -> None:
    """Whatever an agent did to Ctrl-C, it cancels the next turn, which is settled as cancelled."""
    source = AGENT.replace("CHANGE()", f"{change}()")
    flue.agent("deaf", source if when == "in a turn" else f"{source}\n{change}()\n")
    process = flue.start("chat", "deaf", "-s", "a", "--lines")
    process.end_input(b"change\n60\n" if when == "in a turn" else b"60\n")
    assert process.stderr.readline() == b"asleep\n"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)

    assert process.wait(20) == -signal.SIGINT
    assert time.monotonic() - began < 10
    turns = json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]
    assert [turn["outcome"] for turn in turns] == [*["completed"] * (len(turns) - 1), "cancelled"]


def test_an_alarm_ends_with_its_turn(flue: Flue) -> None:
    """An alarm that a turn set and forgot does not go off in the next one."""
    flue.agent("alarm", AGENT.replace("CHANGE()", "alarm()"))
    done = flue("chat", "alarm", "-s", "a", "--lines", stdin="change\n1.5\n")

    assert (done.code, done.out) == (0, "changed\nslept\n")


def test_a_reader_that_goes_away_is_noticed(flue: Flue) -> None:
    """A module that asks to die by SIGPIPE does not take its turn along when nobody reads any more."""
    flue.agent("piped", STREAMING)
    process = flue.start("chat", "piped", "-s", "a", "hi", stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"once\n"
    process.stdout.close()

    assert process.wait(20) == -signal.SIGPIPE
    (turn,) = json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]
    assert turn["outcome"] == "cancelled"
