"""Measure the maps of a trained network: what ``visattn evaluate-maps`` does."""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.utils.data import DataLoader, Subset

from visattn.basics.suggestions import nearest
from visattn.basics.terminal_table import terminal_table
from visattn.data.folders import IMAGENET_MEAN, IMAGENET_STD, FolderDataset
from visattn.data.layout import split_names
from visattn.data.modules import SushiData
from visattn.evaluation import MapScores, evaluate_maps
from visattn.metrics import Baseline
from visattn.networks.loading import load_classifier

SUSHI, SUSHI_SPLIT = "sushi", "test_mixed_rand"
_BATCH = 10
_WHERE = {
    "pointing": "pointing",
    "mass_inside": "mass inside",
    "iou": "IoU",
    "pxap": "PxAP",
    "max_box_acc": "MaxBoxAcc",
}
_WHY = {
    "deletion": "deletion ↓",
    "insertion": "insertion ↑",
    "drop": "drop ↓",
    "increase": "increase ↑",
    "road": "ROAD ↑",
}


def measure_maps(
    model: str | Path,
    *,
    data: str | Path = SUSHI,
    split: str | None = None,
    limit: int = 100,
    layer: str | None = None,
    size: int | None = None,
    tolerance: float = 0,
    steps: int = 10,
    deletion_baseline: Baseline = "zero",
    insertion_baseline: Baseline = "blur",
    seed: int = 0,
    out: str | Path | None = None,
) -> dict[str, MapScores]:
    """Measure what each site of a network says of places, and print three tables.

    Args:
        model: A checkpoint of `ImageClassifier`, or the name of a timm model.
        data: A folder ``SPLIT/images/CLASS/ID.*`` with masks in ``SPLIT/masks/CLASS/ID.*``, or
            ``"sushi"`` for scenes that are rendered.
        split: Which split of ``data``; the last whose name begins with ``test``, or of the scenes
            ``test_mixed_rand``, if None.
        limit: How many images, drawn at random; 0 for all.
        layer: Grad-CAM's layer; the last maps before the global pooling if None, and a finer one
            where these are very coarse.
        size: Side to which pictures are scaled; that of the training if None, 224 for a name.
        tolerance: Of the pointing game, in pixels.
        steps: Steps of deletion and insertion.
        deletion_baseline: What stands in the place of a deleted pixel.
        insertion_baseline: On what pixels are revealed.
        seed: Of the drawing, the random map and the randomised weights.
        out: A JSON file for the numbers.

    Returns:
        Scores by map.

    Raises:
        FileNotFoundError: If the checkpoint or the folder is missing.
        KeyError: If the network has no such layer.
        ValueError: If an option is out of its range, or no image has a mask.
    """
    if limit < 0:
        raise ValueError(f"limit must be a number of images, or 0 for all, got {limit}")
    network, facts = load_classifier(model)
    side = size or facts.get("size", 224)
    dataset = _dataset(data, split=split, side=side, facts=facts, least=limit or 100)
    if not dataset.masks_kept:
        raise ValueError(
            f"no image of the split {dataset.split!r} of {dataset.root} has a mask: masks stand in "
            f"{dataset.root / dataset.split / 'masks'}/CLASS/ID.png"
        )
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    rows = sorted(order[: limit or len(order)].tolist())
    loader = DataLoader(Subset(dataset, rows), batch_size=_BATCH)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    console = Console(highlight=False)
    found = evaluate_maps(
        network,
        track(loader, description="Measuring", console=console, transient=True),
        layer=layer,
        tolerance=tolerance,
        steps=steps,
        deletion_baseline=deletion_baseline,
        insertion_baseline=insertion_baseline,
        seed=seed,
    )
    title = f"{model}: {len(rows)} images of {dataset.split}"
    for table in (
        _where_table(found, title=title),
        _why_table(found, deletion=deletion_baseline, insertion=insertion_baseline),
        _randomisation_table(found),
    ):
        console.print(table)
        console.print()
    _say_what_was_left_out(found, console)
    if out is not None:
        settings = {
            "model": str(model),
            "data": str(dataset.root),
            "split": dataset.split,
            "images": len(rows),
            "size": side,
            "tolerance": tolerance,
            "steps": steps,
            "deletion_baseline": deletion_baseline,
            "insertion_baseline": insertion_baseline,
            "seed": seed,
            "visattn": version("visattn"),
        }
        _write(Path(out), {**settings, "maps": {k: v.as_dict() for k, v in found.items()}})
        console.print(f"written to {out}", soft_wrap=True, markup=False)
    return found


