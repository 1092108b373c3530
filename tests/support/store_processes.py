"""Programs that use a store in processes of their own, in step with the test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMPORTS = """
import sys
from flue_cli.stores import open_store
from flue_cli.stores.records import TurnRequest, TurnResult
store = open_store(sys.argv[1])
"""


TALK = (
    IMPORTS
    + """
print("ready", flush=True)
sys.stdin.readline()
for number in range(4):
    begun = store.begin(TurnRequest("parrot", sys.argv[2], f"prompt {number}", wait=0), lambda *_: None)
    store.commit(begun.lease, TurnResult(reply="ok", messages=(), data=f'{{"n":{number}}}', meta={}))
store.close()
"""
)


HOLD = (
    IMPORTS
    + """
def pause(seconds, holder):
    print("ready", flush=True)
    sys.stdin.readline()

store.begin(TurnRequest("parrot", "main", "never answered", wait=100), pause)
pause(0, None)
"""
)


@contextmanager
def process(source: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Python in a process of its own."""
    command = [sys.executable, "-c", source, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


def wait_until_ready(child: subprocess.Popen[bytes]) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"


def files_below(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
