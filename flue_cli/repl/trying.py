"""A prompt that is only tried: what would come of it, of which nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flue_cli import times
from flue_cli.agents import Agent
from flue_cli.cancellation import Cancellation
from flue_cli.changes import Change, changes
from flue_cli.errors import FlueError
from flue_cli.invoke import OnPiece
from flue_cli.kept import data_of
from flue_cli.rehearsal import Rehearser, Scene
from flue_cli.stores.records import Head
from flue_cli.turn import history_before, new_seed

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store


class Tried(NamedTuple):
    """What came of a prompt that was only tried: the reply, or the error, and what it would change."""

    reply: str | None
    error: FlueError | None = None
    changes: Sequence[Change] = ()


class Trials:
    """Lets agents answer prompts as the next turn of a session, in memory; close it at the end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rehearser = Rehearser()

    def run(
        self,
        agent: Agent,
        head: Head,
        prompt: str,
        on_piece: OnPiece,
        stuck: Callable[[Tried], None],
        cancellation: Cancellation,
        timeout: float | None,
    ) -> Tried:
        """What `agent` would answer to `prompt` after the last turn of `head`, and change in the data.

        `stuck` gets it, from another thread, if a cancelled agent does not stop. `timeout` in seconds.
        """
        before = self._store.data_at(head, head.turn)
        scene = Scene(
            session=head.name,
            prompt=prompt,
            data=before,
            history=history_before(self._store, head),
            turn=head.turn + 1,
            started_at=times.now(),
            seed=new_seed(),
        )
        rehearsed = self._rehearser.run(
            agent,
            scene,
            cancellation=cancellation,
            timeout=timeout,
            on_piece=on_piece,
            stuck=lambda error: stuck(Tried(None, error)),
        )
        kept = rehearsed.kept
        if kept is None:
            return Tried(None, rehearsed.error)
        return Tried(kept.reply, None, changes(data_of(before, head.name), data_of(kept.data, head.name)))

    def close(self) -> None:
        """End the thread that watches over them."""
        self._rehearser.close()
