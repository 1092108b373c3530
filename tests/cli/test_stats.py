"""`flue sessions stats`: figures for people and for programs."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

from support.real_terminal import Terminal

from flue_cli.stores import open_store
from flue_cli.testing.run_turns import edit_data, run_failed_turn, run_turn, run_turns
from flue_cli.text import format_bytes, pluralize

if TYPE_CHECKING:
    from conftest import Flue


def talked(flue: Flue) -> None:
    """Two agents: five turns, one of which failed, and an edit."""
    flue.home.mkdir()
    store = open_store(str(flue.store))
    run_turns(store, "one", name="busy")
    run_failed_turn(store, "fail", "busy")
    run_turns(store, "two", name="busy")
    edit_data(store, '{"n": 1}', "busy")
    run_turn(store, "hello", "calm", agent="greeting")
    run_turn(store, "hello", "other", agent="greeting")
    store.close()


def figures(flue: Flue, *options: str) -> dict[str, str]:
    done = flue("sessions", "stats", *options, stdin=None)
    assert (done.code, done.err) == (0, "")
    return dict(line.split("\t") for line in done.out.splitlines())


def test_figures_are_names_and_values(flue: Flue) -> None:
    """In a pipe: a name, a tab, a value; turns by what became of them, the busiest, the slowest."""
    talked(flue)

    found = figures(flue)

    counts = {name: int(found[name]) for name in list(found)[:9]}
    assert counts == {
        "sessions": 3, "undone_forks": 0, "turns": 5, "edits": 1, "completed": 4, "failed": 1, "cancelled": 0,
        "interrupted": 0, "messages": 8,
    }  # fmt: skip
    assert int(found["bytes"]) >= flue.store.stat().st_size
    assert (found["busiest"], found["busiest_turns"]) == ("parrot/busy", "3")
    assert found["slowest"] in ("parrot/busy", "greeting/calm", "greeting/other")
    assert 0 <= float(found["slowest_seconds"]) < 10
    assert int(found["slowest_turn"]) in (1, 2, 3)


def test_figures_of_one_agent(flue: Flue) -> None:
    """--agent counts that agent's sessions alone, in either spelling; an unknown one has none."""
    talked(flue)

    assert figures(flue, "--agent", "greeting")["turns"] == "2"
    assert figures(flue, "--agent", "parrot")["messages"] == "4"
    assert figures(flue, "--agent", "nobody")["sessions"] == "0"
    assert flue("sessions", "stats", "--agent", "No Body", stdin=None).code == 2


def test_figures_as_json(flue: Flue) -> None:
    """--json has the same numbers, and agents, days, the busiest and the slowest as lists."""
    talked(flue)

    found = json.loads(flue("sessions", "stats", "--json", stdin=None).out)

    assert {name: str(found[name]) for name in list(found)[:10]} == dict(list(figures(flue).items())[:10])
    assert found["agents"] == [{"agent": "parrot", "turns": 3}, {"agent": "greeting", "turns": 2}]
    assert sum(day["turns"] for day in found["days"]) == 5
    assert found["busiest"][0] == {"agent": "parrot", "session": "busy", "turns": 3}
    assert list(found["slowest"][0]) == ["agent", "session", "turn", "seconds"]
    assert len(found["slowest"]) == 3


def test_no_sessions_no_figures(flue: Flue) -> None:
    """Before the first prompt everything is 0, and no store is made."""
    found = figures(flue)

    assert set(found.values()) == {"0"}
    assert "busiest" not in found
    assert not flue.store.exists()


def test_figures_on_a_terminal_have_bars(flue: Flue) -> None:
    """A person sees sums, and bars of outcomes, agents, days, the busiest and the slowest; names made safe."""
    talked(flue)
    flue("chat", "greeting", "-s", "[bold]x[/nope]", "hello", stdin=None)

    command = [*flue.command, "sessions", "stats"]
    with closing(Terminal(command, cwd=flue.folder, env=flue.env, rows=60, columns=100)) as terminal:
        assert terminal.ended() == 0
        screen = terminal.screen

    assert "4 sessions, 6 turns, 1 edit, 10 messages, " in screen
    for heading in ("outcomes", "agents", "days", "busiest", "slowest"):
        assert f"\n{heading}\n" in screen
    counted, _, timed = screen.partition("\nslowest\n")  # how long turns took is chance, and last
    assert "█" in timed
    bars = {line.split()[0]: line.count("█") for line in counted.splitlines() if "█" in line}
    assert bars["completed"] == 30
    assert bars["parrot/busy"] > bars["greeting/calm"] > 0
    assert "[bold]x[/nope]" in screen


def test_numbers_with_their_words() -> None:
    """One is singular, thousands have commas, bytes have the unit that suits them."""
    assert [pluralize(count, "turn") for count in (0, 1, 2, 1000)] == [
        "0 turns",
        "1 turn",
        "2 turns",
        "1,000 turns",
    ]
    assert [format_bytes(count) for count in (0, 1, 1023, 1024, 1536, 2**20, 5 * 2**30, 3000 * 2**40)] == [
        "0 bytes", "1 byte", "1023 bytes", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB", "3000.0 TiB",
    ]  # fmt: skip
