"""What one process does, or several that torchrun started: work_together.py DATA OUT."""

import json
import os
import signal
import sys
from pathlib import Path

import lightning as L
import torch
from torch import nn

from visattn.basics.processes import from_all, process_count
from visattn.cli import main
from visattn.data.modules import FolderData
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.objectives import (
    AreaFocus,
    BoxFocus,
    BranchCrossEntropy,
    CrossEntropy,
    EnergyInside,
    GroupDRO,
    LabelFocus,
    LastLayerRefit,
    MaskedFocus,
    RightReasons,
    WeightedSum,
)

MASK = {"block": "spatial_mask", "at": "image", "init": "paper", "width": 4, "depth": 2}
STILL = {"flip": True, "rotate": 5.0}


class Tiny(nn.Module):
    """No batch norm: its statistics are those of a process."""

    def __init__(self, num_classes=2, norm=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.unused = nn.Linear(2, 2)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(self.bn1(self.conv1(x)).relu().mean((2, 3)))


def normed(num_classes=2):
    return Tiny(num_classes, norm=True)


def fitted(objective, *, data, backbone=Tiny, out=None, epochs=2, attention=MASK, **options):
    """A classifier after its training, equal in all processes, and its trainer."""
    count = process_count_of_torchrun()
    torch.manual_seed(0)
    L.seed_everything(0, verbose=False)
    size = options.pop("global_batch", 8) // count
    module = ImageClassifier(backbone, num_classes=2, attention=attention, objective=objective)
    source = FolderData(data, size=32, batch_size=size, workers=0, **options)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=count,
        strategy="ddp" if count > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, source)
    first, *others = from_all(module.state_dict())
    for other in others:
        for name, value in first.items():
            if "running" not in name and "tracked" not in name:
                assert torch.equal(value, other[name]), name
    if out is not None:
        trainer.save_checkpoint(out)
    return module, trainer


def process_count_of_torchrun():
    import os

    return int(os.environ.get("WORLD_SIZE", "1"))


def run(data, out):
    found, first = {}, None
    for name, objective, options in (
        ("cross_entropy", CrossEntropy(), {}),
        ("group_dro", GroupDRO(step=0.5), {}),
        ("balanced", CrossEntropy(), {"group_balanced": True}),
    ):
        module, trainer = fitted(objective, data=data, out=out / f"{name}.ckpt", **options)
        found[name] = {n: float(v) for n, v in trainer.callback_metrics.items()}
        torch.save(module.state_dict(), out / f"{name}.{trainer.global_rank}.pt")
        first = first or trainer
    torch.manual_seed(1)
    module = ImageClassifier("resnet10t", num_classes=2, attention=MASK)
    trainer.strategy.connect(module)
    source = FolderData(data, size=32, batch_size=3, workers=0)
    found["test"] = trainer.test(module, source, verbose=False)
    found["validate"] = trainer.validate(module, source, verbose=False)
    outcome = module.outcomes["test_same"]
    found["rows"] = outcome.index.tolist()
    found["names"] = list(outcome.names)
    checkpoint = out / "resnet.ckpt"
    trainer.save_checkpoint(checkpoint)
    trainer.strategy.barrier()
    audit = ["audit", "--model", str(checkpoint), "--data", str(data), "--out", str(out / "audit")]
    assert main([*audit, "--split", "test_rand", "--adversarial", "3", "--batch_size", "2"]) == 0
    maps = ["evaluate-maps", str(checkpoint), "--data", str(data), "--split", "test_rand"]
    assert main([*maps, "--limit", "0", "--steps", "2", "--out", str(out / "maps.json")]) == 0
    where = ["--data", "FolderData", "--data.root", str(data), "--data.size", "32"]
    where += ["--data.workers", "0", "--data.batch_size", "2", "--trainer.accelerator", "cpu"]
    fit = ["fit", "-c", "foreground/mask", *where, "--data.mask_share", "1", "--runs", str(out)]
    assert main([*fit, "--trainer.max_epochs", "2"]) == 0
    where += ["--ckpt_path", str(checkpoint)]
    assert main(["test", *where]) == 0
    assert main(["predict", *where, "--data.predict_folder", f"{data}/test_same/images"]) == 0
    return found


class Stop(L.Callback):
    """Sends the first process SIGTERM within its third step."""

    def on_before_backward(self, trainer, *_):
        if trainer.global_rank == 0 and trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)


OBJECTIVES = {
    "mask": (lambda: MaskedFocus(labelled=2, warmup=0.3), {"mask_share": 0.3}),
    "all_masks": (lambda: MaskedFocus(labelled=2, consistency_weight=0.5), {}),
    "boxes": (lambda: BoxFocus(labelled=2), {"mask_form": "box", "mask_share": 0.3}),
    "area": (AreaFocus, {}),
    "energy": (lambda: EnergyInside(labelled=2), {"mask_share": 0.3}),
    "reasons": (lambda: RightReasons(labelled=2), {"mask_share": 0.3}),
    "labels": (lambda: LabelFocus(start=0.5, labelled=2, share=0.01), {}),
    "last_layer": (lambda: LastLayerRefit(refit=0.5, balanced=8), {}),
    "sum": (lambda: WeightedSum([CrossEntropy(), EnergyInside(labelled=2)]), {}),
    "branch": (BranchCrossEntropy, {"attention": {"block": "abn", "init": "paper"}}),
}


def run_objectives(data, out):
    found = {}
    for name, (make, options) in OBJECTIVES.items():
        backbone = "resnet10t" if name == "branch" else normed
        module, trainer = fitted(make(), data=data, backbone=backbone, global_batch=6, **options)
        found[name] = sorted(trainer.callback_metrics)
        local = getattr(module.objective, "_local", None)
        if local is not None:
            states = from_all(local.state_dict())
            assert all(torch.equal(states[0][n], states[-1][n]) for n in states[0])
            state = module.objective.state_dict()
            assert "_local" in state
            assert "_optimizer" in state
    return found


if __name__ == "__main__":
    data, out = map(Path, sys.argv[1:3])
    with quiet_lightning():
        found = run(data, out)
        if process_count() > 1:
            found["objectives"] = run_objectives(data, out)
        if process_count() == 1 or torch.distributed.get_rank() == 0:
            (out / "found.json").write_text(json.dumps(found))
