"""Files that a prompt names: `@path` and `@"a path"` put the file's text below the prompt.

The prompt stays as it was typed; below it every file stands between fences, under its name. A prompt
that comes back with its files (to be edited, and sent again) does not get them twice.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from flue_cli.errors import UsageError
from flue_cli.text import format_bytes, markdown_fence

MAX_ATTACHED_BYTES = 2**20
"""The largest file that goes into a prompt."""

_MENTION = re.compile(r'(?<!\S)@("[^"\n]+"|[^\s"]\S*)')
_ATTACHED_BLOCK = re.compile(r'(?:^|\n)@("[^"\n]+"|\S+):\n`{3,}\n')
_PUNCTUATION = ".,;:!?)]}>'\""


class MentionedFile(NamedTuple):
    """A file that goes with a prompt: as it was named, where it is, and how many bytes it has."""

    name: str
    path: str
    size: int


def attach_mentioned_files(prompt: str, line: str) -> tuple[str, list[MentionedFile]]:
    """`prompt` with the text of the files that `line` names, and these files.

    `line` is what was typed of the prompt. A name without such a file is just a word. UsageError for a
    file that cannot be read, is not text, or is larger than MOST_BYTES.
    """
    files, blocks = [], []
    for name, path in _find_mentions(line, prompt):
        text, count = _read_mentioned_file(path, name)
        files.append(MentionedFile(name, path, count))
        fence = markdown_fence(text)
        blocks.append(f"\n\n@{name}:\n{fence}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}")
    return prompt + "".join(blocks), files


def describe_attachment(file: MentionedFile) -> str:
    """The notice about an attached file."""
    return f"attached {file.path} ({format_bytes(file.size)})"


def _find_mentions(text: str, prompt: str) -> Iterator[tuple[str, str]]:
    """The files that are named in `text` and not in `prompt` yet: how each is called, its path. Each once."""
    there = {found[1] for found in _ATTACHED_BLOCK.finditer(prompt)}
    first = _ATTACHED_BLOCK.search(text)
    for found in _MENTION.finditer(text, 0, first.start() if first else len(text)):
        for name in dict.fromkeys((found[1], found[1].rstrip(_PUNCTUATION))):
            path = os.path.expanduser(name[1:-1] if name.startswith('"') and name.endswith('"') else name)
            if os.path.exists(path) and not os.path.isdir(path):
                if name not in there:
                    yield name, path
                there.add(name)
                break


def _read_mentioned_file(path: str, name: str) -> tuple[str, int]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise _attachment_error(name, "it is not a file with text")
        with open(path, "rb") as file:
            content = file.read(MAX_ATTACHED_BYTES + 1)
    except OSError as error:
        raise _attachment_error(name, error.strerror or "it cannot be read") from error
    if len(content) > MAX_ATTACHED_BYTES:
        raise _attachment_error(name, f"it has more than {format_bytes(MAX_ATTACHED_BYTES)}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _attachment_error(name, "it is not text")
    return text.replace("\r\n", "\n"), len(content)


def _attachment_error(name: str, reason: str) -> UsageError:
    return UsageError(f"@{name} cannot go with the prompt: {reason}", hint="nothing was sent")
