"""A request for a turn, read strictly: what cannot be meant is refused before anything happens."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from flue_cli.errors import BadName, UsageError
from flue_cli.jsondata.path import describe_kind
from flue_cli.jsondata.strict import MAX_BYTES, parse_typed
from flue_cli.names import check_session_name
from flue_cli.server.errors import TooLarge
from flue_cli.text import safe_line

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request

    from flue_cli.server.turn_scheduler import TurnScheduler

_BODY = "the request's body"
_LARGE = 64 * 1024
"""A body of so many bytes is not read in the event loop, which others need meanwhile."""
_FIELDS = ("prompt", "sessionId")
_FORMS = {"text/plain": "text", "application/json": "json", "text/event-stream": "events", "*/*": "text"}


class HttpTurnRequest(NamedTuple):
    """The request of a client.

    `session` is None for a new one; `form` is "text", "json" or "events"; `detach`: the turn goes on if
    the client goes away.
    """

    prompt: str
    session: str | None
    key: str | None
    form: str
    detach: bool


async def read(request: Request, turns: TurnScheduler) -> HttpTurnRequest:
    """Read the request for a turn; raises UsageError. RequestLimits has read and bounded the body."""
    key = _key(request.headers)
    detach = flag(request, "detach")
    body = await request.body()
    prompt, session = _fields(body) if len(body) < _LARGE else await turns.call(lambda: _fields(body))
    if key and session is None:
        raise UsageError("Idempotency-Key needs a sessionId: a retry must find the session of the first try")
    return HttpTurnRequest(prompt, session, key, _form(request.headers), detach)


def flag(request: Request, name: str) -> bool:
    """True if `?NAME=1` is given; raises UsageError for other values than 0 and 1."""
    value = request.query_params.get(name, "0")
    if value not in ("0", "1"):
        raise UsageError(f"{name} is 0 or 1, not '{safe_line(value)}'")
    return value == "1"


def text(request: Request, name: str) -> str:
    """Return the text `?NAME=...`; UsageError if it is not given exactly once."""
    values = request.query_params.getlist(name)
    if len(values) != 1:
        raise UsageError(f"the address needs ?{name}=..., once")
    return values[0]


def number(request: Request, name: str, *, least: int, most: int, default: int) -> int:
    """The whole number `?NAME=…`; UsageError if it is none or out of bounds."""
    value = request.query_params.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 19 and least <= int(value) <= most):
        raise UsageError(f"{name} is a whole number from {least} to {most}, not '{safe_line(value)}'")
    return int(value)


def _fields(body: bytes) -> tuple[str, str | None]:
    """Prompt and session of a body."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{_BODY} is not UTF-8 at byte {error.start}") from None
    fields = _object(text)
    for name, value in fields.items():
        if name not in _FIELDS:
            raise UsageError(f'{_BODY} has "{safe_line(name)[:40]}", and only takes "prompt" and "sessionId"')
        if not isinstance(value, str):
            raise UsageError(f'{_BODY}: "{name}" is {describe_kind(value)}, not text')
    if "prompt" not in fields:
        raise UsageError(f'{_BODY} has no "prompt"')
    session = check_session_name(fields["sessionId"]) if "sessionId" in fields else None
    return _checked(fields["prompt"]), session


def _object(text: str) -> dict[str, Any]:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        value = parse_typed(text, _BODY)  # slower, and says where the fault is
    if not isinstance(value, dict):
        raise UsageError(f"{_BODY} is {describe_kind(value)}, not an object")
    return value


def _checked(prompt: str) -> str:
    """The prompt, if it can be one: as on the command line, no NUL, no half characters, 16 MiB at most."""
    if "\0" in prompt:
        raise UsageError("the prompt has a NUL")
    try:
        size = len(prompt) if prompt.isascii() else len(prompt.encode())
    except UnicodeEncodeError:
        raise UsageError("the prompt is not UTF-8") from None
    if size > MAX_BYTES:
        raise TooLarge(f"the prompt is larger than {MAX_BYTES // 2**20} MiB")
    return prompt


def _key(headers: Headers) -> str | None:
    keys = headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not keys[0]:
        raise UsageError("Idempotency-Key is to be given once, and not empty")
    try:
        return keys[0].encode("latin-1").decode()
    except UnicodeDecodeError:
        raise UsageError("Idempotency-Key is not UTF-8") from None


def _form(headers: Headers) -> str:
    """The form that the client likes best; of two alike, what it names first. Text if it takes anything."""
    best, form = 0.0, "text"
    for part in ",".join(headers.getlist("accept")).split(","):
        name, *parameters = (piece.strip() for piece in part.lower().split(";"))
        weight = next((_weight(piece[2:]) for piece in parameters if piece.startswith("q=")), 1.0)
        if name in _FORMS and weight > best:
            best, form = weight, _FORMS[name]
    return form


def _weight(text: str) -> float:
    try:
        return min(float(text), 1.0)
    except ValueError:
        return 0.0


def decode_path_name(raw: str, what: str) -> str:
    """A name out of a path, as it was sent: BadName if that is no percent-encoded UTF-8."""
    if "%" not in raw and raw.isascii():
        return raw
    if re.search("%(?![0-9A-Fa-f]{2})", raw):
        raise BadName(f"the {what} in the path is not percent-encoded: '{safe_line(raw)[:100]}'")
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise BadName(f"the {what} in the path is not UTF-8: '{safe_line(raw)[:100]}'") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_each_once, parse_constant=_no_constant)
