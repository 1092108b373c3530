"""The llm template: a model's whole answer is the reply, and anything else fails the turn with one sentence."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.model_server import (
    DONE,
    USAGE,
    WHOLE,
    Answer,
    ModelServer,
    end_event,
    event,
    running_model,
    text_event,
)

if TYPE_CHECKING:
    from conftest import Done, Flue

HALF = text_event("Half an ")
STOP = end_event("stop")


@pytest.fixture
def model() -> Iterator[ModelServer]:
    """A model's server."""
    with running_model() as server:
        yield server


@pytest.fixture
def helper(flue: Flue) -> Path:
    """The file of the agent `helper`, made from the template."""
    assert flue("agents", "new", "helper", "--template", "llm", stdin=None).code == 0
    return flue.folder / "agents" / "helper.py"


def ask(flue: Flue, env: dict[str, str], prompt: str = "hi") -> Done:
    return flue("chat", "helper", "-s", "a", prompt, stdin=None, env=env)


def error_of(done: Done) -> str:
    """The sentence of a failed turn."""
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: the agent failed: ModelError: ")


def test_a_new_agent_says_what_to_set(flue: Flue) -> None:
    """Making the agent prints the variables to set, and the command that tries it."""
    made = flue("agents", "new", "helper", "--template", "llm", stdin=None)

    assert made.out == "agents/helper.py\n"
    assert "export OPENAI_API_KEY=sk-... OPENAI_MODEL=" in made.err
    assert "export OPENAI_BASE_URL=http://localhost:11434/v1 OPENAI_MODEL=" in made.err
    assert made.err.endswith("talk to it with: flue chat helper\n")


def test_a_model_remembers_the_conversation(flue: Flue, helper: Path, model: ModelServer) -> None:
    """The reply streams, the model is shown the history and asked for usage, and the usage is kept."""
    assert ask(flue, model.env, "one") == (0, "Hello, wörld\n", "")
    assert ask(flue, model.env, "two") == (0, "Hello, wörld\n", "")

    path, body, authorization = model.requests[1]
    assert (path, authorization) == ("/v1/chat/completions", "Bearer sk-secret")
    assert (body["model"], body["stream_options"]) == ("tiny", {"include_usage": True})
    assert [(message["role"], message["content"]) for message in body["messages"][1:]] == [
        ("user", "one"),
        ("assistant", "Hello, wörld"),
        ("user", "two"),
    ]
    (_, second) = json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]
    assert second["meta"]["model"] == "tiny"
    assert second["meta"]["usage"] == {"prompt_tokens": 3, "total_tokens": 7}


def test_a_conversation_with_a_model_replays_without_it(flue: Flue, helper: Path) -> None:
    """With the server stopped and nothing set, the agent says it all again from the recorded call."""
    with running_model() as model:
        flue("chat", "helper", "-s", "a", "--lines", stdin="one\ntwo\n", env=model.env)
    (_, second) = json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]
    usage = {"prompt_tokens": 3, "total_tokens": 7}

    assert second["meta"]["calls"] == [{"name": "model", "pieces": ["Hello, ", "wörld", usage]}]
    assert flue("replay", "a", stdin=None) == (0, "", "2 turns replayed, none differs\n")
    helper.write_text(helper.read_text().replace('record("model"', 'record("other"'))
    changed = flue("replay", "a", stdin=None)
    assert (changed.code, changed.err) == (1, "2 turns replayed, 2 differ (turns 1, 2)\n")
    assert "the call 'other' was not recorded, and is not made" in changed.out


COMPLETION = {
    "choices": [{"message": {"role": "assistant", "content": "Hello, wörld"}, "finish_reason": "stop"}]
}
STREAM = b"".join(WHOLE.pieces)


@pytest.mark.parametrize(
    "answer",
    [
        Answer([b": comment\n\n", STREAM, b": comment\n\n"]),
        Answer([STREAM.replace(b"\n", b"\r\n")]),
        Answer([STREAM.replace(b"data: ", b"data:")]),
        Answer([b"event: message\nid: 1\nretry: 5\n", STREAM]),
        Answer([STREAM.replace(b"\\u00f6", "ö".encode())[start : start + 1] for start in range(len(STREAM))]),
        Answer([text_event("Hello, "), text_event("wörld"), STOP]),
        Answer([text_event("Hello, "), text_event("wörld"), DONE]),
        Answer([text_event("Hello, "), event(choices=[]), event(kind="ping"), text_event("wörld"), STOP, DONE]),
        Answer([event(choices=[{"delta": {"role": "assistant", "content": None}}]), STREAM]),
        Answer([STREAM], content_type="application/json"),
        Answer([json.dumps(COMPLETION).encode()], content_type="application/json"),
        Answer([json.dumps(COMPLETION, indent=1).encode() + b"\n"], content_type="application/json"),
    ],
    ids=[
        "comments", "CRLF", "no space", "other fields", "single bytes", "no [DONE]", "no finish_reason", "empty events",
        "a first event without text", "another type", "JSON", "JSON of several lines",
    ],
)  # fmt: skip
def test_a_whole_answer_is_the_reply(flue: Flue, helper: Path, model: ModelServer, answer: Answer) -> None:
    """However a server writes its stream, or answers in one JSON document, the whole text is the reply."""
    model.answer = answer

    assert ask(flue, model.env) == (0, "Hello, wörld\n", "")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer([HALF]), "the model's answer broke off"),
        (Answer([HALF, text_event("x")[:-9]]), "the model's answer broke off"),
        (Answer([HALF], headers={"Content-Length": "9999"}), "the model's answer broke off"),
        (
            Answer([b"%x\r\n%s\r\n" % (len(HALF), HALF)], headers={"Transfer-Encoding": "chunked"}),
            "the model's answer broke off",
        ),
        (Answer([HALF], end="reset"), "ADDRESS/chat/completions broke off: Connection reset by peer"),
        (Answer([HALF, event(error={"message": "Over\nloaded", "code": 502}), DONE]), "the server reports: Over loaded"),
        (Answer([HALF, event(error="overloaded"), DONE]), "the server reports: overloaded"),
        (Answer([HALF, end_event("error"), DONE]), "the model's answer broke off with an error"),
        (Answer([HALF, b"data: oops\n\n", DONE]), "the server reports: oops"),
        (Answer([HALF, end_event("length"), USAGE, DONE]), "the model's answer was cut off at the length limit"),
        (Answer([HALF, end_event("content_filter"), DONE]), "the model's answer was withheld by the server's content filter"),
    ],
    ids=[
        "closed", "closed in an event", "closed too early", "closed after a chunk", "reset", "error",
        "error of text", "finish_reason error", "no JSON", "length", "content filter",
    ],
)  # fmt: skip
def test_half_an_answer_fails_the_turn(
    flue: Flue, helper: Path, model: ModelServer, answer: Answer, problem: str
) -> None:
    """An answer that is not complete is shown as it came, fails with one sentence, and is not in the history."""
    model.answer = answer
    done = ask(flue, model.env)
    (turn,) = json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]
    model.answer = WHOLE
    ask(flue, model.env, "again")

    assert (done.code, done.out) == (1, "Half an \n")
    assert error_of(done).startswith(problem.replace("ADDRESS", model.address))
    assert turn["outcome"] == "failed"
    assert [message["content"] for message in model.requests[1].body["messages"][1:]] == ["again"]


