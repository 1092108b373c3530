"""`flue sessions export` beyond one JSON document: pages, message lists, many sessions, redaction."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.requirements import needs
from support.sessions import FAILING_AGENT, say

from flue_cli.agents.api import Message
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.stores.records import Entry, Failure, SessionHead
from flue_cli.transcripts import exporter
from flue_cli.transcripts.file_names import file_names
from flue_cli.transcripts.redaction import Redacted, Redaction

if TYPE_CHECKING:
    from conftest import Flue

HOSTILE = (
    "</pre></section></article><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202eabc&amp;\0"
)
TOOLS = (
    "from flue_cli import Reply\ndef agent(prompt, session, context):\n"
    '    session.data["<b>last</b>"] = prompt\n'
    '    calls = [{"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]}, {"role": "tool", "content": "42", "tool_call_id": "1"}]\n'
    "    return Reply(f'said {prompt}', messages=calls)"
)


class Page(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def entry(prompt: str, reply: str | None, data: str = "{}") -> Entry:
    """A turn as a store has it; without a reply it failed."""
    error = None if reply is not None else Failure("exception", prompt)
    outcome = "completed" if reply is not None else "failed"
    return Entry(0, "prompt", outcome, None, prompt, reply, (), 1, 2, error, {"note": prompt}, data)


def exported(form: str, entries: list[Entry], *redact: str) -> str:
    """The session of `entries` in a format."""
    store = MemoryStore()
    head = store.import_session("a", "s", entries)
    source = Redacted(store, Redaction(redact)) if redact else store
    return "".join(exporter(form)(source, head, 1))


def test_a_page_for_the_browser(flue: Flue) -> None:
    """One file: every turn an anchor, failed and edited turns marked, tools and data folded, nothing run."""
    flue.agent("failing", FAILING_AGENT)
    say(flue, "failing", "a", "one", "fail")
    flue("sessions", "set", "a", "last", '"by hand"', stdin=None)

    assert flue("sessions", "export", "a", "-o", "a.html", stdin=None) == (0, "", "")
    source = (flue.folder / "a.html").read_text()
    page = Page(source)

    assert not page.open
    places = [(about["id"], about["class"]) for tag, about in page.elements if tag == "article"]
    assert places == [("turn-1", "completed"), ("turn-2", "failed"), ("turn-3", "edit")]
    assert [about["href"] for tag, about in page.elements if tag == "a"] == ["#turn-1", "#turn-2", "#turn-3"]
    assert "the agent failed: ValueError: as asked" in page.text
    assert '- last: "one"+ last: "by hand"' in page.text
    assert page.text.count("data · 1 change") == 2
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "form", "object"}
    assert not re.search(r"https?:|url\(|@import", source)


def test_a_page_allows_its_own_style_alone(flue: Flue) -> None:
    """The page's policy forbids everything but the very style that is in it."""
    say(flue, "greeting", "a", "hello")

    source = flue("sessions", "export", "a", "--format", "html", stdin=None).out

    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', source)
    (style,) = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_a_page_is_not_broken_by_what_was_said(flue: Flue) -> None:
    """Markup, control and bidirectional characters in prompts, data, tools and names are text on the page."""
    flue.agent("tools", TOOLS)
    flue("chat", "tools", "-s", "<i>&", "--", HOSTILE.replace("\0", ""), stdin=None)

    source = flue("sessions", "export", "<i>&", "--format", "html", stdin=None).out
    page = Page(source)

    assert not page.open
    assert not {tag for tag, _ in page.elements} & {"script", "img", "i", "b"}
    assert "<script>alert(1)</script>" in page.text
    assert "tools/<i>&" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", source)
    assert "tool · " not in page.text
    assert "assistant · clock" in page.text


@given(st.text(), st.text())
def test_any_text_makes_a_whole_page(prompt: str, reply: str) -> None:
    """Whatever is said, the page's own elements are the same and all of them are closed."""
    data = json.dumps({prompt: reply})
    page = Page(exported("html", [entry(prompt, reply, data), entry(reply, None, data)]))

    assert not page.open
    assert [tag for tag, _ in page.elements].count("section") == 4
    assert [tag for tag, _ in page.elements].count("article") == 2


