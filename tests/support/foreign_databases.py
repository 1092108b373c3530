"""Databases of other programs, from which sessions are imported."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

LLM_OLD = """
CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT,
    options_json TEXT, response TEXT, response_json TEXT, conversation_id TEXT, duration_ms INTEGER,
    datetime_utc TEXT, input_tokens INTEGER, output_tokens INTEGER, token_details TEXT, schema_id TEXT,
    resolved_model TEXT);
CREATE TABLE attachments (id TEXT PRIMARY KEY, type TEXT, path TEXT, url TEXT, content BLOB);
CREATE TABLE prompt_attachments (response_id TEXT, attachment_id TEXT, "order" INTEGER);
CREATE TABLE fragments (id INTEGER PRIMARY KEY, hash TEXT, content TEXT, datetime_utc TEXT, source TEXT);
CREATE TABLE prompt_fragments (response_id TEXT, fragment_id INTEGER, "order" INTEGER);
CREATE TABLE system_fragments (response_id TEXT, fragment_id INTEGER, "order" INTEGER);
CREATE TABLE tool_calls (id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, arguments TEXT,
    tool_call_id TEXT);
CREATE TABLE tool_results (id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, output TEXT,
    tool_call_id TEXT, instance_id INTEGER, exception TEXT);
INSERT INTO conversations VALUES ('c1', 'the weather', 'm'), ('c2', 'the weather', 'm');
INSERT INTO fragments VALUES (1, 'h', 'a long text', NULL, NULL);
INSERT INTO attachments VALUES ('a1', 'image/png', NULL, NULL, x'89504e47');
INSERT INTO responses (id, model, prompt, system, options_json, response, conversation_id, duration_ms,
    datetime_utc, input_tokens) VALUES
    ('r1', 'm', 'what is it like?', 'be brief', '{"t": 1}', '', 'c1', 100, '2026-11-22T08:53:01.683905+00:00', 7),
    ('r2', 'm', '', 'be brief', '{}', 'sunny', 'c1', 200, '2026-11-22T08:53:02+00:00', 9),
    ('r3', 'm', 'look', NULL, '{}', 'a picture', 'c2', 0, '2026-11-22T08:54:00+00:00', 9),
    ('r4', 'm', 'lost', NULL, '{}', 'gone', NULL, 0, '2026-11-22T08:55:00+00:00', 9);
INSERT INTO tool_calls VALUES (1, 'r1', 1, 'weather', '{"city": "Oslo"}', 't1');
INSERT INTO tool_results VALUES (1, 'r2', 1, 'weather', '20 degrees', 't1', NULL, NULL);
INSERT INTO prompt_fragments VALUES ('r3', 1, 0);
INSERT INTO prompt_attachments VALUES ('r3', 'a1', 0);
"""
LLM_NEW = """
CREATE TABLE messages (hash TEXT PRIMARY KEY, parent_hash TEXT, role TEXT, provider_metadata TEXT);
CREATE TABLE parts (id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT, tool_name TEXT,
    text TEXT, payload TEXT);
CREATE TABLE fragments (id INTEGER PRIMARY KEY, hash TEXT, content TEXT, datetime_utc TEXT, source TEXT);
CREATE TABLE attachments (id TEXT PRIMARY KEY, type TEXT, path TEXT, url TEXT, content BLOB);
CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT, datetime_utc TEXT);
CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT,
    model TEXT, resolved_model TEXT, options_json TEXT, schema_id TEXT, input_tokens INTEGER,
    output_tokens INTEGER, token_details TEXT, duration_ms INTEGER, datetime_utc TEXT, response_json TEXT);
INSERT INTO messages VALUES ('s', NULL, 'system', NULL), ('u', 's', 'user', NULL), ('c', 'u', 'assistant', NULL),
    ('t', 'c', 'tool', NULL), ('a', 't', 'assistant', '{"sig": 1}'), ('v', 'a', 'user', NULL),
    ('x', 'gone', 'user', NULL);
INSERT INTO fragments VALUES (3, 'h', 'FRAGMENT', NULL, NULL);
INSERT INTO parts (message_hash, position, type, text, payload) VALUES
    ('s', 0, 'text', 'be brief', NULL),
    ('u', 0, 'text', NULL, '{"text_ref": [{"literal": "read "}, {"fragment": 3}]}'),
    ('c', 0, 'tool_call', NULL, '{"name": "clock", "arguments": {"zone": "UTC"}, "tool_call_id": "t1"}'),
    ('t', 0, 'tool_result', NULL, '{"name": "clock", "output": "noon", "tool_call_id": "t1"}'),
    ('a', 0, 'reasoning', 'let me see', NULL), ('a', 1, 'text', 'it is noon', NULL),
    ('v', 0, 'text', 'thanks', NULL);
INSERT INTO threads VALUES ('1', 'what time', 'v', NULL, NULL), ('2', 'broken', 'x', NULL, NULL);
INSERT INTO turns (id, thread_id, parent_message_hash, tip_message_hash, model, duration_ms, datetime_utc) VALUES
    ('t1', '1', 'u', 'c', 'm', 1000, '2026-11-22T08:51:20+00:00'),
    ('t2', '1', 't', 'a', 'm', 500, '2026-11-22T08:51:22+00:00'),
    ('t3', 'nowhere', 't', 'a', 'm', 500, '2026-11-22T08:51:22+00:00');
"""
AGENTS = """
CREATE TABLE agent_sessions (session_id TEXT PRIMARY KEY, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE agent_messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,
    message_data TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
"""
ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "My name is Alice"},
    {"role": "assistant", "content": "Hi Alice"},
    {"role": "user", "content": [{"type": "input_text", "text": "add milk and eggs"}]},
    {"type": "reasoning", "id": "rs1", "summary": []},
    {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"t":"milk"}'},
    {"type": "function_call", "call_id": "c2", "name": "add", "arguments": '{"t":"eggs"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    {"type": "function_call_output", "call_id": "c2", "output": "ok"},
    {"type": "message", "role": "assistant", "id": "m1", "content": [{"type": "output_text", "text": "Added."}]},
    {"role": "user", "content": "and bread"},
    {"type": "function_call", "call_id": "c3", "name": "add", "arguments": "{}"},
]  # fmt: skip


def make_database(path: Path, schema: str) -> str:
    """A database file with this in it."""
    db = sqlite3.connect(path)
    db.executescript(schema)
    db.close()
    return str(path)


def agents_database(path: Path, *, wal: bool = False) -> sqlite3.Connection:
    """A session database, left open."""
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
    db.executescript(AGENTS)
    db.execute(
        "INSERT INTO agent_sessions VALUES ('user/1\x1b', '2026-11-22 08:54:05', '2026-11-22 08:54:05')"
    )
    for item in ITEMS:
        db.execute(
            "INSERT INTO agent_messages (session_id, message_data, created_at) VALUES (?, ?, '2026-11-22 08:54:05')",
            ("user/1\x1b", json.dumps(item)),
        )
    db.commit()
    return db
