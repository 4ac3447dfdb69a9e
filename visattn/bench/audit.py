"""What an audit takes: ``python -m visattn.bench audit``.

Each number of pictures is audited in a fresh process, pictures of flips included: memory is flat if
the peak does not grow with them. The pictures are training scenes of sushi with their masks, so
that every variant is cut and pasted. The model has random weights: what it says does not matter to
the time.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from visattn.auditing import audit
from visattn.bench.child import run_child
from visattn.data import SushiData
from visattn.data.generated.sushi import KINDS
from visattn.training.command_line.process import tune_process


@dataclass(frozen=True)
class Cost:
    """What a process took.

    Attributes:
        seconds: By the clock, from its start to its end.
        busy: Seconds of all its cores together.
        peak: Bytes that it held at most.
    """

    seconds: float
    busy: float
    peak: int


def audit_cost(pictures: int, *, model: str, root: Path, size: int) -> Cost:
    """Audit a timm model, its first classes taken for the kinds of sushi, on training scenes."""
    begun = time.monotonic()
    said = run_child("visattn.bench.audit", model, root, size, pictures, what="the audit")
    return Cost(time.monotonic() - begun, float(said[-2]), int(said[-1]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m visattn.bench audit", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--model", default="resnet18", help="name of a timm model")
    parser.add_argument("--pictures", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--size", type=int, default=96)
    given = parser.parse_args(arguments)
    root = SushiData(size=given.size, train=max(given.pictures), val=8, test=8).locate()
    console = Console(highlight=False)
    console.print(
        f"{given.model} at {given.size} px, all variants, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    table = Table("pictures", "seconds", "seconds of all cores", "peak, MB")
    for pictures in given.pictures:
        cost = audit_cost(pictures, model=given.model, root=root, size=given.size)
        cells = f"{pictures}", f"{cost.seconds:.0f}", f"{cost.busy:.0f}", f"{cost.peak / 1e6:.0f}"
        table.add_row(*cells)
    console.print(table)


def _one(words: Sequence[str]) -> None:
    """Audit in this process, then print the seconds of its cores and the bytes at its peak."""
    tune_process()
    model, root, size, pictures = words
    kinds = {kind: place for place, kind in enumerate(sorted(KINDS))}
    found = audit(
        model, root, split="train", class_map=kinds, size=int(size), limit=int(pictures),
        progress=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        found.save(folder)
    print(time.process_time(), _peak())


def _peak() -> int:
    """Bytes that this process held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    _one(sys.argv[1:])
