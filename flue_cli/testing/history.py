"""A long conversation: any part of it is found, and found in order."""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

import pytest

from flue_cli import times
from flue_cli.agents.api import Message
from flue_cli.errors import TurnNotFound
from flue_cli.stores.contract import Store
from flue_cli.stores.records import SessionHead
from flue_cli.testing.run_turns import AGENT, run_failed_turn, run_turn, store_threads, timeline_entries

LONG = 560
"""Turns of a long conversation: data that a store keeps as changes has gone through many of them."""


class Conversation(NamedTuple):
    """A long conversation, and what is known to have been said: by position, and by turn from 0."""

    store: Store
    head: SessionHead
    history: list[Message]
    data: list[str]
    outcomes: list[str]


class HistoryCases:
    """Reading a long conversation."""

    @pytest.fixture
    def talk(self, store: Store) -> Conversation:
        """LONG turns; some fail, some have messages between, and most change a little of much data."""
        history: list[Message] = []
        data, outcomes = ["{}"], [""]
        fields: dict[str, Any] = {"padding": "x" * 600, "turns": 0}
        head = store.head(AGENT, "main")
        for number in range(1, LONG + 1):
            if number % 5 == 0 or 300 <= number < 330:
                head = run_failed_turn(store, f"prompt {number}")
                outcomes.append("failed")
            else:
                between = [Message("tool", f"{number}.{part}") for part in range(number % 3)]
                if number % 7:
                    fields["turns"] = number
                prompt, reply = f"prompt {number}", f"{number}!"
                head = run_turn(store, prompt, reply=reply, messages=between, data=json.dumps(fields))
                history += [Message("user", prompt), *between, Message("assistant", reply)]
                outcomes.append("completed")
            data.append(json.dumps(fields))
        return Conversation(store, head, history, data, outcomes)

    def test_any_messages_of_a_long_history(self, talk: Conversation) -> None:
        """The newest messages, one alone, a range past the end: each comes back as it was said, in order.

        Page by page the whole history comes back once, and failed turns leave no hole in it.
        """
        store, head, history, _, _ = talk
        length = head.messages
        assert length == len(history)
        for count in (0, 1, 2, 3, 50, 257):
            assert store.messages(head, length - count, length) == history[length - count :]
        for position in (0, 1, 2, 500, 700, 900):
            assert store.messages(head, position, position + 1) == [history[position]]
        for size in (3, 64, 256, 5000):
            pages = [store.messages(head, start, start + size) for start in range(0, length, size)]
            assert [message for page in pages for message in page] == history
        for start, stop in ((length, length + 10), (length + 5, length + 10), (10, 10), (10, 5)):
            assert store.messages(head, start, stop) == []
        assert store.messages(head, length - 2, length + 10) == history[-2:]

    def test_any_turns_of_a_long_timeline(self, talk: Conversation) -> None:
        """The timeline is every turn once, whatever became of it, with the data after it if asked for."""
        ranges = [(1, LONG), (1, 1), (64, 65), (250, 262), (300, 329), (LONG, LONG), (0, 2), (-5, 2)]
        for first, last in [*ranges, (LONG - 1, LONG + 9), (5, 4), (1, 0), (LONG + 1, LONG + 5)]:
            numbers = range(max(first, 1), min(last, LONG) + 1)
            for with_data in (False, True):
                entries = list(talk.store.entries(talk.head, first, last, with_data=with_data))
                assert [entry.turn for entry in entries] == list(numbers)
                assert [entry.prompt for entry in entries] == [f"prompt {number}" for number in numbers]
                assert [entry.outcome for entry in entries] == [talk.outcomes[number] for number in numbers]
                after = [talk.data[number] if with_data else "" for number in numbers]
                assert [entry.data for entry in entries] == after

    def test_the_data_after_any_turn(self, talk: Conversation) -> None:
        """However far back, the data after a turn is the text that the turn left; after 0 it is `{}`."""
        assert [talk.store.data_at(talk.head, number) for number in range(LONG + 1)] == talk.data
        for number in (-1, LONG + 1, LONG + 100):
            with pytest.raises(TurnNotFound):
                talk.store.data_at(talk.head, number)

    def test_an_older_head_reads_as_it_did(self, talk: Conversation) -> None:
        """A head read some turns ago still gives the history of that time."""
        entry = timeline_entries(talk.store, talk.head)[400]
        count = sum(2 + (n % 3) for n in range(1, 401) if talk.outcomes[n] == "completed")
        then = talk.head._replace(turn=400, messages=count)
        assert entry.turn == 401
        assert talk.store.messages(then, 0, 10_000) == talk.history[:count]
        assert talk.store.messages(then, count - 5, count) == talk.history[count - 5 : count]

    def test_equal_times_keep_their_order(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Turns are ordered by their number, not by a clock that stands still or goes back."""
        instant = times.now()
        for number in range(30):
            moved = instant - number * 10**6 if number % 2 else instant
            monkeypatch.setattr(times, "now", lambda moved=moved: moved)
            run_turn(store, str(number), "a" if number % 3 else "b")
        monkeypatch.undo()
        for name, numbers in (("a", [n for n in range(30) if n % 3]), ("b", list(range(0, 30, 3)))):
            head = store.head(AGENT, name)
            assert [entry.prompt for entry in timeline_entries(store, head)] == [
                str(number) for number in numbers
            ]
        assert [summary.name for summary in store.sessions()] == ["a", "b"]

    def test_a_reader_that_pauses_blocks_no_writer(self, store: Store) -> None:
        """A reader that pauses blocks no writer, and then reads on as it began."""
        for number in range(150):
            run_turn(store, str(number), data=f'{{"n":{number}}}')
        run_turn(store, "hello", "other")
        head = store.head(AGENT, "main")
        reader = store.entries(head, 1, 1000, with_data=True)
        seen = [next(reader)]

        def write() -> None:
            run_turn(store, "meanwhile")
            store.delete(store.head(AGENT, "other"))

        began = time.monotonic()
        with store_threads(store) as start:
            start(write).result(5)
        run_turn(store, "and again")
        assert time.monotonic() - began < 2

        seen += reader
        assert [entry.prompt for entry in seen] == [str(number) for number in range(150)]
        assert [entry.data for entry in seen] == [f'{{"n":{number}}}' for number in range(150)]
