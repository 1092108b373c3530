"""Discovery and loading of agents.

An agent is a module `NAME.py` (or a folder with `__init__.py`) that has a callable `agent`. Folders
are searched in a fixed order and the first match wins; only the file of the requested agent is executed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from flue_cli.agents.code_place import MODULE_PREFIX, failed_place
from flue_cli.agents.origin import agent_origin
from flue_cli.agents.search_path import (
    AgentSource,
    agents_in_folder,
    agents_in_packages,
    describe_search,
    is_agent_path,
    refuse_foreign_folder,
    samples_folder,
    search_folders,
)
from flue_cli.errors import AgentError, AgentNotFound, CodePlace, StoppedBySignal
from flue_cli.exception_text import describe_with_cause, format_traceback
from flue_cli.names import check_agent_name
from flue_cli.settings import Settings
from flue_cli.text import safe_line

AgentFunction = Callable[..., Any]
"""`(prompt, session, context) -> reply`: sync or async, returning or yielding."""

SIGNATURE_HINT = "define: def agent(prompt, session, context): ..."

REPLY_FORMATS = ("text", "markdown")
"""Values of `reply_format` in the module of an agent."""


class Agent(NamedTuple):
    """A loaded agent.

    `fingerprint` is a checksum of its source file. `reply_format` is one of REPLY_FORMATS, the format in
    which a terminal shows its replies. `origin` is the project and file, or the package, that it comes from
    (origin.py); "" if it comes from no file.
    """

    name: str
    function: AgentFunction
    fingerprint: str
    reply_format: str = "text"
    origin: str = ""


def find_agent(settings: Settings, name: str) -> AgentSource:
    """Find the first agent called `name` on the search path.

    Raises BadName, AgentNotFound (its hint has similar names, or the places of the search), and UsageError if
    the agent is in a project's folder of another user.
    """
    wanted = check_agent_name(name)
    if settings.agent_file and (source := agent_in_file(settings.agent_file)).name == wanted:
        return source
    for origin, folder in search_folders(settings):
        for source in agents_in_folder(origin, folder):
            if source.name == wanted:
                refuse_foreign_folder(source.name, origin, source.path, folder)
                return source
    for source in agents_in_packages():
        if source.name == wanted:
            return source
    from difflib import get_close_matches

    near = get_close_matches(wanted, [source.name for source in list_agents(settings)], n=3)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        folders = [place for place in search_folders(settings) if place[0] != "sample"]
        hint = f"looked in {describe_search(folders)} and the samples; see: flue agents list"
    raise AgentNotFound(f"there is no agent '{safe_line(name)}'", hint=hint)


def agent_in_file(file: str) -> AgentSource:
    """Return the source of the agent in `file`, which is a Python file or a folder with an `__init__.py`.

    Raises AgentNotFound if there is no such file, and BadName if its name cannot be an agent's.
    """
    path = os.path.abspath(os.path.expanduser(file))
    folder, base = os.path.split(path)
    if os.path.isfile(package := os.path.join(path, "__init__.py")):
        return AgentSource(check_agent_name(base), package, "file")
    if not os.path.isfile(path):
        hint = f"did you mean {file}.py?" if os.path.isfile(f"{path}.py") else ""
        raise AgentNotFound(f"there is no file {safe_line(file)}", hint=hint)
    name = os.path.basename(folder) if base == "__init__.py" else base.removesuffix(".py")
    return AgentSource(check_agent_name(name), path, "file")


def settings_for_agent(settings: Settings, agent: str) -> tuple[Settings, str]:
    """Return the name of an agent that was given as NAME or FILE.py, and settings in which it is found.

    Raises as `agent_in_file`.
    """
    if not is_agent_path(agent):
        return settings, agent
    source = agent_in_file(agent)
    return settings._replace(agent_file=source.path), source.name


def find_agent_origin(settings: Settings, name: str) -> str:
    """Return the origin of the agent that `find_agent` finds, and raise as it does."""
    return agent_origin(find_agent(settings, name), samples_folder())


def list_agents(settings: Settings) -> list[AgentSource]:
    """List the agents that `find_agent` can find, sorted by name, without their helper modules."""
    from flue_cli.agents.helper_modules import helper_modules

    winners: dict[str, AgentSource] = {}
    if settings.agent_file:
        source = agent_in_file(settings.agent_file)
        winners[source.name] = source
    for origin, folder in search_folders(settings):
        sources = list(agents_in_folder(origin, folder))
        helpers = helper_modules(source.path for source in sources if not is_folder_agent(source))
        for source in sources:
            if source.path not in helpers:
                winners.setdefault(source.name, source)
    for source in agents_in_packages():
        winners.setdefault(source.name, source)
    return [winners[name] for name in sorted(winners)]


def hides_sample(source: AgentSource) -> bool:
    """True if `source` hides one of Flue's own samples."""
    if source.origin == "sample":
        return False
    path = os.path.realpath(source.path)
    return any(
        sample.name == source.name and os.path.realpath(sample.path) != path
        for sample in agents_in_folder("sample", samples_folder())
    )


