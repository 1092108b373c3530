"""`flue replay`: recorded prompts against today's agent, and what differs."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.hostile_texts import HOSTILE, OBEYED
from support.real_terminal import Terminal

if TYPE_CHECKING:
    from conftest import Done, Flue

COUNTER = """
def agent(prompt, session, context):
    if prompt == "fail":
        raise ValueError("as asked")
    session.data["count"] = session.data.get("count", 0) + 1
    earlier = session.history.last(1)
    return f"{session.data['count']}: {prompt}, {context.turn}, {context.now:%H%M%S%f}, {context.random.random()}, after {[m.content for m in earlier]}"
"""
"""An agent whose replies depend on everything that a turn starts from."""

CALLING = """
import pathlib

def ask(prompt):
    with open("made", "a") as file:
        file.write(prompt + "\\n")
    return len(prompt)

def agent(prompt, session, context):
    answer = context.record("model", lambda: ask(prompt))
    return f"{prompt} has {answer} letters"
"""


def lines(flue: Flue, agent: str, session: str, *prompts: str) -> None:
    """Make a turn of each prompt, in one process."""
    done = flue("chat", agent, "-s", session, "--lines", stdin="\n".join(prompts))
    assert done.code == 0, done.err


def say(flue: Flue, agent: str, session: str, *prompts: str) -> None:
    """Make a turn of each prompt, also after one that fails."""
    for prompt in prompts:
        flue("chat", agent, "-s", session, prompt, stdin=None)


def replay(flue: Flue, *arguments: str) -> Done:
    return flue("replay", *arguments, stdin=None)


def document(flue: Flue, *arguments: str) -> dict[str, Any]:
    done = replay(flue, *arguments, "--json")
    assert done.out.isascii()
    found: dict[str, Any] = json.loads(done.out)
    assert done.code == (1 if found["differ"] and "--accept" not in arguments else 0)
    return found


def turns(flue: Flue, session: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(flue("sessions", "export", session, stdin=None).out)["turns"]
    return found


@pytest.mark.parametrize(
    ("agent", "prompts"),
    [
        ("greeting", ["hello", "my name is Ada", "tell me a joke"]),
        ("task-planner", ["add Buy groceries", "list tasks", "what?"]),
        ("journal", ["read", "the first entry", "a second one"]),
    ],
)
def test_an_unchanged_agent_says_it_all_again(flue: Flue, agent: str, prompts: list[str]) -> None:
    """200 turns of each sample agent replay without a difference, and nothing is kept of it."""
    lines(flue, agent, "a", *[prompts[number % len(prompts)] for number in range(200)])
    before = flue("sessions", "export", "a", stdin=None).out

    assert replay(flue, "a") == (0, "", "200 turns replayed, none differs\n")
    assert flue("sessions", "export", "a", stdin=None).out == before
    assert flue("sessions", "list", stdin=None).out.count("\n") == 1


def test_a_turn_starts_from_where_it_started(flue: Flue) -> None:
    """Data, history, clock, seed and turn number are the recorded ones, across failures and edits."""
    flue.agent("counter", COUNTER)
    say(flue, "counter", "a", "one", "fail", "two")
    flue("sessions", "set", "a", "count", "40", stdin=None)
    say(flue, "counter", "a", "three")

    assert replay(flue, "a") == (0, "", "3 turns replayed, none differs; 1 was skipped\n")
    found = document(flue, "a")
    assert [turn["turn"] for turn in found["turns"]] == [1, 3, 5]
    assert (found["differ"], found["skipped"]) == ([], [2])
    assert found["turns"][2]["now"]["data"] == {"count": 41}


def test_a_changed_sentence_is_found_where_it_is_said(flue: Flue) -> None:
    """Exactly the turns whose reply changed are named, with both replies; the exit code is 1."""
    source = (
        "def agent(prompt, session, context):\n"
        "    session.data['last'] = prompt\n"
        "    return 'Hello!\\nHow are you?' if prompt == 'hi' else f'You said {prompt}'\n"
    )
    path = flue.agent("polite", source)
    lines(flue, "polite", "a", *["hi" if number in (3, 17, 18) else "yes" for number in range(200)])
    path.write_text(source.replace("How are you?", "How do you do?"))

    done = replay(flue, "a")

    block = "reply differs\n> hi\n  Hello!\n- How are you?\n+ How do you do?\n"
    assert done == (
        1,
        f"[4] {block}\n[18] {block}\n[19] {block}",
        "200 turns replayed, 3 differ (turns 4, 18, 19)\n",
    )
    assert replay(flue, "a", "--at", "3").code == 0
    assert replay(flue, "a", "--at", "4").err == "4 turns replayed, 1 differs (turn 4)\n"
    assert replay(flue, "a", "--at", "0").err == "0 turns replayed, none differs\n"
    assert replay(flue, "a", "--at", "201").code == 3


def test_one_change_does_not_cascade(flue: Flue) -> None:
    """What a turn leaves differently does not reach the next one, which starts from the recording."""
    path = flue.agent("counter", COUNTER)
    lines(flue, "counter", "a", "one", "two", "three")
    path.write_text(
        COUNTER.replace("return f", "if prompt == 'one': session.data['count'] = 7\n    return f")
    )

    done = replay(flue, "a")

    assert done.code == 1
    assert done.err == "3 turns replayed, 1 differs (turn 1)\n"
    assert done.out.startswith("[1] reply and data differ\n> one\n- 1: one, ")
    assert done.out.endswith("data\n- count: 1\n+ count: 7\n")


def test_data_are_compared_as_values(flue: Flue) -> None:
    """Another order of keys is no difference; a number that became a text or a float is one."""
    path = flue.agent(
        "order", "def agent(p, session, c):\n    session.data.update(a=1, b=[1])\n    return ''\n"
    )
    lines(flue, "order", "a", "x")
    path.write_text("def agent(p, session, c):\n    session.data.update(b=[1], a=1)\n    return ''\n")
    assert replay(flue, "a").code == 0

    path.write_text("def agent(p, session, c):\n    session.data.update(b=[1.0], a=True)\n    return ''\n")
    assert replay(flue, "a").out == "[1] data differs\n> x\ndata\n- a: 1\n+ a: true\n- b[0]: 1\n+ b[0]: 1.0\n"


def test_messages_between_are_compared(flue: Flue) -> None:
    """What a Reply brings besides its text is part of the comparison."""
    source = "from flue_cli import Reply\ndef agent(p, s, c):\n    return Reply('done', messages=[{'role': 'tool', 'content': 'old'}])\n"
    path = flue.agent("tools", source)
    lines(flue, "tools", "a", "x")
    assert replay(flue, "a").code == 0
    path.write_text(source.replace("old", "new"))

    done = replay(flue, "a")

    assert done.out == (
        "[1] messages differ\n> x\n"
        '- {"role": "tool", "content": "old"}\n+ {"role": "tool", "content": "new"}\n'
    )


def test_an_agent_that_fails_now(flue: Flue) -> None:
    """Its error stands where the reply was, with its traceback for --verbose; the other turns go on."""
    path = flue.agent("echo", "def agent(prompt, session, context):\n    return prompt\n")
    lines(flue, "echo", "a", "one", "two", "three")
    path.write_text(
        "def agent(prompt, session, context):\n    assert prompt != 'two', 'no twos'\n    return prompt\n"
    )

    done = replay(flue, "a", "--verbose")

    assert done.code == 1
    assert (
        done.out == f"[2] fails now\n> two\n- two\n+ (the agent failed: AssertionError: no twos ({path}:2))\n"
    )
    assert "Traceback" in done.err
    assert done.err.endswith("3 turns replayed, 1 differs (turn 2)\n")
    assert "Traceback" not in replay(flue, "a").err
    assert document(flue, "a")["turns"][1]["now"] == {
        "reply": None,
        "messages": [],
        "data": {},
        "error": {"type": "exception", "message": "the agent failed: AssertionError: no twos"},
    }


def test_the_document(flue: Flue) -> None:
    """--json has every turn, both sides whole, and the numbers of those that differ."""
    path = flue.agent("echo", "def agent(prompt, session, context):\n    return prompt\n")
    lines(flue, "echo", "ä", "one", "ü")
    path.write_text(
        "def agent(prompt, session, context):\n    session.data['x'] = 'ö'\n    return prompt.replace('ü', 'y')\n"
    )

    found = document(flue, "ä")

    both = {"reply": "one", "messages": [], "data": {}}
    assert found == {
        "agent": "echo",
        "session": "ä",
        "turns": [
            {
                "turn": 1,
                "prompt": "one",
                "differs": True,
                "recorded": both,
                "now": {**both, "data": {"x": "ö"}, "error": None},
                "missing": [],
            },
            {
                "turn": 2,
                "prompt": "ü",
                "differs": True,
                "recorded": {**both, "reply": "ü"},
                "now": {"reply": "y", "messages": [], "data": {"x": "ö"}, "error": None},
                "missing": [],
            },
        ],
        "differ": [1, 2],
        "skipped": [],
    }
    assert document(flue, "ä", "--at", "0") == {
        "agent": "echo", "session": "ä", "turns": [], "differ": [], "skipped": [],
    }  # fmt: skip


def test_calls_are_answered_and_never_made(flue: Flue) -> None:
    """What the agent asked of the world outside is answered from the recording, and nothing is called."""
    flue.agent("calling", CALLING)
    lines(flue, "calling", "a", "one", "three")
    made = flue.folder / "made"
    made.unlink()

    assert replay(flue, "a").code == 0
    assert not made.exists()


def test_a_call_that_was_not_recorded_is_a_difference(flue: Flue) -> None:
    """It is named and not made, also where the agent swallows the error and says the same."""
    path = flue.agent("calling", CALLING)
    lines(flue, "calling", "a", "one", "three")
    made = flue.folder / "made"
    made.unlink()

    path.write_text(CALLING.replace('"model"', '"better\\x1b[2J"'))
    failing = replay(flue, "a", "--at", "1")
    path.write_text(
        CALLING.replace(
            "    return f",
            "    try:\n        context.record('x', lambda: ask('x'))\n    except Exception: pass\n    return f",
        )
    )
    swallowing = replay(flue, "a", "--at", "1")
    found = document(flue, "a")

    assert failing.code == swallowing.code == 1
    assert failing.out == (
        "[1] fails now; calls 'better^[[2J', and that was not recorded\n> one\n- one has 3 letters\n"
        "+ (the call 'better^[[2J' was not recorded, and is not made)\n"
    )
    assert swallowing.out == "[1] calls 'x', and that was not recorded\n> one\n"
    assert [(turn["missing"], turn["differs"]) for turn in found["turns"]] == [(["x"], True)] * 2
    assert not made.exists()


def test_an_agent_from_a_file(flue: Flue) -> None:
    """--agent-file names another version of the agent, --agents another folder; neither must be installed."""
    path = flue.agent("echo", "def agent(prompt, session, context):\n    return prompt\n")
    lines(flue, "echo", "a", "one")
    other = flue.folder / "other" / "echo.py"
    other.parent.mkdir()
    other.write_text("def agent(prompt, session, context):\n    return prompt.upper() + context.agent\n")
    path.unlink()

    assert replay(flue, "a").code == 3
    assert replay(flue, "a", "--agent-file", "other/echo.py").out.endswith("- one\n+ ONEecho\n")
    assert replay(flue, "a", "--agents", "other").out.endswith("- one\n+ ONEecho\n")
    assert replay(flue, "a", "--agent-file", "nowhere.py").code == 3
    other.write_text("def agent(:")
    broken = replay(flue, "a", "--agent-file", "other/echo.py")
    assert (broken.code, broken.out) == (1, "")
    assert "cannot be loaded: SyntaxError" in broken.err


def test_which_session(flue: Flue) -> None:
    """A name that two agents have is ambiguous (4); AGENT/NAME or --agent decides; an unknown one is 3."""
    lines(flue, "greeting", "a", "hello")
    lines(flue, "journal", "a", "hello")

    assert replay(flue, "a").code == 4
    assert replay(flue, "journal/a").code == 0
    assert replay(flue, "a", "--agent", "greeting").code == 0
    assert replay(flue, "nobody").code == 3


def test_what_agents_print_and_ask(flue: Flue) -> None:
    """Prints go to stderr, input() finds nothing: stdout has the result alone."""
    source = "def agent(prompt, session, context):\n    print('loud')\n    try: return input()\n    except EOFError: return 'nothing'\n"
    flue.agent("loud", source)
    lines(flue, "loud", "a", "one")

    done = flue("replay", "a", stdin="typed\n")

    assert (done.code, done.out) == (0, "")
    assert "loud" in done.err


ACCEPTED = "def agent(prompt, session, context):\n    context.random.random()\n    session.data['count'] = session.data.get('count', 0) + {step}\n    return f\"{{session.data['count']}} after {{len(session.history)}}\"\n"


def test_accepting_runs_through(flue: Flue) -> None:
    """Each turn starts from what the run itself made; the result is a session of its own, with an origin."""
    path = flue.agent("counter", ACCEPTED.format(step=1))
    lines(flue, "counter", "a", "one", "two", "three")
    path.write_text(ACCEPTED.format(step=10))
    before = turns(flue, "a")

    done = replay(flue, "a", "--accept", "b")

    assert done.code == 0
    assert done.err == "3 turns replayed, 3 differ (turns 1, 2, 3)\nkept as counter/b\n"
    assert "data\n- count: 3\n+ count: 30\n" in done.out
    after = turns(flue, "b")
    assert [turn["messages"][1]["content"] for turn in after] == ["10 after 0", "20 after 2", "30 after 4"]
    assert [turn["data"] for turn in after] == [{"count": 10}, {"count": 20}, {"count": 30}]
    for new, old in zip(after, before, strict=True):
        assert (new["started_at"], new["meta"]["seed"]) == (old["started_at"], old["meta"]["seed"])
        assert new["meta"]["source"] != old["meta"]["source"]
        assert new["finished_at"] >= new["started_at"]
    origin = json.loads(flue("sessions", "export", "b", stdin=None).out)["forked_from"]
    assert origin == {"agent": "counter", "session": "a", "turn": 0}
    assert turns(flue, "a") == before
    assert replay(flue, "b").code == 0
    assert flue("chat", "counter", "-r", "b", "four", stdin=None).out == "40 after 6\n"


def test_accepting_makes_edits_again(flue: Flue) -> None:
    """Edits are made to the run's own data; what was not answered stays so, under its number."""
    source = "def agent(prompt, session, context):\n    if prompt == 'fail': raise ValueError\n    session.data.setdefault('said', []).append(prompt{how})\n    return str(session.data)\n"
    path = flue.agent("list", source.format(how=""))
    say(flue, "list", "a", "one", "fail")
    flue("sessions", "set", "a", "colour", '"red"', stdin=None)
    say(flue, "list", "a", "two")
    path.write_text(source.format(how=".upper()"))

    done = replay(flue, "a", "--accept", "b")

    assert (done.code, done.err) == (
        0, "2 turns replayed, 2 differ (turns 1, 4); 1 was skipped\nkept as list/b\n",
    )  # fmt: skip
    assert [(turn["turn"], turn["kind"], turn["outcome"]) for turn in turns(flue, "b")] == [
        (1, "prompt", "completed"),
        (2, "prompt", "failed"),
        (3, "edit", "completed"),
        (4, "prompt", "completed"),
    ]
    assert [turn["data"] for turn in turns(flue, "b")] == [
        {"said": ["ONE"]},
        {"said": ["ONE"]},
        {"said": ["ONE"], "colour": "red"},
        {"said": ["ONE", "TWO"], "colour": "red"},
    ]


