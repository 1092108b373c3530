"""A URL names a store: one of ours, one that an installed package offers, or none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flue_cli import stores
from flue_cli.errors import UsageError
from flue_cli.stores import open_store

if TYPE_CHECKING:
    from conftest import Flue

SHELF = """
from flue_cli.stores.memory.store import MemoryStore

class Shelf(MemoryStore):
    def __init__(self, url):
        super().__init__()
        self.url = url
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path with a package that offers `shelf:` stores."""
    site = tmp_path / "site"
    offer(site, "shelf", "shelf_store:Shelf")
    (site / "shelf_store.py").write_text(SHELF)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "shelf_store", raising=False)
    return site


def offer(site: Path, scheme: str, value: str, package: str = "shelf") -> None:
    """Put the description of an installed package with one entry point into `site`."""
    folder = site / f"{package}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[flue.stores]\n{scheme} = {value}\n")


def refusal(url: str) -> tuple[str, str]:
    """The sentence and the hint with which `url` is refused."""
    with pytest.raises(UsageError) as caught:
        open_store(url)
    return caught.value.message, caught.value.hint


def test_an_installed_package_offers_a_store(install: Path) -> None:
    """An entry point of `flue.stores` is called with the whole URL."""
    with closing(open_store("shelf://host/7?x=1")) as store:
        assert type(store).__name__ == "Shelf"
        assert store.url == "shelf://host/7?x=1"


def test_the_command_uses_an_installed_store(install: Path, flue: Flue) -> None:
    """`--store` takes the URL of an installed store; one that is ephemeral leaves nothing behind."""
    done = flue(
        "chat", "greeting", "--store", "shelf://host", "-s", "a", "hi", env={"PYTHONPATH": str(install)}
    )

    assert (done.code, done.err) == (0, "")
    assert not flue.home.exists()
    assert list(flue.folder.iterdir()) == []


def test_a_row_of_the_table_opens_its_own_store(install: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheme in the table is never taken for another one's."""
    monkeypatch.setitem(stores.STORES, "postgres", "shelf_store:Shelf")

    with closing(open_store("postgres://host/flue")) as store:
        assert (type(store).__name__, store.url) == ("Shelf", "postgres://host/flue")


@pytest.mark.parametrize("url", ["sqlit:///flue.db", "sqlit://", "memroy:", "Memory:"])
def test_a_wrong_scheme_is_refused(install: Path, url: str) -> None:
    """A typing error names no store, and the hint has all schemes, those of packages too."""
    message, hint = refusal(url)
    assert message == f"no store is called '{url.partition(':')[0]}'"
    assert hint == "stores are sqlite:///relative.db, sqlite:////absolute.db, a path, shelf:, or memory:"


def test_a_missing_driver_is_named(install: Path) -> None:
    """A store of a package that needs a module which is not there says which one, and for which Python."""
    (install / "shelf_store.py").write_text("import shelf_driver.wire\n")

    assert refusal("shelf://host") == (
        "stores of 'shelf:' need the module shelf_driver, which is not installed",
        f"install it for {sys.executable}",
    )


def test_a_bug_of_ours_is_not_taken_for_a_missing_driver(install: Path) -> None:
    """An import of a module that Flue does not have is an error of the code, not of the installation."""
    (install / "shelf_store.py").write_text("import flue_cli.stores.nothing\n")

    with pytest.raises(ModuleNotFoundError, match=r"flue_cli\.stores\.nothing"):
        open_store("shelf://host")


def test_two_packages_with_one_scheme_are_refused(install: Path) -> None:
    """Chance does not choose between two packages that offer the same scheme."""
    offer(install, "shelf", "other_store:Shelf", package="other")

    message, _ = refusal("shelf://host")
    assert message == "two packages offer the store 'shelf': other_store:Shelf and shelf_store:Shelf"


