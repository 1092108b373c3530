"""Defaults from config.toml: validated as a whole, beaten by the environment and by options."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flue_cli import config_file
from flue_cli.errors import UsageError

if TYPE_CHECKING:
    from conftest import Flue


@pytest.fixture
def file(flue: Flue) -> Path:
    """Where this test's person has their configuration."""
    return Path(flue("config", "path", stdin=None).out.removesuffix("\n"))


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def shown(flue: Flue, *options: str, env: dict[str, str] | None = None) -> dict[str, tuple[Any, str]]:
    """Every setting's value and origin."""
    documents = json.loads(flue("config", "show", "--json", *options, stdin=None, env=env).out)
    return {name: (document["value"], document["origin"]) for name, document in documents.items()}


def edited(flue: Flue, script: str) -> Any:
    """`flue config edit` with an editor that runs a shell script on its file."""
    editor = flue.folder / "editor"
    editor.write_text(f'#!/bin/sh\n{script} "$1"\n')
    editor.chmod(0o700)
    return flue("config", "edit", stdin=None, env={"EDITOR": str(editor)})


def test_without_a_file_there_are_defaults(flue: Flue, file: Path) -> None:
    """Nobody needs a configuration; showing it creates nothing."""
    assert shown(flue) == {
        "home": (str(flue.home), "FLUE_HOME"),
        "store": (str(flue.store), "default"),
        "agents": ([], "default"),
        "agent": (None, "default"),
        "wait": (30.0, "default"),
        "timeout": (None, "default"),
        "vi": (False, "default"),
        "toolbar": (True, "default"),
        "bell": (10.0, "default"),
        "theme": ({}, "default"),
        "keys": ({}, "default"),
    }
    assert not file.exists()
    assert not file.parent.exists()


def test_an_option_beats_the_environment_beats_the_file(flue: Flue, file: Path) -> None:
    """What is said nearest to the command counts."""
    write(file, 'store = "/from/file.db"\nagents = ["/from/file"]\nwait = 5\n')

    assert shown(flue)["store"] == ("/from/file.db", "config.toml")
    assert shown(flue)["wait"] == (5.0, "config.toml")
    env = {"FLUE_STORE": "/from/env.db", "FLUE_AGENTS": "/from/env"}
    assert shown(flue, env=env)["store"] == ("/from/env.db", "FLUE_STORE")
    assert shown(flue, env=env)["agents"] == (["/from/env", "/from/file"], "FLUE_AGENTS, config.toml")
    assert shown(flue, "--store", "x.db", env=env)["store"] == ("x.db", "--store")
    assert shown(flue, "--store", "x.db")["wait"] == (5.0, "config.toml")


def test_settings_in_a_pipe_are_fields_and_tabs(flue: Flue, file: Path) -> None:
    """In a pipe the settings are tab-separated lines: name, value, origin."""
    write(file, 'agent = "greeting"\n')

    lines = [line.split("\t") for line in flue("config", "show", stdin=None).out.splitlines()]
    assert ["agent", "greeting", "config.toml"] in lines
    assert ["wait", "30", "default"] in lines


def test_the_file_is_obeyed(flue: Flue, file: Path) -> None:
    """Store, agents, agent, wait and timeout of the file are what `flue chat` goes by."""
    folder = flue.folder / "mine"
    folder.mkdir()
    (folder / "nap.py").write_text(
        "import time\ndef agent(prompt, session, context):\n    time.sleep(60)\n    return 'x'"
    )
    write(
        file,
        f'store = "{flue.folder}/kept.db"\nagents = ["{folder}"]\nagent = "nap"\nwait = 0\ntimeout = 0.1\n',
    )

    assert flue("chat", "-s", "a", stdin="hi").code == 124
    assert flue("sessions", "list", stdin=None).out.startswith("nap\ta\t1")
    assert (flue.folder / "kept.db").exists()
    assert not flue.store.exists()
    running = flue.start("chat", "-s", "a", "--timeout", "60")
    running.end_input(b"hi")
    while "running" not in flue("sessions", "show", "a", stdin=None).out:
        assert running.poll() is None
    busy = flue("chat", "-s", "a", stdin="hi")
    assert (busy.code, "is busy" in busy.err) == (4, True)


