"""Where things are: read once from the environment and the command line, then passed along."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flue_cli.errors import UsageError


class Settings(NamedTuple):
    """What the environment and the options said.

    `store` is a store URL or a path; `agent_dirs` the folders named by `--agents`, `agent_path`
    those of `FLUE_AGENTS`; `home` the folder that holds the store, the input history and the user's
    own agents.
    """

    home: str
    store: str
    agent_dirs: tuple[str, ...] = ()
    agent_path: tuple[str, ...] = ()

    def input_history(self, agent: str) -> str:
        """The file that keeps what was typed in chats with `agent`."""
        return os.path.join(self.home, "history", f"{agent}.txt")

    @classmethod
    def load(cls, env: Mapping[str, str], *, store: str = "", agents: Sequence[str] = ()) -> Settings:
        """The settings for one run of the command: option beats environment beats default.

        Raises UsageError when no folder for user data can be told.
        """
        home = os.path.abspath(env.get("FLUE_HOME") or _user_data_dir())
        return cls(
            home=home,
            store=store or env.get("FLUE_STORE") or os.path.join(home, "flue.db"),
            agent_dirs=tuple(agents),
            agent_path=tuple(part for part in env.get("FLUE_AGENTS", "").split(os.pathsep) if part),
        )


def _user_data_dir() -> str:
    from platformdirs import user_data_dir

    folder = user_data_dir("flue", appauthor=False)
    if folder.startswith("~"):
        raise UsageError("there is no home folder to keep sessions in", hint="set FLUE_HOME to a folder")
    return folder
