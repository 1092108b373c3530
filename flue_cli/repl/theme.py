"""The look of the chat, and the colours of the input line, completion menu and toolbar.

| part | look | without colours |
|---|---|---|
| own prompt | bold, behind `>` | the `>` |
| reply | as the terminal writes | the same |
| notices, agents' prints, tool messages, times | dim | the same words |
| errors | `error:` bold and red | `error:` |
| cancelled turn | a dim notice | the word |
| turn of another process | below a notice, behind a dim bar | the same, the bar is `|` in ASCII |
| agent's name on the first screen | bold | the same words |
| code | comments dim, else the terminal's magenta, cyan and green | the same text |
| suggestion, toolbar, menu's descriptions | dim | the same words |
| selected row of the menu | reversed | reversed; there is no menu on a dumb terminal |

An empty line is above every prompt. There is no background and no fixed colour: bold, dim, reverse and the
terminal's own 16 colours can be read on dark and on light. NO_COLOR takes away the colours; bold and dim
stay, except in replies. TERM=dumb takes away all of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from prompt_toolkit.styles import Style
from prompt_toolkit.utils import is_dumb_terminal

from flue_cli.errors import UsageError
from flue_cli.settings import config_path

PROMPT = "\n> "
"""The prompt: an empty line sets it apart from the turn above."""

_PLAIN = "noreverse bg:default fg:default"

THEME_CLASSES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "prompt": (("prompt",), "bold"),
    "toolbar": (("bottom-toolbar",), f"{_PLAIN} dim"),
    "suggestion": (("auto-suggestion",), f"{_PLAIN} dim"),
    "completion": (("completion-menu.completion", "completion-menu.meta.completion"), _PLAIN),
    "selected": (
        ("completion-menu.completion.current", "completion-menu.meta.completion.current"),
        "bg:default fg:default nodim reverse",
    ),
}
"""A part of the screen to its prompt_toolkit classes and its default style."""

_BASE_STYLE = "noreverse"
"""Base of a configured style: prompt_toolkit's own for these parts reverses the colours."""

_FIXED_RULES = {
    "accepted": "bold",
    "exiting": "fg:default dim",
    "aborting": "fg:default dim",
    "completion-menu": _PLAIN,
    "completion-menu.meta.completion": "dim",
    "scrollbar.background": "bg:default",
    "scrollbar.button": "bg:default reverse dim",
}
"""Class to style of the parts that cannot be configured; prompt_toolkit's own have fixed colours."""


def theme_style(theme: Mapping[str, str]) -> Style:
    """Make the chat's style from the configured one; UsageError for an invalid style."""
    rules: dict[str, str] = {} if is_dumb_terminal() else dict(_FIXED_RULES)
    for part, (names, default) in THEME_CLASSES.items():
        configured = theme.get(part)
        try:
            Style.from_dict({"configured": configured or ""})
        except ValueError:
            raise UsageError(
                f"{config_path()}: theme: {part}: '{configured}' is not a valid style",
                hint='such as "ansigreen bold", or "bg:#222222 #aaaaaa"',
            ) from None
        if is_dumb_terminal():
            continue
        style = f"{_BASE_STYLE} {configured}" if configured else default
        for name in names:
            rules[name] = f"{style} {rules[name]}" if not configured and name in rules else style
    return Style.from_dict(rules)
