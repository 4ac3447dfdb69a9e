"""The main job, end to end: the same network with and without a mask, on sushi scenes."""

import gc
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import visattn
from visattn.basics.files import write_whole
from visattn.data.generated.sushi import sushi_cache
from visattn.data.modules import SushiData
from visattn.experiments.recipe_run import build_recipe, timed
from visattn.experiments.two_plates import draw_two_plates
from visattn.metrics import paired_difference
from visattn.pictures import panels, save
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.results import Results, interval, percent, points

RECIPES = ("plain", "mask")
SPLITS = ("original", "mixed_same", "mixed_rand", "mixed_new", "only_bg")
SHOWN = "mixed_rand"
RANDOM_SAMPLES, WORST_SAMPLES = 8, 4

_QUICK = {
    "trainer.max_epochs": 1,
    "data.size": 32,
    "data.train": 32,
    "data.val": 8,
    "data.test": 16,
    "data.batch_size": 8,
    "data.workers": 0,
    "data.mask_share": 0.5,
}


@dataclass(frozen=True)
class _Trained:
    """One network after its training, and what it did on the test splits."""

    model: ImageClassifier
    data: SushiData
    results: Results
    epochs: int
    run: str
    device: str
    seconds: Mapping[str, float]


def run_demo(
    *,
    seed: int = 0,
    out: str | Path = "runs/demo",
    epochs: int | None = None,
    size: int | None = None,
    quick: bool = False,
) -> dict[str, Any]:
    """Render the scenes, train ``plain`` and ``mask``, test both, and write down what came out.

    The settings are those of the recipes ``foreground/plain`` and ``foreground/mask``. The numbers
    are those of the end of the training: nothing is selected. ``out`` gets ``results.json``,
    ``overlays.png``, ``two_plates.png`` if there is a piece for which the plate decides, and a run
    folder for each network.

    Args:
        seed: Of the training and of the choice of the images that have a mask. The scenes do not
            change with it.
        out: Folder for everything.
        epochs: Of each training; the recipe's own if None.
        size: Side of the pictures in pixels; the recipe's own if None.
        quick: A few small pictures and one epoch: shows that everything works, and nothing else.

    Returns:
        What is in ``results.json``.
    """
    begun = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)
    out = Path(out)
    changes: dict[str, Any] = dict(_QUICK) if quick else {}
    changes |= {"seed_everything": seed, "data.seed": seed, "data.mask_seed": seed}
    changes |= {} if epochs is None else {"trainer.max_epochs": epochs}
    changes |= {} if size is None else {"data.size": size}
    changes["data.variants"] = list(SPLITS)
    plain = build_recipe("foreground/plain", runs=out, name="plain", changes=changes, logs=False)
    seconds: dict[str, Any] = {"scenes": _render(plain, console)}
    trained: dict[str, _Trained] = {}
    for name in RECIPES:
        cli = build_recipe(f"foreground/{name}", runs=out, name=name, changes=changes)
        trained[name] = _train_and_test(cli, name=name, console=console)
        gc.collect()
        seconds[name] = dict(trained[name].seconds)
    with timed(console, "Drawing") as clock:
        pictures = _draw(trained["mask"], seed=seed, out=out / "overlays.png")
        both = {name: (entry.model, entry.results) for name, entry in trained.items()}
        plates = draw_two_plates(both, trained["mask"].data, out=out / "two_plates.png")
    seconds |= {"drawing": clock["seconds"], "total": time.monotonic() - begun}
    found = {
        "command": "visattn demo",
        "visattn": visattn.__version__,
        "seed": seed,
        "quick": quick,
        "settings": _settings(trained["mask"]),
        "machine": _machine(trained["mask"]),
        "seconds": seconds,
        "models": {name: entry.results.as_dict() for name, entry in trained.items()},
        "mask_minus_plain": _differences(trained),
        "runs": {name: entry.run for name, entry in trained.items()},
    }
    written = write_whole(out / "results.json", json.dumps(found, indent=2) + "\n")
    console.print(_table(trained, quick=quick))
    files = ", ".join(str(file) for file in (written, pictures, plates) if file)
    console.print(f"{files}: {seconds['total']:.0f} s in all")
    return found


def _render(cli: TaskCLI, console: Console) -> float:
    data: SushiData = cli.datamodule
    wanted = data.parameters
    folder = sushi_cache(wanted) if data.root is None else Path(data.root)
    count = wanted.train + wanted.val + wanted.test * len(wanted.variants)
    if folder.is_dir():
        console.print(f"Scenes: {count} pictures are there already, in {folder}")
        return 0.0
    with timed(console, f"Scenes: rendering {count} pictures into {folder}") as clock:
        data.prepare_data()
    return clock["seconds"]


