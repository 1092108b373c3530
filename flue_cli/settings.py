"""Where things are and how long they may take: read once, then passed along."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flue_cli import config_file
from flue_cli.errors import UsageError

WAIT_SECONDS = 30.0
"""How long a turn waits behind others unless told otherwise."""


class ChatStyle(NamedTuple):
    """How the chat looks and listens; `config.toml` has keys of the same names.

    `bell` is in seconds, 0: never. `theme` maps a part of the screen to a prompt_toolkit style, `keys` an
    action to a key.
    """

    vi: bool = False
    toolbar: bool = True
    bell: float = 10.0
    theme: Mapping[str, str] = {}
    keys: Mapping[str, str] = {}


class Settings(NamedTuple):
    """What options, environment and `config.toml` said.

    `home` is the folder that holds the store, the log, the input history and the user's own agents;
    `store` a store URL or a path; `agent_dirs` the folders named by `--agents`, `agent_path` those of
    `FLUE_AGENTS`, `config_agents` those of the file; `agent` the one of a plain `flue chat`, or "".
    `wait` and `timeout` are seconds, `chat` is how the chat looks. `origins` says where each came from:
    `--wait`, `FLUE_STORE`, `config.toml` or `default`.
    """

    home: str
    store: str
    agent_dirs: tuple[str, ...] = ()
    agent_path: tuple[str, ...] = ()
    config_agents: tuple[str, ...] = ()
    agent: str = ""
    wait: float = WAIT_SECONDS
    timeout: float | None = None
    chat: ChatStyle = ChatStyle()
    origins: Mapping[str, str] = {}

    @property
    def log_file(self) -> str:
        """Where the log of this home is."""
        return log_file(self.home)

    def input_history(self, agent: str) -> str:
        """The file that keeps what was typed in chats with `agent`."""
        return os.path.join(self.home, "history", f"{agent}.txt")

    @property
    def drafts(self) -> str:
        """The folder for what was written in an editor and could not be used."""
        return os.path.join(self.home, "drafts")

    @classmethod
    def load(
        cls,
        env: Mapping[str, str],
        *,
        store: str = "",
        agents: Sequence[str] = (),
        wait: float | None = None,
        timeout: float | None = None,
        file: str | None = None,
    ) -> Settings:
        """The settings for one run of the command: option beats environment beats file beats default.

        `file` is read in place of the person's `config.toml`; "" reads none.

        Raises UsageError for an unusable option or file, and when no folder for user data can be told.
        """
        home = home_folder(env)
        said = config_file.load_config(config_path() if file is None else file)
        # No shell expands what stands behind `--store=`, nor do systemd, cron or .env files.
        expand = os.path.expanduser
        agents = tuple(expand(folder) for folder in agents)
        agent_path = tuple(expand(part) for part in env.get("FLUE_AGENTS", "").split(os.pathsep) if part)
        config_agents: tuple[str, ...] = said.get("agents", ())
        folders = {"--agents": agents, "FLUE_AGENTS": agent_path, "config.toml": config_agents}
        found: dict[str, Any] = {}
        origins = {
            "home": "FLUE_HOME" if env.get("FLUE_HOME") else "default",
            "agents": ", ".join(origin for origin, some in folders.items() if some) or "default",
        }
        for name, option, variable, default in (
            ("store", store or None, "FLUE_STORE", os.path.join(home, "flue.db")),
            ("agent", None, "", ""),
            ("wait", _check_option_seconds(wait, "--wait"), "", WAIT_SECONDS),
            ("timeout", _check_option_seconds(timeout, "--timeout"), "", None),
        ):
            found[name], origins[name] = _first_given(
                (option, f"--{name}"),
                (env.get(variable) or None, variable),
                (said.get(name), "config.toml"),
                default=(default, "default"),
            )
        found["store"] = expand(found["store"])
        style = {name: said[name] for name in ChatStyle._fields if name in said}
        origins |= {name: "config.toml" if name in style else "default" for name in ChatStyle._fields}
        return cls(
            home=home,
            chat=ChatStyle(**style),
            agent_dirs=agents,
            agent_path=agent_path,
            config_agents=config_agents,
            origins=origins,
            **found,
        )


def home_folder(env: Mapping[str, str]) -> str:
    """The folder for the store and all that goes with it; UsageError if there is no telling."""
    folder = os.path.expanduser(env.get("FLUE_HOME", "")) or _user_folder("data")
    if not folder:
        raise UsageError("there is no home folder to keep sessions in", hint="set FLUE_HOME to a folder")
    return os.path.abspath(folder)


def config_path() -> str:
    """The person's `config.toml`, there or not; "" if there is no telling where it would be."""
    folder = _user_folder("config")
    return folder and os.path.join(folder, "config.toml")


def log_file(home: str) -> str:
    """Where the log of `home` is."""
    return os.path.join(home, "log", "flue.jsonl")


def _first_given(*candidates: tuple[Any, str], default: tuple[Any, str]) -> tuple[Any, str]:
    """The first of these values that is there, and where it came from."""
    return next((one for one in candidates if one[0] is not None), default)


def _user_folder(kind: str) -> str:
    import platformdirs

    find = platformdirs.user_data_dir if kind == "data" else platformdirs.user_config_dir
    folder = find("flue", appauthor=False)
    return "" if folder.startswith("~") else folder  # an unknown home stays a tilde


def _check_option_seconds(value: float | None, option: str) -> float | None:
    try:
        return None if value is None else config_file.check_seconds(value, zero=option == "--wait")
    except ValueError as error:
        raise UsageError(f"{option} {error}: not {value:g}") from error
