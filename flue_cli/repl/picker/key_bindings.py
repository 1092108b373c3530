"""Which keys do what in the session picker; typing itself is prompt_toolkit's."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_bindings import KeyBindingsBase, merge_key_bindings
from prompt_toolkit.keys import Keys

from flue_cli.repl.picker.state import Picker
from flue_cli.text import safe_line

_FAR = 1 << 30


def bindings(picker: Picker) -> KeyBindingsBase:
    """The picker's keys: those of each mode, and those that always work."""
    return merge_key_bindings([_always(), _choosing(picker), _renaming(picker), _deleting(picker)])


def _always() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-l")
    def redraw(event: KeyPressEvent) -> None:
        event.app.renderer.clear()

    @keys.add("c-z")
    def suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    @keys.add("escape", Keys.Any)
    def nothing(event: KeyPressEvent) -> None:
        """Alt with some key is not Esc and then the key."""

    @keys.add(Keys.BracketedPaste)
    def paste(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(safe_line(event.data.strip().replace("\r", "\n")))

    return keys


def _choosing(picker: Picker) -> KeyBindings:
    keys = KeyBindings()
    chooses = Condition(lambda: picker.mode == "choose")
    at_the_end = Condition(lambda: picker.words.document.is_cursor_at_the_end)

    def bind(action: Callable[[KeyPressEvent], object], *names: str, only: Condition = chooses) -> None:
        for name in names:
            keys.add(name, filter=only, eager=True)(_done(picker, action))

    bind(lambda event: picker.choices.move(-1), "up", "c-p")
    bind(lambda event: picker.choices.move(1), "down", "c-n")
    bind(lambda event: picker.choices.move(-picker.choices.page), "pageup")
    bind(lambda event: picker.choices.move(picker.choices.page), "pagedown")
    bind(lambda event: picker.choices.move(-_FAR), "home")
    bind(lambda event: picker.choices.move(_FAR), "end")
    bind(lambda event: picker.choose(event.app), "enter")
    bind(lambda event: event.app.exit(result=None), "c-c", "c-d", "<sigint>")
    bind(lambda event: picker.begin_rename(), "c-r")
    bind(lambda event: picker.begin_delete(), "c-x")
    keys.add("delete", filter=chooses & at_the_end)(_done(picker, lambda event: picker.begin_delete()))
    keys.add("escape", filter=chooses)(lambda event: event.app.exit(result=None))
    return keys


def _renaming(picker: Picker) -> KeyBindings:
    keys = KeyBindings()
    renames = Condition(lambda: picker.mode == "rename")
    keys.add("enter", filter=renames, eager=True)(_done(picker, lambda event: picker.rename()))
    for name in ("escape", "c-c", "c-d", "<sigint>"):
        keys.add(name, filter=renames)(_done(picker, lambda event: picker.leave_mode()))
    return keys


def _deleting(picker: Picker) -> KeyBindings:
    keys = KeyBindings()
    deletes = Condition(lambda: picker.mode == "delete")

    def keep(event: KeyPressEvent) -> None:
        picker.leave_mode()
        picker.say("nothing was deleted")

    for name in ("y", "Y"):
        keys.add(name, filter=deletes, eager=True)(_done(picker, lambda event: picker.delete()))
    for name in (Keys.Any, "escape", "c-c", "c-d", "enter", "<sigint>"):
        keys.add(name, filter=deletes)(_done(picker, keep))
    return keys


def _done(picker: Picker, action: Callable[[KeyPressEvent], object]) -> Callable[[KeyPressEvent], None]:
    """What a key does: the action, whose errors are said, and then typing goes where it belongs."""

    def handle(event: KeyPressEvent) -> None:
        picker.attempt(lambda: action(event))
        event.app.layout.focus(picker.field)

    return handle
