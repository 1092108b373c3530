"""Text for the clipboard: by a program of the desktop, and by asking the terminal."""

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
"""Program, the variable without which it has nothing to talk to ("": none), and its arguments."""

_MAX_OSC52_BYTES = 74_994
"""Most bytes of text sent by OSC 52: the strictest terminals accept sequences of 100,000 bytes."""

_PROGRAM_SECONDS = 5.0


def copy_to_clipboard(text: str, output: Output, env: Mapping[str, str] = os.environ) -> str:
    """Put `text` into the clipboard in every way that there is; which those were, for a person.

    UsageError if there is none.
    """
    data = text.encode("utf-8", "replace")
    ways = [name for name, command in _installed_programs(env) if _run_copy_program(command, data)]
    if _can_copy_by_terminal(data, output, env):
        # Of base64 alone: nothing in the text can give the terminal another order.
        output.write_raw(f"\x1b]52;c;{base64.b64encode(data).decode()}\x07")
        ways.append("OSC 52, if the terminal takes it")
    if not ways:
        raise UsageError(
            "there is no way to the clipboard from here",
            hint="the terminal takes short texts only; wl-copy, xclip, pbcopy and tmux take any",
        )
    return " and ".join(ways)


def _installed_programs(env: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    for name, variable, arguments in _PROGRAMS:
        path = shutil.which(name, path=env.get("PATH")) if not variable or env.get(variable) else None
        if path:
            yield name, [path, *arguments]


def _run_copy_program(command: list[str], data: bytes) -> bool:
    try:
        # In a session of its own: xclip stays to serve what it holds, and must survive a Ctrl-C here.
        done = subprocess.run(
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
    return done.returncode == 0


def _can_copy_by_terminal(data: bytes, output: Output, env: Mapping[str, str]) -> bool:
    return output.is_terminal and env.get("TERM") not in ("dumb", "linux") and len(data) <= _MAX_OSC52_BYTES