def load_agent(source: AgentSource) -> Agent:
    """Execute the agent's file and return its `agent`.

    Raises AgentError (type "load") if the file cannot be read or executed, has no callable `agent`, or has
    an unknown `reply_format`.
    """
    import zlib
    from importlib import import_module

    from flue_cli.agents.signal_state import SignalState

    signal_state = SignalState()
    try:
        code = read_code(source.path)
        module = import_module(source.module) if source.module else _execute_source(source, code)
        function: Any = module
        for part in source.attribute.split("."):
            function = getattr(function, part, None)
    except StoppedBySignal:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit included
        raise _load_failure(source, error) from error
    finally:
        signal_state.restore()
    if not callable(function):
        name = source.attribute
        problem = f"has no '{name}'" if function is None else f"its '{name}' is not callable"
        separator = " " if function is None else ": "
        raise AgentError(
            f"agent '{source.name}' cannot be loaded: {source.path}{separator}{problem}",
            type="load",
            hint=SIGNATURE_HINT,
        )
    reply_format = getattr(module, "reply_format", REPLY_FORMATS[0])
    if reply_format not in REPLY_FORMATS:
        raise AgentError(
            f"agent '{source.name}' cannot be loaded: its reply_format is neither 'text' nor 'markdown'",
            type="load",
            hint=f"look at {source.path}",
        )
    # A checksum is enough to distinguish versions; importing hashlib would take a third of a start-up.
    fingerprint = f"crc32:{zlib.crc32(code):08x}"
    return Agent(source.name, function, fingerprint, reply_format, agent_origin(source, samples_folder()))


def read_code(path: str) -> bytes:
    """Read an agent's file, which may be inside a zip archive. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except NotADirectoryError:
        from flue_cli.agents.archives import read_packed_file

        return read_packed_file(path)


def _execute_source(source: AgentSource, code: bytes) -> Any:
    """Execute the source as a module with a private name, without changing sys.path.

    It is a package of the modules in its folder, so that `from .helpers import x` works. Each agent has its
    own copies of them, and `agents/json.py` does not stand in for Python's module.
    """
    import sys
    from importlib.util import module_from_spec, spec_from_file_location

    from flue_cli.agents.loaded import announce

    name = _module_name(source)
    folder = os.path.dirname(source.path)
    spec = spec_from_file_location(name, source.path, submodule_search_locations=[folder])
    if spec is None:
        raise ImportError("not a Python module")
    module = module_from_spec(spec)
    # Compiled here and not by the loader: the code is exactly the fingerprinted one, never a cached .pyc of
    # the same second, and no __pycache__ appears in the agent's folder.
    program = compile(code, source.path, "exec", dont_inherit=True)
    announce(name.removeprefix(MODULE_PREFIX), source.path)
    before = _unload_module(name)
    sys.modules[name] = module  # where pickling, dataclasses and relative imports look
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        exec(program, module.__dict__)  # noqa: S102 - running the user's agent is the purpose
    except BaseException:  # raised again: a module may end with SystemExit, and a signal may stop it
        _unload_module(name)
        sys.modules.update(before)  # the agent that was loaded before stays usable
        raise
    finally:
        sys.dont_write_bytecode = writes
    return module


def _module_name(source: AgentSource) -> str:
    return MODULE_PREFIX + source.name.replace(".", "_")


def is_folder_agent(source: AgentSource) -> bool:
    """True if the agent is a folder with an `__init__.py`."""
    return os.path.basename(source.path) == "__init__.py"


def loaded_helpers(source: AgentSource) -> list[str]:
    """List the files of the modules in the agent's folder that it has imported."""
    import sys

    beginning = f"{_module_name(source)}."
    loaded = [module for name, module in list(sys.modules.items()) if name.startswith(beginning)]
    return sorted(path for module in loaded if (path := getattr(module, "__file__", None)))


def _unload_module(name: str) -> dict[str, Any]:
    """Remove a module and its submodules from sys.modules, so that all are loaded again; returns them."""
    import sys

    loaded = [other for other in sys.modules if other == name or other.startswith(f"{name}.")]
    return {other: sys.modules.pop(other) for other in loaded}


def _load_failure(source: AgentSource, error: BaseException) -> AgentError:
    from flue_cli.agents.missing_module import missing_module_hint

    words = describe_with_cause(error).replace(f"{_module_name(source)}.", ".")
    place = failed_place(error, source.module)
    if isinstance(error, SyntaxError) and error.filename:
        words = f"{type(error).__name__}: {error.msg}"  # without the place, which is given for all errors
        place = CodePlace(error.filename, error.lineno or 0)
    return AgentError(
        f"agent '{source.name}' cannot be loaded: {words}",
        type="load",
        hint=missing_module_hint(error, place) or ("" if place else f"look at {source.path}"),
        traceback=format_traceback(error),
        place=place,
    )
