"""A request's headers as ASGI gives them, read strictly."""

from __future__ import annotations

from collections.abc import Iterable

from flue_cli.server.http_refusal import Refusal


class RequestHeaders:
    """Headers by name in lower case; one that may occur once must not occur twice."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    @property
    def has_body(self) -> bool:
        """True if the request has a body to read."""
        return self._values.get(b"content-length", [b"0"]) != [b"0"] or self.has(b"transfer-encoding")

    def has(self, name: bytes) -> bool:
        """True if the header occurs at all."""
        return name in self._values

    def one(self, name: bytes) -> bytes | None:
        """Give the header's value, None if there is none; raises Refusal (400) if there are several."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            words = f"the request has more than one {name.decode()} header"
            raise Refusal(400, "bad_request", words, closes=True)
        return values[0].strip()
