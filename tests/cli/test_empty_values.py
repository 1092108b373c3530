"""Empty values of options and arguments, which come from a script's unset variable, are not taken for none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flue_cli.cli.command_table import MAY_BE_EMPTY, root_command
from flue_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Flue


def leave_one_empty(command: Any) -> Iterator[tuple[str, ...]]:
    """Yield arguments of a command, with one text among them empty: each argument and option in turn."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    words = ["x" if parameter.type.name == "str" else "1" for parameter in arguments]
    required = [word for option in options if option.required for word in (option.opts[0], "1")]
    for number, parameter in enumerate(arguments):
        if parameter.type.name == "str" and parameter.name not in MAY_BE_EMPTY:
            yield (*words[:number], "", *words[number + 1 :], *required)
    for option in options:
        if option.type.name == "str":
            yield (*words, *required, option.opts[-1], "")


def accepts(root: Any, arguments: tuple[str, ...]) -> bool:
    """True if the command begins to run, which fails: there is nothing to run it with."""
    try:
        with root.make_context("flue", list(arguments)) as context:
            context.command.invoke(context)
    except UsageError as error:
        return not error.message.endswith(" is empty")
    except AttributeError:
        return True
    return True


def test_an_empty_value_is_refused() -> None:
    """Every text that any command takes is refused if it is "", unless that can be meant."""
    root: Any = root_command()
    context = root.make_context("flue", [], resilient_parsing=True)
    tried: set[tuple[str, ...]] = set()
    for name in root.table:
        command = root.get_command(context, name)
        parts: dict[tuple[str, ...], Any] = {
            (name, part): command.get_command(context, part) for part in getattr(command, "table", ())
        }
        for words, part in (parts or {(name,): command}).items():
            tried |= {(*words, *arguments) for arguments in leave_one_empty(part)}

    assert [arguments for arguments in sorted(tried) if accepts(root, arguments)] == []
    assert {("chat", "x", "x", "--session", ""), ("sessions", "export", "x", "--redact", "")} <= tried


def test_an_unset_pattern_exports_nothing(flue: Flue) -> None:
    """`--redact "$UNSET"` writes no session, with the secret in it, to standard output or a file."""
    flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None)

    code, out, err = flue("sessions", "export", "a", "--redact", "", "-o", "a.json", stdin=None)
    assert (code, out) == (2, "")
    assert err.startswith("error: --redact is empty\nhint: give it a value or leave it out")
    assert not (flue.folder / "a.json").exists()
    assert flue("sessions", "export", "a", "--redact", "Ada", "--redact", "", stdin=None).code == 2
    assert flue("sessions", "export", "a", "-o", "", stdin=None)[:2] == (2, "")


def test_an_empty_name_is_no_default(flue: Flue) -> None:
    """`flue chat "$UNSET"` talks to no default agent, and `-s "$UNSET"` makes no new session."""
    for arguments in (("",), ("", "hi"), ("greeting", "-s", "", "hi"), ("-c", "")):
        code, out, err = flue("chat", *arguments, stdin=None)
        assert (code, out) == (2, "")
        assert " is empty\n" in err
    assert not flue.store.exists()


def test_empty_variables_are_unset(flue: Flue) -> None:
    """FLUE_STORE, FLUE_AGENTS and FLUE_HOME that are empty mean what they mean when they are not there."""
    env = {"FLUE_STORE": "", "FLUE_AGENTS": "", "FLUE_HOME": "", "HOME": str(flue.folder)}

    assert flue("chat", "greeting", "-s", "a", "hi", stdin=None, env=env).code == 0
    assert [path.name for path in flue.folder.rglob("*.db")] == ["flue.db"]
    assert not (flue.folder / "flue.db").exists()