@pytest.mark.parametrize(
    ("text", "complaint", "hint"),
    [
        ("wayt = 3", "there is no key 'wayt'", "did you mean wait?"),
        (
            "x = 3",
            "there is no key 'x'",
            "the keys are: store, agents, agent, wait, timeout, vi, toolbar, bell, theme, keys",
        ),
        ("[wait]\nseconds = 3", "wait takes a number of seconds, 0 or more", ""),
        ("wait = -1", "wait takes a number of seconds, 0 or more", ""),
        ("wait = inf", "wait takes a number of seconds, 0 or more", ""),
        ("wait = nan", "wait takes a number of seconds, 0 or more", ""),
        ("wait = true", "wait takes a number of seconds, 0 or more", ""),
        ("timeout = 0", "timeout takes a number of seconds, more than 0", ""),
        ('timeout = "1"', "timeout takes a number of seconds, more than 0", ""),
        ("store = 3", "store takes a text in quotes", ""),
        ('store = ""', "store takes a text in quotes", ""),
        ('store = "flue.db"', "store takes an absolute path, or one that begins with ~: not 'flue.db'", ""),
        ('store = "sqlite:///flue.db"', "store takes an absolute path: sqlite:////home/me/flue.db", ""),
        ('agents = "mine"', 'agents takes a list of folders: ["~/agents"]', ""),
        ('agents = ["mine"]', "agents takes an absolute path, or one that begins with ~: not 'mine'", ""),
        ("agents = [3]", "agents takes a text in quotes", ""),
        ("wait 3", "is not TOML: Expected '=' after a key in a key/value pair", ""),
        ('agent = "a"\nagent = "b"', "is not TOML: Cannot overwrite a value", ""),
    ],
)
def test_a_bad_file_is_refused(flue: Flue, file: Path, text: str, complaint: str, hint: str) -> None:
    """A mistake in the file is named, with what would be right, and nothing is run or created."""
    write(file, text)

    done = flue("chat", "greeting", "-s", "a", "hi", stdin=None)

    assert (done.code, done.out) == (2, "")
    error, *rest = done.err.splitlines()
    assert error.startswith(f"error: {file}")
    assert complaint in error
    assert rest == ([f"hint: {hint}"] if hint else [])
    assert not flue.store.exists()
    assert flue("config", "path", stdin=None).out == f"{file}\n"


def test_a_byte_order_mark_is_passed_over(flue: Flue, file: Path) -> None:
    """A file that Notepad saved as UTF-8, with a mark at its beginning and CRLF, holds like any other."""
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xef\xbb\xbfwait = 5.0\r\n")

    assert shown(flue)["wait"] == (5.0, "config.toml")
    assert edited(flue, "printf 'vi = true\\n' >>").code == 0
    assert file.read_bytes() == b"\xef\xbb\xbfwait = 5.0\r\nvi = true\n"
    assert shown(flue)["vi"] == (True, "config.toml")


def test_a_file_that_is_no_text(flue: Flue, file: Path) -> None:
    """Bytes that are no UTF-8, or a folder in the file's place, are refused in words."""
    file.parent.mkdir(parents=True)
    file.write_bytes(b"wait = 3 # \xff")
    assert "config.toml is not UTF-8 at byte 11\nhint: " in flue("config", "show", stdin=None).err
    file.unlink()
    file.mkdir()
    done = flue("sessions", "list", stdin=None)
    assert (done.code, done.err) == (2, f"error: {file} cannot be read: Is a directory\n")


def test_a_home_is_a_tilde(flue: Flue, file: Path) -> None:
    """Paths in the file may begin with the person's home; URLs are as for --store."""
    write(file, 'store = "~/x.db"\nagents = ["~/agents"]\n')
    assert shown(flue)["store"][0] == f"{flue.env['HOME']}/x.db"
    assert shown(flue)["agents"][0] == [f"{flue.env['HOME']}/agents"]
    for url in ("sqlite:////x/y.db", "memory:"):
        write(file, f'store = "{url}"')
        assert shown(flue)["store"][0] == url


