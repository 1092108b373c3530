"""Going back and forth in a chat: /undo, /redo, /rewind, /retry, /try, /fork, /resume, /diff, /data PATH."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.fake_terminal import ChatDriver, echo
from support.real_terminal import CTRL_C, CTRL_D, ENTER

from flue_cli.agents.api import Message
from flue_cli.errors import SessionChanged
from flue_cli.repl.options import ChatOptions
from flue_cli.sessions import timeline
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.turns import watchdog


def now(seconds: float, holder: object) -> None:
    raise AssertionError("nobody has to wait here")


def elsewhere(driver: ChatDriver, count: int) -> None:
    """Another process takes turns back."""
    with closing(open_store(str(driver.file))) as other:
        timeline.undo_turns(other, other.head("tester", "work"), count, wait=0, pause=now)


def kept(store: Store) -> list[str]:
    return sorted(summary.name for summary in store.sessions(with_undone_forks=True))


def history(driver: ChatDriver, name: str = "work") -> list[Message]:
    head = driver.store.head("tester", name)
    return driver.store.messages(head, 0, head.messages)


def test_history_and_data_go_back_together(driver: ChatDriver) -> None:
    """After /undo the agent sees neither what was said nor what that did; /redo brings both back."""
    page = driver.chat(
        echo,
        *("one" + ENTER, "two" + ENTER, "three" + ENTER, "/undo 2" + ENTER, "/data said" + ENTER),
        *("/redo" + ENTER, "/data said" + ENTER, CTRL_D),
    )

    assert page.splitlines()[4:] == [
        "turns 2 to 3 undone: tester/work is at turn 1",
        "[",
        '  "one"',
        "]",
        "turn 2 redone: tester/work is at turn 2",
        "[",
        '  "one",',
        '  "two"',
        "]",
        "resume with: flue chat tester -r work",
    ]
    assert [message.content for message in history(driver)] == ["one", "<one>", "two", "<two>"]


def test_what_was_undone_is_kept_when_something_else_is_said(driver: ChatDriver) -> None:
    """A new prompt after /undo keeps the old line as a fork, and /redo has nothing to bring back."""
    page = driver.chat(
        echo, "one" + ENTER, "two" + ENTER, "/undo" + ENTER, "other" + ENTER, "/redo" + ENTER, CTRL_D
    )

    assert "error: session 'work' has nothing to redo" in page
    assert driver.sent() == ["one", "other"]
    assert driver.sent("work~1") == ["one", "two"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/undo", "error: nothing has been said yet"),
        ("/redo", "error: nothing has been said yet"),
        ("/retry", "error: nothing has been said yet"),
        ("/fork copy", "error: nothing has been said yet"),
        ("/undo x", "error: /undo takes a number of turns"),
        ("/undo 0", "error: /undo takes a number of turns"),
        ("/rewind", "error: /rewind takes the number of a turn"),
        ("/rewind -1", "error: /rewind takes the number of a turn"),
        ("/fork", "error: /fork takes the name of the copy"),
        ("/try", "error: /try takes a prompt"),
        ("/resume", "error: /resume takes the name of a session"),
        ("/resume nobody", "error: there is no session 'nobody' of agent 'tester'"),
        ("/data said[", "error: 'said[' is not a valid path: "),
        ("/data set said 1", "error: nothing has been said yet"),
        ("/data edit", "error: nothing has been said yet"),
    ],
)
def test_what_cannot_be_done_is_said(driver: ChatDriver, typed: str, words: str) -> None:
    """A command that makes no sense is one clear line, makes nothing, and the prompt comes back."""
    page = driver.chat(echo, typed + ENTER, "/data" + ENTER, CTRL_D)

    assert page.splitlines()[1].startswith(words)
    assert "{}" in page
    assert kept(driver.store) == []


def test_a_turn_that_failed_does_not_count(driver: ChatDriver) -> None:
    """/undo takes back the last answered turn, and with it the failed ones after it."""

    def picky(prompt: str, session: Any, context: Any) -> str:
        if prompt == "bad":
            raise ValueError("no")
        return echo(prompt, session, context)

    driver.chat(picky, "one" + ENTER, "two" + ENTER, "bad" + ENTER, "/undo" + ENTER, CTRL_D)

    assert driver.sent() == ["one"]


def test_an_earlier_prompt_is_edited_and_sent_again(driver: ChatDriver) -> None:
    """/rewind N brings the prompt after turn N back into the line; what followed is kept as a fork."""
    page = driver.chat(
        echo,
        *("one" + ENTER, "two" + ENTER, "three" + ENTER, "/rewind 1" + ENTER, " and a half" + ENTER, CTRL_D),
    )

    assert "turns 2 to 3 undone: tester/work is at turn 1" in page
    assert driver.sent() == ["one", "two and a half"]
    assert driver.sent("work~1") == ["one", "two", "three"]


def test_rewind_goes_forward_too(driver: ChatDriver) -> None:
    """As long as nothing else was said, /rewind reaches what was undone; past it is an error."""
    page = driver.chat(
        echo,
        *("one" + ENTER, "two" + ENTER, "three" + ENTER, "/rewind 0" + ENTER, CTRL_C),
        *("/rewind 2" + ENTER, CTRL_C, "/rewind 9" + ENTER, CTRL_D),
    )

    assert "turns 1 to 2 redone: tester/work is at turn 2" in page
    assert "error: session 'work' has no turn 9" in page
    assert driver.sent() == ["one", "two"]


def test_a_prompt_is_sent_again(driver: ChatDriver) -> None:
    """/retry asks the last prompt again on what was before it, and keeps the reply it had."""
    numbers = itertools.count(1)

    def counting(prompt: str, session: Any, context: Any) -> str:
        return f"{prompt} {next(numbers)}, {len(session.history)} before"

    page = driver.chat(counting, "one" + ENTER, "two" + ENTER, "/retry" + ENTER, CTRL_D)

    assert "> two\nthe undone turns are kept in session work~1\ntwo 3, 2 before\n" in page
    assert [message.content for message in history(driver)][-2:] == ["two", "two 3, 2 before"]
    assert [message.content for message in history(driver, "work~1")][-2:] == ["two", "two 2, 2 before"]


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (1, "turn 3, an edit of the data, is undone with it\n"),
        (2, "turns 3 to 4, edits of the data, are undone with it\n"),
    ],
)
@pytest.mark.parametrize(("command", "draft"), [("/retry", ""), ("/edit", ENTER)])
def test_an_edit_after_the_prompt_is_named_when_it_goes(
    driver: ChatDriver, command: str, draft: str, edits: int, words: str
) -> None:
    """/retry and /edit say that a change of the data is undone as well, and which session keeps it."""
    changes = [f"/data set n {number}" + ENTER for number in range(1, edits + 1)]

    page = driver.chat(echo, "one" + ENTER, "two" + ENTER, *changes, command + ENTER + draft, CTRL_D)

    assert f"turns 2 to {edits + 2} undone: tester/work is at turn 1\n{words}" in page
    assert "the undone turns are kept in session work~1\n" in page
    assert [entry.kind for entry in driver.entries("work~1")] == ["prompt", "prompt", *["edit"] * edits]
    assert f'"n":{edits}' in driver.entries("work~1")[-1].data
    assert '"n"' not in driver.entries()[-1].data


@pytest.mark.parametrize("what", ["another", "/data set n 1", "/data unset said"])
def test_whatever_is_added_after_an_undo_names_the_fork(driver: ChatDriver, what: str) -> None:
    """A prompt or an edit after /undo says which session has what was undone; the next says nothing."""
    page = driver.chat(
        echo, *(line + ENTER for line in ("one", "two", "/undo", what, "more", "/data set m 2")), CTRL_D
    )

    assert page.count("the undone turns are kept in session work~1\n") == 1
    assert page.count("undone turns") == 1


def test_a_prompt_that_failed_is_sent_again(driver: ChatDriver) -> None:
    """After a failed turn /retry just asks again; there is no reply to keep."""
    troubles = ["no"]

    def shaky(prompt: str, session: Any, context: Any) -> str:
        if troubles:
            raise ValueError(troubles.pop())
        return echo(prompt, session, context)

    driver.chat(shaky, "one" + ENTER, "/retry" + ENTER, CTRL_D)

    assert [(entry.prompt, entry.outcome) for entry in driver.entries()] == [
        ("one", "failed"),
        ("one", "completed"),
    ]
    assert kept(driver.store) == ["work"]


def test_a_prompt_that_is_only_tried(driver: ChatDriver) -> None:
    """/try shows the reply, in pieces if it comes so, and what it would change; nothing is saved."""

    def pieces(prompt: str, session: Any, context: Any) -> Any:
        session.data["n"] = session.data.get("n", 0) + 1
        yield f"{context.turn}: "
        yield f"{prompt}, {len(session.history)} before"

    page = driver.chat(pieces, "one" + ENTER, "/try two" + ENTER, "/data n" + ENTER, CTRL_D)

    assert page.splitlines()[2:8] == [
        "2: two, 2 before",
        "data",
        "- n: 1",
        "+ n: 2",
        "dry run: nothing was saved",
        "1",
    ]
    assert driver.sent() == ["one"]


def test_trying_makes_no_session(driver: ChatDriver) -> None:
    """A chat in which there was only a dry run leaves nothing, also if the agent failed at it."""

    def fails(prompt: str, session: Any, context: Any) -> str:
        raise ValueError(prompt)

    page = driver.chat(fails, "/try this" + ENTER, CTRL_D)

    assert "error: the agent failed: ValueError: this" in page
    assert kept(driver.store) == []


def test_a_try_can_be_cancelled(driver: ChatDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a dry run, even if the agent does not care, and the chat goes on."""
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.1)
    release = threading.Event()

    def stubborn(prompt: str, session: Any, context: Any) -> str:
        if prompt == "try":
            threading.Timer(0.05, lambda: driver.signal(signal.SIGINT)).start()
            began = time.monotonic()
            while not release.is_set() and time.monotonic() - began < 10:
                try:
                    release.wait(0.02)
                except BaseException:  # noqa: BLE001 - that is what stubborn is
                    continue
        return echo(prompt, session, context)

    page = driver.chat(stubborn, "/try try" + ENTER, "one" + ENTER, CTRL_D)
    release.set()

    assert "cancelled" in page
    assert "<one>" in page
    assert driver.sent() == ["one"]


