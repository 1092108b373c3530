"""What the package imports, held against what it declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normalised(requirement: str) -> str:
    """The name of the distribution that a requirement is for, as PEP 503 compares it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def third_party_imports() -> dict[str, str]:
    """Each top-level package from elsewhere that the product imports, and one file that does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "flue_cli").rglob("*.py")):
        for name in imported_names(ast.parse(path.read_text())):
            package = name.partition(".")[0]
            if package not in sys.stdlib_module_names and package != "flue_cli":
                found.setdefault(package, str(path.relative_to(ROOT)))
    return found


IMPORTS = third_party_imports()


@pytest.mark.parametrize("package", sorted(IMPORTS))
def test_every_import_is_declared(package: str) -> None:
    """Nothing is imported that only another package happens to bring along."""
    extras = PROJECT["optional-dependencies"].values()
    requirements = [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]
    declared = {normalised(requirement) for requirement in requirements}
    owners = {normalised(name) for name in packages_distributions().get(package, ())}
    assert owners, f"{package}, imported by {IMPORTS[package]}, is not installed"
    assert owners & declared, f"{package}, imported by {IMPORTS[package]}, is not declared in pyproject.toml"


def test_imports_are_found() -> None:
    """The search sees imports at the top of a file, in functions, and for type checking alone."""
    assert {"rich", "prompt_toolkit", "sqlite_utils", "markdown_it"} <= IMPORTS.keys()
