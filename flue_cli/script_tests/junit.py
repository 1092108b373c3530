"""Report in the JUnit XML format: each script is a suite, each turn a case.

https://github.com/testmoapp/junitxml describes the parts that common readers support.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flue_cli.errors import BadScript, OutputFailed
from flue_cli.files import write_whole
from flue_cli.script_tests.runner import PlayedTurn, ScriptResult
from flue_cli.text import safe_line, safe_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def write_junit_report(path: str, results: Sequence[ScriptResult]) -> None:
    """Write the report to `path`, whole or not at all; OutputFailed when it cannot be written."""
    from xml.etree.ElementTree import Element, indent, tostring

    root = Element("testsuites", name="flue")
    for result in results:
        _add_suite(root, result)
    root.attrib |= _suite_counts([turn for result in results for turn in result.turns], results)
    indent(root)
    folder = os.path.dirname(path)
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error
    text = tostring(root, encoding="unicode")
    write_whole(path, ('<?xml version="1.0" encoding="utf-8"?>\n', text, "\n"), force=True)


def _add_suite(root: Element, result: ScriptResult) -> None:
    from xml.etree.ElementTree import SubElement

    script = result.script
    place = _xml_text(safe_line(script.path))
    suite = SubElement(root, "testsuite", {"name": place, **_suite_counts(result.turns, [result])})
    if result.error:
        name = "script" if isinstance(result.error, BadScript) else "agent"
        case = SubElement(
            suite, "testcase", classname=place, name=name, file=place, line=str(script.agent_line)
        )
        SubElement(case, "error", message=_xml_text(safe_line(result.problem)))
    for turn in result.turns:
        case = SubElement(
            suite,
            "testcase",
            classname=place,
            name=_xml_text(f"turn {turn.turn}: {safe_line(turn.step.prompt or '')[:100]}"),
            file=place,
            line=str(turn.step.line),
            time=f"{turn.seconds:.3f}",
        )
        if turn.failures:
            first = turn.failures[0]
            message = _xml_text(safe_line(f"{script.path}:{first.line}: {first.problem}"))
            SubElement(case, "failure", message=message).text = _xml_text(_failure_report(script.path, turn))


def _failure_report(path: str, turn: PlayedTurn) -> str:
    lines: list[str] = []
    for failure in turn.failures:
        lines += [f"{safe_line(path)}:{failure.line}: {safe_text(failure.problem)}", *failure.details]
    return "\n".join(lines)


def _suite_counts(turns: Sequence[PlayedTurn], results: Sequence[ScriptResult]) -> dict[str, str]:
    errors = sum(result.error is not None for result in results)
    return {
        "tests": str(len(turns) + errors),
        "failures": str(sum(bool(turn.failures) for turn in turns)),
        "errors": str(errors),
        "time": f"{sum(turn.seconds for turn in turns):.3f}",
    }


def _xml_text(text: str) -> str:
    """Replace the characters that XML 1.0 (section 2.2) cannot represent in a safe text."""
    return re.sub("[\ufffe\uffff]", lambda match: f"<U+{ord(match[0]):04X}>", text)
