"""Advice for a module that an agent imports and that cannot be found."""

from __future__ import annotations

import os
import sys

from flue_cli.agents.code_place import MODULE_PREFIX
from flue_cli.agents.helper_modules import is_agent_file
from flue_cli.errors import CodePlace
from flue_cli.installation import install_command
from flue_cli.text import safe_line

_DISTRIBUTIONS = {
    "PIL": "Pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "PyMuPDF",
    "git": "GitPython",
    "jwt": "PyJWT",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
"""Module to the package that has it, where the names differ."""

_NAMESPACES = ("azure", "google", "zope")
"""Names that the modules of many packages begin with."""


def missing_module_hint(error: BaseException, place: CodePlace | None) -> str:
    """Say how to get the module that `error` misses; `place` is the line that imports it.

    Returns "" for an error of another kind.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    name = error.name
    if name.startswith(MODULE_PREFIX):  # a relative import
        helper = name.removeprefix(MODULE_PREFIX).partition(".")[2]
        return f"there is no {helper.replace('.', '/')}.py beside the agent"
    top = name.partition(".")[0]
    if name in sys.stdlib_module_names:
        return f"{sys.executable} was built or packaged without {top}, a module of Python itself"
    return _local_module_hint(top, place) or _installation_hint(name, top)


def _local_module_hint(name: str, place: CodePlace | None) -> str:
    """Explain how to import a module that is in the agent's folder or project; "" if it is in neither."""
    if place is None:
        return ""
    folder = os.path.dirname(os.path.abspath(place.path))
    if _has_module(folder, name):
        return (
            f"{safe_line(name)} is beside the agent, and that folder is not on Python's path; "
            f"write: from .{safe_line(name)} import ..."
        )
    parent = os.path.dirname(folder)
    if os.path.exists(os.path.join(folder, "__init__.py")) and _has_module(parent, name):
        return (
            f"move {safe_line(name)} into {safe_line(folder)}, and write: from .{safe_line(name)} import ..."
        )
    for project in (parent, os.path.join(parent, "src")):
        if _has_module(project, name):
            return (
                f"{safe_line(name)} is in a folder that is not on Python's path: "
                f"export PYTHONPATH={safe_line(project)}"
            )
    return ""


def _has_module(folder: str, name: str) -> bool:
    path = os.path.join(folder, name)
    # An agent is called as what it is for: beside openai.py, `import openai` still means the library.
    return any(
        os.path.isfile(file) and not is_agent_file(file)
        for file in (f"{path}.py", os.path.join(path, "__init__.py"))
    )


def _installation_hint(name: str, top: str) -> str:
    """Name the interpreter, and the command that installs the package of a module there."""
    from importlib.util import find_spec

    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.origin:  # not a namespace, which several packages share
        return (
            f"the installed {safe_line(top)} ({spec.origin}) has no {safe_line(name)}: is it another version?"
        )
    begin = f"{sys.executable} has no such module; to install it there"
    if spec is not None or top in _NAMESPACES:
        return f"{begin}, find the package that has it: {install_command('PACKAGE')}"
    doubt = "" if top in _DISTRIBUTIONS else " (if its package has the same name)"
    return f"{begin}{doubt}: {install_command(safe_line(_DISTRIBUTIONS.get(top, top)))}"
