"""The chat, interrupted: by Ctrl-C and signals while an agent works, and by other processes."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.fake_terminal import ChatDriver, echo, handlers_restored, without_colours
from support.real_terminal import CTRL_C, CTRL_D, ENTER

from flue_cli.cli.signals import Signals
from flue_cli.errors import StoppedBySignal, StoreError
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.history import InputHistory
from flue_cli.repl.options import ChatOptions
from flue_cli.stores import open_store
from flue_cli.stores.records import SessionHead, TurnRequest, TurnResult
from flue_cli.turns import watchdog

# Ctrl-C while an agent works


class Busy:
    """Agents that work on "go" until they are stopped, and answer anything else."""

    def __init__(self) -> None:
        self.working = threading.Event()
        self.released = threading.Event()

    def sync(self, prompt: str, session: Any, context: Any) -> str:
        while prompt == "go":
            self.working.set()
            time.sleep(0.01)
        return f"<{prompt}>"

    def streaming(self, prompt: str, session: Any, context: Any) -> Iterator[str]:
        yield f"<{prompt}>"
        while prompt == "go":
            self.working.set()
            time.sleep(0.01)

    async def coroutine(self, prompt: str, session: Any, context: Any) -> str:
        while prompt == "go":
            self.working.set()
            await asyncio.sleep(0.01)
        return f"<{prompt}>"

    async def async_streaming(self, prompt: str, session: Any, context: Any) -> Any:
        yield f"<{prompt}>"
        while prompt == "go":
            self.working.set()
            await asyncio.sleep(0.01)

    def asleep(self, prompt: str, session: Any, context: Any) -> str:
        if prompt == "go":
            self.working.set()
            self.released.wait(30)  # one call that no exception can get into
        return f"<{prompt}>"

    async def async_asleep(self, prompt: str, session: Any, context: Any) -> str:
        return self.asleep(prompt, session, context)

    def stubborn(self, prompt: str, session: Any, context: Any) -> str:
        while prompt == "go" and not self.released.is_set():
            try:
                self.working.set()
                self.released.wait(0.01)
            except BaseException:  # noqa: BLE001 - that is what is wrong with it
                pass
        return f"<{prompt}>"

    def polite(self, prompt: str, session: Any, context: Any) -> str:
        while prompt == "go" and not context.cancelled:
            try:
                self.working.set()
                time.sleep(0.01)
            except BaseException:  # noqa: BLE001
                pass
        return f"<{prompt}>"


@pytest.fixture
def busy(driver: ChatDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    """Agents that will not stop are given up soon here, and let go when the test is over."""
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.2)
    busy = Busy()
    yield busy
    busy.released.set()


@contextmanager
def signalled(driver: ChatDriver, busy: Busy, *signums: int) -> Iterator[None]:
    """Send the signals once an agent works."""

    def send() -> None:
        assert busy.working.wait(30)
        for signum in signums:
            driver.signal(signum)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join()


KINDS = [
    "sync",
    "streaming",
    "coroutine",
    "async_streaming",
    "asleep",
    "async_asleep",
    "stubborn",
    "polite",
]


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_cancels_the_turn_and_not_the_chat(driver: ChatDriver, busy: Busy, kind: str) -> None:
    """Ctrl-C ends the turn whatever the agent does about it, and the next prompt is answered."""
    with signalled(driver, busy, signal.SIGINT):
        page = driver.chat(getattr(busy, kind), "go" + ENTER, "next" + ENTER, CTRL_D)

    assert re.search(r"cancelled[^\n]*\n<next>\n", page)
    assert [(entry.prompt, entry.outcome) for entry in driver.entries()] == [
        ("go", "cancelled"),
        ("next", "completed"),
    ]


@pytest.mark.parametrize("kind", ["sync", "coroutine", "asleep"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_turn_and_chat(driver: ChatDriver, busy: Busy, kind: str, signum: int) -> None:
    """TERM and HUP cancel the turn, say how to come back, and end the chat by the signal."""
    seen: list[str] = []
    driver.page.when("resume with", lambda: seen.append(driver.page.text))
    with signalled(driver, busy, signum), pytest.raises(StoppedBySignal) as stop:
        driver.chat(getattr(busy, kind), "go" + ENTER, "next" + ENTER, CTRL_D)

    assert stop.value.signum == signum
    assert re.search(r"cancelled[^\n]*\nresume with: flue chat tester -r work\n$", seen[0])
    assert [entry.outcome for entry in driver.entries()] == ["cancelled"]


def test_a_signal_after_ctrl_c_still_ends_the_chat(driver: ChatDriver, busy: Busy) -> None:
    """A TERM that comes while a cancelled agent is still being stopped is not forgotten."""
    with signalled(driver, busy, signal.SIGINT, signal.SIGTERM), pytest.raises(StoppedBySignal) as stop:
        driver.chat(busy.asleep, "go" + ENTER, CTRL_D)
    assert stop.value.signum == signal.SIGTERM


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_prompt_ends_the_chat(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch, signum: int
) -> None:
    """TERM and HUP end the chat at once, even when they come while the prompt is being drawn."""

    drawn: list[str] = []

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            if "half a pro" in text and not drawn:
                drawn.append(text)
                signal.raise_signal(signum)
            return super().write(text)

    signal.alarm(10)  # a signal that gets lost leaves the chat waiting
    monkeypatch.setattr(driver.page, "terminal_file", Screen)
    with handlers_restored():
        signals = Signals()
        signals.install()
        monkeypatch.setattr(driver, "cancelling", signals.cancelling)
        with pytest.raises(StoppedBySignal) as stop:
            driver.chat(echo, "half a pro")
    assert stop.value.signum == signum


def test_a_signal_while_a_prompt_is_sent_is_not_lost(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TERM in the moment between Enter and the turn ends the chat like any other."""
    monkeypatch.setattr(InputHistory, "store_string", lambda *_: signal.raise_signal(signal.SIGTERM))
    with handlers_restored():
        signals = Signals()
        signals.install()
        monkeypatch.setattr(driver, "cancelling", signals.cancelling)
        with pytest.raises(StoppedBySignal) as stop:
            driver.chat(echo, "hello" + ENTER, CTRL_D)
    assert stop.value.signum == signal.SIGTERM