def test_an_edit_that_does_not_fit(flue: Flue) -> None:
    """The run ends there (4), says at which turn, and keeps nothing."""
    listing = "def agent(prompt, session, context):\n    session.data['list'] = ['old']\n    return prompt"
    path = flue.agent("lister", listing)
    lines(flue, "lister", "a", "one")
    flue("sessions", "set", "a", "list[0]", '"mine"', stdin=None)
    path.write_text(listing.replace("old", "new"))

    done = replay(flue, "a", "--accept", "b")

    assert done.code == 4
    assert (
        "error: the edit of turn 2 does not fit the replayed data:"
        ' list[0]: expected "old", found "new"\n' in done.err
    )
    assert done.err.endswith("hint: leave it out: --at 1\n")
    assert flue("sessions", "show", "b", stdin=None).code == 3
    assert replay(flue, "a", "--accept", "b", "--at", "1").code == 0


def test_what_a_person_set_is_set_again(flue: Flue) -> None:
    """An edit of a key is made again whatever the agent gave this time."""
    path = flue.agent("counter", ACCEPTED.format(step=1))
    lines(flue, "counter", "a", "one")
    flue("sessions", "set", "a", "count", "40", stdin=None)
    path.write_text(ACCEPTED.format(step=10))

    assert replay(flue, "a", "--accept", "b").code == 0
    assert json.loads(flue("sessions", "data", "b", "count", stdin=None).out) == 40


