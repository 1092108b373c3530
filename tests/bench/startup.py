"""What a start costs, as multiples of `python -c pass` in the same environment, in one run.

    python -m venv /tmp/plain && /tmp/plain/bin/pip install .
    python tests/bench/startup.py /tmp/plain/bin

Whole processes, taken in turn with the yardstick, so that a drifting machine touches both; the figure
is the median of the pairs' ratios. Peak memory is what the process itself reads as `VmHWM` at its end
(Linux; `ru_maxrss` would count this script's own memory, which a child begins with).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 31
LIMITS = {
    "flue --version": (["--version"], 1.7),
    "flue --help": (["--help"], 6.5),
    "flue sessions list": (["sessions", "list"], 6.5),
    "one-shot turn": (["chat", "greeting", "-s", "bench", "hello"], 7.0),
}
COMPLETIONS = {
    "complete an agent": ("flue chat gr", 10.0),
    "complete a session": ("flue sessions show be", 10.0),
}
"""The line before the cursor: answered anew at every press of Tab."""
PEAK_LIMIT = 2.6
PEAK = "; import os; os.write(2, next(l for l in open('/proc/self/status') if l[:5] == 'VmHWM').encode())"
TURN = "import sys; from flue_cli.cli import run_command; run_command(sys.argv[1:])"


def seconds(command: list[str], env: dict[str, str]) -> float:
    """How long one process takes."""
    began = time.perf_counter()
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def ratios(yardstick: list[str], command: list[str], env: dict[str, str]) -> list[float]:
    """How many times as long as the yardstick it takes, measured pair by pair."""
    pairs = [(seconds(yardstick, env), seconds(command, env)) for _ in range(RUNS)]
    return [longer / base for base, longer in pairs]


def show(name: str, limit: float, found: list[float]) -> None:
    """Print a line of the table."""
    print(f"{name:24}{statistics.median(found):8.2f}{limit:8.2f}{min(found):8.2f}{max(found):8.2f}")


def peak(python: str, program: str, arguments: list[str], env: dict[str, str]) -> int:
    """The peak memory of one process, in KiB."""
    command = [python, "-c", program + PEAK, *arguments]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return int(done.stderr.split()[-2])


def main() -> None:
    """Measure and print the table."""
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(sys.executable)
    with tempfile.TemporaryDirectory() as home:
        # XDG and not FLUE_HOME: finding the default folder is part of a real start.
        env = {"PATH": os.environ["PATH"], "HOME": home, "XDG_DATA_HOME": home, "LANG": "C.UTF-8"}
        python = os.path.join(folder, "python")
        flue = os.path.join(folder, "flue")
        turn = LIMITS["one-shot turn"][0]
        seconds([flue, *turn], env)  # makes the store and the bytecode
        print(f"{'':24}{'median':>8}{'limit':>8}{'min':>8}{'max':>8}")
        for name, (arguments, limit) in LIMITS.items():
            show(name, limit, ratios([python, "-c", "pass"], [flue, *arguments], env))
        for name, (line, limit) in COMPLETIONS.items():
            show(name, limit, ratios([python, "-c", "pass"], [flue, line], env | {"_FLUE_COMPLETE": "bash"}))
        memory = peak(python, TURN, turn, env) / peak(python, "pass", [], env)
        print(f"{'its peak memory':24}{memory:8.2f}{PEAK_LIMIT:8.2f}")


if __name__ == "__main__":
    main()