@pytest.mark.slow
def test_a_browser_shows_the_page(flue: Flue, tmp_path: Path) -> None:
    """A real browser applies the style under the page's policy, runs nothing, and nothing sticks out."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    needs(browser, "chromium")
    flue.agent("tools", TOOLS)
    hostile = HOSTILE.replace("\0", "") + "<script>document.title='ran'</script>" + "x" * 3000
    flue("chat", "tools", "-s", "a", "--", hostile, stdin=None)
    flue("sessions", "export", "a", "-o", "page.html", stdin=None)
    frame = (
        '<!DOCTYPE html><iframe id="f" style="width:400px;height:600px" src="page.html"></iframe><script>'
        'onload = () => { const page = document.getElementById("f").contentDocument; const root = page.documentElement;'
        "document.body.dataset.wide = root.scrollWidth > root.clientWidth;"
        "document.body.dataset.title = page.title;"
        "document.body.dataset.styled = page.defaultView.getComputedStyle(page.querySelector('section.user')).overflow }"
        "</script>"
    )
    (flue.folder / "frame.html").write_text(frame)

    done = subprocess.run(
        [str(browser), "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom",
         f"file://{flue.folder / 'frame.html'}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip

    assert 'data-wide="false"' in done.stdout
    assert 'data-title="tools/a"' in done.stdout
    assert 'data-styled="hidden"' in done.stdout


MARKDOWN = """# Plan

