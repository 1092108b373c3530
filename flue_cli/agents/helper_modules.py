"""Helper modules: files in an agents folder that define no agent, and that an agent beside them imports.

`agents/helpers.py` is one if `agents/weather.py` has `from .helpers import km`. It is not listed as an agent.
Their imports are read with `ast`: nothing is executed.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Mapping

from flue_cli.agents.description import defines_name

_AGENT_FUNCTION = re.compile(rb"^(async\s+)?def\s+agent\b", re.MULTILINE)


def helper_modules(paths: Iterable[str]) -> set[str]:
    """Find the helper modules among `paths`, the Python files of one folder."""
    texts = {path: _read_file(path) for path in paths}
    # Parsing takes far longer than this search, and most files define their agent with a `def`.
    candidates = [path for path, text in texts.items() if not _AGENT_FUNCTION.search(text)]
    return {path for path in candidates if _has_no_agent(texts[path]) and _is_imported(path, texts)}


def is_agent_file(path: str) -> bool:
    """True if the file at `path` can be read and defines an agent."""
    text = _read_file(path)
    return bool(_AGENT_FUNCTION.search(text)) or not _has_no_agent(text)


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _has_no_agent(text: bytes) -> bool:
    tree = _parse(text)
    return tree is not None and not defines_name(tree, "agent")


def _is_imported(path: str, texts: Mapping[str, bytes]) -> bool:
    """True if another of the files imports the module at `path`."""
    name = path.rpartition("/")[2].removesuffix(".py")
    return any(
        other != path and name.encode() in text and name in _imported_names(text)
        for other, text in texts.items()
    )


def _imported_names(text: bytes) -> set[str]:
    """Collect the names of modules that may be beside the file: `x` of `import x` or `from .x import y`."""
    names = set()
    for node in ast.walk(_parse(text) or ast.Module([], [])):
        match node:
            case ast.Import():
                names |= {alias.name.partition(".")[0] for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0 | 1):
                names.add(module.partition(".")[0])
            case ast.ImportFrom(module=None, level=1):
                names |= {alias.name for alias in node.names}
    return names


def _parse(text: bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
