"""The part of a reply that came before its turn failed or was cancelled."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.turn_host import Host

from flue_cli.agents.api import Reply
from flue_cli.errors import FlueError, OutputClosed, cancelled_by
from flue_cli.jsondata.strict import MAX_BYTES
from flue_cli.stores.rules import partial_reply
from flue_cli.turns import watchdog
from flue_cli.turns.cancellation import Cancellation

if TYPE_CHECKING:
    from conftest import Flue

STORY = """
import os, signal, time

def agent(prompt, session, context):
    yield "Once upon a time\\n"
    yield "there was a \\x1b[2J house"
    if prompt == "fail":
        raise ValueError("no more")
    if prompt == "cancel":
        os.kill(os.getpid(), signal.SIGINT)
    if prompt != "end":
        time.sleep(20)
"""


def storyteller(*pieces: object) -> Any:
    def agent(*_: Any) -> Iterator[object]:
        yield from pieces
        raise ValueError("no more")

    return agent


async def breaking_off(*_: Any) -> AsyncIterator[str]:
    yield "once "
    yield "upon"
    raise ValueError("no more")


def unstorable(*_: Any) -> Iterator[object]:
    yield "once "
    yield Reply("upon", meta={"not": {"JSON"}})


@pytest.mark.parametrize(
    ("agent", "part"),
    [
        (storyteller("once ", "upon"), "once upon"),
        (breaking_off, "once upon"),
        (unstorable, "once upon"),
        (storyteller("once ", 5), "once "),
        (storyteller("once ", "\ud800"), "once "),
        (storyteller("", ""), ""),
        (storyteller(), ""),
    ],
)
def test_a_failed_turn_keeps_its_pieces(host: Host, agent: Any, part: str) -> None:
    """Every piece that came is kept with the failed turn, and is neither its reply nor in the history."""
    turn = host.turn(agent)

    assert (turn.outcome, turn.reply) == ("failed", None)
    (entry,) = host.entries
    assert entry.reply is None
    assert partial_reply(entry) == part
    assert ("partial_reply" in entry.meta) is bool(part)
    assert host.history == []


def test_a_timed_out_turn_keeps_its_pieces(host: Host) -> None:
    """A turn that runs out of time keeps the pieces that came in time."""

    def slow(*_: Any) -> Iterator[str]:
        yield "once "
        threading.Event().wait(5)
        yield "upon"

    turn = host.turn(slow, timeout=0.1)

    assert turn.outcome == "failed"
    assert partial_reply(host.entries[0]) == "once "


def test_an_agent_that_does_not_stop_loses_no_piece(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that is ended over the head of its agent keeps the pieces that came before."""
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.1)
    cancellation, given_up = Cancellation(), threading.Event()

    def deaf(*_: Any) -> Iterator[str]:
        yield "once "
        cancellation.request(cancelled_by(signal.SIGINT), stop=False)
        given_up.wait(5)
        yield "upon"

    host.turn(deaf, cancellation=cancellation, on_stuck=lambda settled: given_up.set())

    assert [(entry.outcome, partial_reply(entry)) for entry in host.entries] == [("cancelled", "once ")]


def test_a_reader_that_goes_away_leaves_the_pieces(host: Host) -> None:
    """`| head -1` ends the turn, and what the agent had said by then is kept."""

    def write(piece: str) -> None:
        if piece == "upon":
            raise OutputClosed("nobody reads the result any more")

    turn = host.turn(storyteller("once ", "upon"), on_piece=write)

    assert isinstance(turn.error, OutputClosed)
    assert partial_reply(host.entries[0]) == "once upon"


def test_a_completed_turn_has_no_partial_reply(host: Host) -> None:
    """A word of the agent's own meta is not taken for one."""
    host.turn(lambda *_: Reply("whole", meta={"partial_reply": "mine"}))

    (entry,) = host.entries
    assert entry.meta["partial_reply"] == "mine"
    assert partial_reply(entry) == ""