def test_a_copy_goes_its_own_way(driver: ChatDriver) -> None:
    """/fork goes on in a copy, as it is or as of a turn; /resume comes back."""
    page = driver.chat(
        echo,
        *("one" + ENTER, "two" + ENTER, "/fork my copy 1" + ENTER, "three" + ENTER),
        *("/resume work" + ENTER, "four" + ENTER, "/fork my copy" + ENTER, CTRL_D),
    )

    assert "now in my copy, a copy of work as of turn 1; back: /resume work" in page
    assert "tester · session work (2 turns) · /help" in page
    assert "error: session 'my copy' of agent 'tester' exists already" in page
    assert driver.sent("my copy") == ["one", "three"]
    assert driver.sent() == ["one", "two", "four"]


def test_what_the_last_turn_changed(driver: ChatDriver) -> None:
    """/diff shows the last turn and its part of the data; /diff N all since turn N."""
    page = driver.chat(
        echo, "one" + ENTER, "two" + ENTER, "/diff" + ENTER, "/diff 2" + ENTER, "/diff 7" + ENTER, CTRL_D
    )

    assert "+ > two" in page
    assert "+ > one" not in page
    assert '"two"' in page
    assert "nothing differs" in page
    assert "error: session 'work' has no turn 7" in page


def test_what_somebody_else_undid_is_said(driver: ChatDriver) -> None:
    """Turns that another process takes back are named before the next prompt, and the new ones shown."""

    def meddle() -> None:
        elsewhere(driver, 2)
        driver.elsewhere("instead")

    driver.page.when("<three>\n", meddle)
    page = driver.chat(echo, "one" + ENTER, "two" + ENTER, "three" + ENTER, "four" + ENTER, CTRL_D)

    assert "meanwhile turns 2 to 3 were undone in another process" in page
    assert "> instead" in page
    assert page.count("> one") == 0
    assert driver.sent() == ["one", "instead", "four"]


