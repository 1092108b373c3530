"""The document `/openapi.json`: every address, in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from flue_cli import __version__
from flue_cli.transcripts.entry_json import ANSWERED, entry_schema

_NAME = {"type": "string"}
_WHOLE = {"type": "integer"}


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document."""
    one = "/api/agent/{agent}/sessions/{session}"
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
                "get": _reads(
                    "An agent's sessions, last used first",
                    _array("Summary"),
                    _path("agent"),
                    _query("limit", _WHOLE, "how many"),
                    _query("all", _flag(), "1: also what undoing kept"),
                )
            },
            one: {
                "get": _reads(
                    "A session: its data and a page of its turns",
                    _schema("Session"),
                    _path("agent"),
                    _path("session"),
                    _query("last", _WHOLE, "how many turns"),
                    _query("before", _WHOLE, "only turns before this one"),
                    _query("full", _flag(), "1: with each turn's data and meta"),
                ),
                "delete": {
                    "summary": "Delete a session",
                    "parameters": [_path("agent"), _path("session")],
                    "responses": {"204": {"description": "It is gone"}, **_errors()},
                },
            },
            one + "/events": {
                "get": {
                    "summary": "Follow a session",
                    "parameters": [
                        _path("agent"),
                        _path("session"),
                        _header("Last-Event-ID", "goes on from there"),
                    ],
                    "responses": {"200": _answer("Events", {"text/event-stream": _NAME}), **_errors()},
                }
            },
            "/healthz": {"get": _reads("Whether the server takes prompts", {"type": "object"})},
        },
        "components": {"schemas": _schemas()},
    }


def _turn() -> dict[str, Any]:
    forms = {"text/plain": _NAME, "application/json": _schema("Turn"), "text/event-stream": _NAME}
    return {
        "summary": "Answer a prompt",
        "parameters": [
            _path("agent"),
            _header("Idempotency-Key", "makes a retry safe"),
            _query("detach", _flag(), "1: the turn goes on if the client goes away"),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _schema("Ask")}}},
        "responses": {
            "200": {
                **_answer("The reply", forms),
                "headers": {
                    "Flue-Session": {"schema": _NAME, "description": "the session, percent-encoded"},
                    "Flue-Turn": {"schema": _WHOLE},
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


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _NAME}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": _NAME, "description": description}


def _query(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": words}


def _flag() -> dict[str, Any]:
    return {"enum": ["0", "1"]}


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _array(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _schema(name)}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _schemas() -> dict[str, Any]:
    time = {"type": "string", "format": "date-time"}
    error = _object("type", "message", type=_NAME, message=_NAME)
    session = {"agent": _NAME, "session": _NAME, "created_at": time, "updated_at": time}
    return {
        "Ask": _object("prompt", prompt=_NAME, sessionId=_NAME) | {"additionalProperties": False},
        "Turn": entry_schema(ANSWERED),
        "Agent": _object("name", "description", name=_NAME, description=_NAME),
        "Summary": _object(*session, "turns", "preview", **session, turns=_WHOLE, preview=_NAME),
        "Session": _object(
            *session,
            *("version", "data", "turns", "earlier", "running"),
            **session,
            version=_WHOLE,
            data={"type": "object"},
            turns={"type": "array", "items": {"type": "object"}},
            earlier={"type": ["integer", "null"]},
            running={"type": ["object", "null"]},
        ),
        "Error": _object("error", error=error),
    }
