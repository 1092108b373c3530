"""Files that a prompt mentions: `@path` and `@"a path"` append the file's text to the prompt.

The prompt itself is not changed; each file follows it under its name, between Markdown fences. A prompt
that already contains a file (because it is edited and sent again) does not get it twice.
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
    """A file mentioned in a prompt: name as typed, path, and size in bytes."""

    name: str
    path: str
    size: int


def attach_mentioned_files(prompt: str, line: str) -> tuple[str, list[MentionedFile]]:
    """Append the files that `line` mentions to `prompt`; return the new prompt and the files.

    `line` is the typed part of the prompt: pasted text mentions nothing. A name without a file is a word
    like any other. Raises UsageError for a file that cannot be read, is not text, or is larger than
    MAX_ATTACHED_BYTES.
    """
    files, blocks = [], []
    for name, path in _find_mentions(line, prompt):
        text, count = _read_mentioned_file(path, name)
        files.append(MentionedFile(name, path, count))
        fence = markdown_fence(text)
        blocks.append(f"\n\n@{name}:\n{fence}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}")
    return prompt + "".join(blocks), files


def describe_attachment(file: MentionedFile) -> str:
    """Make the notice about an attached file."""
    return f"attached {file.path} ({format_bytes(file.size)})"


def _find_mentions(text: str, prompt: str) -> Iterator[tuple[str, str]]:
    """Yield name and path of each file that `text` mentions and `prompt` does not contain yet, once."""
    attached = {block[1] for block in _ATTACHED_BLOCK.finditer(prompt)}
    first_block = _ATTACHED_BLOCK.search(text)
    end = first_block.start() if first_block else len(text)
    for mention in _MENTION.finditer(text, 0, end):
        # "see @notes.txt." mentions notes.txt, unless there is a file "notes.txt."
        for name in dict.fromkeys((mention[1], mention[1].rstrip(_PUNCTUATION))):
            path = os.path.expanduser(name[1:-1] if name.startswith('"') and name.endswith('"') else name)
            if os.path.exists(path) and not os.path.isdir(path):
                if name not in attached:
                    yield name, path
                attached.add(name)
                break


def _read_mentioned_file(path: str, name: str) -> tuple[str, int]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise _attachment_error(name, "it is not a regular file")
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
    return UsageError(f"@{name} cannot be attached: {reason}", hint="nothing was sent")