def test_accepting_a_turn_that_fails_now(flue: Flue) -> None:
    """It is kept as failed, and the run goes on; so is a turn that lacks a call, even if it hides that."""
    path = flue.agent("calling", CALLING)
    lines(flue, "calling", "a", "one", "two", "three")
    (flue.folder / "made").unlink()
    path.write_text(
        CALLING.replace(
            "    return f",
            "    if prompt == 'one': raise ValueError('no ones')\n    try: prompt == 'two' and context.record('x', lambda: ask('x'))\n    except Exception: pass\n    return f",
        )
    )

    done = replay(flue, "a", "--accept", "b")

    assert (done.code, done.err) == (0, "3 turns replayed, 2 differ (turns 1, 2)\nkept as calling/b\n")
    one, two, three = turns(flue, "b")
    assert (one["outcome"], one["error"]["message"]) == ("failed", "the agent failed: ValueError: no ones")
    assert (two["outcome"], two["error"]["type"]) == ("failed", "not_recorded")
    assert (three["outcome"], three["messages"][1]["content"]) == ("completed", "three has 5 letters")
    assert three["meta"]["calls"] == [{"name": "model", "result": 5}]
    assert not (flue.folder / "made").exists()


def test_where_nothing_can_be_accepted(flue: Flue) -> None:
    """A name that is taken is 4, one that cannot be a name 2: both before the agent runs."""
    path = flue.agent("echo", "def agent(prompt, session, context):\n    return prompt\n")
    lines(flue, "echo", "a", "one")
    path.write_text("print('ran')\ndef agent(prompt, session, context):\n    return prompt\n")

    taken, unfit = replay(flue, "a", "--accept", "a"), replay(flue, "a", "--accept", "\n")

    assert (taken.code, unfit.code) == (4, 2)
    assert "ran" not in taken.err + unfit.err


