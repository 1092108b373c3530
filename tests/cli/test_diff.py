"""`flue sessions diff`: what differs between two moments of a session, or between two sessions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.hostile_texts import HOSTILE, OBEYED
from support.real_terminal import Terminal

if TYPE_CHECKING:
    from conftest import Flue

PLANS = """
def agent(prompt, session, context):
    if prompt == "fail":
        raise ValueError("as asked")
    session.data.setdefault("tasks", []).append(prompt)
    return f"did {prompt}\\nand {len(session.data['tasks'])} in all"
"""
ECHO = """
def agent(prompt, session, context):
    session.data[prompt] = session.data["last"] = prompt
    return prompt
"""


def say(flue: Flue, session: str, *prompts: str) -> None:
    """Make a turn of each prompt, failing ones too."""
    flue.agent("plans", PLANS)
    if "fail" in prompts or any("\n" in prompt for prompt in prompts):
        for prompt in prompts:
            flue("chat", "plans", "-s", session, prompt, stdin=None)
    else:
        flue("chat", "plans", "-s", session, "--lines", stdin="\n".join(prompts))


def diff(flue: Flue, *arguments: str) -> list[str]:
    done = flue("sessions", "diff", *arguments, stdin=None)
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


def document(flue: Flue, *arguments: str) -> Any:
    done = flue("sessions", "diff", *arguments, "--json", stdin=None)
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    return json.loads(done.out)


def on_a_terminal(flue: Flue, *arguments: str, columns: int = 80) -> Terminal:
    command = [*flue.command, "sessions", "diff", *arguments]
    terminal = Terminal(command, cwd=flue.folder, env=flue.env | {"PAGER": "cat"}, rows=60, columns=columns)
    assert terminal.ended() == 0
    return terminal


def test_diff_of_one_session_is_its_newest_turn(flue: Flue) -> None:
    """Of one session, without more words: the newest turn, and what it made of the data."""
    say(flue, "a", "one", "two")

    assert diff(flue, "a") == [
        "--- plans/a turn 1",
        "+++ plans/a turn 2",
        "[2]",
        "+ > two",
        "+ did two",
        "+ and 2 in all",
        "data",
        '+ tasks[1]: "two"',
    ]


def test_between_two_turns(flue: Flue) -> None:
    """--at and --to name the turns, either alone too, and also backwards; failures and edits are said."""
    say(flue, "a", "one", "fail", "two\nlines")
    flue("sessions", "set", "a", "tasks[0]", '"ett"', stdin=None)

    assert diff(flue, "a", "--at", "1") == [
        "--- plans/a turn 1",
        "+++ plans/a turn 4",
        "[2]",
        "+ > fail",
        "+ (failed: the agent failed: ValueError: as asked)",
        "[3]",
        "+ > two",
        "+   lines",
        "+ did two",
        "+ lines",
        "+ and 2 in all",
        "[4]",
        "+ (the data was edited)",
        "data",
        '- tasks[0]: "one"',
        '+ tasks[0]: "ett"',
        '+ tasks[1]: "two\\nlines"',
    ]
    assert diff(flue, "a", "--to", "1")[-1] == '+ tasks: ["one"]'
    assert diff(flue, "a", "--at", "2", "--to", "0") == [
        "--- plans/a turn 2",
        "+++ plans/a turn 0",
        "[1]",
        "- > one",
        "- did one",
        "- and 1 in all",
        "[2]",
        "- > fail",
        "- (failed: the agent failed: ValueError: as asked)",
        "data",
        '- tasks: ["one"]',
    ]


def test_two_sessions(flue: Flue) -> None:
    """The turns that both began with are counted, later ones that differ are shown line by line, then the data."""
    say(flue, "a", "one", "two", "three", "four")
    say(flue, "b", "one", "2", "three")

    assert diff(flue, "a", "b") == [
        "--- plans/a turn 4",
        "+++ plans/b turn 3",
        "1 turn in common",
        "[2]",
        "- > two",
        "- did two",
        "+ > 2",
        "+ did 2",
        "  and 2 in all",
        "[4]",
        "- > four",
        "- did four",
        "- and 4 in all",
        "data",
        "- tasks[3]: \"four\"",
        '- tasks[1]: "two"',
        '+ tasks[1]: "2"',
    ]  # fmt: skip
    assert diff(flue, "a", "b", "--at", "2", "--to", "1")[2:6] == [
        "1 turn in common",
        "[2]",
        "- > two",
        "- did two",
    ]


def test_sessions_that_say_the_same_on_other_data(flue: Flue) -> None:
    """Where only the data parted, the first turn after which they differ is named."""
    say(flue, "a", "one", "two")
    flue.agent("plans", PLANS)
    say(flue, "b", "one")
    flue.agent("plans", PLANS.replace(".append(prompt)", ".append(prompt + '!')"))
    flue("chat", "plans", "-s", "b", "two", stdin=None)

    assert diff(flue, "a", "b")[2:] == [
        "1 turn in common",
        "[2]",
        "  > two",
        "  did two",
        "  and 2 in all",
        "  (only the data after it differs)",
        "data",
        '- tasks[1]: "two"',
        '+ tasks[1]: "two!"',
    ]


def test_no_difference(flue: Flue) -> None:
    """Nothing on stdout, a word on stderr, and 0."""
    say(flue, "a", "one")
    say(flue, "b", "one")

    for command in (("a", "b"), ("a", "--at", "1"), ("a", "a")):
        done = flue("sessions", "diff", *command, stdin=None)
        assert (done.code, done.out) == (0, "")
        assert done.err.startswith("no difference: plans/a turn 1, plans/")
    assert document(flue, "a", "b")["turns"] == []


def test_as_json(flue: Flue) -> None:
    """One document: both moments, the turns that differ with what each said, the data's changes; absent is no key."""
    say(flue, "a", "one", "two", "fail")
    say(flue, "b", "one", "2")
    flue("sessions", "set", "b", "x", "null", stdin=None)

    assert document(flue, "a", "b") == {
        "from": {"agent": "plans", "session": "a", "turn": 3},
        "to": {"agent": "plans", "session": "b", "turn": 3},
        "common": 1,
        "turns": [
            {
                "turn": 2,
                "from": {"kind": "prompt", "outcome": "completed", "prompt": "two", "reply": "did two\nand 2 in all", "error": None},
                "to": {"kind": "prompt", "outcome": "completed", "prompt": "2", "reply": "did 2\nand 2 in all", "error": None},
            },
            {
                "turn": 3,
                "from": {
                    "kind": "prompt", "outcome": "failed", "prompt": "fail", "reply": None,
                    "error": {"type": "exception", "message": "the agent failed: ValueError: as asked"},
                },
                "to": {"kind": "edit", "outcome": "completed", "prompt": "", "reply": None, "error": None},
            },
        ],
        "data": [{"path": "tasks[1]", "before": "two", "after": "2"}, {"path": "x", "after": None}],
    }  # fmt: skip
    one = document(flue, "a", "--at", "0", "--to", "1")
    assert (one["common"], [list(turn) for turn in one["turns"]]) == (0, [["turn", "to"]])
    assert one["data"] == [{"path": "tasks", "after": ["one"]}]


