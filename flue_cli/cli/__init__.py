"""The `flue` command. This file answers `--version` and imports nothing more for it."""

from __future__ import annotations

import os
import sys

LINGER_SECONDS = 5.0
"""Seconds that threads left running by an agent may go on after the command is done."""


def run() -> None:
    """Run the console script; end by the same signal as the command, as shells expect."""
    if sys.getfilesystemencoding() != "utf-8":
        _restart_in_utf8_mode()
    elif "utf8" in sys._xoptions:  # noqa: SLF001 - documented, in spite of its name
        _keep_encoding_of_notices()
    code = run_command(sys.argv[1:])
    if code > 128:
        from flue_cli.cli.signals import die_by

        die_by(code - 128)
    _end_despite_threads(code)
    sys.exit(code)


def _restart_in_utf8_mode() -> None:
    """Replace this process by one in Python's UTF-8 mode (PEP 540), whatever the locale.

    In it arguments and file names are the bytes that were typed. In other encodings Python can neither read
    all of them nor write them back.
    """
    if "utf8" in sys._xoptions:  # noqa: SLF001 - as above; somebody asked for `-X utf8=0`
        return
    try:
        with open("/proc/self/cmdline", "rb") as file:
            words = file.read().split(b"\0")[:-1]
        os.execv(sys.executable, [words[0], b"-X", b"utf8", *words[1:]])  # noqa: S606 - the same program
    except (OSError, UnicodeError):  # no /proc: BSD, while macOS has UTF-8 always
        return


def _keep_encoding_of_notices() -> None:
    """Write notices in the encoding of the locale; what it lacks is written as an escape."""
    import io
    import locale

    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding=locale.getencoding(), errors="backslashreplace")


def _end_despite_threads(code: int) -> None:
    """Limit the time that threads left running by an agent can keep the process alive."""
    if "threading" not in sys.modules:
        return
    import threading

    if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
        return

    def end() -> None:
        import time

        time.sleep(LINGER_SECONDS)
        print("note: a thread that the agent left running was ended", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(code)

    threading.Thread(target=end, daemon=True).start()


def run_command(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    if argv == ["--version"]:
        from flue_cli import __version__

        try:
            os.write(1, f"flue {__version__}\n".encode())
        except BrokenPipeError:
            return 141
        except OSError:
            return 74
        return 0
    import gc
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback until we have a handler of our own
    # Imports leave hardly any garbage, and collecting takes a third of an interpreter's start.
    gc.disable()
    try:
        if "_FLUE_COMPLETE" in os.environ:  # a shell asks how its command line could go on
            from flue_cli.cli.completion.answer import answer

            return answer(argv)
        from flue_cli.cli.main import dispatch

        return dispatch(argv)
    finally:
        # The final collection of the interpreter would take an eighth of a run.
        if not gc.isenabled():
            gc.freeze()
