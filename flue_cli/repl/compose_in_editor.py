"""Writing of prompts in the person's editor."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

from flue_cli.editor import run_editor
from flue_cli.errors import UsageError
from flue_cli.repl.terminal import cooked_mode


def edit_in_editor(text: str) -> str:
    """Open `text` in the person's editor and return the edited text, without its final newline.

    Characters that UTF-8 cannot encode become question marks. Raises UsageError as run_editor, and if the
    result is not text.
    """
    descriptor, path = tempfile.mkstemp(prefix="flue-", suffix=".md")  # 0600
    try:
        with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"{text}\n" if text else "")
        with cooked_mode():
            run_editor(path)
        return _read_text(path)
    finally:
        with suppress(FileNotFoundError):  # some editors remove it
            os.unlink(path)


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the text from the editor cannot be read: {error}") from error
