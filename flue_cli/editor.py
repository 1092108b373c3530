"""The person's editor."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess

from flue_cli.errors import UsageError


def run_editor(path: str) -> None:
    """Open `path` in the editor (VISUAL, EDITOR, else vi) and wait for it to end.

    Raises UsageError if it cannot be started or fails.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    # Not SIG_IGN, which the editor would inherit: Ctrl-C is for the editor.
    old_handler = signal.signal(signal.SIGINT, lambda signum, frame: None)
    try:
        code = subprocess.run([*shlex.split(editor), path], check=False).returncode
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the editor '{editor}' cannot be started", hint="set EDITOR to an installed program"
        ) from error
    finally:
        signal.signal(signal.SIGINT, old_handler)
    if code:
        raise UsageError(f"the editor failed with exit code {code}: nothing was saved")
