"""Rules for names of sessions and agents and for labels, and generated session names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from flue_cli.errors import BadName
from flue_cli.text import safe_line

MAX_NAME_CHARACTERS = 256
"""Longest session name, in characters after normalisation."""

MAX_LABEL_CHARACTERS = 100
"""Longest label of a turn, in characters after normalisation."""

_AGENT_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
_FORBIDDEN = "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


def check_session_name(text: str) -> str:
    """Return `text` as a session's name, in Unicode's composed form (NFC).

    Raises BadName if it is empty, longer than 256 characters, begins with a hyphen, or contains control,
    bidirectional-override or surrogate characters.
    """
    text = normalize_name(text)
    if len(text) > MAX_NAME_CHARACTERS:
        raise BadName(
            f"a session name has at most {MAX_NAME_CHARACTERS} characters, this one has {len(text)}"
        )
    return text


def check_label(text: str) -> str:
    """Return `text` as the label of a turn: on one line, in Unicode's composed form (NFC).

    Raises BadName if it is longer than 100 characters, or contains control, bidirectional-override or
    surrogate characters. "" is no label.
    """
    text = " ".join(text.split())
    if re.search(_FORBIDDEN, text):
        raise BadName(f"a label cannot hold control characters: '{safe_line(text)}'")
    if not text.isascii():
        from unicodedata import normalize

        text = normalize("NFC", text)
    if len(text) > MAX_LABEL_CHARACTERS:
        raise BadName(f"a label has at most {MAX_LABEL_CHARACTERS} characters, this one has {len(text)}")
    return text


def bare_name(text: str, agent: str) -> str:
    """Return `text`, NAME or AGENT/NAME, as the name of a session of `agent`.

    Raises as `check_session_name`. Any other text before a slash is a part of the name.
    """
    first, slash, rest = text.partition("/")
    return check_session_name(rest if slash and first.replace("_", "-") == agent else text)


def normalize_name(text: str) -> str:
    """Return the normalized form of NAME or AGENT/NAME. Raises as `check_session_name`, but for length."""
    if not text.isascii():
        from unicodedata import normalize

        if not re.search(_FORBIDDEN, text):
            text = normalize("NFC", text)
    if not text:
        raise BadName("a session name cannot be empty")
    if text.startswith("-"):
        raise BadName(f"a session name cannot start with a hyphen: '{safe_line(text)}'")
    if not text.isprintable() and re.search(_FORBIDDEN, text):
        raise BadName(f"a session name cannot hold control characters: '{safe_line(text)}'")
    return text


def check_agent_name(text: str) -> str:
    """Return `text` as an agent's name: `task_planner` and `task-planner` are both `task-planner`.

    Raises BadName unless it has 1 to 64 of `a-z 0-9 . _ -` and begins with a letter or digit.
    """
    if not (0 < len(text) <= 64 and set(text) <= _AGENT_CHARACTERS and text[0] not in "._-"):
        raise BadName(
            f"'{safe_line(text)}' cannot be an agent's name",
            hint="agent names have 1 to 64 lower-case letters, digits, '.', '_' or '-'",
        )
    return text.replace("_", "-")


def check_agent_filter(text: str | None) -> str:
    """Return `text` as an agent's name, or "" for any agent if there is none. Raises BadName."""
    return check_agent_name(text) if text else ""


def generate_name() -> str:
    """Make a readable name for a session, such as `calm-otter-417`."""
    number = int.from_bytes(os.urandom(4), "big")
    number, adjective = divmod(number, len(_ADJECTIVES))
    number, noun = divmod(number, len(_NOUNS))
    return f"{_ADJECTIVES[adjective]}-{_NOUNS[noun]}-{number % 900 + 100}"


def find_free_name(is_taken: Callable[[str], bool]) -> str:
    """Make a readable name for which `is_taken` is False."""
    while is_taken(name := generate_name()):
        pass
    return name


_ADJECTIVES = (
    "amber bold brave bright brisk calm clear crisp eager early fair fond gentle glad golden happy "
    "humble keen kind lively lucid mellow merry mild neat noble polite proud quick quiet rapid ready "
    "sharp silver smart soft steady sunny swift tidy true vivid warm wise witty young"
).split()
_NOUNS = (
    "acorn badger beacon birch brook cedar cloud comet coral crane dune eagle ember falcon fern field "
    "finch forest fox garden harbor hawk hazel heron island lake lark lily lynx maple meadow moon "
    "moss otter owl pearl pine planet prairie raven reed ridge river robin sparrow spruce star stone "
    "swan thistle tiger valley violet willow wren"
).split()