@pytest.mark.parametrize("accept", [(), ("--accept", "b")])
def test_hostile_text(flue: Flue, accept: tuple[str, ...]) -> None:
    """Prompts, replies, data, call names and errors come out as text, in a pipe and in --json alike."""
    flue.agent("echo", "def agent(prompt, session, context):\n    return prompt\n")
    hostile = [text for name, text in HOSTILE.items() if name != "long"]
    lines(flue, "echo", "a", *hostile)
    path = flue.folder / "hostile.py"
    path.write_text(
        f"HOSTILE = {hostile!r}\n"
        "def agent(prompt, session, context):\n"
        "    session.data.update({text: text for text in HOSTILE})\n"
        "    for text in HOSTILE:\n"
        "        try: context.record(text, lambda: 1)\n"
        "        except Exception: pass\n"
        "    if context.turn % 2: raise ValueError(''.join(HOSTILE))\n"
        "    return prompt + ''.join(HOSTILE)\n"
    )

    done = replay(flue, "a", "--agent-file", "hostile.py", *accept)

    assert done.code == (0 if accept else 1)
    assert not OBEYED & set(done.out + done.err)
    if not accept:
        assert len(document(flue, "a", "--agent-file", "hostile.py")["differ"]) > 10


STUBBORN = """
import time

def agent(prompt, session, context):
    while prompt == "two":
        print("working", flush=True)
        try:
            time.sleep(100)
        except BaseException:
            pass
    return prompt
"""


