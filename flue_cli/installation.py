"""Commands that install extras, or a newer Flue, into the running environment; shown in hints.

Flue may be installed in a virtual environment, by pipx, or by uv. Each needs another command, and a plain
`pip` may belong to another interpreter.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

_PACKAGE = "flue-cli"
_PIPX_MARK = "pipx_metadata.json"
_UV_MARK = "uv-receipt.toml"
_VENV_MARK = "pyvenv.cfg"


def install_extra_command(extra: str) -> str:
    """Make the command that installs the libraries of an extra: `query`, `serve`."""
    return install_command(*(_extra_requirements(extra) or [f"{_PACKAGE}[{extra}]"]))


def install_command(*requirements: str) -> str:
    """Make the command that installs `requirements` into this environment."""
    if _is_marked(_PIPX_MARK):
        return shlex.join(["pipx", "inject", os.path.basename(sys.prefix), *requirements])
    if _is_marked(_UV_MARK):
        # uv rebuilds the tool's environment from these words, so they must name what it has now.
        (editable, flue), *others = _uv_requirements() or [(False, _PACKAGE)]
        words = ["--editable", flue] if editable else [flue]
        for is_editable, requirement in [*others, *((False, requirement) for requirement in requirements)]:
            words += ["--with-editable" if is_editable else "--with", requirement]
        return shlex.join(["uv", "tool", "install", *words])
    return shlex.join([*_pip_install(), *requirements])


def upgrade_hint() -> str:
    """Make the hint to install a newer Flue into this environment."""
    checkout, is_editable = _checkout()
    if not checkout:
        return "install a newer Flue"
    if is_editable:
        return f"update {checkout}"
    command = shlex.join([*_pip_install(), checkout])
    if _is_marked(_PIPX_MARK):
        command = shlex.join(["pipx", "reinstall", os.path.basename(sys.prefix)])
    elif _is_marked(_UV_MARK):
        command = f"uv tool upgrade {_PACKAGE}"
    return f"update {checkout}, then: {command}"


def _pip_install() -> list[str]:
    try:
        with open(os.path.join(sys.prefix, _VENV_MARK), encoding="utf-8", errors="replace") as file:
            made_by_uv = any(line.startswith("uv =") for line in file)
    except OSError:
        made_by_uv = False
    if made_by_uv:  # such an environment has no pip of its own
        return ["uv", "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install"]


def _is_marked(name: str) -> bool:
    return os.path.exists(os.path.join(sys.prefix, name))


def _extra_requirements(extra: str) -> list[str]:
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = [line.partition(";") for line in requires(_PACKAGE) or []]
    except PackageNotFoundError:  # run from source, not installed
        return []
    return [requirement.strip() for requirement, _, marker in lines if f"extra == '{extra}'" in marker]


def _checkout() -> tuple[str, bool]:
    """Find the folder that Flue was installed from (PEP 610), and True if editable; "" if there is none."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlsplit

    try:
        record = json.loads(distribution(_PACKAGE).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return "", False
    if "dir_info" not in record:
        return "", False
    return unquote(urlsplit(record["url"]).path), bool(record["dir_info"].get("editable"))


def _uv_requirements() -> list[tuple[bool, str]]:
    """Read the requirements that uv installed, Flue first: True if editable, and the requirement's text."""
    import tomllib

    try:
        with open(os.path.join(sys.prefix, _UV_MARK), "rb") as file:
            requirements = tomllib.load(file)["tool"]["requirements"]
        return [("editable" in requirement, _uv_word(requirement)) for requirement in requirements]
    except (OSError, ValueError, LookupError, TypeError):  # the format of another version of uv
        return []


def _uv_word(requirement: dict[str, Any]) -> str:
    extras = f"[{','.join(requirement['extras'])}]" if requirement.get("extras") else ""
    for place in ("directory", "editable", "path", "url"):
        if place in requirement:
            return f"{requirement[place]}{extras}"
    source = f" @ git+{requirement['git']}" if "git" in requirement else requirement.get("specifier", "")
    return f"{requirement['name']}{extras}{source}"