def test_what_somebody_else_undid_without_a_word_after_it(driver: ChatDriver) -> None:
    """If the other process only takes back, that alone is said, once."""
    driver.page.when("<two>\n", lambda: elsewhere(driver, 1))
    page = driver.chat(echo, "one" + ENTER, "two" + ENTER, "/help" + ENTER, CTRL_D)

    assert page.count("meanwhile turn 2 was undone in another process") == 1
    assert "meanwhile in another process" not in page


def test_the_data_are_changed_by_hand(driver: ChatDriver) -> None:
    """/data set and unset change a part of the data, as a turn that /undo takes back."""
    page = driver.chat(
        echo,
        *("one" + ENTER, '/data set ["a b"].c "x y"' + ENTER, "/data unset said[0]" + ENTER, "/data" + ENTER),
        *("/data set said one" + ENTER, "/data unset nothing" + ENTER, "/undo 2" + ENTER, CTRL_D),
    )

    assert 'tester/work: ["a b"].c is "x y" (turn 2)' in page
    assert "tester/work: said[0] is removed (turn 3)" in page
    assert "error: VALUE is not JSON: " in page
    assert "error: there is no nothing: " in page
    assert "meanwhile" not in page
    assert [entry.data for entry in driver.entries()] == ['{"said":["one"]}']


