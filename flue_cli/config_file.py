"""The config file, `config.toml`: defaults for options, validated as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flue_cli.errors import UsageError


def load_config(path: str) -> dict[str, Any]:
    """Load the file at `path` as a dict; empty if there is no file.

    Raises UsageError if it cannot be read, is not TOML, or has an unknown key or an invalid value.
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
    """Parse a file's `content` to keys and values; raises as `load_config`."""
    import tomllib

    try:
        document = tomllib.loads(content.decode("utf-8-sig"))  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 at byte {error.start}", hint="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    return {name: _check_value(name, value, path) for name, value in document.items()}


def config_template() -> str:
    """Make a file with every key and an example, all commented out."""
    lines = [f"# {meaning}\n# {name} = {example}\n" for name, (meaning, example, _) in CONFIG_KEYS.items()]
    return "# Defaults for flue. Options and environment variables override them.\n\n" + "\n".join(lines)


def check_seconds(value: Any, *, zero: bool = False) -> float:
    """Return `value` if it is a positive finite number (or 0 with `zero`), else raise ValueError."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < float("inf") or (value == 0 and not zero):
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
        raise ValueError("takes true or false")  # noqa: TRY004 - _check_value catches ValueError only
    return value


def _table_check(names: Sequence[str]) -> Callable[[Any], dict[str, str]]:
    """Make the check of a table from some of `names` to texts."""

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
            raise ValueError("takes an absolute path: sqlite:////home/me/flue.db")
        return text
    return _check_folder(text)


def _check_folders(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError('takes a list of folders: ["~/agents"]')  # noqa: TRY004 - _check_value catches ValueError only
    return tuple(_check_folder(_check_text(folder)) for folder in value)


def _check_folder(text: str) -> str:
    path = os.path.expanduser(text)
    if not os.path.isabs(path):
        raise ValueError(f"takes an absolute path, or one that begins with ~: not '{text}'")
    return path


THEME_PARTS = ("prompt", "toolbar", "suggestion", "completion", "selected")
"""Parts of the chat's screen whose colours can be configured."""
KEY_ACTIONS = ("send", "newline", "editor", "expand", "clear", "vi")
"""Actions of the chat whose keys can be configured."""

CONFIG_KEYS: Mapping[str, tuple[str, str, Callable[[Any], Any]]] = {
    "store": ("Store of the sessions, as --store takes it.", '"~/flue/flue.db"', _check_store),
    "agents": ("Folders with agents, searched after FLUE_AGENTS.", '["~/agents"]', _check_folders),
    "agent": ("The agent of a plain `flue chat`.", '"greeting"', _check_text),
    "wait": ("Seconds to wait behind another turn.", "30.0", _check_seconds_or_zero),
    "timeout": ("Seconds that an agent may take.", "600.0", check_seconds),
    "vi": ("Edit the chat's input line with vi keys.", "true", _check_boolean),
    "toolbar": ("Show the chat's toolbar.", "false", _check_boolean),
    "bell": (
        "Ring the terminal's bell after a turn of so many seconds; 0: never.",
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
"""Key of the file to its meaning, an example as TOML, and the check of its value.

A check returns the value to use, or raises ValueError with the rest of the sentence "KEY ...".
"""