def test_time_runs_out_for_a_turn(flue: Flue) -> None:
    """--timeout bounds each turn; one that stops when told is a difference like any other."""
    flue.agent("slow", "def agent(prompt, session, context):\n    return prompt\n")
    lines(flue, "slow", "a", "one", "two", "three")
    flue.agent(
        "slow",
        "import time\ndef agent(prompt, session, context):\n    prompt == 'two' and time.sleep(100)\n    return prompt\n",
    )

    done = replay(flue, "a", "--timeout", "0.2")

    assert (done.code, done.err) == (1, "3 turns replayed, 1 differs (turn 2)\n")
    assert "+ (the agent took longer than 0.2 s)\n" in done.out


@pytest.mark.parametrize("options", [("--json",), ("--accept", "b")])
def test_an_agent_that_will_not_stop(flue: Flue, options: tuple[str, ...]) -> None:
    """The command ends all the same, says what there is, and keeps nothing."""
    flue.agent("stubborn", "def agent(prompt, session, context):\n    return prompt\n")
    lines(flue, "stubborn", "a", "one", "two", "three")
    flue.agent("stubborn", STUBBORN)

    done = replay(flue, "a", "--timeout", "0.2", *options)

    assert done.code == 124
    assert done.err.endswith(
        "2 turns replayed, 1 differs (turn 2)\nerror: the agent took longer than 0.2 s\n"
    )
    if "--json" in options:
        assert json.loads(done.out)["differ"] == [2]
    else:
        assert done.out.startswith("[2] fails now\n> two\n- two\n")
    assert flue("sessions", "list", stdin=None).out.count("\n") == 1


