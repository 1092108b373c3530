"""Sessions that are there or not, and turns that come back as they were given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flue_cli import times
from flue_cli.agents.api import Message
from flue_cli.errors import (
    TurnNotFound,
)
from flue_cli.jsondata.strict import MAX_DEPTH, dumps
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, Failure, SessionHead, TurnFailure
from flue_cli.testing.run_turns import (
    AGENT,
    BROKEN,
    begin_turn,
    complete_turn,
    replay_turn,
    run_failed_turn,
    run_turn,
    timeline_entries,
)


class StateCases:
    """Sessions that are there or not, and turns that come back as they were given."""

    # A session that is not there

    def test_a_head_is_there_before_the_session(self, store: Store) -> None:
        """Looking at a session that does not exist shows uid 0 and an empty start, and makes none."""
        assert store.head(AGENT, "main") == SessionHead(0, AGENT, "main")
        assert store.sessions() == []
        assert store.resolve("main") == []

    @pytest.mark.parametrize("others", [False, True], ids=["empty store", "other sessions"])
    def test_an_absent_session_reads_as_empty(self, store: Store, others: bool) -> None:
        """A session that does not exist has no entries, no messages, no running prompt and the data `{}`."""
        if others:
            run_turn(store, "hello", "other")
        head = store.head(AGENT, "main")

        assert list(store.entries(head, 1, 10)) == []
        assert store.unsettled_prompt(head) is None
        assert store.messages(head, 0, 10) == []
        assert store.data_at(head, 0) == "{}"

    @pytest.mark.parametrize("others", [False, True], ids=["empty store", "other sessions"])
    def test_an_absent_session_has_no_turns(self, store: Store, others: bool) -> None:
        """Data after a turn of a session that does not exist is TurnNotFound."""
        if others:
            run_turn(store, "hello", "other")
        with pytest.raises(TurnNotFound):
            store.data_at(store.head(AGENT, "main"), 1)

    def test_the_first_prompt_creates_the_session(self, store: Store) -> None:
        """A session exists from the moment its first prompt is accepted, with no turn settled yet."""
        begun = begin_turn(store, "hello")

        head = store.head(AGENT, "main")
        assert head.uid > 0
        assert (head.turn, head.messages) == (0, 0)
        assert begun.lease.head == head
        assert (begun.lease.turn, begun.lease.prompt, begun.lease.data) == (1, "hello", "{}")
        assert begun.interrupted is None

    def test_a_session_is_known_by_agent_and_name(self, store: Store) -> None:
        """Two agents can each have a session of the same name, and they share nothing."""
        run_turn(store, "to one", "shared", agent="one", data='{"n":1}')
        run_turn(store, "to two", "shared", agent="two", data='{"n":2}')

        one, two = store.head("one", "shared"), store.head("two", "shared")
        assert one.uid != two.uid
        assert (store.data_at(one, 1), store.data_at(two, 1)) == ('{"n":1}', '{"n":2}')

    @pytest.mark.parametrize(
        "name",
        ["a/b", "https://example.org:80/?q=%20", "{0}{name}", 'it\'s "quoted"', "🦜 grüße", "%_*", "x" * 256],
        ids=["slash", "url", "braces", "quotes", "emoji", "patterns", "256 characters"],
    )
    def test_a_session_may_have_any_name(self, store: Store, name: str) -> None:
        """Whatever characters a name has, it finds its own session and no other."""
        run_turn(store, "another", "other")
        run_turn(store, "hello", name)

        head = store.head(AGENT, name)
        assert (head.name, head.turn) == (name, 1)
        assert store.resolve(name) == [head]
        assert [entry.prompt for entry in timeline_entries(store, head)] == ["hello"]

    # What was committed comes back

    def test_a_completed_turn_comes_back_whole(self, store: Store) -> None:
        """The timeline shows prompt, reply, messages between, data, meta, key and both times of a turn."""
        call = Message("assistant", None, {"tool_calls": [{"id": "1", "args": {"q": "ü"}}]})
        result = Message("tool", [{"type": "text", "text": "42"}], {"tool_call_id": "1"})
        before = times.now()

        head = run_turn(
            store,
            "What is it?",
            key="k",
            reply="It is 42.",
            data='{"n":42}',
            messages=[call, result],
            meta={"model": "m", "usage": {"in": 3}},
        )

        (entry,) = timeline_entries(store, head, with_data=True)
        assert entry.finished_at is not None
        assert before <= entry.started_at <= entry.finished_at <= times.now()
        assert entry == Entry(
            turn=1,
            kind="prompt",
            outcome="completed",
            key="k",
            prompt="What is it?",
            reply="It is 42.",
            messages=(call, result),
            started_at=entry.started_at,
            finished_at=entry.finished_at,
            error=None,
            meta={"model": "m", "usage": {"in": 3}},
            data='{"n":42}',
        )
        assert store.messages(head, 0, 4) == [
            Message("user", "What is it?"),
            call,
            result,
            Message("assistant", "It is 42."),
        ]

    def test_commit_gives_the_head_as_it_stands(self, store: Store) -> None:
        """Commit and abandon return the head that is read afterwards, with a larger version."""
        first = run_turn(store, "one")
        assert first == store.head(AGENT, "main")
        assert (first.turn, first.messages) == (1, 2)

        second = run_failed_turn(store, "two")
        assert second == store.head(AGENT, "main")
        assert (second.turn, second.messages) == (2, 2)

        third = run_turn(store, "three", messages=[Message("tool", "x")])
        assert third == store.head(AGENT, "main")
        assert (third.turn, third.messages) == (3, 5)

        assert first.version < second.version < third.version
        assert first.created_at == third.created_at <= first.updated_at <= third.updated_at

    @pytest.mark.parametrize(
        "data",
        [
            "{}",
            '{"z":1,"a":null,"m":{"b":[],"a":{}}}',
            '{ "spaced" : [1,  2.50, 1e5, -0.0]\n}',
            json.dumps({"text": 'ü 🦜 \0 \u2028 "', "ключ": "значение"}),
            json.dumps({"big": 2**4000, "negative": -(2**64), "tiny": 5e-324}),
            json.dumps({"tasks": [{"title": f"task {number}", "done": False} for number in range(2000)]}),
        ],
        ids=["empty", "order and nulls", "spaces", "unicode", "numbers", "large"],
    )
    def test_data_comes_back_byte_for_byte(self, store: Store, data: str) -> None:
        """The text of the data that one turn leaves is the text that the next one starts from."""
        run_turn(store, "change", data='{"before":"this"}')
        head = run_turn(store, "set", data=data)

        assert store.data_at(head, 2) == data
        assert begin_turn(store, "next").lease.data == data
        assert [entry.data for entry in store.entries(head, 1, 2, with_data=True)] == [
            '{"before":"this"}',
            data,
        ]

    @pytest.mark.parametrize(
        "text",
        ["", " \t\r\n", "grüße 🦜\u2028\x85", "nul \0 and \x1b[31m", "x" * 300_000],
        ids=["nothing", "blanks", "unicode", "controls", "large"],
    )
    def test_prompt_and_reply_come_back_character_for_character(self, store: Store, text: str) -> None:
        """No prompt or reply is trimmed, cut or rewritten."""
        head = run_turn(store, text, reply=text)

        (entry,) = timeline_entries(store, head)
        assert (entry.prompt, entry.reply) == (text, text)
        assert store.messages(head, 0, 2) == [Message("user", text), Message("assistant", text)]

    def test_nothing_shows_before_the_commit(self, store: Store) -> None:
        """Reply, messages and data of a turn appear together when it commits; until then, none of them."""
        run_turn(store, "one", data='{"n":1}')
        lease = begin_turn(store, "two").lease

        before = store.head(AGENT, "main")
        assert (before.turn, before.messages) == (1, 2)
        assert store.messages(before, 0, 10) == [Message("user", "one"), Message("assistant", "ok")]
        assert [entry.prompt for entry in store.entries(before, 1, 10)] == ["one"]
        assert store.data_at(before, 1) == '{"n":1}'

        complete_turn(store, lease, data='{"n":2}', reply="done", messages=[Message("tool", "between")])

        after = store.head(AGENT, "main")
        assert (after.turn, after.messages, store.data_at(after, 2)) == (2, 5, '{"n":2}')
        assert [message.content for message in store.messages(after, 2, 5)] == ["two", "between", "done"]

    def test_a_head_seen_earlier_still_shows_what_it_showed(self, store: Store) -> None:
        """Turns that complete after a head was read are not part of what is read with it."""
        early = run_turn(store, "one", data='{"n":1}')
        run_turn(store, "two", data='{"n":2}')

        assert [entry.prompt for entry in store.entries(early, 1, 10)] == ["one"]
        assert [message.content for message in store.messages(early, 0, 10)] == ["one", "ok"]
        assert store.data_at(early, 1) == '{"n":1}'
        with pytest.raises(TurnNotFound):
            store.data_at(early, 2)

    def test_an_abandoned_turn_keeps_data_and_history(self, store: Store) -> None:
        """A failed or cancelled turn takes a number and tells why, and leaves nothing else behind."""
        run_turn(store, "one", data='{"n":1}')
        store.abandon(begin_turn(store, "two").lease, TurnFailure("failed", BROKEN, {"seed": 7}))
        stop = Failure("cancelled", "cancelled")
        head = store.abandon(begin_turn(store, "three").lease, TurnFailure("cancelled", stop, {}))

        assert (head.turn, head.messages) == (3, 2)
        one, two, three = timeline_entries(store, head, with_data=True)
        assert one.outcome == "completed"
        assert (two.turn, two.outcome, two.reply, two.error, two.meta) == (
            2,
            "failed",
            None,
            BROKEN,
            {"seed": 7},
        )
        assert (three.turn, three.outcome, three.prompt, three.error) == (3, "cancelled", "three", stop)
        assert (two.data, three.data) == ('{"n":1}', '{"n":1}')
        assert two.finished_at is not None
        assert begin_turn(store, "four").lease.data == '{"n":1}'

    def test_running_shows_the_prompt_that_is_being_answered(self, store: Store) -> None:
        """While a turn runs, everybody can see its prompt; before and after, there is none."""
        head = run_turn(store, "one")
        assert store.unsettled_prompt(head) is None

        lease = begin_turn(store, "two", key="k").lease
        running = store.unsettled_prompt(store.head(AGENT, "main"))
        assert running is not None
        assert (running.turn, running.outcome, running.prompt, running.key) == (2, "running", "two", "k")
        assert (running.started_at, running.finished_at, running.reply) == (lease.started_at, None, None)

        assert store.unsettled_prompt(complete_turn(store, lease)) is None

    def test_what_was_given_and_what_comes_back_is_independent(self, store: Store) -> None:
        """Changing an object after it was stored, or after it was read, changes nothing in the store."""
        meta = {"usage": {"in": 3}}
        content = [{"text": "between"}]
        head = run_turn(store, "one", key="k", meta=meta, messages=[Message("tool", content, {"id": ["1"]})])
        meta["usage"]["in"] = 4
        content[0]["text"] = "changed"

        for entry in (*timeline_entries(store, head), replay_turn(store, "one", "k").entry):
            assert (entry.meta, entry.messages[0].content) == ({"usage": {"in": 3}}, [{"text": "between"}])
            entry.meta["usage"]["in"] = 5
            entry.messages[0].extra["id"].append("2")
        assert timeline_entries(store, head)[0].meta == {"usage": {"in": 3}}
        store.messages(head, 1, 2)[0].content.clear()
        assert store.messages(head, 1, 2) == [Message("tool", [{"text": "between"}], {"id": ["1"]})]

    def test_messages_between_may_be_as_deep_as_data(self, store: Store) -> None:
        """Whatever JSON is allowed in one message is kept, down to the deepest level."""
        content: list[Any] = []
        for _ in range(MAX_DEPTH - 2):
            content = [content]
        message = Message("tool", content)
        dumps(message.as_dict())  # one level deeper, it would say no

        head = run_turn(store, "one", messages=[message])
        assert store.messages(head, 1, 2) == [message]
