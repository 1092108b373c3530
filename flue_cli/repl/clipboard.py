"""Copying to the clipboard: by a program of the desktop, and by a terminal sequence (OSC 52)."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping

from flue_cli.errors import UsageError
from flue_cli.render.streams import Output

_PROGRAMS = (
    ("wl-copy", "WAYLAND_DISPLAY", ()),
    ("xclip", "DISPLAY", ("-selection", "clipboard")),
    ("pbcopy", "", ()),
    ("tmux", "TMUX", ("load-buffer", "-w", "-")),
)
"""Program, the environment variable it needs ("": none), and its arguments."""

_MAX_OSC52_BYTES = 74_994
"""Most bytes of text sent by OSC 52: the strictest terminals accept sequences of 100,000 bytes."""

_PROGRAM_SECONDS = 5.0


def copy_to_clipboard(text: str, output: Output, env: Mapping[str, str] = os.environ) -> str:
    """Copy `text` to the clipboard by every available way, and return their names for a notice.

    Raises UsageError if there is none.
    """
    data = text.encode("utf-8", "replace")
    ways = [name for name, command in _installed_programs(env) if _run_copy_program(command, data)]
    if _can_copy_by_terminal(data, output, env):
        # Only base64 is sent, so the text cannot contain another terminal sequence.
        output.write_raw(f"\x1b]52;c;{base64.b64encode(data).decode()}\x07")
        ways.append("OSC 52, if the terminal takes it")
    if not ways:
        raise UsageError(
            "the clipboard cannot be reached from here",
            hint="install wl-copy or xclip; without them only short texts can be copied, by the terminal",
        )
    return " and ".join(ways)


def _installed_programs(env: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    for name, variable, arguments in _PROGRAMS:
        path = shutil.which(name, path=env.get("PATH")) if not variable or env.get(variable) else None
        if path:
            yield name, [path, *arguments]


def _run_copy_program(command: list[str], data: bytes) -> bool:
    try:
        # In a new process session: xclip keeps running to serve the text, and must survive Ctrl-C here.
        process = subprocess.run(
            command,
            input=data,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=_PROGRAM_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return process.returncode == 0


def _can_copy_by_terminal(data: bytes, output: Output, env: Mapping[str, str]) -> bool:
    return output.is_terminal and env.get("TERM") not in ("dumb", "linux") and len(data) <= _MAX_OSC52_BYTES
