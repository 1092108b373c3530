"""`flue agents`: list, show, check and create agents."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import typer

from flue_cli.agents import discovery
from flue_cli.agents.description import describe
from flue_cli.agents.search_path import AgentSource, short_path
from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_agents
from flue_cli.cli.options import AgentsOption, JsonOption, VerboseOption, load_settings
from flue_cli.errors import FileExists, FlueError, OutputFailed, UsageError
from flue_cli.names import check_agent_name
from flue_cli.render import machine_output
from flue_cli.settings import Settings
from flue_cli.text import safe_line

TEMPLATES = ("echo", "stateful", "streaming", "llm")
"""Templates of new agents: files in flue_cli/templates."""

_FIRST_STEPS = {
    "llm": (
        "for OpenAI, first: export OPENAI_API_KEY=sk-... OPENAI_MODEL=gpt-5-mini",
        "for Ollama, first: export OPENAI_BASE_URL=http://localhost:11434/v1 OPENAI_MODEL=llama3.2",
    )
}
"""Notices about a new agent that needs something before it can answer, by template."""

AgentArgument = Annotated[
    str,
    typer.Argument(metavar="AGENT", help="The agent's name, or its file.", autocompletion=complete_agents),
]


def list_agents(ctx: typer.Context, as_json: JsonOption = False, agents_dirs: AgentsOption = None) -> None:
    """List the available agents."""
    app: App = ctx.obj
    found = [
        (source, describe(source)) for source in discovery.list_agents(load_settings(agents=agents_dirs))
    ]
    if as_json:
        documents = [machine_output.agent_document(source, about) for source, about in found]
        app.output.result(machine_output.as_json(documents, indent=2))
    elif app.output.is_terminal:
        from flue_cli.render.tables import agent_table, show_paged_renderable

        show_paged_renderable(app.output, agent_table(found))
    else:
        app.output.write(machine_output.agent_rows(found))


def show(
    ctx: typer.Context, name: AgentArgument, as_json: JsonOption = False, agents_dirs: AgentsOption = None
) -> None:
    """Show an agent's description and where it is."""
    app: App = ctx.obj
    source = _find_source(load_settings(agents=agents_dirs), name)
    about = describe(source)
    if as_json:
        document = machine_output.agent_document(source, about) | {"docstring": about.docstring}
        app.output.result(machine_output.as_json(document, indent=2))
    else:
        app.output.result(machine_output.agent_page(source, about))


def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new agent's name.")],
    template: Annotated[
        str,
        typer.Option(
            "--template",
            metavar="KIND",
            autocompletion=lambda: TEMPLATES,
            help=f"Template to copy: {', '.join(TEMPLATES)}.",
        ),
    ] = "stateful",
) -> None:
    """Create ./agents/NAME.py from a template, ready to chat with."""
    app: App = ctx.obj
    wanted = check_agent_name(name)
    if template not in TEMPLATES:
        raise UsageError(
            f"there is no template '{safe_line(template)}'", hint=f"there are: {', '.join(TEMPLATES)}"
        )
    here = Settings(home="", store="", agent_dirs=("agents",) if os.path.isdir("agents") else ())
    there = [source for source in discovery.list_agents(here) if source.origin == "--agents"]
    for source in there:
        if source.name == wanted:
            raise FileExists(f"there is an agent '{wanted}' here already: {source.path}")
    path = os.path.join("agents", f"{name}.py")
    _write_template(path, template)
    app.output.result(path)
    for line in _FIRST_STEPS.get(template, ()):
        app.output.note(line)
    _note_namesakes(app, wanted, os.path.abspath(path))
    app.output.note(f"talk to it with: flue chat {wanted}")


def check(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[AGENT...]",
            autocompletion=complete_agents,
            help="Names or files of agents; all without.",
        ),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    agents_dirs: AgentsOption = None,
) -> None:
    """Load agents and report problems; exit code 1 if there are any."""
    from flue_cli.agents.load_check import LoadCheck, check_agent

    app: App = ctx.obj
    settings = load_settings(agents=agents_dirs)
    wanted = [_find_source(settings, name) for name in names] if names else discovery.list_agents(settings)
    app.output.keep_from_agents()
    checked = []
    for source in wanted:
        try:
            is_file = source.origin == "file"
            used = source if is_file else discovery.find_agent(settings, source.name)
            checked.append((source, check_agent(used)))
        except FlueError as error:  # a name that cannot be one, or somebody else's folder
            checked.append((source, LoadCheck(error.message)))
        if verbose and checked[-1][1].traceback:
            app.output.note(checked[-1][1].traceback.rstrip("\n"))
    if as_json:
        documents = [
            {"name": source.name, "path": source.path, "problem": found.problem or None}
            for source, found in checked
        ]
        app.output.result(machine_output.as_json(documents, indent=2))
    else:
        for source, found in checked:
            app.output.write(
                machine_output.tab_separated([(source.name, found.problem or "ok", source.path)])
            )
    if any(found.problem for _, found in checked):
        raise typer.Exit(1)


COMMANDS = {"list": list_agents, "show": show, "new": new, "check": check}
"""Subcommands of `flue agents`."""


def _find_source(settings: Settings, agent: str) -> AgentSource:
    """Find the agent that is given as NAME or FILE; raises as discovery.find_agent."""
    return discovery.find_agent(*discovery.settings_for_agent(settings, agent))


def _note_namesakes(app: App, name: str, path: str) -> None:
    """Say if another agent of the name is used before the new one in the file `path`, or in its place."""
    try:
        source = discovery.find_agent(load_settings(), name)
    except FlueError:  # such as a mistake in the config file, which the next command tells
        return
    if source.path != path:
        place = short_path(source.path, source.origin)
        new = safe_line(shlex.quote(os.path.relpath(path)))
        app.output.note(f"note: flue chat {name} uses {safe_line(place)}, which comes before ./agents")
        app.output.note(f"hint: the new one is flue chat {new}")
    elif discovery.hides_sample(source):
        app.output.note(f"note: in this folder it is used in place of Flue's sample '{name}'")


def _write_template(path: str, template: str) -> None:
    """Copy a template to `path`; raise FileExists if something is there."""
    from importlib.resources import files

    text = files("flue_cli").joinpath("templates", f"{template}.py").read_text(encoding="utf-8")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x", encoding="utf-8") as agent:
            try:
                agent.write(text)
                agent.flush()
            except OSError:
                os.unlink(path)
                raise
    except FileExistsError as error:
        raise FileExists(f"{error.filename} is in the way") from error
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error
