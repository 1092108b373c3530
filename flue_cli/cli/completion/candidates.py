"""What could stand at a place of a command line: commands, options, agents, sessions, files.

Everything is told by the commands themselves: the metavar of a parameter, which `--help` shows, says what it
takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from flue_cli import agents
from flue_cli.cli.command_table import COMMANDS, root_command
from flue_cli.cli.options import load_settings, opened
from flue_cli.errors import BadName
from flue_cli.names import agent_name, normal_name, session_name
from flue_cli.settings import Settings
from flue_cli.stores.records import Summary
from flue_cli.text import turns

RECENT = 1000
"""How many sessions are offered before anything of a name is typed."""


class Candidate(NamedTuple):
    """Something that the word could become, and a remark on it."""

    value: str
    remark: str = ""


class Found(NamedTuple):
    """What the word could become: `kind` is "values", or "files" or "dirs", which the shell itself finds."""

    kind: str
    candidates: Sequence[Candidate] = ()


class Line:
    """The words before the one that is being typed, as their command understands them."""

    def __init__(self, words: Iterable[str]) -> None:
        self.command: Any = root_command()
        self.awaits: Any = None
        """The option whose value comes next."""
        self.only_arguments = False
        self._given: dict[str, list[str]] = {}
        self._arguments: list[str] = []
        for word in words:
            self._take(word)

    @property
    def is_group(self) -> bool:
        """Whether a command comes next."""
        return hasattr(self.command, "table")

    @property
    def argument(self) -> Any:
        """The argument that comes next; None if there is none."""
        arguments = [param for param in self.command.params if param.param_type_name == "argument"]
        if len(self._arguments) < len(arguments):
            return arguments[len(self._arguments)]
        return arguments[-1] if arguments and arguments[-1].nargs < 0 else None

    def values(self, name: str) -> list[str]:
        """What was given for the parameter `name`."""
        return self._given.get(name, [])

    def has(self, name: str) -> bool:
        """Whether the parameter `name` was given."""
        return name in self._given

    def option(self, name: str) -> Any:
        """The option that is called `name`, with its hyphens; None if there is none."""
        return next((param for param in self.command.params if name in _names(param)), None)

    def _take(self, word: str) -> None:
        if self.awaits:
            self._give(self.awaits, word)
            self.awaits = None
        elif word == "--" and not self.only_arguments:
            self.only_arguments = True
        elif word.startswith("-") and not self.only_arguments:
            self._take_option(word)
        elif self.is_group:
            self.command = self.command.get_command(None, word) or _NOTHING
        else:
            if self.argument:
                self._give(self.argument, word)
            self._arguments.append(word)

    def _take_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        option = self.option(name)
        if option:
            self._given.setdefault(option.name, [])
        if option and takes_value(option):
            if equals:
                self._give(option, value)
            else:
                self.awaits = option
        elif not word.startswith("--") and (option := self.option(word[:2])) and takes_value(option):
            self._give(option, word[2:])

    def _give(self, param: Any, word: str) -> None:
        self._given.setdefault(param.name, []).append(word)


class _Nothing:
    """A command that does not exist: nothing can follow."""

    name = ""
    params: Sequence[Any] = ()


_NOTHING = _Nothing()


def found(words: Iterable[str], typed: str) -> Found:
    """What `typed`, which follows `words`, could become. Raises FlueError."""
    line = Line(words)
    if line.awaits:
        return _values(line, line.awaits, typed)
    if typed.startswith("-") and not line.only_arguments:
        name, equals, value = typed.partition("=")
        option = line.option(name) if equals else None
        if option is None:
            return Found("values", list(_options(line, typed)))
        there = _values(line, option, value)
        return Found(there.kind, [one._replace(value=f"{name}={one.value}") for one in there.candidates])
    if line.is_group:
        return Found("values", list(_commands(line, typed)))
    return _values(line, line.argument, typed) if line.argument else Found("values")


def takes_value(option: Any) -> bool:
    """Whether a word follows the option."""
    return not option.is_flag


def _names(param: Any) -> list[str]:
    return [*param.opts, *param.secondary_opts] if param.param_type_name == "option" else []


def _options(line: Line, typed: str) -> Iterator[Candidate]:
    for param in line.command.params:
        if param.param_type_name == "argument" or (line.has(param.name) and not param.multiple):
            continue
        for name in _names(param):
            if name.startswith(typed):
                yield Candidate(name, (param.help or "").partition(". ")[0])
    if line.command is not _NOTHING and "--help".startswith(typed):
        yield Candidate("--help", "Show this message and exit.")


def _commands(line: Line, typed: str) -> Iterator[Candidate]:
    for name, target in line.command.table.items():
        if name.startswith(typed):
            yield Candidate(name, COMMANDS[name][1] if target is COMMANDS.get(name) else "")


def _values(line: Line, param: Any, typed: str) -> Found:
    """What the parameter takes, as its metavar says."""
    kind = (param.metavar or "").strip("[].")
    if kind == "NAME" and param.param_type_name == "argument":
        return Found("values")  # a new one
    if kind in _FROM_SHELL:
        return Found(_FROM_SHELL[kind])
    find = _VALUES.get(kind)
    return Found("values", list(find(line, typed)) if find else ())


def _agents(line: Line, typed: str) -> Iterator[Candidate]:
    typed = typed.replace("_", "-")
    for source in agents.found(_settings(line)):
        if source.name.startswith(typed) and _is_name(agent_name, source.name):
            yield Candidate(source.name, source.origin)


def _sessions(line: Line, typed: str) -> Iterator[Candidate]:
    """Sessions by name, or by AGENT/NAME: as it is typed, and where names alone would not tell them apart."""
    agent = next(iter(line.values("agent")), "")
    agent = agent_name(agent) if agent else ""
    typed = normal_name(typed) if typed else ""
    with opened(_settings(line)) as store:
        there = store.sessions(agent=agent, limit=None if typed else RECENT)
    named: dict[str, Summary | None] = {}
    for one in there:
        named[one.name] = None if one.name in named else one
    offered: dict[str, str] = {}
    for one in there:
        spellings = [one.name] if agent else [one.name, f"{one.agent}/{one.name}"]
        if not typed and not named[one.name]:
            del spellings[0]
        value = next((spelling for spelling in spellings if spelling.startswith(typed)), None)
        if value and _is_name(session_name, one.name):
            remark = f"{one.agent}, {turns(one.turns)}" if named[one.name] else "of several agents"
            offered.setdefault(value, remark)
    yield from (Candidate(value, remark) for value, remark in offered.items())


def _formats(line: Line, typed: str) -> Iterator[Candidate]:
    from flue_cli.cli.turn_output import FORMS
    from flue_cli.transcripts import FORMATS, READERS

    yield from _those({"export": FORMATS, "import": READERS}.get(line.command.name, FORMS), typed)


def _templates(line: Line, typed: str) -> Iterator[Candidate]:
    from flue_cli.cli.agents import TEMPLATES

    yield from _those(TEMPLATES, typed)


def _shells(line: Line, typed: str) -> Iterator[Candidate]:
    from flue_cli.cli.completion.shell_scripts import SHELLS

    yield from _those(SHELLS, typed)


_VALUES: dict[str, Callable[[Line, str], Iterator[Candidate]]] = {
    "AGENT": _agents,
    "SESSION": _sessions,
    "OTHER": _sessions,
    "NAME": _sessions,
    "FORMAT": _formats,
    "KIND": _templates,
    "SHELL": _shells,
}
"""Metavar to what finds values for it: `(line, typed)`."""

_FROM_SHELL = {"FILE": "files", "FILE|FOLDER": "files", "URL": "files", "DIR": "dirs"}
"""Metavar to what the shell itself completes."""


def _those(values: Iterable[str], typed: str) -> Iterator[Candidate]:
    return (Candidate(value) for value in values if value.startswith(typed))


def _settings(line: Line) -> Settings:
    store = next(iter(line.values("store")), "")
    folders = [os.path.expanduser(folder) for folder in line.values("agents_dirs")]
    return load_settings(os.path.expanduser(store), folders)


def _is_name(rule: Callable[[str], str], name: str) -> bool:
    """Whether the rules allow the name: what another program left in a folder or a store may be anything."""
    try:
        return rule(name) == name
    except BadName:
        return False
