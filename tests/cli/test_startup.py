"""What a start costs in imports: the times are in tests/bench."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.imported_modules import HEAVY_MODULES, imported_modules

if TYPE_CHECKING:
    from conftest import Flue


@pytest.mark.parametrize(
    "command",
    [
        ("chat", "greeting", "-s", "a"),
        ("chat", "greeting", "-s", "a", "--json"),
        ("chat", "journal", "-s", "a"),
        ("sessions", "list"),
        ("sessions", "show", "greeting/a"),
        ("--help",),
    ],
)
def test_nothing_heavy_is_imported(flue: Flue, command: tuple[str, ...]) -> None:
    """A piped turn, a list or help never pays for rich, prompt_toolkit, sqlite-utils or asyncio."""
    flue("chat", "greeting", "-s", "a", stdin="hello")

    assert not imported_modules(flue, *command) & HEAVY_MODULES


def test_the_version_imports_next_to_nothing(flue: Flue) -> None:
    """`flue --version` answers before Typer is imported."""
    loaded = imported_modules(flue, "--version")
    assert {name for name in loaded if name.startswith("flue_cli")} == {"flue_cli", "flue_cli.cli"}
    assert "typer" not in loaded


def test_another_group_is_not_built(flue: Flue) -> None:
    """Only the invoked command is imported."""
    flue("chat", "greeting", "-s", "a", stdin="hello")
    assert "flue_cli.cli.sessions" not in imported_modules(flue, "chat", "greeting", "-s", "a")
    assert "flue_cli.cli.chat" not in imported_modules(flue, "sessions", "list")


@pytest.mark.parametrize("group", [(), ("sessions",), ("agents",), ("config",)])
def test_no_summary_is_cut_off(flue: Flue, group: tuple[str, ...]) -> None:
    """Every command's line of help fits a terminal of 80 columns."""
    done = flue(*group, "--help", env={"COLUMNS": "80"})

    commands = done.out.partition("Commands:\n")[2]
    assert commands
    assert "..." not in commands
