"""The data that turns of this process left behind: the next turn of the session need not read them."""

from __future__ import annotations

import threading

from flue_cli.stores.records import Head

_ROOM = 8 * 1024 * 1024
"""How many characters of data are remembered in all; of the session used last, always."""
_EACH = 200
"""What a session costs beside its data, in the same measure."""


class Left:
    """For each session, its version and the data as of then, as this process settled it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._data: dict[int, tuple[int, str]] = {}
        self._size = 0

    def get(self, head: Head) -> str | None:
        """The data of the session, if it is still as this process left it."""
        version, data = self._data.get(head.uid, (-1, ""))
        return data if version == head.version else None

    def put(self, head: Head, data: str) -> None:
        """Remember the data of `head`; who was not used for longest is forgotten for it."""
        with self._lock:
            if head.uid in self._data:
                self._forget(head.uid)
            self._data[head.uid] = head.version, data
            self._size += len(data) + _EACH
            while self._size > _ROOM and len(self._data) > 1:
                self._forget(next(iter(self._data)))

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._data.clear()
            self._size = 0

    def _forget(self, uid: int) -> None:
        _, data = self._data.pop(uid)
        self._size -= len(data) + _EACH
