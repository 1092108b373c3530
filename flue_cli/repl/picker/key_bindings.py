"""Key bindings of the session picker; prompt_toolkit itself handles typed text."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_bindings import KeyBindingsBase, merge_key_bindings
from prompt_toolkit.keys import Keys

from flue_cli.repl.picker.state import Picker
from flue_cli.text import safe_line

_PAST_EITHER_END = 1 << 30


def picker_key_bindings(picker: Picker) -> KeyBindingsBase:
    """Make the picker's keys: those of each mode, and those that always work."""
    return merge_key_bindings(
        [_common_keys(), _choose_mode_keys(picker), _rename_mode_keys(picker), _delete_mode_keys(picker)]
    )


def _common_keys() -> KeyBindings:
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


def _choose_mode_keys(picker: Picker) -> KeyBindings:
    keys = KeyBindings()
    chooses = Condition(lambda: picker.mode == "choose")
    at_the_end = Condition(lambda: picker.filter_buffer.document.is_cursor_at_the_end)

    def bind(action: Callable[[KeyPressEvent], object], *names: str, only: Condition = chooses) -> None:
        for name in names:
            keys.add(name, filter=only, eager=True)(_handler(picker, action))

    bind(lambda event: picker.session_list.move_cursor(-1), "up", "c-p")
    bind(lambda event: picker.session_list.move_cursor(1), "down", "c-n")
    bind(lambda event: picker.session_list.move_cursor(-picker.session_list.page_height), "pageup")
    bind(lambda event: picker.session_list.move_cursor(picker.session_list.page_height), "pagedown")
    bind(lambda event: picker.session_list.move_cursor(-_PAST_EITHER_END), "home")
    bind(lambda event: picker.session_list.move_cursor(_PAST_EITHER_END), "end")
    bind(lambda event: picker.choose(event.app), "enter")
    bind(lambda event: event.app.exit(result=None), "c-c", "c-d", "<sigint>")
    bind(lambda event: picker.begin_rename(), "c-r")
    bind(lambda event: picker.begin_delete(), "c-x")
    keys.add("delete", filter=chooses & at_the_end)(_handler(picker, lambda event: picker.begin_delete()))
    keys.add("escape", filter=chooses)(lambda event: event.app.exit(result=None))
    return keys


def _rename_mode_keys(picker: Picker) -> KeyBindings:
    keys = KeyBindings()
    renames = Condition(lambda: picker.mode == "rename")
    keys.add("enter", filter=renames, eager=True)(_handler(picker, lambda event: picker.rename()))
    for name in ("escape", "c-c", "c-d", "<sigint>"):
        keys.add(name, filter=renames)(_handler(picker, lambda event: picker.leave_mode()))
    return keys


def _delete_mode_keys(picker: Picker) -> KeyBindings:
    keys = KeyBindings()
    deletes = Condition(lambda: picker.mode == "delete")

    def keep(event: KeyPressEvent) -> None:
        picker.leave_mode()
        picker.show_message("nothing was deleted")

    for name in ("y", "Y"):
        keys.add(name, filter=deletes, eager=True)(_handler(picker, lambda event: picker.delete()))
    for name in (Keys.Any, "escape", "c-c", "c-d", "enter", "<sigint>"):
        keys.add(name, filter=deletes)(_handler(picker, keep))
    return keys


def _handler(picker: Picker, action: Callable[[KeyPressEvent], object]) -> Callable[[KeyPressEvent], None]:
    """Wrap an action as a key handler: show its errors, then focus the active field."""

    def handle(event: KeyPressEvent) -> None:
        picker.attempt(lambda: action(event))
        event.app.layout.focus(picker.active_buffer)

    return handle
