"""Agents of one name in two projects: neither answers in the other's sessions unless told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.sessions import json_document

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Done, Flue
    from support.terminals import Terminals

COUNTER = '''"""Counts."""
def agent(prompt, session, context):
    session.data["n"] = session.data.get("n", 0) + 1
    return f"{__file__.split('/')[-3]} {session.data['n']}"
'''


class Projects:
    """Two project folders, `shop` and `blog`, each with an agent `counter`."""

    def __init__(self, flue: Flue, folder: Path) -> None:
        self.flue = flue
        self.folder = folder
        for name in ("shop", "blog"):
            self.add_agent(name)

    def add_agent(self, project: str, name: str = "counter") -> None:
        agents = self.folder / project / "agents"
        agents.mkdir(parents=True, exist_ok=True)
        (agents / f"{name}.py").write_text(COUNTER)

    def run(self, project: str, *arguments: str, stdin: str | None = None) -> Done:
        self.flue.folder = self.folder / project
        return self.flue(*arguments, stdin=stdin)

    def say(self, project: str, session: str, *more: str) -> str:
        done = self.run(project, "chat", "counter", "-s", session, "hi", *more)
        assert done.code == 0, done.err
        return done.out.strip()


@pytest.fixture
def projects(flue: Flue, tmp_path: Path) -> Projects:
    return Projects(flue, tmp_path)


def test_another_projects_agent_is_refused(projects: Projects) -> None:
    """A session of the shop's agent is not answered by the blog's: 4, naming both; nothing is added."""
    assert projects.say("shop", "main") == "shop 1"
    for arguments in (["chat", "counter", "-s", "main", "hi"], ["sessions", "resume", "main", "hi"]):
        done = projects.run("blog", *arguments)
        assert (done.code, done.out) == (4, "")
        assert "shop/agents/counter.py" in done.err
        assert "blog/agents/counter.py" in done.err
        assert "flue chat counter -r main --adopt" in done.err
    assert projects.say("shop", "main") == "shop 2"


def test_an_adopted_session_belongs_to_both_projects(projects: Projects) -> None:
    """After --adopt both agents answer, and --adopt is not needed again."""
    projects.say("shop", "main")
    assert projects.say("blog", "main", "--adopt") == "blog 2"
    assert projects.say("shop", "main") == "shop 3"
    assert projects.say("blog", "main") == "blog 4"


def test_continue_stays_in_the_project(projects: Projects) -> None:
    """-c continues this project's last session, though another project's was used since."""
    projects.say("shop", "mine")
    projects.say("blog", "theirs")
    for arguments, stdin in ((["counter", "hi"], None), ([], "hi")):
        done = projects.run("shop", "chat", "-c", "--json", *arguments, stdin=stdin)
        assert json_document(done.out)["session"] == "mine"
    done = projects.run(".", "chat", "-c", "counter", "hi", "--agents", "blog/agents")
    assert done.out == "blog 2\n"


def test_a_sample_belongs_to_every_project(projects: Projects) -> None:
    """A sample's session goes on anywhere, also by -c; an own agent of that name does not get it."""
    projects.run("shop", "chat", "greeting", "-s", "g", "my name is Al")
    projects.say("blog", "b")
    assert projects.run("shop", "chat", "-c", stdin="hi").out.startswith("Hello again, Al")
    projects.add_agent("blog", "greeting")
    done = projects.run("blog", "chat", "greeting", "-s", "g", "hi")
    assert (done.code, "from sample" in done.err) == (4, True)


def test_the_path_inside_the_project_counts(projects: Projects, tmp_path: Path) -> None:
    """A project may be moved, and be used from any folder of its repository or by --agents."""
    (tmp_path / "shop" / ".git").mkdir()
    projects.say("shop", "main")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shop").rename(tmp_path / "elsewhere" / "shop")
    assert projects.say("elsewhere/shop", "main") == "shop 2"
    agents = str(tmp_path / "elsewhere" / "shop" / "agents")
    assert projects.say("blog", "main", "--agents", agents) == "shop 3"


def test_forks_and_renamed_sessions_stay_with_their_project(projects: Projects) -> None:
    """A fork and a renamed session are as little the other project's as the session was."""
    projects.say("shop", "main")
    projects.run("shop", "sessions", "fork", "main", "copy")
    projects.run("shop", "sessions", "rename", "main", "other")
    for name in ("copy", "other"):
        assert projects.run("blog", "chat", "counter", "-s", name, "hi").code == 4


def test_an_import_belongs_to_the_first_that_goes_on(projects: Projects, tmp_path: Path) -> None:
    """An exported session has no origin: the first agent that answers in it takes it."""
    projects.say("shop", "main")
    file = str(tmp_path / "main.json")
    projects.run("shop", "sessions", "export", "main", "-o", file)
    assert "agents/counter" not in (tmp_path / "main.json").read_text()
    projects.run("shop", "sessions", "import", file, "--session", "copy")
    assert projects.say("blog", "copy") == "blog 2"
    assert projects.run("shop", "chat", "counter", "-s", "copy", "hi").code == 4


def test_a_retry_is_answered_wherever_it_comes_from(projects: Projects) -> None:
    """A turn key that was completed gives its reply again, whichever agent is there now."""
    projects.say("shop", "main", "--turn-key", "k")
    done = projects.run("blog", "chat", "counter", "-s", "main", "hi", "--turn-key", "k")
    assert (done.code, done.out) == (0, "shop 1\n")


def test_json_names_the_conflict(projects: Projects) -> None:
    """With --json no document appears: no turn began. With --lines nothing is answered."""
    projects.say("shop", "main")
    done = projects.run("blog", "chat", "counter", "-s", "main", "--lines", "--json", stdin="a\nb\n")
    assert (done.code, done.out) == (4, "")


def test_a_terminal_is_asked(projects: Projects, terminals: Terminals, tmp_path: Path) -> None:
    """In a terminal the chat asks first; no leaves it with 4, yes goes on in the session."""
    projects.say("shop", "main")
    arguments = ("counter", "-s", "main", "--agents", str(tmp_path / "blog" / "agents"))
    terminal = terminals.chat(*arguments)
    terminal.wait_for("[y/N]")
    terminal.type("n\n")
    assert terminal.ended() == 4
    assert projects.say("shop", "main") == "shop 2"

    terminal = terminals.chat(*arguments)
    terminal.wait_for("[y/N]")
    assert "shop/agents/counter.py" in terminal.everything
    terminal.type("y\n")
    terminal.say("hi")
    terminal.wait_for("blog 3")


def test_resume_in_the_chat_is_refused_too(projects: Projects, terminals: Terminals, tmp_path: Path) -> None:
    """/resume of another project's session says why, and the chat stays in its own."""
    projects.say("shop", "main")
    terminal = terminals.chat("counter", "-s", "mine", "--agents", str(tmp_path / "blog" / "agents"))
    terminal.say("/resume main")
    terminal.wait_for("--adopt")
    terminal.say("hi")
    terminal.wait_for("blog 1")
