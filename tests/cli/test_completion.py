"""Completion in the shell: what is offered, and that real shells insert it as it must be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest
from support.requirements import needs_program

from flue_cli.cli.completion.answer import complete
from flue_cli.cli.completion.quoting import split
from flue_cli.stores import open_store
from flue_cli.stores.records import Entry

if TYPE_CHECKING:
    from conftest import Flue

HOSTILE_NAMES = (
    "$(touch pwned)",
    "`touch pwned`",
    "a b'c\"d",
    "co:lo:n=x",
    "été!!",
    "~tilde;rm *&|<>",
    "back\\slash",
    "日本 語",
)
HEAVY = {"rich", "prompt_toolkit", "sqlite_utils", "asyncio", "importlib.metadata", "hashlib", "logging"}


def keep(store: Path, *sessions: str, agent: str = "greeting") -> None:
    """Put sessions of one turn into a store."""
    now = time.time_ns() // 1000
    entry = Entry(1, "prompt", "completed", None, "hello", "hi", (), now, now, None, {}, "{}")
    store.parent.mkdir(exist_ok=True)
    with closing(open_store(str(store))) as kept:
        for name in sessions:
            kept.import_session(agent, name, [entry])


@pytest.fixture
def offered(flue: Flue, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What the words before the cursor, and the last of them half typed, could become."""
    monkeypatch.chdir(flue.folder)

    def offered(*words: str) -> list[str]:
        result = complete(words[:-1], words[-1])
        return [result.kind] if result.kind != "values" else [one.value for one in result.completions]

    return offered


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["ses"], ["sessions"]),
        (["agents", ""], ["list", "show", "new", "check"]),
        (["sessions", "re"], ["resume", "rename", "redo", "rewind"]),
        (["--ver"], ["--version"]),
        (["--install-completion", ""], ["bash", "zsh", "fish"]),
        (["nonsense", ""], []),
        (["sessions", "nonsense", ""], []),
        (["chat", "gr"], ["greeting"]),
        (["chat", "--wait", "3", "task_p"], ["task_planner"]),
        (["chat", "--wait", "3", "task-p"], ["task-planner"]),
        (["--version", "doc"], ["doctor"]),
        (["--install-completion", "bash", "doc"], ["doctor"]),
        (["serve", "--allow-host", ""], []),
        (["chat", "greeting", ""], []),
        (["chat", "--output-f"], ["--output-format"]),
        (["chat", "--json", "--js"], []),
        (["chat", "--output-format", ""], ["text", "json", "stream-json"]),
        (["chat", "--output-format=st"], ["--output-format=stream-json"]),
        (["chat", "greeting", "--", "-"], []),
        (["agents", "show", "jo"], ["journal"]),
        (["agents", "check", "greeting", "jo"], ["journal"]),
        (["agents", "new", "x"], []),
        (["agents", "new", "x", "--template", "s"], ["stateful", "streaming"]),
        (["sessions", "list", "--agent", "gr"], ["greeting"]),
        (["sessions", "export", "alice", "--format", "json"], ["json", "jsonl"]),
        (["sessions", "import", ""], ["files"]),
        (["chat", "--store="], ["files"]),
        (["chat", "./ag"], ["files"]),
        (["agents", "check", "agents/"], ["files"]),
        (["chat", "--agents", ""], ["dirs"]),
        (["doctor", "--h"], ["--help"]),
    ],
)
def test_commands_options_and_agents(
    offered: Callable[..., list[str]], words: list[str], values: list[str]
) -> None:
    """Commands, options, agents and the values of options are offered where they can stand."""
    assert offered(*words) == values


