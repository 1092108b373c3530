"""Edits of a session's data by a person: set a value, unset one, edit all of it in an editor.

Each edit is an entry of its own on the timeline. The messages are safe to show on a terminal.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from flue_cli.editor import run_editor
from flue_cli.errors import DataError, UsageError
from flue_cli.files import make_private_folder, write_whole
from flue_cli.jsondata import path as data_path
from flue_cli.jsondata.diff import find_changes
from flue_cli.jsondata.strict import dumps, parse_typed, parse_typed_object, readable_json
from flue_cli.sessions.timeline import edit_data, replace_data, undone_fork
from flue_cli.text import session_label, undone_fork_notice
from flue_cli.turns.result import parse_data

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store
    from flue_cli.stores.records import Pause, SessionHead


class WaitOptions(NamedTuple):
    """Options for waiting behind a running turn: for at most `seconds`, with `pause` between attempts."""

    seconds: float
    pause: Pause


class DataEdit(NamedTuple):
    """The session after an edit, and the message about it."""

    head: SessionHead
    message: str


class DraftFolder(NamedTuple):
    """Folder for rejected text, the command that retries it, and the function that informs the user."""

    folder: str
    retry_command: str
    notify: Callable[[str], None]


def set_value(store: Store, head: SessionHead, path: str, value: str, wait_options: WaitOptions) -> DataEdit:
    """Put the JSON `value` at `path`; missing objects on the way are created.

    Raises BadPath, UsageError if `value` is not valid JSON, and as timeline.edit_data.
    """
    steps = data_path.parse_path(path)
    new = _parse_value_argument(value) if steps else parse_typed_object(value, "VALUE")
    edited, differs = _change_data(
        store, head, lambda data: data_path.put_value(data, steps, new), wait_options
    )
    words = f"{_describe_path(edited, steps)} {'is' if differs else 'is already'} {_abbreviate_json(new)}"
    return DataEdit(
        edited, words + _describe_new_turn(store, edited) if differs else f"nothing was changed: {words}"
    )


def unset_value(store: Store, head: SessionHead, path: str, wait_options: WaitOptions) -> DataEdit:
    """Remove the value at `path`; NotFound if there is none, BadPath, and as timeline.edit_data."""
    steps = data_path.parse_path(path)
    edited, _ = _change_data(store, head, lambda data: data_path.remove_value(data, steps), wait_options)
    return DataEdit(edited, f"{_describe_path(edited, steps)} is removed{_describe_new_turn(store, edited)}")


def edit_as_text(store: Store, head: SessionHead, drafts: DraftFolder, wait_options: WaitOptions) -> DataEdit:
    """Open all of the data in the user's editor (VISUAL, EDITOR, else vi). No lease is held meanwhile.

    Raises UsageError for a text that is not valid data, SessionChanged if the session has changed since
    `head`. In both cases the text stays in a file, whose name the user is told.
    """
    before = store.data_at(head, head.turn)
    start = readable_json(parse_data(before, head.name), indent=2) + "\n"
    with _draft_file(drafts, start) as draft:
        run_editor(draft)
        text = _read_draft(draft)
        after = before if text == start else dumps(parse_typed_object(text, "what you wrote"))
        edited = replace_data(store, head, after, wait=wait_options.seconds, pause=wait_options.pause)
    if edited == head:
        return DataEdit(head, "nothing was changed")
    return DataEdit(
        edited, f"the data of {session_label(head)} is changed{_describe_new_turn(store, edited)}"
    )


def _change_data(
    store: Store, head: SessionHead, change: Callable[[Any], Any], wait_options: WaitOptions
) -> tuple[SessionHead, bool]:
    """Change the data; returns the session after that, and True if the data differ."""
    differs = False

    def change_and_compare(data: Any) -> Any:
        nonlocal differs
        after = change(data)
        differs = bool(find_changes(data, after))
        return after

    try:
        edited = edit_data(
            store, head, change_and_compare, wait=wait_options.seconds, pause=wait_options.pause
        )
    except DataError as error:
        raise UsageError(f"the data cannot be kept like this: {error}") from error
    return edited, differs


def _describe_new_turn(store: Store, edited: SessionHead) -> str:
    """Name the turn of an edit, and the fork with the turns that were undone before it."""
    fork = undone_fork(store, edited)
    return f" (turn {edited.turn})" + (f"\n{undone_fork_notice(fork)}" if fork else "")


def _parse_value_argument(text: str) -> Any:
    try:
        return parse_typed(text, "VALUE")
    except UsageError as error:
        if isinstance(error.__cause__, json.JSONDecodeError) and text.lstrip()[:1] not in tuple('{["'):
            error.hint = f"text needs quotes of its own: {shlex.quote(json.dumps(text, ensure_ascii=False))}"
        raise


@contextmanager
def _draft_file(drafts: DraftFolder, text: str) -> Iterator[str]:
    """Make a private file with `text`; a rejected edit stays in it, and the user is told its name."""
    path = os.path.join(drafts.folder, f"{os.urandom(4).hex()}.json")
    try:
        make_private_folder(drafts.folder)
    except OSError as error:
        raise UsageError(f"{drafts.folder} cannot be made: {error.strerror}") from error
    write_whole(path, [text], force=False)
    try:
        yield path
    except BaseException:  # raised again: a signal must not lose the text either
        if os.path.exists(path) and not _file_holds(path, text):
            drafts.notify(f"nothing was saved; your text is kept in {path}")
            drafts.notify(f'when it is right: {drafts.retry_command} "$(cat {shlex.quote(path)})"')
            raise
        _unlink_if_exists(path)
        raise
    _unlink_if_exists(path)


def _file_holds(path: str, text: str) -> bool:
    with open(path, "rb") as file:
        return file.read() == text.encode()


def _unlink_if_exists(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _read_draft(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _describe_path(head: SessionHead, steps: data_path.Path) -> str:
    return f"{session_label(head)}: {data_path.format_path(steps) or 'the data'}"


def _abbreviate_json(value: Any) -> str:
    text = readable_json(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