REFUSAL = b'{"error": {"message": "No such\\nkey", "type": "auth"}}'


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer([]), "the model's answer broke off"),
        (Answer([STOP, DONE]), "the model's answer is empty"),
        (Answer([text_event(" "), STOP, DONE]), "the model's answer is empty"),
        (Answer([end_event("tool_calls"), DONE]), "the model's answer is a call of a tool, and this agent has no tools"),
        (Answer([REFUSAL], content_type="application/json"), "the server reports: No such key"),
        (Answer([b'{"detail": "no"}'], content_type="application/json"), "the server reports: {'detail': 'no'}"),
        (Answer([b"<html>\n<p>Welcome"], content_type="text/html"), "the server reports: <html> <p>Welcome"),
        (Answer([b"[1]"], content_type="application/json"), "the server reports: [1]"),
        (Answer([REFUSAL], 401), "ADDRESS/chat/completions answers 401: No such key"),
        (Answer([b"slow\ndown"], 429), "ADDRESS/chat/completions answers 429: slow down"),
        (Answer([b"x" * 9000], 500), f"ADDRESS/chat/completions answers 500: {'x' * 300}"),
        (Answer([b'{"error": "404"}'], 404), "ADDRESS/chat/completions answers 404: 404"),
    ],
    ids=[
        "nothing", "empty", "blank", "tool call", "error object", "other object", "page", "list",
        "401", "429", "500", "404",
    ],
)  # fmt: skip
def test_no_answer_fails_the_turn(
    flue: Flue, helper: Path, model: ModelServer, answer: Answer, problem: str
) -> None:
    """A server that gives no answer fails the turn with its own words, cut, and never with the key."""
    model.answer = answer
    done = ask(flue, model.env)

    assert (done.code, done.out.strip()) == (1, "")
    assert error_of(done).partition(" (agents/helper.py:")[0] == problem.replace("ADDRESS", model.address)
    assert "sk-secret" not in done.err


def test_a_server_that_is_not_there(flue: Flue, helper: Path) -> None:
    """A refused connection is named with the address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    done = ask(flue, {"OPENAI_BASE_URL": address, "OPENAI_MODEL": "tiny"})

    assert done.code == 1
    assert error_of(done).startswith(f"{address}/chat/completions did not answer: Connection refused")


@pytest.mark.parametrize("pieces", [[], [HALF]], ids=["at once", "in the middle"])
def test_a_server_that_is_silent(flue: Flue, helper: Path, model: ModelServer, pieces: list[bytes]) -> None:
    """A server that sends nothing for too long fails the turn."""
    helper.write_text(helper.read_text().replace("MAX_SILENCE = 120", "MAX_SILENCE = 0.1"))
    model.answer = Answer(pieces, end="stall")
    done = ask(flue, model.env)

    assert done.code == 1
    assert error_of(done).startswith(f"{model.address}/chat/completions ")
    assert "timed out" in error_of(done)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "http://localhost:11434/v1")),
        ({"OPENAI_API_KEY": "", "OPENAI_MODEL": "tiny"}, ("OPENAI_API_KEY", "OPENAI_BASE_URL")),
        ({"OPENAI_API_KEY": "sk-secret"}, ("set OPENAI_MODEL, for example", "OpenAI", "OpenRouter", "Ollama")),
        ({"OPENAI_BASE_URL": "http://localhost:1/v1", "OPENAI_MODEL": " "}, ("set OPENAI_MODEL, for example",)),
    ],
    ids=["nothing", "model alone", "key alone", "address alone"],
)  # fmt: skip
def test_what_must_be_set_is_named(
    flue: Flue, helper: Path, env: dict[str, str], words: tuple[str, ...]
) -> None:
    """Without a server or a model's name nothing is asked: the error says which variables to set."""
    done = ask(flue, env)

    assert done.code == 1
    assert error_of(done).startswith("set ")
    for word in words:
        assert word in error_of(done)