def test_sessions_by_prefix(flue: Flue, offered: Callable[..., list[str]]) -> None:
    """Sessions are offered newest first, of the agent that was named, else of all."""
    keep(flue.store, "alice", "albert", "zoë", "both")
    keep(flue.store, "alpha", "both", agent="journal")

    assert offered("chat", "greeting", "-s", "al") == ["albert", "alice"]
    assert offered("chat", "-r", "al") == ["alpha", "albert", "alice"]
    assert offered("chat", "--resume=al") == ["--resume=alpha", "--resume=albert", "--resume=alice"]
    assert offered("chat", "journal", "-sal") == []
    assert offered("sessions", "show", "al") == ["alpha", "albert", "alice"]
    assert offered("sessions", "show", "greeting/al") == ["greeting/albert", "greeting/alice"]
    assert offered("sessions", "show", "zoe\u0308") == ["zoë"]
    assert offered("sessions", "show", "bo") == ["both"]
    assert offered("sessions", "show", "") == [
        "journal/both", "alpha", "greeting/both", "zoë", "albert", "alice",
    ]  # fmt: skip
    assert offered("sessions", "show", "--agent", "journal", "") == ["both", "alpha"]
    assert offered("sessions", "delete", "alice", "alb") == ["albert"]
    assert offered("sessions", "show", "alice", "alb") == []
    assert offered("sessions", "rename", "alice", "alb") == []
    assert offered("sessions", "list", "--store", str(flue.folder / "none.db"), "--agent", "gr") == [
        "greeting"
    ]


def test_another_store_and_other_agents(flue: Flue, offered: Callable[..., list[str]]) -> None:
    """What --store and --agents say on the line counts, and no agent's file is run for it."""
    keep(flue.folder / "other.db", "elsewhere")
    (flue.folder / "more").mkdir()
    (flue.folder / "more" / "special.py").write_text("open('ran', 'w')")
    (flue.folder / "more" / "bad\x1bname.py").write_text("")

    assert offered("sessions", "show", "--store", "other.db", "") == ["elsewhere"]
    assert offered("sessions", "show", "--store=sqlite:///other.db", "else") == ["elsewhere"]
    assert offered("chat", "--agents", "more", "sp") == ["special"]
    assert offered("chat", "--agents", "more", "b") == []
    assert not (flue.folder / "ran").exists()


def test_what_cannot_be_read_completes_to_nothing(flue: Flue) -> None:
    """A missing or damaged store, or a bad setting, offers nothing, says nothing, and creates nothing."""
    damaged = flue.folder / "damaged.db"
    damaged.write_bytes(b"no store at all" * 100)
    before = sorted(flue.folder.rglob("*"))
    for store in ("missing.db", "no/such/folder.db", "damaged.db", "memory:", "nonsense://x"):
        done = flue("flue sessions show a", env={"_FLUE_COMPLETE": "bash", "FLUE_STORE": store})
        assert done == (0, "values\n", "")
    done = flue("flue chat --agents nowhere gr", env={"_FLUE_COMPLETE": "bash"})

    assert done == (0, "values\n", "")
    assert sorted(flue.folder.rglob("*")) == before
    assert not flue.home.exists()


def test_an_answer_costs_little(flue: Flue) -> None:
    """Answering a shell imports nothing that a press of Tab should not wait for."""
    keep(flue.store, "alice")
    program = (
        "import json, os, sys; from flue_cli.cli import run_command; run_command(sys.argv[1:]);"
        " os.write(2, json.dumps(sorted(sys.modules)).encode())"
    )
    for line, answer in (
        ("flue sessions show al", b"values\nalice\n"),
        ("flue chat gr", b"values\ngreeting\n"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, line],
            env=flue.env | {"_FLUE_COMPLETE": "bash"},
            capture_output=True,
            check=True,
        )
        assert done.stdout == answer
        assert not set(json.loads(done.stderr)) & HEAVY


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("typed", ["", "'", '"', "\\"])
def test_bash_words_come_back_whole(name: str, typed: str) -> None:
    """Whatever was typed of a name, and in whichever quotes, what is inserted makes it that name."""
    line = f"flue chat -s {typed}"
    if typed == "\\":
        line += name[0]
    _, word = split(line, " \t\n\"'@><=;|&(:")
    completed = line.removesuffix("\\" + name[0]) + word.completed(name) + (word.quote or "")

    assert split(completed + " ")[0] == ["flue", "chat", "-s", name]
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {completed.removeprefix('flue ')}"], capture_output=True, check=True
    )
    assert done.stdout.decode().splitlines()[-1] == name


