"""Whether memory stays flat: ``python -m visattn.bench steady``.

Many steps of training (with a bank of masks and swapped backgrounds), of recording and of auditing,
each in a fresh process: what the process holds after a fifth of the steps, and at the end.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.table import Table

from visattn import record, wrap
from visattn.auditing import audit
from visattn.bench.child import run_child
from visattn.data import SushiData
from visattn.data.generated.sushi import KINDS
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.process import tune_process
from visattn.training.objectives import MaskedFocus

SIZE = 32
_MASK = {"block": "spatial_mask", "at": "image", "init": "paper", "width": 4, "detach": True}


def train(steps: int) -> Iterator[int]:
    """Steps of `MaskedFocus`."""

    class Counter(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step in (steps // 5, steps):
                held.append(resident())

    held: list[int] = []
    objective = MaskedFocus(labelled=4, bank=64)
    options: dict[str, Any] = {"channels": [8, 8, 8, 8]}
    module = ImageClassifier(
        "resnet10t", num_classes=8, backbone_options=options, attention=_MASK, objective=objective
    )
    data = SushiData(size=SIZE, train=512, val=8, test=8, batch_size=4, workers=0, mask_share=0.1)
    trainer = L.Trainer(
        max_steps=steps,
        accelerator="cpu",
        callbacks=[Counter()],
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    yield from held


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
    """Audits of 64 batches of a picture each: a step is a batch."""
    root = SushiData(size=SIZE, train=64, val=8, test=8).locate()
    kinds = {kind: place for place, kind in enumerate(sorted(KINDS))}
    model = wrap("resnet10t", "se").eval()
    for step in range(1, steps // 64 + 1):
        audit(
            model, root, split="train", class_map=kinds, size=SIZE, batch_size=1, progress=False,
            adversarial=2, cases=0,
        )  # fmt: skip
        if step in (steps // 64 // 5, steps // 64):
            yield resident()


KINDS_OF_STEPS: dict[str, Callable[[int], Iterator[int]]] = {
    "training": train,
    "recording": record_maps,
    "auditing": audit_pictures,
}


def resident() -> int:
    """Bytes that this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


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
