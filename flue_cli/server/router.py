"""An ASGI app out of agent functions, for a program of one's own and any server."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, overload

from flue_cli.agents.discovery import AgentFunction
from flue_cli.log import Log
from flue_cli.server.agent_registry import RegisteredAgents
from flue_cli.server.app import build_app
from flue_cli.settings import Settings
from flue_cli.stores import open_store

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from flue_cli.stores.contract import Store

Function = TypeVar("Function", bound=AgentFunction)


class AgentRouter:
    """Serves agents under `/api/agent/NAME`, and their sessions.

        router = AgentRouter()
        router.agent("greeting", greeting_agent)
        app = router.app          # uvicorn module:app

    Sessions are where the `flue` command keeps them, unless `store` says otherwise. A store that is given
    as an object stays open when the app's life ends. Who may ask is the business of whoever runs the app:
    `flue serve` checks Host, Origin and a token, and this does not.
    """

    def __init__(
        self, store: str | Store | None = None, *, wait: float | None = None, timeout: float | None = None
    ) -> None:
        """`store` is a URL as for `--store`; `wait` and `timeout` are seconds, as for `flue chat`.

        Raises UsageError for what `flue` would not take.
        """
        self._store = store
        url = store if isinstance(store, str) else ""
        self._settings = Settings.load(os.environ, store=url, wait=wait, timeout=timeout)
        self._registry = RegisteredAgents()

    @overload
    def agent(self, name: str) -> Callable[[Function], Function]: ...

    @overload
    def agent(self, name: str, function: Function) -> Callable[[Function], Function]: ...

    def agent(self, name: str, function: Function | None = None) -> Callable[[Function], Function]:
        """Serve `function` as agent `name`; without a function, decorates one.

        Raises BadName, and UsageError if the name is taken or the function cannot be called.
        """

        def add(function: Function) -> Function:
            self._registry.add(name, function)
            return function

        if function is not None:
            add(function)
        return add

    @cached_property
    def app(self) -> Starlette:
        """The ASGI app; nothing is opened before the first request."""
        settings, given = self._settings, self._store
        store = open_store(settings.store) if given is None or isinstance(given, str) else given
        return build_app(
            store,
            self._registry,
            wait=settings.wait,
            timeout=settings.timeout,
            log=Log("" if store.is_ephemeral else settings.log_file),
            closes_store=store is not given,
        )
