"""The colours of the chat's line, its suggestions, its menu and its toolbar."""

from __future__ import annotations

from collections.abc import Mapping

from prompt_toolkit.styles import Style

from flue_cli.errors import UsageError
from flue_cli.settings import config_path

THEME_CLASSES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "prompt": (("prompt",), ""),
    "toolbar": (("bottom-toolbar",), "noreverse #888888"),
    "suggestion": (("auto-suggestion",), ""),
    "completion": (("completion-menu.completion", "completion-menu.meta.completion"), ""),
    "selected": (("completion-menu.completion.current", "completion-menu.meta.completion.current"), ""),
}
"""A part of the screen: what prompt_toolkit calls it, and how it looks unless a style is chosen."""

_BASE_STYLE = "noreverse"
"""A style that was chosen starts from here, or colours would be the other way round."""


def theme_style(theme: Mapping[str, str]) -> Style:
    """The chat's style with what was chosen; UsageError for what is no style."""
    rules: dict[str, str] = {}
    for part, (names, usual) in THEME_CLASSES.items():
        chosen = theme.get(part)
        try:
            Style.from_dict({"chosen": chosen or ""})
        except ValueError:
            raise UsageError(
                f"{config_path()}: theme: {part}: '{chosen}' is no style",
                hint='such as "ansigreen bold", or "bg:#222222 #aaaaaa"',
            ) from None
        look = f"{_BASE_STYLE} {chosen}" if chosen else usual
        rules |= dict.fromkeys(names, look) if look else {}
    return Style.from_dict(rules)
