"""Package of the agents' modules: `flue_cli.agents.loaded.NAME`.

`discovery.load_agent` puts them there. In a worker process, which starts without them (multiprocessing's
spawn and fork server, joblib), a module is loaded from its file as soon as a pickled function or class names
it.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType
from typing import Any

FILES_VARIABLE = "_FLUE_AGENT_FILES"
"""The environment variable by which worker processes learn the agents' files: a JSON object, name to path."""


def announce(name: str, path: str) -> None:
    """Let processes that are started from now on import the module `name` from the file `path`."""
    os.environ[FILES_VARIABLE] = json.dumps(_announced_files() | {name: path})


def _announced_files() -> dict[str, Any]:
    try:
        files = json.loads(os.environ.get(FILES_VARIABLE, "{}"))
    except ValueError:
        return {}
    return files if isinstance(files, dict) else {}


class _Loader(SourceFileLoader):
    """Loader of the file as it is now, which leaves no `__pycache__` beside it."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the file."""
        return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, and let the modules beside it be imported without a cache."""
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            super().exec_module(module)
        finally:
            sys.dont_write_bytecode = writes


class _Finder:
    """Finder of the announced modules, for `sys.meta_path`."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Find the file of `fullname`, or leave it to other finders."""
        package, _, name = fullname.rpartition(".")
        file = _announced_files().get(name) if package == __name__ else None
        if not isinstance(file, str):
            return None
        folder = [os.path.dirname(file)]
        return spec_from_file_location(
            fullname, file, loader=_Loader(fullname, file), submodule_search_locations=folder
        )


sys.meta_path.append(_Finder)