A **bold** word, `List<String>`, a [page](https://example.com/?a=1&b=2), [mail](mailto:a@b.c).

| name | count |
|:-----|------:|
| milk | 2 |

```python
def hello(name):  # says it
    return "hi", 42
```

Under
=====

<b>raw</b> <script>alert(1)</script> [bad](javascript:alert(1)) [file](file:///etc/passwd)

![picture](https://example.com/x.png) ![odd](data:image/png;base64,AAAA)
"""
MARKDOWN_AGENT = f"""reply_format = "markdown"
def agent(prompt, session, context):
    return {MARKDOWN!r} if prompt != "open" else "```sh\\nls # it"
"""


def test_a_page_lays_out_markdown(flue: Flue) -> None:
    """Replies of an agent that says so become elements: tables, code in colours, links; the prompt stays text."""
    flue.agent("writer", MARKDOWN_AGENT)
    say(flue, "writer", "s", "**not bold**")

    source = flue("sessions", "export", "s", "--format", "html", stdin=None).out
    page = Page(source)

    names = [name for name, _ in page.elements]
    assert page.open == []
    assert {"table", "th", "td", "strong", "code", "h4"} <= set(names)
    assert [name for name in names if name in ("h1", "h2", "h3", "h4")] == [
        "h1",
        "h2",
        "h3",
        "h3",
        "h4",
        "h4",
    ]
    assert "**not bold**" in page.text
    assert ("span", {"class": "c-k"}) in page.elements
    assert ("td", {"class": "right"}) in page.elements
    links = [attributes["href"] for name, attributes in page.elements if name == "a"]
    assert links == ["#turn-1", "https://example.com/?a=1&b=2", "mailto:a@b.c", "https://example.com/x.png"]
    assert "<script>alert(1)</script>" in page.text
    assert "[bad](javascript:alert(1))" in page.text


def test_a_page_with_markdown_runs_and_loads_nothing(flue: Flue) -> None:
    """No script, image, frame or style attribute comes of a reply in Markdown."""
    flue.agent("writer", MARKDOWN_AGENT)
    say(flue, "writer", "s", "hello")

    page = Page(flue("sessions", "export", "s", "--format", "html", stdin=None).out)

    assert not {"script", "img", "iframe", "link", "b"} & {name for name, _ in page.elements}
    assert not any({"style", "src", "onerror"} & set(attributes) for _, attributes in page.elements)


@given(st.text())
def test_any_markdown_makes_a_whole_page(reply: str) -> None:
    """Whatever a reply in Markdown is, the page is whole, and has no attributes but the known ones."""
    turn = entry("p", HOSTILE + reply)._replace(meta={"reply_format": "markdown"})

    page = Page(exported("html", [turn]))

    assert page.open == []
    assert "script" not in [name for name, _ in page.elements]


def test_markdown_stays_markdown(flue: Flue) -> None:
    """A Markdown agent's reply stands in the md export as it is, its headings below those of the turns."""
    flue.agent("writer", MARKDOWN_AGENT)
    say(flue, "writer", "s", "# not a heading", "open")

    text = flue("sessions", "export", "s", "--format", "md", stdin=None).out

    assert "```text\n# not a heading\n```" in text
    assert "\n### Plan\n\nA **bold** word" in text
    assert "| milk | 2 |" in text
    assert "# says it" in text
    assert "\n### Under\n" in text
    assert text.endswith("```sh\nls # it\n```\n")
    headings = [token.tag for token in MarkdownIt().parse(text) if token.type == "heading_open"]
    assert headings == ["h1", "h2", "h3", "h3", "h2"]


@pytest.mark.parametrize(
    "reply", ["<!-- no end", "~~~\n```\n# x", "<pre>\n\n", "> ```\n> x", "- ~~~\n  x", "`", "\t```"]
)
def test_nothing_open_swallows_the_next_turn(reply: str) -> None:
    """A reply that leaves a block open takes nothing of what follows into it."""
    turns = [entry("p", reply)._replace(meta={"reply_format": "markdown"}), entry("q", "r")]

    text = exported("md", turns)

    parsed = MarkdownIt("commonmark").parse(text)
    assert [token.tag for token in parsed if token.type == "heading_open" and not token.level] == [
        "h1",
        "h2",
        "h2",
    ]


def test_older_turns_follow_the_agents_file(flue: Flue) -> None:
    """A turn that does not say its format has that of the agent's file, which is read and not run."""
    turns = [{"turn": 1, "outcome": "completed", "started_at": "2026-01-01", "data": {},
              "messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "**x**"}]}]  # fmt: skip
    document = {"flue": 1, "agent": "writer", "session": "s", "turns": turns}
    flue("sessions", "import", "-", stdin=json.dumps(document))

    before = flue("sessions", "export", "s", "--format", "html", stdin=None).out
    flue.agent("writer", 'raise SystemExit("was run")\nreply_format: str = "markdown"\nagent = None')
    after = flue("sessions", "export", "s", "--format", "html", stdin=None)

    assert "**x**" in before
    assert (after.code, after.err) == (0, "")
    assert "<strong>x</strong>" in after.out


def test_the_format_is_kept_with_the_turn(flue: Flue) -> None:
    """Replies are laid out as their agent said then, also where its file is gone; text agents say nothing."""
    path = flue.agent("writer", MARKDOWN_AGENT)
    say(flue, "writer", "s", "hello")
    say(flue, "greeting", "g", "hello")
    Path(path).unlink()

    turn = json.loads(flue("sessions", "export", "s", stdin=None).out)["turns"][0]
    other = json.loads(flue("sessions", "export", "g", stdin=None).out)["turns"][0]

    assert turn["meta"]["reply_format"] == "markdown"
    assert "reply_format" not in other["meta"]
    assert "<table>" in flue("sessions", "export", "s", "--format", "html", stdin=None).out


def test_the_history_as_model_apis_take_it(flue: Flue) -> None:
    """openai has the messages of answered turns, with the tools' between, and nothing of failed ones."""
    flue.agent("tools", TOOLS)
    say(flue, "tools", "a", "one")
    flue("sessions", "set", "a", "x", "1", stdin=None)

    found = json.loads(flue("sessions", "export", "a", "--format", "openai", stdin=None).out)

    assert list(found) == ["messages"]
    assert [message["role"] for message in found["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert found["messages"][0] == {"role": "user", "content": "one"}
    assert found["messages"][2] == {"role": "tool", "content": "42", "tool_call_id": "1"}
    assert found["messages"][3] == {"role": "assistant", "content": "said one"}


@pytest.mark.parametrize("name", ["a.xyz", "a.tar.gz", "notes.2026", "a.PDF"])
def test_an_unknown_ending_is_refused(flue: Flue, name: str) -> None:
    """An ending that no format has is 2, names those that there are, and nothing is written."""
    say(flue, "greeting", "a", "hello")

    done = flue("sessions", "export", "a", "-o", name, stdin=None)
    forced = flue("sessions", "export", "a", "-o", name, "--format", "json", stdin=None)

    assert (done.code, done.out) == (2, "")
    assert f"error: no format has the ending '.{name.rpartition('.')[2].lower()}'" in done.err
    assert ".json, .jsonl, .md, .html, .txt, .openai.json, .flue" in done.err
    assert "--format FORMAT" in done.err
    assert forced.code == 0


def test_a_name_without_an_ending_is_json(flue: Flue) -> None:
    """No ending asks for nothing else, also where a folder has one or the name begins with a dot."""
    say(flue, "greeting", "a", "hello")
    (flue.folder / "of.2026").mkdir()

    for name in ("plain", ".hidden", "of.2026/plain", "of.2026/"):
        assert flue("sessions", "export", "a", "-o", name, stdin=None).code == 0
    assert json.loads((flue.folder / "of.2026" / "plain").read_text())["session"] == "a"
    assert (flue.folder / "of.2026" / "greeting_a.json").exists()


@pytest.mark.parametrize(
    ("name", "start"), [("a.HTM", "<!DOCTYPE"), ("a.markdown", "# greeting"), ("a.flue", "agent:")]
)
def test_other_endings_of_a_format(flue: Flue, name: str, start: str) -> None:
    """A format has its usual endings, in any case."""
    say(flue, "greeting", "a", "hello")

    assert flue("sessions", "export", "a", "-o", name, stdin=None).code == 0
    assert (flue.folder / name).read_text().startswith(start)


def test_several_sessions_are_lines(flue: Flue) -> None:
    """On stdout or in a .jsonl file, each header followed by its turns; any other format is 2."""
    say(flue, "greeting", "a", "hello", "again")
    say(flue, "journal", "b", "hello")

    done = flue("sessions", "export", "a", "b", stdin=None)
    lines = [json.loads(line) for line in done.out.splitlines()]

    assert [line.get("session", line.get("turn")) for line in lines] == ["a", 1, 2, "b", 1]
    assert flue("sessions", "export", "a", "b", "-o", "all.jsonl", stdin=None).code == 0
    assert (flue.folder / "all.jsonl").read_text() == done.out
    for arguments in (["--format", "json"], ["-o", "all.json"], ["-o", "all.html"], ["--format", "md"]):
        refused = flue("sessions", "export", "a", "b", *arguments, stdin=None)
        assert (refused.code, refused.out) == (2, "")
        assert "-o DIR/" in refused.err
    assert not (flue.folder / "all.json").exists()


def test_all_sessions(flue: Flue) -> None:
    """--all has every session, those that undoing kept too, the last used last; --agent is a choice."""
    say(flue, "greeting", "a", "one", "two")
    flue("sessions", "undo", "a", stdin=None)
    say(flue, "greeting", "a", "else")
    say(flue, "journal", "b", "hello")

    def names(*options: str) -> list[str]:
        lines = flue("sessions", "export", "--all", *options, stdin=None).out.splitlines()
        return [found["session"] for found in map(json.loads, lines) if "session" in found]

    assert sorted(names()) == ["a", "a~1", "b"]
    assert names()[-1] == "b"
    assert names("--agent", "journal") == ["b"]
    assert flue("sessions", "export", "--all", "a", stdin=None).code == 2
    assert flue("sessions", "export", "--all", "--at", "1", stdin=None).code == 2
    assert flue("sessions", "export", stdin=None).code == 2


def test_no_sessions_at_all(flue: Flue) -> None:
    """An empty store is an empty result, not an error."""
    done = flue("sessions", "export", "--all", stdin=None)

    assert (done.code, done.out) == (0, "")
    assert "no sessions" in done.err


def test_a_folder_takes_a_file_for_every_session(flue: Flue) -> None:
    """Names cannot leave the folder nor collide; what is in the way stops everything before it begins."""
    for name in ("plain", "../../up", "..", "A", "a", "café", "x" * 250, "a/b", "a b"):
        say(flue, "greeting", name, "hello")

    done = flue("sessions", "export", "--all", "-o", "out/", "--format", "md", stdin=None)
    files = sorted(path.name for path in (flue.folder / "out").iterdir())

    assert done == (0, "", "9 sessions written to out/\n")
    assert len(files) == 9
    assert "greeting_plain.md" in files
    assert "greeting_café.md" in files
    assert all(re.fullmatch(r"greeting_[\w.-]+\.md", name) and len(name.encode()) < 256 for name in files)
    assert [path.name for path in flue.folder.iterdir()] == ["out"]
    assert (flue.folder / "out").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (flue.folder / "out").iterdir()} == {0o600}
    again = flue("sessions", "export", "--all", "-o", "out/", "--format", "md", stdin=None)
    assert (again.code, again.out) == (4, "")
    assert flue("sessions", "export", "--all", "-o", "out", "--format", "md", "--force", stdin=None).code == 0
    assert sorted(path.name for path in (flue.folder / "out").iterdir()) == files


@given(st.lists(st.text(min_size=1, max_size=256), unique=True, max_size=8))
def test_names_of_files_never_collide(names: list[str]) -> None:
    """Not on a disk that ignores case either; and a session has the same one whatever is beside it."""
    heads = [SessionHead(number, "a", name) for number, name in enumerate(names)]

    found = file_names(heads, "json")

    assert len({name.casefold() for name in found}) == len(names)
    assert not any("/" in name or "\0" in name or len(name.encode()) > 255 for name in found)


@pytest.mark.parametrize("form", ["json", "jsonl", "md", "html", "txt", "openai", "script"])
def test_redaction_reaches_everything(flue: Flue, form: str) -> None:
    """In no format a match is left: prompt, reply, tools, data (keys too), meta, error, name."""
    flue.agent(
        "leaky",
        "from flue_cli import Reply\ndef agent(prompt, session, context):\n"
        '    session.data["key secret-1"] = {"deep": ["a secret-2 b"], "number": 5}\n'
        '    if "fail" in prompt: raise ValueError("secret-3")\n'
        '    calls = [{"role": "tool", "content": "secret-4", "tool_call_id": "secret-5"}]\n'
        '    return Reply("it is secret-6", messages=calls, meta={"secret-7": "secret-8"})',
    )
    say(flue, "leaky", "my secret-9", "tell secret-10", "fail")

    done = flue("sessions", "export", "my secret-9", "--format", form, "--redact", r"secret-\d+", stdin=None)

    assert done.code == 0
    assert "secret" not in done.out
    assert "[redacted]" in done.out
    if form == "json":
        found = json.loads(done.out)
        assert found["session"] == "my [redacted]"
        assert found["data"] == {"key [redacted]": {"deep": ["a [redacted] b"], "number": 5}}
        assert found["turns"][0]["meta"]["[redacted]"] == "[redacted]"
        assert found["turns"][1]["error"]["message"].endswith("ValueError: [redacted]")


@pytest.mark.parametrize("form", ["json", "jsonl", "md", "html", "txt", "openai", "script"])
def test_redaction_reaches_words_that_agents_choose(form: str) -> None:
    """Types of errors, roles and names of fields show no match; the words of the formats stay."""
    message = Message("secret-1", "x", {"secret-2": {"secret-3": 1}, "tool_calls": []})
    turns = [
        entry("p", "r")._replace(messages=(message, Message("tool", "y", {"tool_call_id": "t"}))),
        entry("p", None)._replace(error=Failure("secret-4", "secret-5")),
    ]

    text = exported(form, turns, r"secret-\d|tool|user|assistant")

    assert "secret" not in text
    if form == "json":
        one, two = json.loads(text)["turns"]
        assert one["messages"][1] == {
            "role": "[redacted]",
            "content": "x",
            "[redacted]": {"[redacted]": 1},
            "tool_calls": [],
        }
        assert (one["messages"][2]["role"], one["messages"][2]["tool_call_id"]) == ("tool", "t")
        assert two["error"] == {"type": "[redacted]", "message": "[redacted]"}


def test_redaction_of_many_and_of_nothing(flue: Flue) -> None:
    """Several expressions are all applied; one that matches nothing at all takes nothing out; a bad one is 2."""
    say(flue, "greeting", "a", "my name is Ada Byron")

    several = flue(
        "sessions", "export", "a", "--format", "txt", "--redact", "Ada", "--redact", "By.on", stdin=None
    ).out
    plain = flue("sessions", "export", "a", "--redact", "x*?", stdin=None).out
    bad = flue("sessions", "export", "a", "-o", "a.json", "--redact", "(", stdin=None)

    assert "my name is [redacted] [redacted]" in several
    assert plain == flue("sessions", "export", "a", stdin=None).out
    assert (bad.code, bad.out) == (2, "")
    assert "not a valid regular expression" in bad.err
    assert not (flue.folder / "a.json").exists()


@given(st.dictionaries(st.text(), st.text()), st.text(), st.text(min_size=1))
def test_redaction_keeps_the_document_whole(data: dict[str, str], prompt: str, secret: str) -> None:
    """Whatever is taken out, the result is JSON of the same form, and no value of the data is lost."""
    text = exported("json", [entry(prompt + secret, prompt, json.dumps(data))], re.escape(secret))

    (turn,) = json.loads(text)["turns"]

    assert turn["messages"][0]["content"] == (prompt + secret).replace(secret, "[redacted]")
    values = [value.replace(secret, "[redacted]") for value in data.values()]
    assert list(turn["data"].values()) == values
    assert turn["kind"] == "prompt"
