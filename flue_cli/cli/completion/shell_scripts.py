"""Completion scripts for bash, zsh and fish, and their installation."""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple

from flue_cli.errors import OutputFailed, UsageError
from flue_cli.text import safe_line

_BASH = r"""
_flue_completion() {
    local kind= value
    COMPREPLY=()
    {
        IFS= read -r kind
        while IFS= read -r value; do COMPREPLY+=("$value"); done
    } < <(
        _FLUE_COMPLETE=bash _FLUE_BREAKS=$COMP_WORDBREAKS \
            "${1/#\~\//$HOME/}" "${COMP_LINE:0:COMP_POINT}" </dev/null 2>/dev/null
    )
    case $kind in
        files) compopt -o default 2>/dev/null ;;
        dirs) compopt -o dirnames 2>/dev/null ;;
    esac
}

complete -o nosort -F _flue_completion flue 2>/dev/null || complete -F _flue_completion flue
"""

_ZSH = r"""
#compdef flue

_flue() {
    local program=${(Q)words[1]}
    local -a before lines
    program=${program/#\~\//$HOME/}
    (( CURRENT > 2 )) && before=("${(@)words[2,CURRENT-1]}")
    lines=("${(@f)$(_FLUE_COMPLETE=zsh "$program" "${before[@]}" "$QIPREFIX$PREFIX" </dev/null 2>/dev/null)}")
    case $lines[1] in
        files|dirs)
            [[ $PREFIX == -*=* ]] && compset -P 1 '*='
            if [[ $lines[1] == dirs ]]; then _files -/; else _files; fi ;;
        values)
            shift lines
            (( $#lines )) && _describe -V 'flue' lines ;;
    esac
}

if [[ $funcstack[1] == _flue ]]; then _flue "$@"; else compdef _flue flue; fi
"""

_FISH = r"""
function __flue_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l lines (env _FLUE_COMPLETE=fish $words[1] $words[2..-1] "$typed" </dev/null 2>/dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path "$typed"
        case dirs
            __fish_complete_directories "$typed"
        case values
            printf '%s\n' $lines[2..-1]
    end
end

complete -c flue -e
complete -c flue -f -k -a '(__flue_complete)'
"""

SHELLS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
"""Shell to completion script."""


class _Place(NamedTuple):
    """Path of an installed script, and the line that the shell's start-up file needs for it, if any."""

    script: str
    start_up: str = ""
    line: str = ""


def script(shell: str) -> str:
    """Return the script for `shell`, or with "" for the current shell. Raises UsageError if it is unknown."""
    return SHELLS[_known(shell)].strip() + "\n"


def install(shell: str) -> tuple[str, str, bool]:
    """Install completion for `shell`, or with "" for the current shell; it works from the shell's next start.

    Returns the shell's name, the path of the script, and True if anything changed. Raises UsageError and
    OutputFailed.
    """
    shell = _known(shell)
    place = _place(shell, os.path.expanduser("~"))
    try:
        written = _write_script(place.script, SHELLS[shell].strip() + "\n")
        added = bool(place.start_up) and _add_line(place.start_up, place.line)
    except OSError as error:
        raise OutputFailed(f"{error.filename} cannot be written: {error.strerror}") from error
    return shell, place.script, written or added


def _known(shell: str) -> str:
    """Return `shell`, or with "" the current shell. Raises UsageError if it is unknown."""
    hint = f"there are: {', '.join(SHELLS)}"
    name = shell or _around_us()
    if not name:
        raise UsageError("cannot detect the shell", hint=f"name one: {', '.join(SHELLS)}")
    if name not in SHELLS:
        raise UsageError(f"there is no completion for '{safe_line(name)}'", hint=hint)
    return name


def _around_us() -> str:
    """Return the name of the shell that started this process, or ""."""
    import shellingham  # type: ignore[import-untyped]

    try:
        name, _ = shellingham.detect_shell()
    except shellingham.ShellDetectionFailure:
        return os.path.basename(os.environ.get("SHELL", ""))
    return str(name)


def _place(shell: str, home: str) -> _Place:
    """Return the paths for `shell`: Typer's own, so that one start-up line serves all its programs."""
    if shell == "bash":
        file = os.path.join(home, ".bash_completions", "flue.sh")
        return _Place(file, os.path.join(home, ".bashrc"), f"source {shlex.quote(file)}")
    if shell == "zsh":
        start_up = os.path.join(os.environ.get("ZDOTDIR") or home, ".zshrc")
        line = "fpath+=~/.zfunc; autoload -Uz compinit; compinit"
        return _Place(os.path.join(home, ".zfunc", "_flue"), start_up, line)
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return _Place(os.path.join(folder, "fish", "completions", "flue.fish"))


def _write_script(path: str, text: str) -> bool:
    """Write a file of ours; return True if it changed."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            if file.read() == text:
                return False
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return True


def _add_line(path: str, line: str) -> bool:
    """Append a line to a user's file unless it is there, and change nothing else; return True if added."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            there = file.read()
    except FileNotFoundError:
        there = ""
    if line in (have.strip() for have in there.splitlines()):
        return False
    with open(path, "a", encoding="utf-8") as file:
        file.write(("\n" if there and not there.endswith("\n") else "") + line + "\n")
    return True
