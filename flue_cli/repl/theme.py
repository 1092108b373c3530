"""Colours of the input line, suggestions, completion menu and toolbar."""

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
"""A part of the screen to its prompt_toolkit classes and its default style."""

_BASE_STYLE = "noreverse"
"""Base of a configured style: prompt_toolkit's own for these parts reverses the colours."""


def theme_style(theme: Mapping[str, str]) -> Style:
    """Make the chat's style from the configured one; UsageError for an invalid style."""
    rules: dict[str, str] = {}
    for part, (names, default) in THEME_CLASSES.items():
        configured = theme.get(part)
        try:
            Style.from_dict({"configured": configured or ""})
        except ValueError:
            raise UsageError(
                f"{config_path()}: theme: {part}: '{configured}' is not a valid style",
                hint='such as "ansigreen bold", or "bg:#222222 #aaaaaa"',
            ) from None
        style = f"{_BASE_STYLE} {configured}" if configured else default
        rules |= dict.fromkeys(names, style) if style else {}
    return Style.from_dict(rules)
