"""The document `/openapi.json`: every address, in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from flue_cli import __version__
from flue_cli.jsondata.strict import MAX_BYTES
from flue_cli.names import MAX_NAME_CHARACTERS
from flue_cli.server.session_endpoints import LONGEST_PAGE, MAX_NUMBER, PAGE
from flue_cli.transcripts.entry_json import ANSWERED, entry_schema

_TEXT = {"type": "string"}
_AGENT = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"}
_SESSION = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS}
_PROMPT = {"type": "string", "maxLength": MAX_BYTES}
_KEY = {"type": "string", "minLength": 1}
_NUMBER = {"type": "integer", "minimum": 0}


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Flue",
            "summary": "Stateful agents and their sessions.",
            "version": __version__,
        },
        "paths": {
            "/api/agent/{agent}": {"post": _turn()},
            "/api/agents": {"get": _reads("The agents", _array("Agent"))},
            "/api/agent/{agent}/sessions": {
                "get": _sessions(),
            },
            **_session_paths("/api/agent/{agent}/sessions/{session}", _path("session", _SESSION)),
            **_session_paths(
                "/api/agent/{agent}/session",
                {"name": "id", "in": "query", "required": True, "schema": _SESSION},
            ),
            "/healthz": {"get": _reads("Whether the server takes prompts", {"type": "object"})},
        },
        "components": {"schemas": _schemas()},
    }


def _sessions() -> dict[str, Any]:
    document = _reads(
        "An agent's sessions, last used first",
        _array("Summary"),
        _path("agent", _AGENT),
        _query("limit", _number(1, LONGEST_PAGE, PAGE), "how many"),
        _query("before", _number(1, MAX_NUMBER), "as the header Link has it: the next page"),
        _query("all", _flag(), "1: also undone forks"),
    )
    link = {"schema": _TEXT, "description": 'the next page, as <?before=...>; rel="next"; none on the last'}
    document["responses"]["200"]["headers"] = {"Link": link}
    return document


def _session_paths(path: str, session: dict[str, Any]) -> dict[str, Any]:
    """Describe the addresses of one session, which the parameter `session` names."""
    parameters = [_path("agent", _AGENT), session]
    return {
        path: {
            "get": _reads(
                "A session: its data and a page of its turns",
                _schema("Session"),
                *parameters,
                _query("last", _number(0, LONGEST_PAGE, PAGE), "how many turns"),
                _query("before", _number(1, MAX_NUMBER), "only turns before this one"),
                _query("full", _flag(), "1: with each turn's data and meta"),
            ),
            "delete": {
                "summary": "Delete a session",
                "parameters": parameters,
                "responses": {"204": {"description": "It is gone"}, **_errors()},
            },
        },
        f"{path}/events": {
            "get": {
                "summary": "Follow a session, or wait for it",
                "parameters": [*parameters, _header("Last-Event-ID", _TEXT, "goes on from there")],
                "responses": {"200": _answer("Events", {"text/event-stream": _TEXT}), **_errors()},
            }
        },
    }


def _turn() -> dict[str, Any]:
    forms = {"text/plain": _TEXT, "application/json": _schema("Turn"), "text/event-stream": _TEXT}
    return {
        "summary": "Answer a prompt",
        "parameters": [
            _path("agent", _AGENT),
            _header("Idempotency-Key", _KEY, "makes a retry safe"),
            _query("detach", _flag(), "1: the turn goes on if the client goes away"),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _schema("Ask")}}},
        "responses": {
            "200": {
                **_answer("The reply", forms),
                "headers": {
                    "Flue-Session": {"schema": _TEXT, "description": "the session, percent-encoded"},
                    "Flue-Turn": {"schema": _NUMBER},
                },
            },
            **_errors(),
        },
    }


def _reads(summary: str, schema: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": _answer(summary, {"application/json": schema}), **_errors()},
    }


def _answer(words: str, forms: dict[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {form: {"schema": schema} for form, schema in forms.items()}}


def _errors() -> dict[str, Any]:
    return {"default": _answer("What went wrong", {"application/json": _schema("Error")})}


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _header(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": schema, "description": description}


def _query(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": words}


def _number(minimum: int, maximum: int, default: int | None = None) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": minimum, "maximum": maximum}
    return schema if default is None else schema | {"default": default}


def _flag() -> dict[str, Any]:
    return {"enum": ["0", "1"], "default": "0"}


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _array(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _schema(name)}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _schemas() -> dict[str, Any]:
    time = {"type": "string", "format": "date-time"}
    error = _object("type", "message", type=_TEXT, message=_TEXT)
    session = {"agent": _AGENT, "session": _SESSION, "created_at": time, "updated_at": time}
    return {
        "Ask": _object("prompt", prompt=_PROMPT, sessionId=_SESSION) | {"additionalProperties": False},
        "Turn": entry_schema(ANSWERED),
        "Agent": _object("name", "description", name=_AGENT, description=_TEXT),
        "Summary": _object(*session, "turns", "preview", **session, turns=_NUMBER, preview=_TEXT),
        "Session": _object(
            *session,
            *("version", "data", "turns", "earlier", "running"),
            **session,
            version=_NUMBER,
            data={"type": "object"},
            turns={"type": "array", "items": {"type": "object"}},
            earlier={"type": ["integer", "null"]},
            running={"type": ["object", "null"]},
        ),
        "Error": _object("error", error=error),
    }