# Real shells


class Shell:
    """An interactive shell that knows the completion, and a `flue` that shows what arguments it is given."""

    def __init__(self, name: str, flue: Flue, *, installed: bool = False) -> None:
        self.name = name
        self._marks = 0
        home = flue.folder / "home"
        home.mkdir(exist_ok=True)
        programs = home / "programs"
        programs.mkdir()
        program = programs / "flue"
        command = " ".join(flue.command)
        program.write_text(
            f'#!/bin/sh\n[ -n "$_FLUE_COMPLETE" ] && exec {command} "$@"\n'
            'printf "GIVEN"; for one in "$@"; do printf "<%s>" "$one"; done; printf "END\\n"\n'
        )
        program.chmod(0o755)
        env = flue.env | {
            "PATH": f"{programs}{os.pathsep}{flue.env['PATH']}",
            "HOME": str(home),
            "TERM": "xterm" if name == "fish" else "dumb",
        }
        ours = home / f"completion.{name}"
        ours.write_text(flue("--show-completion", name).out)
        options, told = {
            "bash": (["--norc"], f"source {ours}"),
            "zsh": (["-f"], f"autoload -Uz compinit; compinit -u; source {ours}"),
            "fish": (["--no-config"], f"source {ours}"),
        }[name]
        if installed:
            assert flue("--install-completion", name, env=env).code == 0
            options, told = [], "true"
        self._child: Any = pexpect.spawn(
            name,
            [*options, "-i"],
            cwd=str(flue.folder),
            env=env,
            timeout=30,
            dimensions=(40, 250),
            encoding="utf-8",
        )
        self._child.delaybeforesend = None
        self._say({"fish": f"function fish_prompt; end; {told}"}.get(name, f"PS1=; {told}"))

    def given(self, line: str) -> list[str]:
        """The arguments that the command gets when `line` is typed, with its tabs, and sent."""
        self._child.send(line + "\r")
        self._child.expect(r"GIVEN(.*?)END\r")
        given = re.findall(r"<(.*?)>(?=<|$)", self._child.match[1])
        self._say("true")
        return given

    def close(self) -> None:
        self._child.close(force=True)

    def _say(self, command: str) -> None:
        """Send a command, and wait until it is done."""
        self._marks += 1
        self._child.send(f"{command}; echo DO''NE{self._marks}\r")
        self._child.expect(f"DONE{self._marks}\r")


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, flue: Flue) -> Iterator[Shell]:
    needs_program(request.param)
    shell = Shell(request.param, flue)
    yield shell
    shell.close()


def test_a_shell_completes(flue: Flue, shell: Shell) -> None:
    """Tab completes commands, options, agents, sessions and file names in bash, zsh and fish."""
    keep(flue.store, "alice", "bob:1", "bob:2")
    keep(flue.store, "diary", agent="journal")
    (flue.folder / "notes.json").write_text("")

    assert shell.given("flue sessions sho\t") == ["sessions", "show"]
    assert shell.given("flue chat gr\t") == ["chat", "greeting"]
    assert shell.given("flue chat greeting -s al\thello") == ["chat", "greeting", "-s", "alice", "hello"]
    assert shell.given("flue chat -r journal/d\t") == ["chat", "-r", "journal/diary"]
    assert shell.given("flue sessions show bo\t2") == ["sessions", "show", "bob:2"]
    assert shell.given("flue sessions show bob:\t2") == ["sessions", "show", "bob:2"]
    assert shell.given("flue chat --resu\tx") == ["chat", "--resume", "x"]
    assert shell.given("flue sessions import not\t") == ["sessions", "import", "notes.json"]
    assert shell.given("flue sessions show not\t") == ["sessions", "show", "not"]


