"""Settings of one run, from options, environment and config file: read once, then passed along."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flue_cli import config_file
from flue_cli.errors import UsageError

WAIT_SECONDS = 30.0
"""Default of `wait`."""


class ChatStyle(NamedTuple):
    """Appearance and keys of the chat; the config file has keys of the same names.

    `bell` is in seconds, 0: never. `theme` maps a part of the screen to a prompt_toolkit style, `keys` an
    action to a key.
    """

    vi: bool = False
    toolbar: bool = True
    bell: float = 10.0
    theme: Mapping[str, str] = {}
    keys: Mapping[str, str] = {}


class Settings(NamedTuple):
    """The values that hold in this run.

    `home` is the folder of the store, the log, the input history and the user's own agents; `store` is a
    store URL or a path; `agent_dirs` are the folders of `--agents`, `agent_path` those of `FLUE_AGENTS`,
    `config_agents` those of the config file; `agent_file` is the file of an agent that was named by its path,
    or ""; `agent` is the agent of a plain `flue chat`, or "".
    `wait` (behind other turns) and `timeout` (of the agent) are in seconds. `origins` names the origin of
    each value: `--wait`, `FLUE_STORE`, `config.toml` or `default`.
    """

    home: str
    store: str
    agent_dirs: tuple[str, ...] = ()
    agent_path: tuple[str, ...] = ()
    config_agents: tuple[str, ...] = ()
    agent_file: str = ""
    agent: str = ""
    wait: float = WAIT_SECONDS
    timeout: float | None = None
    chat: ChatStyle = ChatStyle()
    origins: Mapping[str, str] = {}

    @property
    def log_file(self) -> str:
        """Path of the log."""
        return log_file(self.home)

    def input_history(self, agent: str) -> str:
        """Return the path of the input history of `agent`."""
        return os.path.join(self.home, "history", f"{agent}.txt")

    @property
    def drafts(self) -> str:
        """Folder for text from the editor that could not be used."""
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
        """Load the settings of one run: an option overrides the environment, that the config file.

        `file` is read instead of the person's `config.toml`; "" reads none. Raises UsageError for an
        invalid option or file, and if there is no folder for user data.
        """
        home = home_folder(env)
        config = config_file.load_config(config_path() if file is None else file)
        # A shell does not expand the ~ of `--store=~/x`, nor do systemd, cron or .env files.
        expand = os.path.expanduser
        agents = tuple(expand(folder) for folder in agents)
        agent_path = tuple(expand(part) for part in env.get("FLUE_AGENTS", "").split(os.pathsep) if part)
        config_agents: tuple[str, ...] = config.get("agents", ())
        folders = {"--agents": agents, "FLUE_AGENTS": agent_path, "config.toml": config_agents}
        values: dict[str, Any] = {}
        origins = {
            "home": "FLUE_HOME" if env.get("FLUE_HOME") else "default",
            "agents": ", ".join(origin for origin, paths in folders.items() if paths) or "default",
        }
        for name, option, variable, default in (
            ("store", store or None, "FLUE_STORE", os.path.join(home, "flue.db")),
            ("agent", None, "", ""),
            ("wait", _check_option_seconds(wait, "--wait"), "", WAIT_SECONDS),
            ("timeout", _check_option_seconds(timeout, "--timeout"), "", None),
        ):
            values[name], origins[name] = _first_given(
                (option, f"--{name}"),
                (env.get(variable) or None, variable),
                (config.get(name), "config.toml"),
                default=(default, "default"),
            )
        values["store"] = expand(values["store"])
        style = {name: config[name] for name in ChatStyle._fields if name in config}
        origins |= {name: "config.toml" if name in style else "default" for name in ChatStyle._fields}
        return cls(
            home=home,
            chat=ChatStyle(**style),
            agent_dirs=agents,
            agent_path=agent_path,
            config_agents=config_agents,
            origins=origins,
            **values,
        )


def home_folder(env: Mapping[str, str]) -> str:
    """Find the folder for the store and everything beside it; UsageError if there is none."""
    folder = os.path.expanduser(env.get("FLUE_HOME", "")) or _user_folder("data")
    if not folder:
        raise UsageError("there is no home folder for the sessions", hint="set FLUE_HOME to a folder")
    return os.path.abspath(folder)


def config_path() -> str:
    """Find the path of `config.toml`, whether or not it exists; "" if there is no home folder."""
    folder = _user_folder("config")
    return folder and os.path.join(folder, "config.toml")


def log_file(home: str) -> str:
    """Return the path of the log in `home`."""
    return os.path.join(home, "log", "flue.jsonl")


def _first_given(*candidates: tuple[Any, str], default: tuple[Any, str]) -> tuple[Any, str]:
    """Return the first value that is not None, with its origin."""
    return next((candidate for candidate in candidates if candidate[0] is not None), default)


def _user_folder(kind: str) -> str:
    import platformdirs

    find = platformdirs.user_data_dir if kind == "data" else platformdirs.user_config_dir
    folder = find("flue", appauthor=False)
    return "" if folder.startswith("~") else folder  # platformdirs leaves the ~ of an unknown home


def _check_option_seconds(value: float | None, option: str) -> float | None:
    try:
        return None if value is None else config_file.check_seconds(value, zero=option == "--wait")
    except ValueError as error:
        raise UsageError(f"{option} {error}: not {value:g}") from error