def _dataset(
    data: str | Path, *, split: str | None, side: int, facts: Mapping[str, Any], least: int
) -> FolderDataset:
    """The split to measure on, its pictures prepared as the network's were in training."""
    classes = facts.get("class_names")
    if str(data) == SUSHI:
        wanted = split or SUSHI_SPLIT
        variant = wanted.removeprefix("test_")
        scenes = SushiData(size=side, train=8, val=0, test=max(least, 8), variants=[variant])
        root, classes = scenes.locate(), classes or scenes.class_names
    else:
        root = Path(data)
        known = split_names(root)
        wanted = split or ([name for name in known if name.startswith("test")] or list(known))[-1]
        if wanted not in known:
            raise ValueError(
                f"no split {wanted!r} in {root}{nearest(wanted, names=known)}\n"
                f"There are {', '.join(known)}"
            )
    return FolderDataset(
        root,
        split=wanted,
        size=side,
        fit=facts.get("fit", "crop"),
        class_names=classes,
        mean=facts.get("mean", IMAGENET_MEAN),
        std=facts.get("std", IMAGENET_STD),
    )


def _where_table(found: Mapping[str, MapScores], *, title: str) -> Table:
    """Localisation, the chance level in the last row."""
    table = terminal_table(
        title=f"{title}\nDoes the map lie on the object?",
        words=["map"],
        numbers=list(_WHERE.values()),
    )
    for name, scores in found.items():
        table.add_row(name, *(_number(scores.localisation[metric].value) for metric in _WHERE))
    table.add_section()
    first = next(iter(found.values())).localisation
    table.add_row("chance", *(_number(first[metric].chance) for metric in _WHERE))
    return table


def _why_table(found: Mapping[str, MapScores], *, deletion: str, insertion: str) -> Table:
    """Faithfulness; what sees no image stands in the last rows."""
    table = terminal_table(
        title="Does the prediction depend on what the map marks? (↓ low is good, ↑ high is good)",
        words=["map"],
        numbers=list(_WHY.values()),
        caption=f"On {deletion} for deletion, {insertion} for insertion, zero for drop and"
        " increase. The random map is the chance level.",
    )
    for name, scores in found.items():
        table.add_row(name, *(_number(scores.faithfulness[metric].value) for metric in _WHY))
    return table


def _randomisation_table(found: Mapping[str, MapScores]) -> Table:
    """The randomisation test, a column a step."""
    shares = next(iter(found.values())).randomisation
    table = terminal_table(
        title="Rank correlation with the map after a share of the layers was randomised, top first",
        words=["map"],
        numbers=[f"{share:.0%}" for share in shares],
        caption="At 1 the map reads nothing of these layers; empty where it became flat.",
    )
    for name, scores in found.items():
        table.add_row(name, *(_number(scores.randomisation[s].value, digits=2) for s in shares))
    return table


def _say_what_was_left_out(found: Mapping[str, MapScores], console: Console) -> None:
    """A line for each map and metric with undefined values."""
    for name, scores in found.items():
        for metric, score in {**scores.localisation, **scores.faithfulness}.items():
            if score.left_out:
                heading = {**_WHERE, **_WHY}[metric].rstrip(" ↓↑")
                console.print(
                    f"{name}: {heading} is undefined for {score.left_out} of "
                    f"{score.images + score.left_out} images, which are left out",
                    soft_wrap=True,
                    markup=False,
                )


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _number(value: float | None, *, digits: int = 3) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"
