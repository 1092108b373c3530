"""The person's `config.toml`: defaults for options, validated as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flue_cli.errors import UsageError


def load_config(path: str) -> dict[str, Any]:
    """Load the settings in the file at `path`, by key; none if there is no file.

    Raises UsageError for a file that cannot be read, is not TOML, has an unknown key or a bad value.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    return parse_config(content, path)


def parse_config(content: bytes, path: str) -> dict[str, Any]:
    """Parse a file's `content` to keys and values; raises as `load`."""
    import tomllib

    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    return {name: _check_value(name, value, path) for name, value in document.items()}


def config_template() -> str:
    """Return a file that sets nothing and shows everything."""
    lines = [f"# {meaning}\n# {name} = {example}\n" for name, (meaning, example, _) in CONFIG_KEYS.items()]
    return "# Defaults for flue. An option or an environment variable wins over them.\n\n" + "\n".join(lines)


def check_seconds(value: Any, *, zero: bool = False) -> float:
    """`value` if it is a positive finite number (or 0 where that means something), else ValueError."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < float("inf") or (value == 0 and not zero):
        raise ValueError(f"takes a number of seconds, {'0 or more' if zero else 'more than 0'}")
    return float(value)


def _check_value(name: str, value: Any, path: str) -> Any:
    if name not in CONFIG_KEYS:
        from difflib import get_close_matches

        near = get_close_matches(name, CONFIG_KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the keys are: {', '.join(CONFIG_KEYS)}"
        raise UsageError(f"{path}: there is no key '{name}'", hint=hint)
    try:
        return CONFIG_KEYS[name][2](value)
    except ValueError as error:
        raise UsageError(f"{path}: {name} {error}") from error


def _check_seconds_or_zero(value: Any) -> float:
    return check_seconds(value, zero=True)


def _check_text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("takes a text in quotes")
    return value


def _check_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("takes true or false")  # noqa: TRY004 - the sentence's end
    return value


def _table_check(names: Sequence[str]) -> Callable[[Any], dict[str, str]]:
    """Make the parser of a table that gives some of `names` a text each."""

    def read(value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not all(isinstance(text, str) and text for text in value.values()):
            raise ValueError(f"takes a table of texts in quotes: {{ {names[0]} = ... }}")
        for name in value:
            if name not in names:
                raise ValueError(f"has no '{name}': there are {', '.join(names)}")
        return value

    return read


def _check_store(value: Any) -> str:
    text = _check_text(value)
    scheme, colon, rest = text.partition(":")
    if colon and "/" not in scheme:
        if scheme == "sqlite" and not rest.startswith("////"):
            raise ValueError("takes a whole path: sqlite:////home/me/flue.db")
        return text
    return _check_folder(text)


def _check_folders(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError('takes a list of folders: ["~/agents"]')  # noqa: TRY004 - the sentence's end
    return tuple(_check_folder(_check_text(folder)) for folder in value)


def _check_folder(text: str) -> str:
    path = os.path.expanduser(text)
    if not os.path.isabs(path):
        raise ValueError(f"takes a whole path, or one that begins with ~: not '{text}'")
    return path


THEME_PARTS = ("prompt", "toolbar", "suggestion", "completion", "selected")
"""The parts of the chat's screen that have a colour."""
KEY_ACTIONS = ("send", "newline", "editor", "expand", "clear", "vi")
"""What keys of the chat can be chosen for."""

CONFIG_KEYS: Mapping[str, tuple[str, str, Callable[[Any], Any]]] = {
    "store": ("Where sessions are kept, as --store takes it.", '"~/flue/flue.db"', _check_store),
    "agents": ("Folders with agents, searched after FLUE_AGENTS.", '["~/agents"]', _check_folders),
    "agent": ("The agent of a plain `flue chat`.", '"greeting"', _check_text),
    "wait": ("How long to wait behind another turn, in seconds.", "30.0", _check_seconds_or_zero),
    "timeout": ("How long an agent may take, in seconds.", "600.0", check_seconds),
    "vi": ("Whether the chat's line is edited as in vi.", "true", _check_boolean),
    "toolbar": ("Whether the chat has a toolbar at the bottom.", "false", _check_boolean),
    "bell": (
        "The terminal's bell rings after a turn that took so many seconds; 0: never.",
        "10.0",
        _check_seconds_or_zero,
    ),
    "theme": (
        f"Colours of the chat, as prompt_toolkit names them, by part: {', '.join(THEME_PARTS)}.",
        '{ prompt = "ansigreen bold", toolbar = "bg:#222222 #aaaaaa" }',
        _table_check(THEME_PARTS),
    ),
    "keys": (
        f"Keys of the chat, as prompt_toolkit names them, by action: {', '.join(KEY_ACTIONS)}.",
        '{ editor = "c-o", newline = "escape enter" }',
        _table_check(KEY_ACTIONS),
    ),
}
"""Every key that the file may have: what it is for, an example as TOML, and how its value is read.

The last gives the value as it is used, or raises ValueError with the rest of the sentence "KEY …".
"""
