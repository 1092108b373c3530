"""The chat's keymap: keys to actions, and the labels of keys.

Keys have the names of prompt_toolkit (`c-o`, `escape enter`, `f4`). A configured key replaces whatever that
key did by default; the action's default keys keep working.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys

from flue_cli.errors import UsageError
from flue_cli.settings import config_path

Keystrokes = tuple[Keys | str, ...]

DEFAULT_KEYS: Mapping[str, tuple[str, ...]] = {
    "send": ("enter",),
    "newline": ("escape enter", "c-j"),
    "editor": ("c-g", "c-x c-e"),
    "expand": ("c-o",),
    "clear": ("c-l",),
    "vi": ("f4",),
}
"""Actions whose keys can be configured, and their default keys."""

_RESERVED = (Keys.ControlC, Keys.ControlD)
"""Keys that always leave the chat or cancel."""

_KEY_LABELS = {Keys.ControlM: "Enter", Keys.ControlI: "Tab", Keys.ControlH: "Backspace", " ": "Space"}
_MODIFIERS = {"c": "Ctrl", "s": "Shift"}


def build_keymap(configured: Mapping[str, str]) -> dict[Keystrokes, str]:
    """Map keys to actions, an action's preferred keys first.

    Raises UsageError for a key that does not exist, or that cannot be used for the action.
    """
    keymap: dict[Keystrokes, str] = {}
    for action, text in configured.items():
        keys = _configured_keystrokes(action, text)
        if keys in keymap:
            raise _key_error(action, f"'{text}' is already used for {keymap[keys]}")
        keymap[keys] = action
    for action, texts in DEFAULT_KEYS.items():
        for text in texts:
            keymap.setdefault(_parse_keystrokes(text), action)
    if "send" not in keymap.values():
        raise _key_error(
            keymap[_parse_keystrokes("enter")], "'enter' leaves no key that sends", 'send = "escape enter"'
        )
    return keymap


def key_label(action: str, keymap: Mapping[Keystrokes, str]) -> str:
    """Name the preferred key of an action, for people; "" if it has none."""
    return next((format_keystrokes(keys) for keys, bound in keymap.items() if bound == action), "")


def format_keystrokes(keys: Sequence[Keys | str]) -> str:
    """Format keystrokes for people: `Ctrl-O`, `Alt-Enter`, `Ctrl-X Ctrl-E`, `F4`."""
    if len(keys) == 2 and keys[0] == Keys.Escape:
        return f"Alt-{_format_key(keys[1])}"
    return " ".join(map(_format_key, keys))


def _format_key(key: Keys | str) -> str:
    if key in _KEY_LABELS:
        return _KEY_LABELS[key]
    *modifiers, name = str(getattr(key, "value", key)).split("-")
    labels = [_MODIFIERS.get(modifier, modifier) for modifier in modifiers]
    return "-".join([*labels, name.capitalize() or "-"])


def _configured_keystrokes(action: str, text: str) -> Keystrokes:
    try:
        keys = _parse_keystrokes(text)
    except ValueError:
        raise _key_error(action, f"'{text}' is not a valid key", "such as c-o, f2, or escape enter") from None
    first = keys[0]
    if not isinstance(first, Keys):
        raise _key_error(action, f"'{text}' begins with a character that could no longer be typed")
    if first in _RESERVED:
        raise _key_error(action, f"'{text}' is reserved for cancelling and leaving")
    return keys


def _parse_keystrokes(text: str) -> Keystrokes:
    """Parse the keys that `text` names; ValueError if one of them does not exist."""
    if not text.split():
        raise ValueError(text)
    bindings = KeyBindings()
    bindings.add(*text.split())(lambda event: None)
    return bindings.bindings[0].keys


def _key_error(action: str, problem: str, hint: str = "") -> UsageError:
    return UsageError(f"{config_path()}: keys: {action}: {problem}", hint=hint)
