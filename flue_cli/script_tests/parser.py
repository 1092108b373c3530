"""Parser of scripts: an invalid line is an error with its number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from flue_cli.errors import BadName, BadScript
from flue_cli.names import check_agent_name, check_session_name
from flue_cli.script_tests.field_values import (
    parse_call_record,
    parse_data_text,
    parse_expected_data,
    parse_json_object,
    parse_json_string,
    parse_pattern,
    parse_time,
    parse_turn_number,
    parse_whole_number,
)
from flue_cli.script_tests.model import (
    DATA,
    FAILS,
    FIRST_NOW,
    FIRST_SEED,
    INCLUDES,
    MATCHES,
    REPLY,
    Expectation,
    Script,
    Step,
)

_BLANKS = " \t"


def read_script(path: str) -> Script:
    """Read the script in the file at `path`; BadScript if that fails, or it is not valid."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise BadScript(path, 1, f"it cannot be read: {error.strerror}") from error
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadScript(path, line, "it is not UTF-8") from error
    return parse_script(text, path)


def parse_script(text: str, path: str) -> Script:
    """Parse the script `text`, which is in the file `path`; BadScript if it is not valid."""
    return _ScriptParser(text, path).parse()


class _StepDraft:
    """A step under construction."""

    def __init__(self, line: int, last: int, prompt: str | None, edit: str = "") -> None:
        self.line, self.last_line = line, last
        self.prompt, self.edit = prompt, edit
        self.expectations: list[Expectation] = []
        self.calls: list[Mapping[str, Any]] = []
        self.fields: dict[str, Any] = {}

    def make_step(self) -> Step:
        return Step(
            self.line,
            self.last_line,
            self.prompt,
            self.edit,
            tuple(self.expectations),
            calls=tuple(self.calls) or None,
            **self.fields,
        )


