"""The chat's keymap: keys to actions, and the labels of keys.

Keys are written as prompt_toolkit has them (`c-o`, `escape enter`, `f4`). A key that the person chose for
an action does that instead of whatever it did; the action's usual keys go on working.
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
"""The ways out of the chat."""

_KEY_LABELS = {Keys.ControlM: "Enter", Keys.ControlI: "Tab", Keys.ControlH: "Backspace", " ": "Space"}
_MODIFIERS = {"c": "Ctrl", "s": "Shift"}


def build_keymap(configured: Mapping[str, str]) -> dict[Keystrokes, str]:
    """Map keys to actions, an action's preferred keys first.

    UsageError for a key that does not exist, or that something else needs.
    """
    mine: dict[Keystrokes, str] = {}
    for action, text in configured.items():
        keys = _configured_keystrokes(action, text)
        if keys in mine:
            raise _key_error(action, f"'{text}' is chosen for {mine[keys]} already")
        mine[keys] = action
    usual = {_parse_keystrokes(text): action for action, texts in DEFAULT_KEYS.items() for text in texts}
    found = mine | {keys: action for keys, action in usual.items() if keys not in mine}
    if "send" not in found.values():
        raise _key_error(
            mine[_parse_keystrokes("enter")], "'enter' leaves no key that sends", 'send = "escape enter"'
        )
    return found


def key_label(action: str, keymap: Mapping[Keystrokes, str]) -> str:
    """The preferred key of an action, for people; "" if it has none."""
    return next((format_keystrokes(stroke) for stroke, does in keymap.items() if does == action), "")


def format_keystrokes(keys: Sequence[Keys | str]) -> str:
    """Write keystrokes as people do: `Ctrl-O`, `Alt-Enter`, `Ctrl-X Ctrl-E`, `F4`."""
    if len(keys) == 2 and keys[0] == Keys.Escape:
        return f"Alt-{_format_key(keys[1])}"
    return " ".join(map(_format_key, keys))


def _format_key(key: Keys | str) -> str:
    if key in _KEY_LABELS:
        return _KEY_LABELS[key]
    *before, name = str(getattr(key, "value", key)).split("-")
    return "-".join([*(_MODIFIERS.get(modifier, modifier) for modifier in before), name.capitalize() or "-"])


def _configured_keystrokes(action: str, text: str) -> Keystrokes:
    try:
        keys = _parse_keystrokes(text)
    except ValueError:
        raise _key_error(action, f"'{text}' is no key", "such as c-o, f2, or escape enter") from None
    first = keys[0]
    if not isinstance(first, Keys):
        raise _key_error(action, f"'{text}' begins with a character, which could not be typed any more")
    if first in _RESERVED:
        raise _key_error(action, f"'{text}' is a way out of the chat")
    return keys


def _parse_keystrokes(text: str) -> Keystrokes:
    """The keys that `text` names; ValueError if one of them does not exist."""
    if not text.split():
        raise ValueError(text)
    bindings = KeyBindings()
    bindings.add(*text.split())(lambda event: None)
    return bindings.bindings[0].keys


def _key_error(action: str, problem: str, hint: str = "") -> UsageError:
    return UsageError(f"{config_path()}: keys: {action}: {problem}", hint=hint)
