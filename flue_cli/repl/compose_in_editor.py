"""Prompts that are written in the person's editor."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

from flue_cli.editor import run_editor
from flue_cli.errors import UsageError
from flue_cli.repl.terminal import cooked_mode


def edit_in_editor(text: str) -> str:
    """Open `text` in the person's editor and give the edited text, without its final newline.

    What is no UTF-8 in `text` becomes question marks. UsageError as run_editor, and for what is no text.
    """
    descriptor, path = tempfile.mkstemp(prefix="flue-", suffix=".md")  # 0600
    try:
        with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"{text}\n" if text else "")
        with cooked_mode():
            run_editor(path)
        return _read_text(path)
    finally:
        with suppress(FileNotFoundError):  # some editors take it away
            os.unlink(path)


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"what you wrote cannot be read: {error}") from error