def test_packages_are_not_looked_through_for_our_own_stores(tmp_path: Path) -> None:
    """Our schemes and paths cost no import of importlib.metadata."""
    program = (
        "import sys\nfrom flue_cli.stores import open_store\n"
        "for url in ('memory:', 'sqlite:///x.db', 'x.db'):\n    open_store(url).close()\n"
        "assert 'importlib.metadata' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["my:file.db", "file:x.db", "./sqlite:x", "a/memory:"])
def test_a_path_may_have_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What does not look like a URL is a path."""
    monkeypatch.chdir(tmp_path)
    with closing(open_store(name)) as store:
        assert store.files[0] == os.path.realpath(name)


@pytest.mark.parametrize("url", ["memory:", "memory:/", "memory://", "memory:///"])
def test_memory_leaves_nothing_behind(flue: Flue, url: str) -> None:
    """However it is written, a store in memory leaves no file: no log either."""
    done = flue("chat", "greeting", "--store", url, "-s", "a", "hi")

    assert (done.code, done.err) == (0, "")
    assert not flue.home.exists()
    assert list(flue.folder.iterdir()) == []


def test_sqlites_name_for_memory_is_refused(flue: Flue) -> None:
    """`:memory:` makes no file of that name: the hint says how a store in memory is called here."""
    done = flue("chat", "greeting", "--store", ":memory:", "-s", "a", "hi")

    assert done == (
        2,
        "",
        "error: ':memory:' is SQLite's name for it\nhint: a store in memory is memory:\n",
    )
    assert list(flue.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory:x", "memory: takes no path, but got 'memory:x'"),
        ("sqlite:", "'sqlite:' names no file"),
        ("sqlite:///", "'sqlite:///' names no file"),
        ("sqlite:x.db", "'sqlite:x.db' names no file"),
        ("sqlite://host/x.db", "'sqlite://host/x.db' names no file"),
        ("a\0b", "a store URL cannot hold NUL"),
    ],
)
def test_a_url_that_names_nothing_is_refused(url: str, message: str) -> None:
    """Each store reads its own URLs, and says what is wrong with one."""
    assert refusal(url)[0] == message


def test_a_tilde_is_the_home_folder(flue: Flue) -> None:
    """`~` means the home folder where no shell expands it: `--store=~/x`, FLUE_STORE, FLUE_HOME, FLUE_AGENTS."""
    home = Path(flue.env["HOME"])
    (home / "mine").mkdir(parents=True)
    (home / "mine" / "echo.py").write_text("def agent(prompt, session, context):\n    return prompt\n")
    env = {"FLUE_HOME": "~/flue", "FLUE_AGENTS": "~/mine"}

    assert flue("chat", "echo", "-s", "a", "hi", env=env).out == "hi\n"
    assert flue("chat", "echo", "--store=~/s.db", "-s", "a", "hi", env=env).out == "hi\n"
    assert flue("chat", "echo", "-s", "a", "hi", env=env | {"FLUE_STORE": "~/t.db"}).out == "hi\n"
    for store in ("flue/flue.db", "s.db", "t.db"):
        listed = flue("sessions", "list", "--json", "--store", str(home / store), env=env)
        assert [session["session"] for session in json.loads(listed.out)] == ["a"]
    assert list(flue.folder.iterdir()) == []


def test_a_tilde_in_the_name_of_a_file(flue: Flue) -> None:
    """`~` also means the home folder in every option and argument that names a file."""
    home = Path(flue.env["HOME"])
    home.mkdir(parents=True)
    flue("chat", "greeting", "-s", "a", "my name is Ada")
    (home / "token").write_text("letters and blanks are no token")
    (home / "token").chmod(0o600)
    (home / "agent.py").write_text("def agent(prompt, session, context): return 'x'")

    assert flue("sessions", "export", "a", "--output=~/a.json").code == 0
    assert flue("sessions", "export", "--all", "--output=~/all/").code == 0
    assert flue("sessions", "export", "a", "--output=~/a.flue").code == 0
    assert "already" in flue("sessions", "import", "~/a.json").err
    assert flue("test", "~/a.flue", "--junit=~/report.xml").code == 0
    assert flue("backup", "~/backup.db").code == 0
    assert flue("chat", "~/agent.py", "hi").out == "x\n"
    assert flue("replay", "a", "--agent-file=~/agent.py").code == 1
    assert "what a token cannot" in flue("serve", "--port", "0", "--token-file=~/token").err
    assert {path.name for path in home.iterdir()} >= {"a.json", "all", "a.flue", "report.xml", "backup.db"}
    assert list(flue.folder.iterdir()) == []