def test_the_moment_between_reply_and_prompt(
    driver: ChatDriver, tty: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a reply and the next prompt the keyboard is as quiet as before, and one Ctrl-C does not leave."""
    look = driver.store.head
    settings: list[list[Any]] = []

    def head(agent: str, name: str) -> SessionHead:
        if "<one>" in driver.page.text and not settings:
            settings.append(termios.tcgetattr(tty))
            signal.raise_signal(signal.SIGINT)
        return look(agent, name)

    monkeypatch.setattr(driver.store, "head", head)
    with handlers_restored():
        signals = Signals()
        signals.install()
        monkeypatch.setattr(driver, "cancelling", signals.cancelling)
        driver.chat(echo, "one" + ENTER, "two" + ENTER, CTRL_D)

    assert driver.sent() == ["one", "two"]
    assert not settings[0][3] & termios.ECHO  # else what is typed now gets between reply and prompt
    assert not settings[0][0] & termios.ICRNL  # else Enter is a new line


def test_an_agent_given_up_is_not_heard_any_more(driver: ChatDriver, busy: Busy) -> None:
    """What an agent that would not stop says later does not get into the next reply."""
    spoken = threading.Event()

    def chatterbox(prompt: str, session: Any, context: Any) -> Iterator[str]:
        try:
            yield busy.stubborn(prompt, session, context)
        finally:
            spoken.set()

    def let_it_speak() -> None:
        busy.released.set()
        assert spoken.wait(30)

    driver.page.when("cancelled", let_it_speak)
    with signalled(driver, busy, signal.SIGINT):
        page = driver.chat(chatterbox, "go" + ENTER, "next" + ENTER, CTRL_D)

    assert "<go>" not in page
    assert re.search(r"cancelled[^\n]*\n<next>\n", page)


# Another process on the same session


@contextmanager
def taken(driver: ChatDriver) -> Iterator[None]:
    """While inside, another process answers a prompt of the same session."""
    other = open_store(str(driver.file))
    begun: Any = other.begin(
        TurnRequest("tester", "work", "first come", wait=0), lambda seconds, holder: None
    )
    yield
    other.commit(begun.lease, TurnResult(reply="first served", messages=(), data="{}", meta={}))
    other.close()


def waiting(driver: ChatDriver) -> Conversation:
    return driver.conversation(echo, options=ChatOptions(30, None, is_saved=True))


def test_ctrl_c_ends_the_wait_for_another_turn(driver: ChatDriver) -> None:
    """Who waits behind another process is told so, and gets the prompt back with Ctrl-C."""
    driver.page.when("waiting: ", lambda: driver.signal(signal.SIGINT))
    driver.page.when("cancelled", lambda: driver.keys.send_text("/exit" + ENTER))
    with taken(driver):
        driver.chat(waiting(driver), "hello" + ENTER)

    assert driver.sent() == ["first come"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_wait_and_the_chat(driver: ChatDriver, signum: int) -> None:
    """TERM and HUP end a chat that waits behind another process, as they do at any other time."""
    driver.page.when("waiting: ", lambda: driver.signal(signum))
    with taken(driver), pytest.raises(StoppedBySignal) as stop:
        driver.chat(waiting(driver), "hello" + ENTER, CTRL_D)
    assert stop.value.signum == signum


def test_a_busy_session_is_no_reason_to_leave(driver: ChatDriver) -> None:
    """With no time to wait, a busy session is an error and the prompt comes back."""
    with taken(driver):
        page = driver.chat(echo, "hello" + ENTER, "again" + ENTER, CTRL_D)

    assert page.count("error: session 'work' is busy: another process") == 2
    assert "hint: wait longer with --wait SECONDS, or use another session\n" in page


def test_turns_made_meanwhile_are_shown(driver: ChatDriver) -> None:
    """What another process said in this session is shown once, before the next prompt."""
    driver.page.when("<one>\n", lambda: driver.elsewhere("from elsewhere"))
    page = without_colours(driver.chat(echo, "one" + ENTER, ENTER, "two" + ENTER, CTRL_D))

    assert page.count("meanwhile in another process:\n") == 1
    assert "<one>\n\nmeanwhile in another process:\n│ [2]" in page
    assert page.count("│ > from elsewhere\n│ <from elsewhere>\n") == 1
    assert page.endswith("<from elsewhere>\n<two>\nresume with: flue chat tester -r work\n")


def test_our_own_turns_are_not_shown_as_anothers(driver: ChatDriver) -> None:
    """When another process came first while a prompt was typed, its turn is shown, and ours not again."""

    def come_first() -> None:
        driver.elsewhere("from elsewhere")
        driver.keys.send_text("hello" + ENTER + CTRL_D)

    driver.page.when("press Ctrl-C again", come_first)  # the chat waits for keys then
    page = without_colours(driver.chat(echo, CTRL_C))

    assert "│ > from elsewhere\n│ <from elsewhere>\n" in page
    assert page.count("<hello>") == 1


def test_a_session_made_meanwhile_is_joined(driver: ChatDriver) -> None:
    """When another process makes the session first, its turns are shown and the chat goes on in it."""
    driver.page.when("/help\n", lambda: driver.elsewhere("from elsewhere"))
    page = without_colours(driver.chat(echo, "one" + ENTER, ENTER, CTRL_D))

    assert driver.sent() == ["from elsewhere", "one"]
    assert page.count("│ > from elsewhere\n│ <from elsewhere>\n") == 1
    assert page.count("<one>") == 1


@pytest.mark.parametrize("made_anew", [False, True], ids=["deleted", "made anew"])
def test_a_session_deleted_meanwhile_stays_deleted(driver: ChatDriver, made_anew: bool) -> None:
    """When another process deletes the session, the next prompt is an error and makes no new one."""

    def delete() -> None:
        other = open_store(str(driver.file))
        other.delete(other.head("tester", "work"))
        other.close()
        if made_anew:
            driver.elsewhere("somebody else's")

    driver.page.when("<one>\n", delete)
    page = driver.chat(echo, "one" + ENTER, "two" + ENTER, "/new fresh" + ENTER, "three" + ENTER, CTRL_D)

    assert "<one>\nerror: session 'work' was deleted, renamed or replaced meanwhile\n" in page
    assert driver.sent() == (["somebody else's"] if made_anew else [])
    assert driver.sent("fresh") == ["three"]
    assert "-r work" not in page


def test_a_store_in_trouble_does_not_end_the_chat(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store cannot be looked at before a prompt, that is said, and the prompt still comes."""
    look, trouble = driver.store.head, ["the disk is on holiday"]

    def head(agent: str, name: str) -> SessionHead:
        if "<one>" in driver.page.text and trouble:
            raise StoreError(trouble.pop())
        return look(agent, name)

    monkeypatch.setattr(driver.store, "head", head)
    page = driver.chat(echo, "one" + ENTER, "two" + ENTER, CTRL_D)

    assert "<one>\nerror: the disk is on holiday\n<two>\n" in page
