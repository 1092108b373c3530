"""`flue sessions query`: JSONPath over the data of all sessions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, NamedTuple

import typer

from flue_cli.cli.app import App
from flue_cli.cli.options import AgentOption, JsonOption, StoreOption, load_settings, open_run_store
from flue_cli.errors import SessionChanged, StoreDamaged, UsageError
from flue_cli.installation import install_extra_command
from flue_cli.jsondata.strict import MAX_DEPTH, readable_json
from flue_cli.names import check_agent_filter
from flue_cli.render import machine_output
from flue_cli.stores.contract import Store
from flue_cli.stores.records import ABSENT
from flue_cli.turns.result import parse_data

Find = Callable[[Any], Iterable[tuple[str, Any]]]
"""A compiled query: from a value to the normalized path and value of each match."""


class Match(NamedTuple):
    """A place in a session's data that the query names."""

    agent: str
    session: str
    path: str
    value: Any


def query(
    ctx: typer.Context,
    jsonpath: Annotated[
        str, typer.Argument(metavar="JSONPATH", help="Such as '$.tasks[?@.done == false].title' (RFC 9535).")
    ],
    agent: AgentOption = "",
    as_json: JsonOption = False,
    store_url: StoreOption = "",
) -> None:
    """Query the data of all sessions with JSONPath."""
    app: App = ctx.obj
    if not jsonpath.strip():
        raise UsageError("the query is empty", hint=_QUERY_HINT)
    find = _compile_jsonpath(jsonpath)
    damaged: list[StoreDamaged] = []
    with open_run_store(load_settings(store_url)) as store:
        found = _query_matches(store, check_agent_filter(agent), find, damaged)
        if as_json:
            app.output.result(machine_output.as_json([match._asdict() for match in found], indent=2))
        elif app.output.is_terminal:
            _show_matches(app, [(*match[:3], readable_json(match.value)) for match in found])
        else:
            for match in found:
                app.output.write(
                    machine_output.tab_separated([(*match[:3], machine_output.as_json(match.value))])
                )
    for error in damaged[:-1]:
        app.output.error(error)
    if damaged:
        raise damaged[-1]


def _query_matches(store: Store, agent: str, find: Find, damaged: list[StoreDamaged]) -> Iterator[Match]:
    """Yield matches session by session; append errors of unreadable data to `damaged`."""
    for summary in store.sessions(agent=agent):
        head = store.head(summary.agent, summary.name)
        if head.uid == ABSENT:  # deleted or renamed meanwhile
            continue
        try:
            data = parse_data(store.data_at(head, head.turn), head.name)
        except SessionChanged:
            continue
        except StoreDamaged as error:
            damaged.append(error)
            continue
        for path, value in find(data):
            yield Match(head.agent, head.name, path, value)


def _compile_jsonpath(text: str) -> Find:
    """Compile query `text`. Raises UsageError if it is invalid, or if the library is missing."""
    try:
        from jsonpath import JSONPathEnvironment, JSONPathError
    except ImportError as error:
        if error.name != "jsonpath":
            raise
        raise UsageError(
            "a query needs a library that is not installed", hint=install_extra_command("query")
        ) from error

    class Environment(JSONPathEnvironment):
        max_recursion_depth = MAX_DEPTH + 1

    # The library lets some of Python's errors through, such as for $[1e400].
    faults = (JSONPathError, RecursionError, ArithmeticError, ValueError, TypeError)
    try:
        path = Environment(strict=True).compile(text)
    except faults as error:
        raise _jsonpath_error(text, error) from error

    def find(value: Any) -> Iterator[tuple[str, Any]]:
        try:
            yield from ((match.path, match.obj) for match in path.finditer(value))
        except faults as error:
            raise _jsonpath_error(text, error) from error

    return find


_QUERY_HINT = "a query looks like '$.tasks[0].title' or '$..[?@.done == false]' (RFC 9535)"

_SENTENCES = (
    (r"unexpected end of .*", "it ends too early"),
    (r"unexpected token (.*)", r"\1 is not expected"),
    (r"expected a shorthand selector", "a name or * is expected after a dot"),
    (r"(\w+\(\)) argument \d+ must be of ValueType", r"\1 takes a single value"),
    (r"(\w+\(\)) argument \d+ must be of NodesType", r"\1 takes a path"),
    (r"(\w+\(\)) argument \d+ must be of LogicalType", r"\1 takes a comparison"),
    (r"invalid literal for int\(\).*: (.*)", r"an index is a whole number, not \1"),
)
"""Pattern of a message of the library, and the words instead of it."""


def _jsonpath_error(text: str, error: Exception) -> UsageError:
    """Turn an error of the library into a UsageError, with the place if known."""
    token = getattr(error, "token", None)
    place = getattr(token, "index", -1)
    where = f" at character {place + 1}" if place >= 0 else ""
    words = getattr(error, "message", str(error))
    if isinstance(error, RecursionError):
        words, where = "it is too long or nested too deeply", ""
    elif not text.lstrip().startswith("$"):
        words, where = "it does not begin with $", ""
    elif "TOKEN_" in words:  # the library's own names, of what was expected and found
        value = getattr(token, "value", "")
        words = f"'{value}' is not expected" if value else "it ends too early"
    for pattern, sentence in _SENTENCES:
        if match := re.fullmatch(pattern, words, re.DOTALL):
            words = match.expand(sentence)
            break
    return UsageError(f"'{text}' is not valid JSONPath{where}: {words}", hint=_QUERY_HINT)


def _show_matches(app: App, lines: list[tuple[str, ...]]) -> None:
    if lines:
        from flue_cli.render.tables import match_table, show_paged_renderable

        show_paged_renderable(app.output, match_table(lines))
    else:
        app.output.note("nothing was found")
