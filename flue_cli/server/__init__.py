"""The same agents and sessions over HTTP: an ASGI app for any server (extra `serve`).

AgentRouter is loaded when it is first used (PEP 562): what runs before an app needs no Starlette.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["AgentRouter"]

if TYPE_CHECKING:
    from flue_cli.server.router import AgentRouter


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'flue_cli.server' has no attribute {name!r}")
    from flue_cli.server.router import AgentRouter

    return AgentRouter
