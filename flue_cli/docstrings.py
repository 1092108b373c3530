"""Docstrings as help, also under `python -OO`, which removes them: they are read from the source instead."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def docstring(function: Callable[..., Any]) -> str:
    """Return the docstring of a module's function; "" if there is none, or no source to read it from."""
    if sys.flags.optimize < 2:
        return function.__doc__ or ""
    import ast

    loader = getattr(sys.modules.get(function.__module__), "__loader__", None)
    try:
        source = loader.get_source(function.__module__) if loader else None
    except (AttributeError, ImportError, OSError):  # a loader without sources
        source = None
    for node in ast.parse(source or "").body:
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
            return ast.get_docstring(node, clean=False) or ""
    return ""