@pytest.mark.parametrize("letter", ["ž", "😀"])
def test_a_partial_reply_fits_into_an_export(quick: Host, letter: str) -> None:
    """A reply that is broken off far beyond 16 MiB of JSON is cut, so that an export of it can be imported."""
    quick.turn(storyteller(*[letter * (MAX_BYTES // 8)] * 4))

    (entry,) = quick.entries
    text = partial_reply(entry)
    assert text
    assert text == letter * len(text)
    assert MAX_BYTES * 0.9 < len(json.dumps(dict(entry.meta))) <= MAX_BYTES


def test_an_error_while_it_is_shown_is_no_loss(host: Host) -> None:
    """A failure of the terminal is the turn's error, and the turn keeps what the agent gave."""

    def write(piece: str) -> None:
        raise FlueError("broken terminal")

    host.turn(storyteller("once "), on_piece=write)

    assert partial_reply(host.entries[0]) == "once "


# With the command


@pytest.fixture
def told(flue: Flue) -> Flue:
    """A session with a whole story, one that failed, and one that was cancelled."""
    flue.agent("story", STORY)
    for prompt in ("end", "fail", "cancel"):
        flue("chat", "story", "-s", "s", prompt, stdin=None)
    return flue


def test_show_marks_the_part(told: Flue) -> None:
    """`sessions show` has what came before a turn failed or was cancelled, and says that it is only that."""
    shown = told("sessions", "show", "s", stdin=None).out

    part = "Once upon a time\nthere was a \x1b[2J house\n"
    assert shown.split("\n\n") == [
        f"[1]\n> end\n{part}".rstrip("\n"),
        f"[2] (failed)\n> fail\n(before it failed:)\n{part}(the agent failed: ValueError: no more)",
        f"[3] (cancelled)\n> cancel\n(before it was cancelled:)\n{part}(cancelled)\n",
    ]


@pytest.mark.parametrize(
    ("form", "mark"),
    [
        ("txt", "assistant (before it was cancelled): Once upon a time\n  there was a ^[[2J house\n"),
        ("md", "**assistant** (before it was cancelled)\n\n```text\nOnce upon a time\nthere was a ^[[2J"),
        ("html", "<h3>assistant · before it was cancelled</h3>"),
        ("json", '"partial_reply": "Once upon a time\\nthere was'),
        ("jsonl", '"partial_reply": "Once upon a time\\nthere was'),
    ],
)
def test_exports_mark_the_part(told: Flue, form: str, mark: str) -> None:
    """Every export to read or to import again has the part, marked, and --redact takes out of it too."""
    plain = told("sessions", "export", "s", "--format", form, stdin=None).out
    redacted = told(
        "sessions", "export", "s", "--format", form, "--redact", "Once upon|house", stdin=None
    ).out

    assert mark in plain
    assert plain.count("Once upon") == 3
    assert "Once upon" not in redacted
    assert "house" not in redacted
    assert redacted.count("[redacted] a time") == 3


@pytest.mark.parametrize("form", ["openai", "script"])
def test_models_and_tests_do_not_get_the_part(told: Flue, form: str) -> None:
    """A list of messages for a model, and a conversation test, have whole replies only."""
    exported = told("sessions", "export", "s", "--format", form, stdin=None).out

    assert exported.count("Once upon") == 1


def test_search_finds_whole_replies_only(told: Flue) -> None:
    """A word of a reply that did not come to its end is not found."""
    hits = told("sessions", "search", "house", stdin=None).out

    assert len(hits.splitlines()) == 1


def test_an_import_keeps_the_part(told: Flue) -> None:
    """A session that is exported and imported shows the same parts."""
    told("sessions", "export", "s", "-o", "s.json", stdin=None)
    imported = told("sessions", "import", "s.json", "--session", "again", stdin=None)

    assert imported.code == 0
    before, after = (told("sessions", "show", name, stdin=None).out for name in ("s", "again"))
    assert after == before
