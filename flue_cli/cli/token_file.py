"""The server's access token, from a file or the environment, never from an argument."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import MutableMapping

from flue_cli.errors import UsageError
from flue_cli.text import safe_line

_MAX_BYTES = 4096


def read_token(path: str, env: MutableMapping[str, str]) -> bytes:
    """Read the token from the file `path`, else from `FLUE_TOKEN`, else return b"".

    The variable is taken out of `env`, so that agents and what they start do not inherit it. Raises
    UsageError for a file that others can read, and for what cannot be a token; it never repeats one.
    """
    said = env.pop("FLUE_TOKEN", "")
    if path:
        return _check_token(_content(path), f"the token file {safe_line(path)}")
    return _check_token(os.fsencode(said), "FLUE_TOKEN") if said else b""


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            # As in ssh, only our own files are checked: the mode of a file of another owner, such as a
            # credential from systemd, does not tell its readers, and we could not change it.
            if status.st_uid == os.geteuid() and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise UsageError(
                    f"the token file {safe_line(path)} can be used by others than its owner",
                    hint="chmod 600 it; if others have read it, make a new token",
                )
            return file.read(len(codecs.BOM_UTF8) + _MAX_BYTES + 1).removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise UsageError(f"the token file {safe_line(path)} cannot be read: {error.strerror}") from error


def _check_token(content: bytes, where: str) -> bytes:
    token = content.removesuffix(b"\n").removesuffix(b"\r")
    if not token:
        raise UsageError(f"{where} is empty", hint="openssl rand -hex 32 makes a token")
    if len(token) > _MAX_BYTES:
        raise UsageError(f"{where} has more than {_MAX_BYTES} bytes: is it the right one?")
    if any(not 0x21 <= byte <= 0x7E for byte in token):
        raise UsageError(f"{where} holds what a token cannot: only visible ASCII characters, in one line")
    return token
