"""Measurements in processes of their own, so that nothing remembers another one."""

import subprocess
import sys
from collections.abc import Mapping


def run_child(
    module: str, *words: object, what: str, environment: Mapping[str, str] | None = None
) -> list[str]:
    """Run a module as a program in a fresh process; give the words that it printed.

    Raises:
        RuntimeError: The process failed, for want of memory, say; ``what`` says whose it was.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(
            f"{what} failed with code {done.returncode} (-9: killed, probably for want of memory):"
            f" {done.stderr.strip() or 'it said nothing'}"
        )
    return done.stdout.split()
