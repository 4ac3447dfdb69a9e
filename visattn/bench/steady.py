"""Whether memory stays flat: ``python -m visattn.bench steady``.

Many steps of training (with a bank of masks and swapped backgrounds), of recording and of auditing,
each in a fresh process: what the process holds after a fifth of the steps, and at the end.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import final

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from visattn import record, wrap
from visattn.auditing import audit
from visattn.bench.child import run_child
from visattn.bench.interrupted import SMALL
from visattn.data import SushiData
from visattn.data.generated.sushi import KINDS
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.process import tune_process
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import find_recipe
from visattn.training.objectives.base import Batch, Loss, Objective

SIZE = 32


@final
class Counted(Objective):
    """An objective that notes what the process holds after some of its steps.

    Args:
        objective: What is trained on.
        steps: After which.
    """

    def __init__(self, objective: Objective, *, steps: Sequence[int]) -> None:
        self.objective, self.steps = objective, steps
        self.held: list[int] = []
        self._done = 0

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        if self._done in self.steps:
            self.held.append(resident())
        self._done += 1
        return self.objective(model, batch, progress)


def train(steps: int) -> Iterator[int]:
    """Steps of the recipe ``foreground/mask`` with a small network."""
    words = ["-c", find_recipe("foreground/mask"), *SMALL, "--data.workers=0"]
    words += ["--trainer.max_epochs=-1", f"--trainer.max_steps={steps + 1}", "--data.batch_size=4"]
    words += ["--model.backbone_options={channels: [8, 8, 8, 8]}", "--trainer.limit_val_batches=0"]
    with quiet_lightning():
        line = TaskCLI([str(word) for word in words], run=False, logs=False)
        counted = Counted(line.model.objective, steps=(steps // 5, steps))
        line.model.objective = counted
        line.trainer.fit(line.model, datamodule=line.datamodule)
    yield from counted.held


def record_maps(steps: int) -> Iterator[int]:
    """Recordings of a wrapped ResNet."""
    model = wrap("resnet10t", "cbam").eval()
    images = torch.randn(2, 3, SIZE, SIZE)
    for step in range(1, steps + 1):
        with torch.no_grad(), record(model) as maps:
            model(images)
        assert len(maps)
        if step in (steps // 5, steps):
            yield resident()


def audit_pictures(steps: int) -> Iterator[int]:
    """Audits of pictures one by one: a step is a pass of the network."""
    root = SushiData(size=SIZE, train=64, val=8, test=8).locate()
    kinds = {kind: place for place, kind in enumerate(sorted(KINDS))}
    model = wrap("resnet10t", "se").eval()
    passes: list[None] = []
    model.register_forward_hook(lambda *_: passes.append(None))
    for due in (steps // 5, steps):
        while len(passes) < due:
            audit(
                model, root, split="train", class_map=kinds, size=SIZE, batch_size=1,
                progress=False, adversarial=2, cases=0,
            )  # fmt: skip
        yield resident()


KINDS_OF_STEPS: dict[str, Callable[[int], Iterator[int]]] = {
    "training": train,
    "recording": record_maps,
    "auditing": audit_pictures,
}


def resident() -> int:
    """Bytes that this process holds for itself, in memory or swapped out; mapped files not."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    said = dict(line.split(":", 1) for line in lines)
    return 1024 * sum(int(said[name].split()[0]) for name in ("RssAnon", "RssShmem", "VmSwap"))


def held_bytes(kind: str, *, steps: int) -> tuple[int, int]:
    """Bytes that a process holds after a fifth of its steps, and at the end."""
    said = run_child("visattn.bench.steady", kind, steps, what=kind)
    return int(said[-2]), int(said[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m visattn.bench steady", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS_OF_STEPS, default=[*KINDS_OF_STEPS])
    given = parser.parse_args(arguments)
    table = Table("steps of", f"MB after {given.steps // 5}", f"MB after {given.steps}")
    for kind in given.kinds:
        early, late = held_bytes(kind, steps=given.steps)
        table.add_row(kind, f"{early / 1e6:.1f}", f"{late / 1e6:.1f}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    tune_process()
    print(*KINDS_OF_STEPS[sys.argv[1]](int(sys.argv[2])))