def test_without_a_home_folder_there_are_defaults(flue: Flue) -> None:
    """Where there is no telling a person's folders, FLUE_HOME is enough to work."""
    script = 'unset HOME; exec "$@"'
    flue.command = ["bash", "-c", script, "-", *flue.command]
    env = {"FLUE_STORE": str(flue.folder / "x.db")}

    assert flue("chat", "greeting", "-s", "a", "hi", stdin=None, env=env).code == 0


def test_editing_begins_with_an_explanation(flue: Flue, file: Path) -> None:
    """The first edit shows every key, commented out; left as it is, no file is made."""
    done = edited(flue, "cp -t . ")
    assert (done.code, done.err) == (0, "nothing was changed\n")
    assert not file.exists()
    assert list(file.parent.iterdir()) == []

    text = (flue.folder / "config.toml.edit").read_text()
    assert tomllib.loads(text) == {}
    everything = "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line)
    assert list(config_file.parse_config(everything.encode(), "x")) == list(config_file.CONFIG_KEYS)


def test_an_edit_is_kept_if_it_is_right(flue: Flue, file: Path) -> None:
    """What was edited is in force afterwards, private to its owner."""
    done = edited(flue, "sed -i 's/^# wait = .*/wait = 7/'")

    assert (done.code, done.err) == (0, f"saved {file}\n")
    assert shown(flue)["wait"] == (7.0, "config.toml")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(file.parent) == ["config.toml"]


def test_a_wrong_edit_loses_nothing(flue: Flue, file: Path) -> None:
    """A mistake is named, the file in force stays as it was, and the next edit goes on with the text."""
    write(file, "wait = 7\n")

    done = edited(flue, "echo wayt = 8 >>")
    assert done == (
        2,
        "",
        f"error: nothing was saved: {file}.edit: there is no key 'wayt' (did you mean wait?)\n"
        "hint: your text is kept there; go on with: flue config edit\n",
    )
    assert file.read_text() == "wait = 7\n"
    assert shown(flue)["wait"] == (7.0, "config.toml")

    done = edited(flue, "sed -i '1d;s/wayt/wait/'")
    assert done.err == f"going on with the text that could not be saved last time\nsaved {file}\n"
    assert file.read_text() == "wait = 8\n"


def test_an_edit_mends_a_bad_file(flue: Flue, file: Path) -> None:
    """A file that keeps every other command from running can still be edited."""
    write(file, "wayt = 7\n")

    assert edited(flue, "sed -i s/wayt/wait/").code == 0
    assert shown(flue)["wait"] == (7.0, "config.toml")


def test_a_config_file_survives_an_editor_that_fails(flue: Flue, file: Path) -> None:
    """An editor that fails or is not there changes nothing."""
    write(file, "wait = 7\n")

    done = edited(flue, "exit 3 #")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "error: the editor failed with exit code 3: nothing was saved",
    )
    missing = flue("config", "edit", stdin=None, env={"VISUAL": "/no/such editor"})
    assert (missing.code, "cannot be started" in missing.err) == (2, True)
    assert file.read_text() == "wait = 7\n"


def test_a_linked_file_stays_linked(flue: Flue, file: Path) -> None:
    """A configuration that is a link into somebody's dotfiles is edited where it lies."""
    kept = flue.folder / "dotfiles.toml"
    write(kept, "wait = 7\n")
    file.parent.mkdir(parents=True)
    file.symlink_to(kept)

    assert edited(flue, "sed -i s/7/8/").code == 0
    assert file.is_symlink()
    assert kept.read_text() == "wait = 8\n"


@pytest.mark.parametrize("value", [1, 0.5, 1e9])
def test_seconds(value: float) -> None:
    """A number of seconds may be whole or not."""
    assert config_file.parse_config(f"wait = {value}".encode(), "x") == {"wait": float(value)}


def test_nothing_else_is_a_number_of_seconds() -> None:
    """Dates and texts are not seconds."""
    for value in ("1979-05-27", '"3"', "[3]"):
        with pytest.raises(UsageError, match="takes a number of seconds"):
            config_file.parse_config(f"timeout = {value}".encode(), "x")
