"""The log: events and times, never the content of a conversation.

`log/flue.jsonl` has one line of JSON per event and is private to its owner. Prompts, replies, data, keys,
and messages of exceptions, which may repeat any of them, are left out.
"""

from __future__ import annotations

import fcntl
import json
import os

from flue_cli import times
from flue_cli.files import make_private_folder
from flue_cli.times import format_iso

MAX_BYTES = 1_000_000
"""Size at which the log is rotated; KEPT_FILES older ones stay beside it."""
KEPT_FILES = 3


class Log:
    """The log file at `path`; "" writes nothing anywhere."""

    def __init__(self, path: str = "") -> None:
        self.path = path

    def write(self, event: str, **fields: object) -> bool:
        """Append one event. False if it could not be written, which is no reason to stop."""
        if not self.path:
            return False
        now = times.now()
        line = json.dumps({"time": format_iso(now), "pid": os.getpid(), "event": event, **fields}) + "\n"
        try:
            make_private_folder(os.path.dirname(self.path))
            while not self._append(line.encode()):  # another process may have filled the new file too
                continue
        except OSError:
            return False
        return True

    def _append(self, line: bytes) -> bool:
        """Append a line. False if the file was full; then it has been rotated, by us or another process."""
        # Opened for each event, to notice a rotation by another process.
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(file).st_size >= MAX_BYTES:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.path.exists(self.path) and os.path.samestat(os.fstat(file), os.stat(self.path)):
                    self._rotate()
                return False
            os.write(file, line)
            return True
        finally:
            os.close(file)

    def _rotate(self) -> None:
        for number in range(KEPT_FILES, 0, -1):
            newer = self.path if number == 1 else f"{self.path}.{number - 1}"
            if os.path.exists(newer):
                os.replace(newer, f"{self.path}.{number}")


def stack_frames(error: BaseException) -> list[str]:
    """List the frames of an exception, outermost first: file, line and function, no source text."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
