"""Description of an agent, read from its file with `ast`: nothing is executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from flue_cli.agents.discovery import REPLY_FORMATS, read_code
from flue_cli.agents.search_path import AgentSource
from flue_cli.errors import BadName
from flue_cli.names import check_agent_name


class Description(NamedTuple):
    """Docstring of an agent's file and its first line; `problem` describes a broken file, else "".

    `example_prompt` is the text of that name in the file, "" if there is none.
    `reply_format` is "markdown" if the file plainly says so, else "text".
    """

    summary: str
    docstring: str
    problem: str
    example_prompt: str = ""
    reply_format: str = "text"

    @property
    def problem_or_summary(self) -> str:
        """Line for a list of agents."""
        return f"broken: {self.problem}" if self.problem else self.summary


def describe(source: AgentSource) -> Description:
    """Read the description of an agent from its file, without executing it."""
    try:
        check_agent_name(source.name)
        code = read_code(source.path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code, source.path)
    except BadName as error:
        return Description("", "", f"{error.message}: rename the file")
    except OSError as error:
        return Description("", "", f"cannot be read: {error.strerror}")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        return Description("", "", f"not valid Python: {reason}{line}")
    docstring = ast.get_docstring(tree) or ""
    name = source.attribute.partition(".")[0]
    problem = "" if defines_name(tree, name) else f"defines no '{name}'"
    summary = docstring.partition("\n")[0].strip()
    reply_format = _text_of_name(tree, "reply_format")
    return Description(
        summary,
        docstring,
        problem,
        _text_of_name(tree, "example_prompt"),
        reply_format if reply_format in REPLY_FORMATS else "text",
    )


def _text_of_name(tree: ast.Module, name: str) -> str:
    """Return the text that the module gives `name` as a literal, the last of several; "" for none."""
    found = ""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(target)], value=ast.Constant(str(text))) if target == name:
                found = text
            case ast.AnnAssign(ast.Name(target), value=ast.Constant(str(text))) if target == name:
                found = text
    return found


def defines_name(tree: ast.Module, name: str) -> bool:
    """True if a module defines or imports `name`."""
    return any(_binds_name(node, name) for node in _module_level_nodes(tree))


def _module_level_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk the nodes of a module, except the insides of its functions and classes."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _module_level_nodes(node)


def _binds_name(node: ast.AST, name: str) -> bool:
    """True if a node of a syntax tree binds `name`; a star import may bind any name."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return bool(node.name == name)
        case ast.Name():
            return node.id == name and isinstance(node.ctx, ast.Store)
        case ast.alias():
            return (node.asname or node.name) in (name, "*")
    return False
