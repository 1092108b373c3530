"""Key bindings of the session picker, and of other lists; prompt_toolkit itself handles typed text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_bindings import KeyBindingsBase, merge_key_bindings
from prompt_toolkit.keys import Keys

from flue_cli.repl.picker.list_view import ListView
from flue_cli.repl.picker.state import Picker
from flue_cli.text import safe_line

_PAST_EITHER_END = 1 << 30


def picker_key_bindings(picker: Picker) -> KeyBindingsBase:
    """Make the picker's keys: those of each mode, and those that always work."""
    choose = choose_mode_keys(picker, picker.choose, {"c-r": picker.begin_rename, "c-x": picker.begin_delete})
    chooses = Condition(lambda: picker.mode == "choose")
    at_the_end = Condition(lambda: picker.filter_buffer.document.is_cursor_at_the_end)
    choose.add("delete", filter=chooses & at_the_end)(handler(picker, lambda event: picker.begin_delete()))
    return merge_key_bindings(
        [common_keys(), choose, name_mode_keys(picker, picker.rename), _delete_mode_keys(picker)]
    )


def common_keys() -> KeyBindings:
    """Make the keys that work in every mode of a list."""
    keys = KeyBindings()

    @keys.add("c-l")
    def redraw(event: KeyPressEvent) -> None:
        event.app.renderer.clear()

    @keys.add("c-z")
    def suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    @keys.add("escape", Keys.Any)
    def ignore(event: KeyPressEvent) -> None:
        """Ignore Alt with any key; otherwise it would count as Esc and then the key."""

    @keys.add(Keys.BracketedPaste)
    def paste(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(safe_line(event.data.strip().replace("\r", "\n")))

    return keys


def choose_mode_keys(
    view: ListView,
    choose: Callable[[Application[Any]], object],
    actions: Mapping[str, Callable[[], object]],
) -> KeyBindings:
    """Make the keys that move in the list, leave it, and with Enter call `choose`.

    `actions` are more keys, each with its function.
    """
    keys = KeyBindings()
    chooses = Condition(lambda: view.mode == "choose")

    def bind(action: Callable[[KeyPressEvent], object], *names: str) -> None:
        for name in names:
            keys.add(name, filter=chooses, eager=True)(handler(view, action))

    bind(lambda event: view.list.move_cursor(-1), "up", "c-p")
    bind(lambda event: view.list.move_cursor(1), "down", "c-n")
    bind(lambda event: view.list.move_cursor(-view.list.page_height), "pageup")
    bind(lambda event: view.list.move_cursor(view.list.page_height), "pagedown")
    bind(lambda event: view.list.move_cursor(-_PAST_EITHER_END), "home")
    bind(lambda event: view.list.move_cursor(_PAST_EITHER_END), "end")
    bind(lambda event: choose(event.app), "enter")
    bind(lambda event: event.app.exit(result=None), "c-c", "c-d", "<sigint>")
    for key, action in actions.items():
        bind(lambda event, action=action: action(), key)  # type: ignore[misc]  # no way to say this type
    keys.add("escape", filter=chooses)(lambda event: event.app.exit(result=None))
    return keys


def name_mode_keys(view: ListView, accept: Callable[[], object]) -> KeyBindings:
    """Make the keys of the field for a name; Enter calls `accept`."""
    keys = KeyBindings()
    names = Condition(lambda: view.mode == "name")
    keys.add("enter", filter=names, eager=True)(handler(view, lambda event: accept()))
    for name in ("escape", "c-c", "c-d", "<sigint>"):
        keys.add(name, filter=names)(handler(view, lambda event: view.leave_mode()))
    return keys


def _delete_mode_keys(picker: Picker) -> KeyBindings:
    keys = KeyBindings()
    deletes = Condition(lambda: picker.mode == "delete")

    def keep(event: KeyPressEvent) -> None:
        picker.leave_mode()
        picker.show_message("nothing was deleted")

    for name in ("y", "Y"):
        keys.add(name, filter=deletes, eager=True)(handler(picker, lambda event: picker.delete()))
    for name in (Keys.Any, "escape", "c-c", "c-d", "enter", "<sigint>"):
        keys.add(name, filter=deletes)(handler(picker, keep))
    return keys


def handler(view: ListView, action: Callable[[KeyPressEvent], object]) -> Callable[[KeyPressEvent], None]:
    """Wrap an action as a key handler: show its errors, then focus the active field."""

    def handle(event: KeyPressEvent) -> None:
        view.attempt(lambda: action(event))
        event.app.layout.focus(view.active_buffer)

    return handle
