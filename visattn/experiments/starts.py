"""What it is worth to begin as the identity: fine-tuning of a wrapped network, measured."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import lightning as L
import torch
import yaml
from rich.console import Console
from rich.table import Table

from visattn.basics.files import write_whole
from visattn.experiments.recipe_run import build_recipe, timed
from visattn.experiments.starts_figure import Curve, draw_curves
from visattn.metrics.statistic import Statistic
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import find_recipe
from visattn.training.command_line.runs import find_checkpoint

BASE, TUNED = "finetuning/base", "finetuning/attention"
NEW, OLD = "new kinds", "old kinds"
PLACED = (("se", "block"), ("cbam", "block"), ("se", "branch"))
PLACES = {"block": "after each block", "branch": "in each branch"}
INITS = ("identity", "paper")
ALONE, ALL = "classifier alone", "everything, no attention"

_QUICK = {
    "data.size": 32,
    "data.train": 16,
    "data.val": 8,
    "data.test": 0,
    "data.batch_size": 8,
    "data.workers": 0,
}
_NO_BAR = {"trainer.enable_progress_bar": False}
_QUICK_STEPS = {"trainer.max_steps": 4, "trainer.val_check_interval": 2}


@dataclass(frozen=True)
class Arm:
    """One way to fine-tune.

    Attributes:
        kinds: ``NEW``: kinds that the network doesn't know, with a new classifier; ``OLD``: those
            that it was trained on, with the classifier that it has.
        name: What is put in and how it starts, or what trains instead.
        changes: To the recipe ``finetuning/attention``.
    """

    kinds: str
    name: str
    changes: Mapping[str, Any]


def arms(old_kinds: Sequence[str]) -> list[Arm]:
    """All ways that are compared.

    On the new kinds attention and the classifier train; beside them stand the classifier alone and
    the whole network, both without attention. On the old kinds nothing but attention trains.
    """
    none = {"model.attention": None, "model.attention_learning_rate": None}
    found = [
        Arm(NEW, ALONE, none),
        Arm(NEW, ALL, {**none, "model.freeze": None, "model.learning_rate": 0.001}),
    ]
    old = {"data.kinds": list(old_kinds), "model.new_classifier": False, "model.unfrozen": []}
    for kinds, changes in ((NEW, {}), (OLD, old)):
        for block, at in PLACED:
            for init in INITS:
                attention = {"model.attention": {"block": block, "at": at, "init": init}}
                name = f"{block} {PLACES[at]}: {init}"
                found.append(Arm(kinds, name, {**changes, **attention}))
    return found


def run_finetuning(
    *,
    seeds: Sequence[int] = (0, 1, 2),
    out: str | Path = "runs/finetuning",
    quick: bool = False,
) -> dict[str, Any]:
    """Train a network on four kinds of sushi, fine-tune it in several ways, draw the curves.

    The settings are those of the recipes ``finetuning/base`` and ``finetuning/attention``. The
    accuracy on the validation split is measured before the first step and every few steps. ``out``
    gets ``results.json``, ``curves.png`` and a file for each curve; a curve that is there with the
    same settings isn't trained again, so an interrupted comparison goes on.

    Args:
        seeds: Of the trainings; the scenes stay the same.
        out: Folder for everything.
        quick: A few small pictures and steps: shows that everything works, and nothing else.

    Returns:
        What is in ``results.json``.
    """
    console = Console(highlight=False, soft_wrap=True)
    out = Path(out)
    if not seeds:
        raise ValueError("seeds must name at least one seed, such as [0, 1, 2]")
    curves: list[Curve] = []
    for seed in seeds:
        base, kinds = _base(seed, out, quick=quick, console=console)
        for arm in arms(kinds):
            curves.append(_curve(arm, seed, base, out, quick=quick, console=console))
    found = {
        "command": "visattn finetune",
        "quick": quick,
        "seeds": list(seeds),
        "recipes": {"base": BASE, "attention": TUNED},
        "curves": [asdict(curve) for curve in curves],
    }
    written = write_whole(out / "results.json", json.dumps(found, indent=2) + "\n")
    picture = draw_curves(curves, out / "curves.png")
    for kind in (NEW, OLD):
        console.print(_table([curve for curve in curves if curve.kinds == kind], kind))
    console.print(f"{written}, {picture}")
    return found


def _base(seed: int, out: Path, *, quick: bool, console: Console) -> tuple[Path, list[str]]:
    """The checkpoint of the network that is fine-tuned, and the kinds that it knows."""
    name = f"base-seed{seed}" + ("-quick" if quick else "")
    changes: dict[str, Any] = {"seed_everything": seed, "data.seed": seed}
    changes |= {**_QUICK, "trainer.max_epochs": 1} if quick else {}
    build = partial(build_recipe, BASE, runs=out, name=name, changes={**_NO_BAR, **changes})
    cli = build(logs=False)
    if not _is_whole(out, name, epochs=cli.trainer.max_epochs):
        with timed(console, f"Training {name} on {', '.join(cli.datamodule.class_names)}"):
            cli = build()
            with quiet_lightning():
                cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return find_checkpoint(out, name=name), list(cli.datamodule.class_names)


def _is_whole(out: Path, name: str, *, epochs: int | None) -> bool:
    """Whether there is a checkpoint of this name from the end of its training."""
    try:
        path = find_checkpoint(out, name=name)
    except FileNotFoundError:
        return False
    return bool(torch.load(path, weights_only=True, map_location="cpu")["epoch"] + 1 == epochs)


def _curve(arm: Arm, seed: int, base: Path, out: Path, *, quick: bool, console: Console) -> Curve:
    """The accuracy by step of one way, trained or read."""
    changes = {"seed_everything": seed, "data.seed": seed, "model.weights": str(base)}
    changes |= {**_QUICK, **_QUICK_STEPS} if quick else {}
    changes |= {"trainer.num_sanity_val_steps": 0, **arm.changes}
    name = "-".join(re.findall(r"\w+", f"{arm.kinds} {arm.name} seed{seed}"))
    file = out / "curves" / f"{name}.json"
    recipe = yaml.safe_load(find_recipe(TUNED).read_text(encoding="utf-8"))
    settings = {"recipe": recipe, "changes": changes}
    if file.is_file():
        saved = json.loads(file.read_text(encoding="utf-8"))
        if saved["settings"] == settings:
            return Curve(**saved["curve"])
    points = _Points()
    cli = build_recipe(
        TUNED, runs=out, name=name, changes={**_NO_BAR, **changes}, logs=False, callbacks=[points]
    )
    trained = sum(p.numel() for p in cli.model.parameters() if p.requires_grad)
    begun = time.monotonic()
    with quiet_lightning():
        cli.trainer.validate(cli.model, datamodule=cli.datamodule, verbose=False)
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    curve = Curve(arm.kinds, arm.name, seed, trained, points.steps, points.accuracies)
    console.print(
        f"{arm.kinds}, {arm.name}, seed {seed}: {curve.accuracies[0]:.1%} to "
        f"{curve.accuracies[-1]:.1%} in {curve.steps[-1]} steps, {time.monotonic() - begun:.0f} s"
    )
    write_whole(file, json.dumps({"settings": settings, "curve": asdict(curve)}, indent=2))
    return curve


@final
class _Points(L.Callback):
    """Keeps the accuracy of every validation with the number of steps before it."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.accuracies: list[float] = []

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep one point."""
        self.steps.append(trainer.global_step)
        self.accuracies.append(float(trainer.callback_metrics["val/accuracy"]))


def _table(curves: Sequence[Curve], title: str) -> Table:
    """A row a way: accuracy at the start, after a few steps and at the end, mean over seeds."""
    table = Table(title=f"Accuracy on {title}, %", title_justify="left")
    shown = _shown(curves[0].steps)
    table.add_column("", no_wrap=True)
    for heading in ("trained parameters", *(f"step {curves[0].steps[i]}" for i in shown)):
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(curve.name for curve in curves):
        own = [curve for curve in curves if curve.name == name]
        cells = (_spread([curve.accuracies[i] for curve in own]) for i in shown)
        table.add_row(name, f"{own[0].trained:,}", *cells)
    return table


def _shown(steps: Sequence[int]) -> list[int]:
    """The rows of a curve that a table shows: the first, some early ones, the last."""
    return sorted({0, 1, 2, len(steps) // 2, len(steps) - 1} & set(range(len(steps))))


def _spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in per cent; the mean alone of fewer than three."""
    if len(values) < 3:
        return f"{100 * sum(values) / len(values):.1f}"
    return Statistic.of(values).text(scale=100, digits=1)
