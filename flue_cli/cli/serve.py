"""`flue serve`: the same agents and sessions over HTTP."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from flue_cli.cli.agent_run import prepare_for_agents
from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_files
from flue_cli.cli.options import (
    AgentsOption,
    StoreOption,
    TimeoutOption,
    VerboseOption,
    WaitOption,
    load_settings,
    log_of,
    open_run_store,
)
from flue_cli.cli.token_file import read_token
from flue_cli.errors import FlueError, StoppedBySignal, UsageError
from flue_cli.installation import install_extra_command
from flue_cli.render.notices import show_traceback
from flue_cli.settings import Settings
from flue_cli.text import pluralize, safe_line

if TYPE_CHECKING:
    from flue_cli.server.sockets import Address
    from flue_cli.stores.contract import Store

GRACE_SECONDS = 20.0
"""Default time for running turns when the server is told to stop."""

_LIBRARIES = ("granian", "starlette", "uvloop")


class ServeOptions(NamedTuple):
    """Options of the command: other Host names, the token, seconds of grace at the end, tracebacks."""

    allowed: frozenset[str]
    token: bytes
    grace: float
    verbose: bool


def serve(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="The address or name to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 3000,
    token_file: Annotated[
        str,
        typer.Option(
            "--token-file",
            metavar="FILE",
            autocompletion=complete_files,
            show_default=False,
            help="Serve only those who send the token in FILE. [env: FLUE_TOKEN, the token itself]",
        ),
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Answer to this Host too; may be repeated."),
    ] = None,
    grace: Annotated[
        float, typer.Option("--grace", metavar="SECONDS", help="How long turns may go on when told to stop.")
    ] = GRACE_SECONDS,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    verbose: VerboseOption = False,
    store_url: StoreOption = "",
    agents_dirs: AgentsOption = None,
) -> None:
    """Serve the agents and their sessions over HTTP.

    POST /api/agent/NAME with {"prompt": "...", "sessionId": "..."} answers a prompt; /openapi.json tells
    the rest. Only this machine is served, unless --host lets others in, which needs a token. Ctrl-C or
    SIGTERM lets running turns finish; a second one ends at once.
    """
    app: App = ctx.obj
    settings = load_settings(store_url, agents_dirs, wait=wait, timeout=timeout)
    token = read_token(os.path.expanduser(token_file), os.environ)
    grace = _grace(grace)
    _need_libraries()
    from flue_cli.server.sockets import look_up

    address = look_up(host, port)
    if not token and not address.is_loopback:
        raise UsageError(
            f"--host {safe_line(host)} lets other machines in, and there is no token to ask them for",
            hint="give one with --token-file FILE or in FLUE_TOKEN; or leave out --host",
        )
    allowed = frozenset(_host_name(name) for name in allow_host or ())
    with open_run_store(settings) as store:
        store.sessions(limit=1)  # a store that cannot be read is better noticed now
        _serve(app, settings, store, address, ServeOptions(allowed, token, grace, verbose))


def _serve(app: App, settings: Settings, store: Store, address: Address, options: ServeOptions) -> None:
    from flue_cli.server.access_guard import AccessGuard, AccessPolicy
    from flue_cli.server.agent_registry import DiscoveredAgents
    from flue_cli.server.app import build_app
    from flue_cli.server.http_server import Served, Shutdown, run
    from flue_cli.server.sockets import listen_url, reserve

    def report(reference: str, error: FlueError) -> None:
        app.output.note(f"error: {safe_line(error.sentence())} (reference {reference})")
        show_traceback(error, app.output, verbose=options.verbose)

    def listening() -> None:
        app.output.note(f"listening on {url} (Ctrl-C stops)")

    def draining(count: int) -> None:
        app.output.note(
            f"stopping: {pluralize(count, 'turn')} may go on for {options.grace:g} s (once more ends at once)"
        )

    reserved = reserve(address)
    url = listen_url(reserved, address.host)
    log = log_of(settings, store)
    served = build_app(
        store,
        DiscoveredAgents(settings),
        wait=settings.wait,
        timeout=settings.timeout,
        log=log,
        report=report,
    )
    # The address as it was given is a name too: what we print as ours must work.
    policy = AccessPolicy(options.allowed | {address.host.lower()}, options.allowed, options.token)
    guard = AccessGuard(served, policy, log)
    shutdown = Shutdown()
    prepare_for_agents(app)
    with app.signals.cancelling(shutdown):
        run(
            Served(guard, served.router.lifespan_context(served), served.state.turns),
            reserved,
            shutdown,
            log=log,
            listening=listening,
            draining=draining,
            grace=options.grace,
        )
    raise StoppedBySignal(shutdown.signum)


def _need_libraries() -> None:
    """Raise UsageError if what the extra brings is not installed; our own mistakes are not taken for that."""
    from importlib.util import find_spec

    if missing := [name for name in _LIBRARIES if find_spec(name) is None]:
        raise UsageError(
            f"serving needs what is not installed: {', '.join(missing)}",
            hint=install_extra_command("serve"),
        )


def _host_name(text: str) -> str:
    from flue_cli.server.hosts import parse_host

    host = parse_host(text)
    if host is None:
        raise UsageError(
            f"--allow-host '{safe_line(text)}' is not a host name",
            hint="such as flue.example.com: each by itself, without http://",
        )
    return host.name


def _grace(value: float) -> float:
    from flue_cli.config_file import check_seconds

    try:
        return check_seconds(value, zero=True)
    except ValueError as error:
        raise UsageError(f"--grace {error}: not {value:g}") from error
