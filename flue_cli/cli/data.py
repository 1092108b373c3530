"""`flue sessions data`, `set`, `unset`, `edit`: a session's data, shown and changed by hand."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from flue_cli import data_path
from flue_cli.changes import changes
from flue_cli.cli.commands import App
from flue_cli.cli.editor import run_editor
from flue_cli.cli.json_input import typed, typed_object
from flue_cli.cli.options import (
    AgentOption,
    StoreOption,
    WaitOption,
    load_settings,
    one_session,
    opened,
    patiently,
    repeated,
)
from flue_cli.errors import DataError, UsageError
from flue_cli.files import make_private_folder, write_whole
from flue_cli.kept import data_of
from flue_cli.render import plain
from flue_cli.settings import Settings
from flue_cli.stores.records import Head
from flue_cli.strict_json import dumps
from flue_cli.timeline import edit_data, replace_data

SessionArgument = Annotated[str, typer.Argument(metavar="SESSION", help="A session's name, or AGENT/NAME.")]
PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help='A place in the data: tasks[0].title, ["any key"].')
]


def data(
    ctx: typer.Context,
    session: SessionArgument,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[PATH]", help="A place in it: tasks[0].title, tasks[-1].", show_default=False
        ),
    ] = "",
    at: Annotated[
        int | None, typer.Option("--at", metavar="N", min=0, help="As of turn N; 0 is the start.")
    ] = None,
    agent: AgentOption = "",
    store: StoreOption = "",
) -> None:
    """Print a session's data as JSON, all of it or what is at PATH."""
    app: App = ctx.obj
    steps = data_path.parse(path)
    with opened(load_settings(store)) as kept:
        head = one_session(kept, session, agent)
        text = kept.data_at(head, head.turn if at is None else at)
    value = data_path.get(data_of(text, head.name), steps)
    app.output.result(plain.as_json(value, indent=2))


def set_(
    ctx: typer.Context,
    session: SessionArgument,
    path: PathArgument,
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE", help="JSON: 42, true, '\"text\"', '[1, 2]'; after -- if it is negative."
        ),
    ],
    agent: AgentOption = "",
    wait: WaitOption = None,
    store: StoreOption = "",
) -> None:
    """Put a value into a session's data; objects on the way are made.

    The change is a turn of its own: flue sessions undo takes it back.
    """
    app: App = ctx.obj
    steps = data_path.parse(path)
    new = _value(value) if steps else typed_object(value, "VALUE")
    settings = load_settings(store, wait=wait)
    head, changed = _edit(app, settings, session, agent, lambda data: data_path.put(data, steps, new))
    state = "is" if changed else "is already"
    words = f"{_called(head, steps)} {state} {_short(new)}"
    app.output.note(f"{words} (turn {head.turn})" if changed else f"nothing was changed: {words}")


def unset(
    ctx: typer.Context,
    session: SessionArgument,
    path: PathArgument,
    agent: AgentOption = "",
    wait: WaitOption = None,
    store: StoreOption = "",
) -> None:
    """Take something out of a session's data.

    The change is a turn of its own: flue sessions undo takes it back.
    """
    app: App = ctx.obj
    steps = data_path.parse(path)
    settings = load_settings(store, wait=wait)
    head, _ = _edit(app, settings, session, agent, lambda data: data_path.remove(data, steps))
    app.output.note(f"{_called(head, steps)} is removed (turn {head.turn})")


def edit(
    ctx: typer.Context,
    session: SessionArgument,
    agent: AgentOption = "",
    wait: WaitOption = None,
    store: StoreOption = "",
) -> None:
    """Change a session's data in your editor.

    That is VISUAL, EDITOR, or vi. What you save is kept if it is right, as a
    turn of its own: flue sessions undo takes it back.
    """
    app: App = ctx.obj
    settings = load_settings(store, wait=wait)
    with opened(settings) as kept:
        head = one_session(kept, session, agent)
        before = kept.data_at(head, head.turn)
        start = plain.readable_json(data_of(before, head.name), indent=2) + "\n"
        again = shlex.join(
            ("flue", "sessions", "set", f"{head.agent}/{head.name}", "", *repeated(store, None))
        )
        with _draft(app, settings, start, again) as draft:
            run_editor(draft)
            text = _read(draft)
            after = before if text == start else dumps(typed_object(text, "what you wrote"))
            edited = replace_data(kept, head, after, wait=settings.wait, pause=patiently(app))
    if edited == head:
        app.output.note("nothing was changed")
    else:
        app.output.note(f"the data of {head.agent}/{head.name} is changed (turn {edited.turn})")


def _edit(
    app: App, settings: Settings, session: str, agent: str, change: Callable[[Any], Any]
) -> tuple[Head, bool]:
    """Have the data changed; the session after that, and whether it made a difference."""
    differs = False

    def noticed(data: Any) -> Any:
        nonlocal differs
        after = change(data)
        differs = bool(changes(data, after))
        return after

    with opened(settings) as kept:
        head = one_session(kept, session, agent)
        try:
            edited = edit_data(kept, head, noticed, wait=settings.wait, pause=patiently(app))
        except DataError as error:
            raise UsageError(f"the data cannot be kept like this: {error}") from error
    return edited, differs


def _value(text: str) -> Any:
    try:
        return typed(text, "VALUE")
    except UsageError as error:
        if isinstance(error.__cause__, json.JSONDecodeError) and text.lstrip()[:1] not in tuple('{["'):
            error.hint = f"text needs quotes of its own: {shlex.quote(json.dumps(text, ensure_ascii=False))}"
        raise


@contextmanager
def _draft(app: App, settings: Settings, text: str, again: str) -> Iterator[str]:
    """A private file with `text`, to be edited; what was made of it stays, and is named, if it is not used.

    `again` is the command that takes the text once it is right.
    """
    folder = os.path.join(settings.home, "drafts")
    path = os.path.join(folder, f"{os.urandom(4).hex()}.json")
    try:
        make_private_folder(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}") from error
    write_whole(path, [text], force=False)
    try:
        yield path
    except BaseException:
        if os.path.exists(path) and not _holds(path, text):
            app.output.note(f"nothing was saved; your text is kept in {path}")
            app.output.note(f'when it is right: {again} "$(cat {shlex.quote(path)})"')
            raise
        _forget(path)
        raise
    _forget(path)


def _holds(path: str, text: str) -> bool:
    with open(path, "rb") as file:
        return file.read() == text.encode()


def _forget(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _called(head: Head, steps: data_path.Path) -> str:
    return f"{head.agent}/{head.name}: {data_path.shown(steps) or 'the data'}"


def _short(value: Any) -> str:
    text = plain.readable_json(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