@pytest.mark.parametrize("accept", [(), ("--accept", "b")])
def test_a_signal_ends_it(flue: Flue, accept: tuple[str, ...]) -> None:
    """Ctrl-C ends the command as a shell reports it; nothing was kept."""
    flue.agent("slow", "def agent(prompt, session, context):\n    return prompt\n")
    lines(flue, "slow", "a", "one", "two")
    flue.agent(
        "slow",
        "import time\ndef agent(prompt, session, context):\n    print('asleep', flush=True)\n    time.sleep(100)\n",
    )
    process = flue.start("replay", "a", *accept, stdin=subprocess.DEVNULL)
    assert process.stderr is not None
    assert process.stderr.readline() == b"asleep\n"
    process.send_signal(signal.SIGINT)

    out, err = process.communicate(timeout=10)

    assert (process.returncode, out, err) == (-signal.SIGINT, b"", b"cancelled\n")
    assert flue("sessions", "list", stdin=None).out.count("\n") == 1


def test_a_replay_whose_reader_goes_away(flue: Flue) -> None:
    """`| head -1` ends the replay quietly."""
    flue.agent("echo", "def agent(prompt, session, context):\n    return prompt\n")
    lines(flue, "echo", "a", *map(str, range(40)))
    flue.agent("echo", "def agent(prompt, session, context):\n    return prompt * 9000\n")

    done = subprocess.run(
        ["bash", "-c", '"$@" | head -1; echo "${PIPESTATUS[0]}"', "x", *flue.command, "replay", "a"],
        env=flue.env, cwd=flue.folder, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=20,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == (b"[1] reply differs\n141\n", b"")


@pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")
@pytest.mark.parametrize("columns", [80, 40])
def test_a_replay_on_a_terminal_is_two_columns(flue: Flue, columns: int) -> None:
    """Recorded and now stand side by side where there is room, else one below the other; all is safe, and nothing is asked."""
    flue.agent("echo", "def agent(prompt, session, context):\n    return 'same\\n' + prompt\n")
    lines(flue, "echo", "a", "one")
    flue.agent(
        "echo",
        "def agent(prompt, session, context):\n    session.data['x'] = 1\n    try: input()\n    except EOFError: pass\n    return 'same\\n' + '\\x1b[2Jnew'\n",
    )
    terminal = Terminal(
        [*flue.command, "replay", "a"], cwd=flue.folder, env=flue.env, rows=24, columns=columns
    )
    try:
        assert terminal.ended() == 1
        rows = [" ".join(line.split()) for line in terminal.lines]
    finally:
        terminal.close()

    assert rows[:2] == ["[1] reply and data differ", "> one"]
    if columns == 80:
        assert rows[2] == "recorded now"
        assert rows[4:7] == ["same same", "one ^[[2Jnew", "data.x: nothing data.x: 1"]
    else:
        assert rows[2:7] == ["same", "- one", "+ ^[[2Jnew", "data", "+ x: 1"]
    assert rows[-1] == "1 turn replayed, 1 differs (turn 1)"