def test_sessions_and_turns_that_are_not_there(flue: Flue) -> None:
    """Either session or either turn missing is 3; a negative turn is 2."""
    say(flue, "a", "one")

    assert flue("sessions", "diff", "a", "nobody", stdin=None).code == 3
    assert flue("sessions", "diff", "nobody", stdin=None).code == 3
    assert flue("sessions", "diff", "a", "--at", "2", stdin=None).code == 3
    assert flue("sessions", "diff", "a", "--to", "2", stdin=None).code == 3
    assert flue("sessions", "diff", "a", "--at", "-1", stdin=None).code == 2


def test_side_by_side_on_a_terminal(flue: Flue) -> None:
    """Two columns, with what both say on the same height; one below the other where there is no room."""
    say(flue, "a", "one", "two")
    say(flue, "b", "one", "a longer second", "three")

    wide = on_a_terminal(flue, "a", "b").lines
    assert wide[0] == "1 turn in common"
    assert [line.split() for line in wide[2:3]] == [["plans/a", "turn", "2", "plans/b", "turn", "3"]]
    assert [" ".join(line.split()) for line in wide[4:9]] == [
        "[2] [2]",
        "> two > a longer second",
        "did two did a longer second",
        "and 2 in all and 2 in all",
        "",
    ]
    right = wide[2].index("plans/b")
    assert wide[4].rindex("[2]") == wide[5].index("> a longer") == wide[7].rindex("and 2") == right

    narrow = on_a_terminal(flue, "a", "b", columns=50).lines
    assert narrow == diff(flue, "a", "b")


@pytest.mark.parametrize("columns", [100, 50])
def test_hostile_text_is_harmless(flue: Flue, columns: int) -> None:
    """Nothing in prompts, replies, errors, names or data is obeyed, side by side or not; a field is a line."""
    flue.agent("says", ECHO)
    hostile = "\n".join(text for name, text in HOSTILE.items() if name != "long")
    flue("chat", "says", "-s", "a b", "one", stdin=None)
    flue("chat", "says", "-s", "b", "--", hostile, stdin=None)

    for command in (("a b", "b"), ("b", "--at", "0")):
        terminal = on_a_terminal(flue, *command, columns=columns)
        seen = terminal.raw.decode().replace("\r\n", "\n")
        for colour in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[36m"):
            seen = seen.replace(colour, "")
        assert not OBEYED & set(seen)
    piped = flue("sessions", "diff", "a b", "b", stdin=None).out
    assert not OBEYED & set(piped)
    assert all(
        line[:2] in ("--", "++", "- ", "+ ", "  ") or line[:1] in "[0123456789d"
        for line in piped.splitlines()
    )
