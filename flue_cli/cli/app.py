"""The objects that every command gets."""

from __future__ import annotations

from typing import NamedTuple

from flue_cli.cli.signals import Signals
from flue_cli.render.streams import Output


class App(NamedTuple):
    """Objects that every command gets as `ctx.obj`."""

    output: Output
    signals: Signals
