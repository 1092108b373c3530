"""Asking before something is lost for good."""

from __future__ import annotations

from flue_cli.cli import stdin
from flue_cli.errors import UsageError


def agreed(question: str) -> bool:
    """Ask on stderr, read the answer from standard input; UsageError, which names --yes, if there is none."""
    try:
        answer = stdin.ask(f"{question} [y/N] ")
    except UsageError as error:
        raise UsageError(
            "nothing was deleted: " + error.message, hint="to delete without asking: --yes"
        ) from error
    return answer.lower() in ("y", "yes")
