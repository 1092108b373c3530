"""A turn of which nothing is kept: for trying a prompt, replaying a session, testing an agent.

The agent runs exactly as in turn.py, but from a scene instead of a store: data, history, clock, seed
and perhaps the recorded calls of some moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flue_cli.agents import Agent
from flue_cli.cancellation import Cancellation
from flue_cli.errors import FlueError, StoreDamaged
from flue_cli.invoke import OnPiece, call
from flue_cli.keeper import Keeper
from flue_cli.kept import Kept, data_of, kept_of
from flue_cli.recording import Player, Recorder
from flue_cli.session import AgentContext, AgentSession, History


class Scene(NamedTuple):
    """What a turn starts from.

    `data` is JSON text, `started_at` microseconds since the epoch. With `calls`, those of the agent's
    context.record are answered from there and none is made; None: they are made.
    """

    session: str
    prompt: str
    data: str
    history: History
    turn: int
    started_at: int
    seed: int
    calls: Sequence[Mapping[str, Any]] | None = None


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
        scene: Scene,
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
        session = AgentSession(scene.session, data_of(scene.data, scene.session), scene.history)
        player = _player(scene)
        recorder = Recorder()
        recorded = {"source": agent.fingerprint, "seed": scene.seed}
        context = AgentContext(
            agent=agent.name,
            turn=scene.turn,
            started_at=scene.started_at,
            seed=scene.seed,
            is_cancelled=lambda: cancellation.why is not None,
            recording=player or recorder,
        )

        def calls() -> dict[str, Any]:
            return {"calls": list(scene.calls)} if scene.calls else recorder.as_meta()

        try:
            with self._keeper.watching(None, cancellation, timeout=timeout, give_up=stuck):
                kept = call(
                    agent.function,
                    scene.prompt,
                    session,
                    context,
                    cancellation=cancellation,
                    on_piece=on_piece,
                    check=lambda reply: kept_of(reply, session, recorded | calls()),
                )
        except FlueError as error:
            return Rehearsed(None, error, player.missing if player else ())
        return Rehearsed(kept, None, player.missing if player else ())

    def close(self) -> None:
        """End the thread that watches."""
        self._keeper.close()


def _player(scene: Scene) -> Player | None:
    try:
        return Player(scene.calls) if scene.calls is not None else None
    except ValueError as error:
        raise StoreDamaged(
            f"the recorded calls of turn {scene.turn} of session '{scene.session}' are none: {error}"
        ) from error