def test_a_shell_runs_nothing_of_a_name(flue: Flue, shell: Shell) -> None:
    """Names with quotes, blanks, expansions and operators arrive whole, and nothing in them is run."""
    keep(flue.store, *HOSTILE_NAMES)

    for typed, name in (
        ("\\$\t", "$(touch pwned)"),
        ("'$(\t", "$(touch pwned)"),
        ('"\\$(\t', "$(touch pwned)"),
        ("\\`\t", "`touch pwned`"),
        ("a\\ b\t", "a b'c\"d"),
        ('"a b\t', "a b'c\"d"),
        ("'a b\t", "a b'c\"d"),
        ("co\t", "co:lo:n=x"),
        ("co:\t", "co:lo:n=x"),
        ("ét\t", "été!!"),
        ("\\~\t", "~tilde;rm *&|<>"),
        ("ba\t", "back\\slash"),
        ("日\t", "日本 語"),
    ):
        assert shell.given(f"flue sessions show {typed}")[:3] == ["sessions", "show", name], typed
    assert not (flue.folder / "pwned").exists()


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_an_installed_completion_works_in_a_new_shell(flue: Flue, name: str) -> None:
    """After --install-completion, a shell that is started anew completes."""
    needs_program(name)
    keep(flue.store, "alice")
    shell = Shell(name, flue, installed=True)
    try:
        assert shell.given("flue sessions show al\t") == ["sessions", "show", "alice"]
        assert shell.given("flue sessions show al\t") == ["sessions", "show", "alice"]
    finally:
        shell.close()


def test_installing_leaves_the_rest_alone(flue: Flue) -> None:
    """The start-up file gets one line, once; what was in it, and where it really is, stays."""
    home = flue.folder / "it's home"
    home.mkdir()
    (flue.folder / "dotfiles").write_text("alias ll='ls -l'")
    (home / ".bashrc").symlink_to(flue.folder / "dotfiles")
    env = {"HOME": str(home)}

    first = flue("--install-completion", "bash", env=env)
    again = flue("--install-completion=bash", env=env)

    script = home / ".bash_completions" / "flue.sh"
    assert first == (0, f"{script}\n", "bash completes flue in every new terminal\n")
    assert again == (0, f"{script}\n", "bash had this already\n")
    assert (home / ".bashrc").is_symlink()
    written = (flue.folder / "dotfiles").read_text().splitlines()
    assert len(written) == 2
    assert written[0] == "alias ll='ls -l'"
    sourced = subprocess.run(
        ["bash", "-c", f"{written[1]}; complete -p flue"], capture_output=True, text=True, check=True
    )
    assert "_flue_completion" in sourced.stdout
    assert script.read_text() == flue("--show-completion", "bash").out


def test_installing_says_what_is_wrong(flue: Flue) -> None:
    """An unknown shell is a mistake in the command; a file that cannot be written is an error of its own."""
    unknown = flue("--install-completion", "tcsh")
    assert (unknown.code, unknown.out) == (2, "")
    assert unknown.err == "error: there is no completion for 'tcsh'\nhint: there are: bash, zsh, fish\n"
    (flue.folder / "file").write_text("")
    failed = flue("--install-completion", "fish", env={"XDG_CONFIG_HOME": str(flue.folder / "file")})
    assert failed.code == 74
    assert "cannot be written" in failed.err


def test_the_shell_around_is_meant(flue: Flue) -> None:
    """Without a name, the shell that the command was typed into is the one."""
    command = " ".join([*flue.command, "--show-completion"])
    done = subprocess.run(
        ["bash", "-c", f"{command}; true"],
        env=flue.env,
        cwd=flue.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == flue("--show-completion", "bash").out