def test_the_data_are_edited(driver: ChatDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """/data edit opens them in the editor; what cannot be kept is said, and the text stays in a file."""
    monkeypatch.setenv("VISUAL", "sed -i s/one/two/")
    flags = ("--store", "s.db", "--agents", "mine")
    options = ChatOptions(0, None, is_saved=True, repeat_flags=flags, drafts_folder=str(tmp_path / "drafts"))
    page = driver.chat(
        driver.conversation(echo, options=options),
        "one" + ENTER,
        "/data edit" + ENTER,
        "/data edit" + ENTER,
        CTRL_D,
    )
    assert "the data of tester/work is changed (turn 2)" in page
    assert "nothing was changed" in page
    assert driver.entries()[-1].data == '{"said":["two"]}'

    monkeypatch.setenv("VISUAL", "sed -i s/}/]/")
    page = driver.chat(driver.conversation(echo, options=options), "/data edit" + ENTER, CTRL_D)
    (draft,) = (tmp_path / "drafts").iterdir()
    assert "error: what you wrote is not JSON: " in page
    assert f"your text is kept in {draft}" in page
    assert "when it is right: flue sessions set tester/work '' --store s.db \"$(cat " in page
    assert draft.read_text().endswith("]\n")


def test_turns_made_while_the_data_were_changed_are_shown(driver: ChatDriver) -> None:
    """What another process said just before a change by hand is not passed over."""
    driver.chat(echo, "one" + ENTER, CTRL_D)
    conversation = driver.conversation(echo)
    conversation.mark_seen()
    driver.elsewhere("from elsewhere")
    conversation.set_data("n", "1", now)

    assert [entry.prompt for entry in conversation.missed_changes().turns] == ["from elsewhere", ""]


@pytest.mark.parametrize("command", ["undo", "retry", "rewind"])
def test_nobody_takes_back_what_is_not_on_the_screen(driver: ChatDriver, command: str) -> None:
    """When another process was quicker, nothing is taken back, and its turn is shown first."""
    driver.chat(echo, "mine" + ENTER, CTRL_D)
    conversation = driver.conversation(echo)
    driver.elsewhere("theirs")
    acts: dict[str, Callable[[], object]] = {
        "undo": lambda: conversation.undo(1, now),
        "retry": lambda: conversation.rewind_before_last_prompt(now),
        "rewind": lambda: conversation.rewind(0, now),
    }
    act = acts[command]

    with pytest.raises(SessionChanged, match="it is at turn 2 now"):
        act()

    assert [entry.prompt for entry in conversation.missed_changes().turns] == ["theirs"]
    assert driver.sent() == ["mine", "theirs"]
    act()
    assert len(driver.sent()) < 2
