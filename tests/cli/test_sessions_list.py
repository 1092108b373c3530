"""`flue sessions list` by time: what was used since, and how times read."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some
from support.real_terminal import Terminal

from flue_cli.stores import open_store
from flue_cli.stores.records import Entry
from flue_cli.times import format_ago, format_duration, parse_since

if TYPE_CHECKING:
    from conftest import Flue

MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE


def session(flue: Flue, name: str, age: int) -> None:
    """A session of one turn that was last used so many microseconds ago."""
    import sqlite3

    now = time.time_ns() // 1000
    store = open_store(str(flue.store))
    store.import_session(
        "parrot", name, [Entry(1, "prompt", "completed", None, "hi", "ho", (), now, now, None, {}, "{}")]
    )
    store.close()
    with sqlite3.connect(flue.store) as db:
        db.execute("UPDATE session SET updated_at = ? WHERE name = ?", (now - age, name))
    db.close()


def names(flue: Flue, *options: str) -> list[str]:
    done = flue("sessions", "list", *options, stdin=None)
    assert done.code == 0, done.err
    return [line.split("\t")[1] for line in done.out.splitlines()]


def test_since_takes_durations_and_dates(flue: Flue) -> None:
    """--since 30m, 12h, 7d, 2w or an ISO date or time leaves out what was last used before."""
    for name, age in (("weeks", 10 * DAY), ("days", 3 * DAY), ("hours", DAY // 8), ("minutes", 10 * MINUTE)):
        session(flue, name, age)
    newest_first = ["minutes", "hours", "days", "weeks"]

    assert names(flue) == newest_first
    for since, count in (("1m", 0), ("12h", 2), ("7d", 3), ("2w", 4)):
        assert names(flue, "--since", since) == newest_first[:count], since
    now = datetime.now().astimezone()
    for moment, count in (
        ((now - timedelta(hours=1)).isoformat(), 1),
        ((now - timedelta(hours=1)).replace(tzinfo=None).isoformat(), 1),
        ((now - timedelta(days=5)).strftime("%Y-%m-%d"), 3),
    ):
        assert names(flue, "--since", moment) == newest_first[:count], moment
    assert names(flue, "--since", "2w", "--limit", "2") == newest_first[:2]
    assert names(flue, "--since", "7d", "--all", "--agent", "parrot") == newest_first[:3]
    assert flue("sessions", "list", "--since", "1m", "--json", stdin=None).out == "[]\n"


@pytest.mark.parametrize("text", ["yesterday", "5", "3.5d", "٣d", "2026-13-01", "7d\x1b[31m"])
def test_what_is_no_time_is_refused(flue: Flue, text: str) -> None:
    """Anything else is 2, with what would do, and made safe."""
    done = flue("sessions", "list", f"--since={text}", stdin=None)

    assert (done.code, done.out) == (2, "")
    assert "--since takes a time such as 30m, 12h, 7d, 2w, or 2026-11-23" in done.err
    assert "\x1b" not in done.err


def test_times_on_a_terminal_are_for_people(flue: Flue) -> None:
    """A table says `3 min ago` and the date when older; a pipe has ISO times in UTC."""
    session(flue, "old", 400 * DAY)
    session(flue, "new", 3 * MINUTE + 5_000_000)

    with closing(Terminal([*flue.command, "sessions", "list"], cwd=flue.folder, env=flue.env)) as terminal:
        assert terminal.ended() == 0
        assert "3 min ago" in terminal.screen
        assert f"{datetime.now().astimezone() - timedelta(days=400):%Y-%m-%d} " in terminal.screen

    fields = [line.split("\t") for line in flue("sessions", "list", stdin=None).out.splitlines()]
    assert all(datetime.fromisoformat(line[4]).tzinfo == UTC for line in fields)


def test_moments_as_people_say_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes, then the time today and yesterday, then the date; a moment to come is no age."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        now = int(datetime(2026, 11, 24, 23, 10, tzinfo=UTC).timestamp() * 1_000_000)
        for age, said in (
            (0, "just now"),
            (59_999_999, "just now"),
            (MINUTE, "1 min ago"),
            (20 * MINUTE, "20 min ago"),
            (60 * MINUTE, "yesterday 23:10"),
            (24 * 60 * MINUTE, "yesterday 00:10"),
            (24 * 60 * MINUTE + 11 * MINUTE, "2026-11-23"),
            (-1, "today 00:10"),
            (-2 * DAY, "2026-11-27 00:10"),
        ):
            assert format_ago(now - age, now) == said
        assert format_ago(now, now + 9 * 60 * MINUTE) == "today 00:10"
        assert parse_since("2026-11-25T00:10", 0) == now
        assert parse_since("2026-11-24T23:10Z", 0) == now
        assert parse_since("2026-11-25", 0) == now - 10 * MINUTE
    finally:
        monkeypatch.undo()
        time.tzset()


@given(
    some.integers(0, 10**9),
    some.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)]),
)
def test_a_duration_is_so_long_ago(count: int, unit: tuple[str, int]) -> None:
    """A number and a letter is exactly so much before now, however much."""
    now = 1_800_000_000_000_000

    assert now - parse_since(f"{count}{unit[0]}", now) == count * unit[1] * 1_000_000


@given(some.text() | some.text("0123456789-:TZsmhdw", max_size=20))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    """A text without a digit is no moment; nothing is raised that no user could understand."""
    try:
        found = parse_since(text, 1_800_000_000_000_000)
    except ValueError as error:
        said = str(error)
    else:
        said = ""
        assert isinstance(found, int)
    assert said == "" or "such as 30m" in said
    assert said or any(letter.isdigit() for letter in text)


def test_lengths_as_people_say_them() -> None:
    """Milliseconds, seconds, minutes, hours."""
    said = [
        format_duration(us) for us in (0, 35_400, 999_999, 1_240_000, 59_940_000, 185_000_000, 7_800_000_000)
    ]

    assert said == ["0 ms", "35 ms", "999 ms", "1.2 s", "59.9 s", "3 min 05 s", "2 h 10 min"]
