"""The person's editor, on a file."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess

from flue_cli.errors import UsageError


def run_editor(path: str) -> None:
    """Have the person edit `path` (VISUAL, EDITOR, else vi).

    UsageError if there is no editor, or it says that it failed.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    ours = signal.signal(signal.SIGINT, lambda signum, frame: None)  # Ctrl-C is the editor's for now
    try:
        code = subprocess.run([*shlex.split(editor), path], check=False).returncode
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the editor '{editor}' cannot be started", hint="set EDITOR to a program that is there"
        ) from error
    finally:
        signal.signal(signal.SIGINT, ours)
    if code:
        raise UsageError(f"the editor ended with {code}: nothing was saved")