def _train_and_test(cli: TaskCLI, *, name: str, console: Console) -> _Trained:
    epochs, masks = cli.trainer.max_epochs or 0, cli.datamodule.mask_share
    what = {
        "plain": "the network alone",
        "mask": f"the network behind a mask, learnt from the masks of {masks:.0%} of the images",
    }[name]
    seconds = {}
    with quiet_lightning():
        with timed(console, f"Training {name}: {what}; epochs: {epochs}") as clock:
            cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        seconds["training"] = clock["seconds"]
        with timed(console, f"Testing {name}") as clock:
            cli.trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
        seconds["testing"] = clock["seconds"]
    splits = {key.removeprefix("test_"): value for key, value in cli.outcomes.splits.items()}
    trained = _Trained(
        model=cli.model,
        data=cli.datamodule,
        results=Results.of(splits),
        epochs=epochs,
        run=str(cli.trainer.log_dir),
        device=str(cli.trainer.strategy.root_device),
        seconds=seconds,
    )
    trained.model.trainer = None  # so that the trainer goes, and with it the processes that load
    trained.data.trainer = None
    return trained


def _draw(trained: _Trained, *, seed: int, out: Path) -> Path:
    """Seeded random images and those with the worst masks, in four panels each."""
    outcome = trained.results.splits[SHOWN]
    dataset = trained.data.dataset(f"test_{SHOWN}")
    count = len(outcome.label)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    random = order[: min(RANDOM_SAMPLES, count)]
    worst = outcome.mask_iou.nan_to_num(2.0).argsort(stable=True)[: min(WORST_SAMPLES, count)]
    rows = torch.cat([random, worst])
    items = [dataset[int(outcome.index[row])] for row in rows]
    images = torch.stack([torch.as_tensor(item["image"]) for item in items])
    targets = torch.stack([torch.as_tensor(item["mask"]) for item in items])
    model = trained.model.eval()
    with torch.inference_mode():
        _, masks = model.masked_forward(images.to(model.device))
    if masks is None:
        raise ValueError("the recipe foreground/mask has no spatial mask to draw")
    names = trained.data.class_names
    figure = panels(
        images,
        masks.float().cpu(),
        targets=targets,
        true=[names[int(outcome.label[row])] for row in rows],
        predicted=[names[int(outcome.prediction[row])] for row in rows],
        iou=outcome.mask_iou[rows].tolist(),
        sections={
            f"{len(random)} random images of {SHOWN} (seed {seed})": len(random),
            f"The {len(worst)} of {count} with the lowest mask IoU": len(worst),
        },
        title="What the network sees: the image, its mask, the image times the mask",
        columns=2,
        width=10.0,
        mean=trained.data.reading["mean"],
        std=trained.data.reading["std"],
    )
    return save(figure, out)


def _differences(trained: Mapping[str, _Trained]) -> dict[str, Any]:
    """Accuracy of ``mask`` minus accuracy of ``plain`` on the same images, with intervals."""
    found = {}
    for name in SPLITS:
        outcomes = [trained[key].results.splits[name] for key in ("mask", "plain")]
        mask, plain = (outcome.prediction == outcome.label for outcome in outcomes)
        difference = paired_difference(
            both=int((mask & plain).sum()),
            only_first=int((mask & ~plain).sum()),
            only_second=int((~mask & plain).sum()),
            neither=int((~mask & ~plain).sum()),
        )
        found[name] = asdict(difference)
    return found


def _settings(trained: _Trained) -> dict[str, Any]:
    scenes = asdict(trained.data.parameters)
    return {
        "epochs": trained.epochs,
        **{name: scenes[name] for name in ("size", "rho", "train", "val", "test")},
        "mask_share": trained.data.mask_share,
        "recipes": {name: f"foreground/{name}" for name in RECIPES},
    }


def _machine(trained: _Trained) -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": trained.device,
        "torch": str(torch.__version__),
    }


def _table(trained: Mapping[str, _Trained], *, quick: bool) -> Table:
    """Both networks side by side: accuracies with 95 % intervals, BG-gap, mask IoU, minutes."""
    chance = 1 / trained["plain"].data.num_classes
    title = f"Accuracy with 95 % intervals; chance is {percent(chance)}"
    table = Table(title=title + (" (quick: means nothing)" if quick else ""), title_justify="left")
    table.add_column("test split")
    for name in trained:
        table.add_column(name, justify="right")
    results = [entry.results for entry in trained.values()]
    for name in SPLITS:
        shares = [found.splits[name].accuracy for found in results]
        table.add_row(name, *(f"{percent(s.value)}  ({interval(s)})" for s in shares))
    table.add_section()
    gaps = [found.gap for found in results]
    table.add_row(
        "BG-gap, points",
        *("" if gap is None else f"{points(gap.value)}  ({interval(gap)})" for gap in gaps),
    )
    ious = [found.splits["original"].iou for found in results]
    table.add_row("mask IoU, original", *("" if iou is None else f"{iou.mean:.3f}" for iou in ious))
    table.add_row("training", *(f"{entry.seconds['training']:.0f} s" for entry in trained.values()))
    return table
