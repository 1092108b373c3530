"""A request that is turned away before any route sees it."""

from __future__ import annotations

from collections.abc import Iterable

from flue_cli.render import plain

EVERYWHERE = {b"cache-control": b"no-store", b"x-content-type-options": b"nosniff"}
"""The headers of every answer, refusals and others: a reply is nobody's to keep, and never a web page."""


def with_everywhere(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An answer's headers, and those of every answer, which no route says otherwise."""
    return [*(pair for pair in headers if pair[0].lower() not in EVERYWHERE), *EVERYWHERE.items()]


class Refusal(Exception):
    """The answer to a request that is not served: HTTP `status`, the `type` and `message` of its error.

    `closes`: the connection cannot be used again, since the rest of the request is not read.
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - the field's name in JSON
        message: str,
        *,
        closes: bool = False,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = plain.as_json({"error": {"type": type, "message": message}}).encode() + b"\n"
        self.closes = closes
        self._headers = headers

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the answer."""
        return [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self.body)).encode()),
            *self._headers,
            *([(b"connection", b"close")] if self.closes else []),
        ]
