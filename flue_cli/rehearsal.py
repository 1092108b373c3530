"""A turn of which nothing is kept: for trying a prompt, replaying a session, testing an agent.

The agent runs exactly as in turn.py, but nothing comes from a store: data, history, clock, seed and
perhaps recorded calls are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from flue_cli.agents import Agent
from flue_cli.cancellation import Cancellation
from flue_cli.errors import FlueError, StoreDamaged
from flue_cli.invoke import OnPiece, run_agent
from flue_cli.keeper import Keeper
from flue_cli.kept import Kept, TurnInput
from flue_cli.recording import Player, Recorder


class Rehearsed(NamedTuple):
    """What the agent would have done: what would have been kept, or the error.

    `missing` names the calls that it wanted to make and that the scene has no answer to.
    """

    kept: Kept | None
    error: FlueError | None = None
    missing: Sequence[str] = ()


def _silent(*_: object) -> None:
    """Nobody listens."""


class Rehearser:
    """Rehearses turns in whichever thread calls. It keeps a thread to watch over them: close it."""

    def __init__(self) -> None:
        self._keeper = Keeper(None)

    def run(
        self,
        agent: Agent,
        scene: TurnInput,
        *,
        cancellation: Cancellation,
        timeout: float | None = None,
        on_piece: OnPiece = _silent,
        stuck: Callable[[FlueError], None] = _silent,
    ) -> Rehearsed:
        """What `agent` makes of the scene; `timeout` bounds it, in seconds.

        Whatever it does wrong is the result's `error`. `on_piece` gets each piece of a streamed reply,
        and what it raises is the error. `stuck` is called, from another thread, when a cancelled agent
        does not stop. Raises StoreDamaged if the scene's data is no JSON object, or its calls are none.
        """
        session = scene.make_session()
        player = _player(scene)
        missing = player.missing if player else ()
        try:
            kept = run_agent(
                agent,
                scene,
                session,
                player or Recorder(),
                cancellation=cancellation,
                watch=self._keeper.watching(None, cancellation, timeout=timeout, give_up=stuck),
                on_piece=on_piece,
            )
        except FlueError as error:
            return Rehearsed(None, error, missing)
        return Rehearsed(kept, None, missing)

    def close(self) -> None:
        """End the thread that watches."""
        self._keeper.close()


def _player(scene: TurnInput) -> Player | None:
    try:
        return Player(scene.calls) if scene.calls is not None else None
    except ValueError as error:
        raise StoreDamaged(
            f"the recorded calls of turn {scene.turn} of session '{scene.session}' are none: {error}"
        ) from error
