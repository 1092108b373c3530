"""Hints name the command that installs into the environment that runs."""

from __future__ import annotations

import json
import shlex
import sys
from importlib import metadata
from pathlib import Path

import pytest

from flue_cli.installation import install_command, install_extra_command, upgrade_hint


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment called `flue-cli` that runs."""
    folder = tmp_path / "flue-cli"
    folder.mkdir()
    monkeypatch.setattr(sys, "prefix", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    return folder


def installed_from(monkeypatch: pytest.MonkeyPatch, record: dict[str, object] | None) -> None:
    """Have Flue be installed from what a `direct_url.json` says; None: from an index."""

    class Distribution:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return None if record is None else json.dumps(record)

    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())


def test_pip_of_the_interpreter_that_runs(environment: Path) -> None:
    """In a virtual environment the hint names its interpreter, and can be copied as it stands."""
    command = install_command("a>=1", "b")
    assert command == f"{environment}/bin/python -m pip install 'a>=1' b"
    assert shlex.split(command)[-2:] == ["a>=1", "b"]


def test_in_an_environment_of_uv(environment: Path) -> None:
    """An environment that uv made has no pip: uv installs into it."""
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.9.1\n")
    assert install_command("a>=1") == f"uv pip install --python {environment}/bin/python 'a>=1'"


def test_in_a_tool_of_pipx(environment: Path) -> None:
    """pipx injects, into the environment of that name."""
    (environment / "pipx_metadata.json").write_text("{}")
    assert install_command("a>=1") == "pipx inject flue-cli 'a>=1'"


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        ('{ name = "flue-cli", directory = "/src" }', "/src"),
        ('{ name = "flue-cli", extras = ["serve"], directory = "/my src" }', "'/my src[serve]'"),
        ('{ name = "flue-cli", editable = "/src" }', "--editable /src"),
        ('{ name = "flue-cli", git = "https://x.example/f" }', "'flue-cli @ git+https://x.example/f'"),
        ('{ name = "flue-cli", specifier = ">=1" }, { name = "b" }', "'flue-cli>=1' --with b"),
        ('{ name = "flue-cli" }, { name = "b", editable = "/b" }', "flue-cli --with-editable /b"),
    ],
)
def test_in_a_tool_of_uv(environment: Path, requirements: str, words: str) -> None:
    """uv makes the environment anew: all that was asked for is asked for again, with what is missing."""
    (environment / "uv-receipt.toml").write_text(f"[tool]\nrequirements = [{requirements}]\n")
    assert install_command("a") == f"uv tool install {words} --with a"


@pytest.mark.parametrize("receipt", ["", "nothing", "[tool]\nrequirements = [1]\n"])
def test_a_receipt_in_another_form(environment: Path, receipt: str) -> None:
    """A receipt of uv that cannot be read leaves a command that is right for a release."""
    (environment / "uv-receipt.toml").write_text(receipt)
    assert install_command("a") == "uv tool install flue-cli --with a"


def test_an_extra_is_the_libraries_that_it_names() -> None:
    """The libraries are those that the package declares for the extra."""
    (library,) = [word for word in shlex.split(install_extra_command("query")) if "jsonpath" in word]
    assert library.startswith("python-jsonpath")
    assert any("starlette" in word for word in shlex.split(install_extra_command("serve")))


def test_without_metadata(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from its source alone, Flue names itself."""

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    monkeypatch.setattr(metadata, "distribution", missing)
    assert install_extra_command("serve").endswith("pip install 'flue-cli[serve]'")
    assert upgrade_hint() == "install a newer Flue"


@pytest.mark.parametrize(
    ("mark", "command"),
    [
        ("", "{python} -m pip install '/my src'"),
        ("pipx_metadata.json", "pipx reinstall flue-cli"),
        ("uv-receipt.toml", "uv tool upgrade flue-cli"),
    ],
)
def test_upgrading_what_a_checkout_gave(
    environment: Path, monkeypatch: pytest.MonkeyPatch, mark: str, command: str
) -> None:
    """The hint names the checkout, and the command that takes what is in it now."""
    (environment / (mark or "pyvenv.cfg")).touch()
    installed_from(monkeypatch, {"url": "file:///my%20src", "dir_info": {}})
    assert upgrade_hint() == f"update /my src, then: {command.format(python=f'{environment}/bin/python')}"


def test_upgrading_otherwise(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that runs itself is only updated; of a wheel or a release no place is known."""
    installed_from(monkeypatch, {"url": "file:///src", "dir_info": {"editable": True}})
    assert upgrade_hint() == "update /src"
    installed_from(monkeypatch, {"url": "file:///f.whl", "archive_info": {}})
    assert upgrade_hint() == "install a newer Flue"
    installed_from(monkeypatch, None)
    assert upgrade_hint() == "install a newer Flue"
