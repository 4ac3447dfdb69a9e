"""What users wait for at the start: ``python -m visattn.bench startup``.

Each is a fresh process, in turn, after a round that fills the system's cache of files. Seconds of
the processor leave out what else the machine does; on several cores they may exceed the clock's.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from visattn.bench.interrupted import SMALL

_CODE = {"import visattn": "import visattn", "visattn.wrap": "import visattn; visattn.wrap"}
_FIRST_STEP = ("--trainer.max_steps=1", "--trainer.limit_val_batches=0")


def starts(folder: Path) -> dict[str, list[str]]:
    """The words of each start; pictures and runs lie in a folder."""
    picture = folder / "picture.png"
    Image.new("RGB", (64, 64), "white").save(picture)
    command = ["-m", "visattn"]
    fit = ["fit", "-c", "foreground/plain", *SMALL, *_FIRST_STEP, f"--runs={folder}"]
    overlay = [
        "overlay",
        f"{picture}",
        "--model=resnet18",
        "--layers=grad_cam",
        f"--out={folder / 'overlay.png'}",
    ]
    return {
        **{name: ["-c", code] for name, code in _CODE.items()},
        "visattn --help": [*command, "--help"],
        "visattn plan resnet18 se": [*command, "plan", "resnet18", "se"],
        "visattn overlay, one picture": [*command, *overlay],
        "visattn fit, to the first step": [*command, *fit],
    }


def seconds(words: Sequence[str]) -> tuple[float, float]:
    """Of the clock and of the processor that a start takes.

    Raises:
        RuntimeError: It failed; the message has what it said.
    """
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    taken, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr.strip()}")
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m visattn.bench startup", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    table = Table("start", "seconds", "seconds of the processor")
    with tempfile.TemporaryDirectory() as folder:
        each = starts(Path(folder))
        found = [{n: seconds(words) for n, words in each.items()} for _ in range(given.rounds + 1)]
    for name in each:
        both = zip(*(taken[name] for taken in found[1:]), strict=True)
        table.add_row(name, *(f"{statistics.median(values):.2f}" for values in both))
    Console(highlight=False).print(table)
