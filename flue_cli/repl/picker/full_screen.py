"""A list that fills the screen, as an application: drawn, kept up to date, and ended by signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.key_binding.key_bindings import KeyBindingsBase
from prompt_toolkit.layout import Layout
from prompt_toolkit.output import create_output
from prompt_toolkit.styles import Style

from flue_cli.render.streams import Output
from flue_cli.repl.chat_input import open_chat_input
from flue_cli.repl.exit_signals import run_app
from flue_cli.repl.picker.layout import LIST_STYLE
from flue_cli.repl.picker.list_view import ListView
from flue_cli.repl.terminal import restore_terminal
from flue_cli.turns.cancellation import SignalRoute


def run_full_screen(
    view: ListView,
    layout: Layout,
    keys: KeyBindingsBase,
    output: Output,
    cancelling: SignalRoute,
    *,
    refresh: Callable[[], bool],
    refresh_seconds: float,
) -> Any:
    """Show the list until a key ends the application, and return its result. Raises StoppedBySignal.

    `refresh` is called every `refresh_seconds`; it returns True if there is something new to draw.
    """
    with output.terminal_file() as screen, restore_terminal(), open_chat_input():
        app: Application[Any] = Application(
            layout=layout,
            key_bindings=keys,
            style=Style.from_dict(LIST_STYLE),
            full_screen=True,
            output=create_output(screen),
            refresh_interval=30,  # to keep "3 min ago" true
        )
        app.ttimeoutlen = app.timeoutlen = 0.1  # seconds until an Esc counts as the key itself
        app.key_processor.before_key_press += lambda _: view.show_message("")

        async def refresh_regularly() -> None:
            while True:
                await asyncio.sleep(refresh_seconds)
                if view.attempt(refresh):
                    app.invalidate()

        def begin() -> None:
            app.create_background_task(refresh_regularly())

        return run_app(app, lambda: app.run(pre_run=begin), cancelling)
