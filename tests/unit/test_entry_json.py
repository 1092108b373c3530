"""A turn as JSON: every document that has one, to the byte, and nothing of a turn left out."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.router_server import Gate, serving

from flue_cli.agents.api import Message
from flue_cli.render.watch_output import watch_event
from flue_cli.sessions.follow import TurnBegan, TurnSettled
from flue_cli.stores import open_store
from flue_cli.stores.records import Entry, Failure
from flue_cli.transcripts.entry_json import (
    COMPARED,
    EXPORTED,
    FIELDS,
    LISTED,
    RUNNING,
    SETTLED,
    Shape,
    entry_document,
    entry_fields,
    entry_schema,
    object_of,
    read_entry,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Flue

COMPLETED = (
    '{"turn": 1, "kind": "prompt", "outcome": "completed", "key": "k-1", '
    '"started_at": "2026-01-02T03:04:05.000001Z", "finished_at": "2026-01-02T03:04:06.000000Z", '
    '"messages": [{"role": "user", "content": "na\\u00efve?"}, '
    '{"role": "tool", "content": "seen", "tool_call_id": "t1"}, '
    '{"role": "assistant", "content": "yes\\n"}], '
    '"data": {"n":1,"deep":[{"\\u00e9":null}]}, "error": null, "meta": {"tokens": 7, "calls": [{"a": [1.5]}]}}'
)
FAILED = (
    '{"turn": 2, "kind": "prompt", "outcome": "failed", "key": null, '
    '"started_at": "2026-01-02T03:05:05.000000Z", "finished_at": "2026-01-02T03:05:06.000000Z", '
    '"messages": [{"role": "user", "content": "fail"}], '
    '"data": {"n":1,"deep":[{"\\u00e9":null}]}, "error": {"type": "agent_error", "message": "no \\u00e4"}, '
    '"meta": {}}'
)
CANCELLED = (
    '{"turn": 3, "kind": "prompt", "outcome": "cancelled", "key": "k-3", '
    '"started_at": "2026-01-02T03:06:05.000000Z", "finished_at": "2026-01-02T03:06:06.000000Z", '
    '"messages": [{"role": "user", "content": "stop"}], '
    '"data": {"n":1,"deep":[{"\\u00e9":null}]}, "error": {"type": "cancelled", "message": "by hand"}, "meta": {}}'
)
INTERRUPTED = (
    '{"turn": 4, "kind": "prompt", "outcome": "interrupted", "key": null, '
    '"started_at": "2026-01-02T03:07:05.000000Z", "finished_at": null, '
    '"messages": [{"role": "user", "content": "crash"}], '
    '"data": {"n":1,"deep":[{"\\u00e9":null}]}, "error": {"type": "interrupted", "message": "it crashed"}, '
    '"meta": {}}'
)
EDITED = (
    '{"turn": 5, "kind": "edit", "outcome": "completed", "key": null, '
    '"started_at": "2026-01-02T03:08:05.000000Z", "finished_at": "2026-01-02T03:08:05.000000Z", '
    '"messages": [], "data": {"n":2}, "error": null, "meta": {}}'
)
TURNS = [COMPLETED, FAILED, CANCELLED, INTERRUPTED, EDITED]
HEADER = (
    '{"flue": 1, "agent": "counter", "session": "s", "created_at": "2026-01-02T03:04:05.000001Z", '
    '"updated_at": "2026-01-02T03:08:05.000000Z", "version": 5, "forked_from": null'
)
COUNTER = '''"""Counts."""

def agent(prompt, session, context):
    if prompt == "fail":
        raise ValueError("no")
    session.data["count"] = session.data.get("count", 0) + 1
    return str(session.data["count"])
'''


@pytest.fixture
def imported(flue: Flue, tmp_path: Path) -> Flue:
    """A store with a session that has a turn of every outcome, and an edit."""
    (tmp_path / "s.jsonl").write_text("\n".join([HEADER + "}", *TURNS, ""]))
    assert flue("sessions", "import", str(tmp_path / "s.jsonl")).code == 0
    return flue


def test_exports_hold_the_turns_as_they_were_imported(imported: Flue) -> None:
    """`export` and `show --json` give back every byte of every turn."""
    document = imported("sessions", "show", "s", "--json").out
    assert document.partition('"turns": [\n')[2] == ",\n".join(TURNS) + "\n]}\n"
    lines = imported("sessions", "export", "s", "--format", "jsonl", "-o", "-").out
    header, *turns = lines.splitlines()
    assert re.sub(r"20[^\"]*Z", "-", header) == (
        '{"flue": 1, "agent": "counter", "session": "s", "created_at": "-", "updated_at": "-", '
        '"version": 0, "forked_from": null, "data": {"n":2}}'
    )
    assert turns == TURNS


def test_a_difference_has_what_was_said(imported: Flue) -> None:
    """`diff --json` says of each turn its kind and outcome, both texts, and the error or null."""
    document = json.loads(imported("sessions", "diff", "s", "--at", "0", "--json").out)
    sides = [json.dumps(pair["to"]) for pair in document["turns"]]
    error = '{"type": "agent_error", "message": "no \\u00e4"}'
    assert sides[0] == (
        '{"kind": "prompt", "outcome": "completed", "prompt": "na\\u00efve?", "reply": "yes\\n", "error": null}'
    )
    assert sides[1] == (
        f'{{"kind": "prompt", "outcome": "failed", "prompt": "fail", "reply": null, "error": {error}}}'
    )
    assert sides[4] == (
        '{"kind": "edit", "outcome": "completed", "prompt": "", "reply": null, "error": null}'
    )


def test_watched_turns_are_events(imported: Flue) -> None:
    """`watch --json` names an error only where there is one; data comes parsed."""
    with closing(open_store(str(imported.store))) as store:
        head = store.head("counter", "s")
        entries = list(store.entries(head, 1, 5, with_data=True))
    written = [json.dumps(watch_event(TurnSettled(entry), head)) for entry in entries]
    session = '"agent": "counter", "session": "s", "turn"'
    assert written[0] == (
        f'{{"type": "turn.completed", {session}: 1, "prompt": "na\\u00efve?", "key": "k-1", '
        '"outcome": "completed", "reply": "yes\\n", "data": {"n": 1, "deep": [{"\\u00e9": null}]}, '
        '"started_at": "2026-01-02T03:04:05.000001Z", "finished_at": "2026-01-02T03:04:06.000000Z"}'
    )
    assert written[3] == (
        f'{{"type": "turn.failed", {session}: 4, "prompt": "crash", "key": null, '
        '"outcome": "interrupted", "reply": null, "data": {"n": 1, "deep": [{"\\u00e9": null}]}, '
        '"started_at": "2026-01-02T03:07:05.000000Z", "finished_at": null, '
        '"error": {"type": "interrupted", "message": "it crashed"}}'
    )
    began = watch_event(TurnBegan(entries[2]), head)
    assert json.dumps(began) == (f'{{"type": "turn.started", {session}: 3, "prompt": "stop", "key": "k-3"}}')


def test_answers_are_documents(flue: Flue) -> None:
    """`chat --json` and the last of its events say the same of a turn."""
    flue.agent("counter", COUNTER)
    said = flue("chat", "counter", "-s", "a", "--json", "--turn-key", "k", "hi", stdin=None).out
    assert said == (
        '{"agent": "counter", "session": "a", "turn": 1, "outcome": "completed", "prompt": "hi", '
        '"reply": "1", "data": {"count": 1}, "version": 1, "key": "k", "replayed": false}\n'
    )
    events = flue("chat", "counter", "-s", "a", "--output-format", "stream-json", "fail", stdin=None).out
    assert events.splitlines() == [
        '{"type": "turn.started", "agent": "counter", "session": "a", "turn": 2, "prompt": "fail", "key": null}',
        '{"type": "turn.failed", "agent": "counter", "session": "a", "turn": 2, "outcome": "failed", '
        '"prompt": "fail", "reply": null, "data": {"count": 1}, "version": 2, "key": null, "replayed": false, '
        '"error": {"type": "exception", "message": "the agent failed: ValueError: no"}}',
    ]


def without_data_and_meta(turn: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in turn.items() if name not in ("data", "meta")}


def test_pages_over_http(imported: Flue) -> None:
    """A page of a session has its turns as an export has them; data and meta only in a full one."""
    with serving() as client:
        page = client.get("/api/agent/counter/sessions/s").text
        full = client.get("/api/agent/counter/sessions/s?full=1").text
    turns = ", ".join(TURNS).replace("no \\u00e4", "the agent failed")
    assert full.partition('"turns": ')[2] == f'[{turns}], "earlier": null, "running": null}}\n'
    listed = json.dumps([without_data_and_meta(turn) for turn in json.loads(f"[{turns}]")])
    assert page.partition('"turns": ')[2] == f'{listed}, "earlier": null, "running": null}}\n'


def test_the_prompt_that_runs_over_http() -> None:
    """A page says of the prompt that is being answered what is known of it."""
    gate = Gate()
    with serving(gate=gate) as client, ThreadPoolExecutor() as pool:
        answer = pool.submit(client.prompt, "gate", "hi", "a", idempotency_key="k")
        gate.await_one()
        page = client.get("/api/agent/gate/sessions/a").text
        gate.go.set()
        answer.result()
    assert re.sub(r"20[^\"]*Z", "-", page[page.index('"turns": ') :]) == (
        '"turns": [], "earlier": null, "running": {"turn": 1, "outcome": "running", "key": "k", '
        '"prompt": "hi", "started_at": "-"}}\n'
    )


def test_a_turn_in_the_description_of_the_server() -> None:
    """`/openapi.json` describes the document of a turn."""
    with serving() as client:
        described = client.get("/openapi.json").json()["components"]["schemas"]["Turn"]
    assert json.dumps(described) == (
        '{"type": "object", "required": ["agent", "session", "turn", "outcome", "prompt", "reply", "data", '
        '"version", "key", "replayed"], "properties": {"agent": {"type": "string"}, '
        '"session": {"type": "string"}, "turn": {"type": "integer"}, '
        '"outcome": {"enum": ["completed", "failed", "cancelled", "interrupted"]}, '
        '"prompt": {"type": "string"}, "reply": {"type": ["string", "null"]}, "data": {"type": "object"}, '
        '"version": {"type": "integer"}, "key": {"type": ["string", "null"]}, '
        '"replayed": {"type": "boolean"}, "error": {"type": "object", "required": ["type", "message"], '
        '"properties": {"type": {"type": "string"}, "message": {"type": "string"}}}}}'
    )


def test_every_field_of_an_entry_is_in_an_export() -> None:
    """An entry with every field set comes back whole: a field that the table does not cover is lost here."""
    entry = Entry(
        turn=0,
        kind="prompt",
        outcome="completed",
        key="k",
        prompt="p",
        reply="r",
        messages=(Message("tool", "t", {"id": 1}),),
        started_at=1,
        finished_at=2,
        error=Failure("e", "why"),
        meta={"m": [1]},
        data='{"d":1}',
        label="l",
    )
    assert all(entry[1:]), "give the new field a value here"
    assert set(Entry._fields) <= FIELDS.keys()
    written = object_of(entry_fields(entry, EXPORTED))
    assert read_entry(json.loads(written), "it") == entry
    assert object_of(entry_fields(read_entry(json.loads(written), "it"), EXPORTED)) == written


@pytest.mark.parametrize("shape", [EXPORTED, LISTED, SETTLED, COMPARED, RUNNING])
def test_documents_fit_their_schema(shape: Shape) -> None:
    """A schema requires what its documents always have, and describes all that they may have."""
    schema = entry_schema(shape)
    for turn in TURNS:
        document = entry_document(read_entry(json.loads(turn), "it"), shape)
        assert set(schema["required"]) <= document.keys() <= schema["properties"].keys()