class _ScriptParser:
    """Parser that reads the lines of a script once. Line numbers begin with 1, indexes (`at`) with 0."""

    def __init__(self, text: str, path: str) -> None:
        self._text, self._path = text, path
        self._lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
        self._header: dict[str, Any] = {}
        self._agent_line = 1
        self._drafts: list[_StepDraft] = []

    def parse(self) -> Script:
        at = 0
        while at < len(self._lines):
            line = self._lines[at]
            if line.startswith("#") or not line.strip(_BLANKS):
                at += 1
            elif line.startswith(">"):
                at = self._read_prompt(at)
            elif line.startswith("  "):
                at = self._read_reply(at)
            else:
                at = self._read_field(at)
        if "agent" not in self._header:
            self._refuse(1, "the agent is missing", hint="a script begins with a line like: agent: NAME")
        return Script(
            self._path,
            self._text,
            self._header["agent"],
            self._agent_line,
            self._header.get("session", "test"),
            self._header.get("now", FIRST_NOW),
            self._header.get("seed", FIRST_SEED),
            tuple(draft.make_step() for draft in self._drafts),
        )

    def _read_prompt(self, at: int) -> int:
        """Read the lines of a prompt after '>'; returns the index of the line after them."""
        end = self._end_of_block(at, lambda line: line.startswith(">"))
        prompt_lines = [line[1:].removeprefix(" ") for line in self._lines[at:end]]
        self._drafts.append(_StepDraft(at + 1, end, "\n".join(prompt_lines)))
        return end

    def _read_reply(self, at: int) -> int:
        """Read the indented lines of a reply and empty ones between; returns the index of the line after."""
        end = last = at + 1
        while end < len(self._lines) and (
            self._lines[end].startswith("  ") or not self._lines[end].strip(_BLANKS)
        ):
            end += 1
            if self._lines[end - 1].strip(_BLANKS):
                last = end
        lines = [line[2:] if line.strip(_BLANKS) else "" for line in self._lines[at:last]]
        self._add_expectation(Expectation(REPLY, "\n".join(lines), at + 1, last))
        return last

    def _read_field(self, at: int) -> int:
        """Read a field, or successive ones that are one text; returns the index of the line after."""
        name, colon, value = self._lines[at].partition(":")
        if not colon or name not in _FIELDS:
            self._refuse_unknown_line(at + 1, name if colon else "")
        if name in ("prompt", "reply"):
            end = self._end_of_block(at, lambda line: line.startswith(f"{name}:"))
            pieces = [self._lines[index].partition(":")[2] for index in range(at, end)]
            text = "".join(
                self._parse_value(index, parse_json_string, piece)
                for index, piece in enumerate(pieces, at + 1)
            )
            if name == "prompt":
                self._drafts.append(_StepDraft(at + 1, end, text))
            else:
                self._add_expectation(Expectation(REPLY, text, at + 1, end))
            return end
        parsed = self._parse_value(at + 1, _FIELDS[name], value)
        if name == "edit":
            self._drafts.append(_StepDraft(at + 1, at + 1, None, parsed))
        elif name in (MATCHES, DATA, INCLUDES, FAILS):
            self._add_expectation(Expectation(name, parsed, at + 1, at + 1))
        else:
            self._set_field(at + 1, name, parsed)
        return at + 1

    def _set_field(self, line: int, name: str, value: Any) -> None:
        """Set a field of the header, or after the first prompt a field of the last step."""
        if not self._drafts:
            if name not in ("agent", "session", "now", "seed"):
                self._refuse(line, f"'{name}:' belongs below a prompt")
            if name in self._header:
                self._refuse(line, f"there is a second '{name}:'")
            self._header[name] = value
            if name == "agent":
                self._agent_line = line
            return
        draft = self._drafts[-1]
        if name in ("agent", "session"):
            self._refuse(line, f"'{name}:' belongs above the first prompt")
        if draft.prompt is None and name != "turn":
            self._refuse(line, f"'{name}:' belongs below a prompt, not below an edit")
        if name == "call":
            draft.calls.append(value)
            return
        if name in draft.fields:
            self._refuse(line, f"there is a second '{name}:' of this turn")
        draft.fields[name] = value

    def _add_expectation(self, expected: Expectation) -> None:
        if not self._drafts or self._drafts[-1].prompt is None:
            label = "a reply" if expected.kind == REPLY else f"'{expected.kind}:'"
            self._refuse(
                expected.first_line,
                f"{label} belongs below a prompt",
                hint="a prompt is a line like: > hello",
            )
        kinds_so_far = {other.kind for other in self._drafts[-1].expectations}
        for kinds, problem in _AT_MOST_ONE:
            if expected.kind in kinds and kinds_so_far & kinds:
                self._refuse(expected.first_line, problem)
        self._drafts[-1].expectations.append(expected)

    def _end_of_block(self, at: int, belongs: Callable[[str], bool]) -> int:
        end = at + 1
        while end < len(self._lines) and belongs(self._lines[end]):
            end += 1
        return end

    def _parse_value(self, line: int, read_value: Callable[[str], Any], text: str) -> Any:
        try:
            return read_value(text.strip(_BLANKS))
        except (ValueError, BadName) as error:
            name = self._lines[line - 1].partition(":")[0]
            self._refuse(line, f"{name}: {error}", hint=getattr(error, "hint", ""))

    def _refuse_unknown_line(self, line: int, name: str) -> NoReturn:
        from difflib import get_close_matches

        if name.strip() != name or not name:
            hint = "a prompt begins with '>', a reply with two spaces, a comment with '#'"
            self._refuse(line, "not a prompt, reply or field", hint=hint)
        near = get_close_matches(name, _FIELDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "a line of a reply is indented by two spaces"
        self._refuse(line, f"there is no field '{name}'", hint=hint)

    def _refuse(self, line: int, problem: str, *, hint: str = "") -> NoReturn:
        raise BadScript(self._path, line, problem, hint=hint)


def _parse_session_name(text: str) -> str:
    return check_session_name(parse_json_string(text) if text.startswith('"') else text)


_FIELDS: Mapping[str, Callable[[str], Any]] = {
    "agent": check_agent_name,
    "session": _parse_session_name,
    "now": parse_time,
    "seed": parse_whole_number,
    "turn": parse_turn_number,
    "prompt": parse_json_string,
    "reply": parse_json_string,
    MATCHES: parse_pattern,
    DATA: parse_expected_data,
    INCLUDES: parse_json_object,
    FAILS: str,
    "call": parse_call_record,
    "edit": parse_data_text,
}
"""Parsers of the values of fields; they raise ValueError or BadName."""

_AT_MOST_ONE = (
    (frozenset({REPLY, MATCHES}), "this turn already expects a reply"),
    (frozenset({FAILS}), "there is a second 'fails:' of this turn"),
    (frozenset({REPLY, FAILS}), "a turn that fails has no reply"),
    (frozenset({MATCHES, FAILS}), "a turn that fails has no reply"),
    (frozenset({DATA}), "there is a second 'data:' of this turn"),
    (frozenset({INCLUDES}), "there is a second 'data includes:' of this turn"),
)
