"""Agents that freeze the time of their process, as tests and simulations do."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Flue

FROZEN = """
import time
from freezegun import freeze_time

def agent(prompt, session, context):
    freeze_time("2001-02-03").start()  # and never ended
    if prompt == "sleep":
        time.sleep(30)
    return time.strftime("%Y")
"""

PATCHED = """
import time
from unittest.mock import patch

def agent(prompt, session, context):
    for name in ("time", "time_ns", "monotonic", "monotonic_ns"):
        patch.object(time, name, lambda: 981158400).start()
    if prompt == "sleep":
        time.sleep(30)
    return "2001"
"""


@pytest.mark.parametrize("agent", [FROZEN, PATCHED])
def test_turns_have_the_real_time(flue: Flue, agent: str) -> None:
    """A turn that freezes the clock has the time at which it was, and so have those after it."""
    flue.agent("frozen", agent)
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    done = flue("chat", "frozen", "-s", "s", "--lines", "--timeout", "20", stdin="one\ntwo\n")
    after = datetime.now(UTC)

    assert (done.code, done.out) == (0, "2001\n2001\n")
    session = json.loads(flue("sessions", "export", "s", stdin=None).out)
    times = [turn[name] for turn in session["turns"] for name in ("started_at", "finished_at")]
    moments = [datetime.fromisoformat(moment) for moment in [*times, session["updated_at"]]]
    assert moments == sorted(moments)
    assert before <= moments[0] <= moments[-1] <= after


@pytest.mark.parametrize("agent", [FROZEN, PATCHED])
def test_a_time_limit_holds(flue: Flue, agent: str) -> None:
    """A turn that freezes the clock still ends when its time is up, not at once and not never."""
    flue.agent("frozen", agent)
    flue("chat", "frozen", "-s", "s", "freeze", stdin=None)  # freezegun has been imported once
    began = time.monotonic()
    done = flue("chat", "frozen", "-s", "s", "--timeout", "1", "sleep", stdin=None)

    assert done.code == 124
    assert 1 <= time.monotonic() - began < 20
