"""Measure the maps of a trained network: what ``visattn evaluate-maps`` does."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from time import perf_counter

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

import visattn
from visattn.basics.files import write_whole
from visattn.basics.processes import leads
from visattn.data.folders import FolderDataset
from visattn.data.preparation import learned_mask_values, preparation, preparation_line
from visattn.data.sources import SUSHI, check_scenes, find_source
from visattn.evaluation.asking import asked_about
from visattn.evaluation.map_metrics import SHARES, evaluate_maps
from visattn.evaluation.score_tables import as_markdown, left_out, score_tables
from visattn.evaluation.scores import MapScores
from visattn.evaluation.sources import BASELINES, network_maps
from visattn.metrics import Baseline
from visattn.networks.loading import load_classifier, untrained_note
from visattn.recording.asking import LEAST_OVERLAP, Asked
from visattn.recording.marking import Marker
from visattn.recording.questions import Question, class_name

_BATCH = 10
_WIDE = 132
_LONG = 120
_SETTINGS = ("tolerance", "steps", "multilabel", "deletion_baseline", "insertion_baseline")
_ASKED = {
    "": "",
    "region": ", each asked about the class of its largest region",
    "box": ", each asked about its strongest box",
}


def measure_maps(
    model: str | Path,
    *,
    weights: str | Path | None = None,
    pretrained: bool = False,
    data: str | Path = SUSHI,
    split: str | None = None,
    limit: int = 100,
    draws: int = 1,
    layer: str | None = None,
    sites: Sequence[str] | None = None,
    cams: Sequence[Marker] | None = None,
    target: str | None = None,
    size: int | None = None,
    tolerance: float = 0,
    steps: int = 10,
    deletion_baseline: Baseline = "zero",
    insertion_baseline: Baseline = "blur",
    multilabel: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    skip_broken: bool = False,
) -> list[dict[str, MapScores]]:
    """Measure what each site of a network says of places, and print three tables.

    The arguments are those that ``visattn evaluate-maps --help`` explains.

    Returns:
        Scores by map, of each draw.

    Raises:
        FileNotFoundError: If the checkpoint or the folder is missing.
        KeyError: If the network has no such layer.
        ValueError: If an option is out of its range, or no image has a mask.
    """
    given = locals()
    if limit < 0:
        raise ValueError(f"limit must be a number of images, or 0 for all, got {limit}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    network, facts = load_classifier(model, weights=weights, pretrained=pretrained)
    prepared = preparation(facts, size=size)
    check_scenes(data, facts.get("class_names"))
    rendered = str(data) == SUSHI
    wanted = split or ("test_mixed_rand" if rendered else None)
    root, chosen = find_source(
        data,
        split=wanted,
        size=prepared["size"],
        scenes=max(limit or 100, 8) * draws,  # other ones in each
        variants=[str(wanted).removeprefix("test_")],  # of the scenes; no others are rendered
    )
    if chosen is None:
        raise FileNotFoundError(
            f"no split in {root}: expected folders such as test/images/CLASS/ID.png, with masks in "
            "test/masks/CLASS/ID.png"
        )
    values = learned_mask_values(facts, scenes=rendered)
    dataset = FolderDataset(
        Path(str(root)),
        split=chosen,
        class_names=facts.get("class_names"),
        mask_values=values,
        skip_broken=skip_broken,
        **prepared,
    )
    if not dataset.masks_kept:
        raise ValueError(
            f"no image of the split {dataset.split!r} of {dataset.root} has a mask: masks stand in "
            f"{dataset.root / dataset.split / 'masks'}/CLASS/ID.png"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    console = Console(highlight=False, emoji=False, quiet=not leads())
    console.print(preparation_line(facts, prepared), soft_wrap=True, markup=False)
    options = {name: given[name] for name in _SETTINGS}
    methods = cams or ("gradcam",)
    names = facts.get("class_names") or facts.get("logit_names")
    wish = None if target is None else Asked.of(target, names=names)
    options |= {"target": wish, "class_names": names}
    found: list[dict[str, MapScores]] = []
    for draw in range(seed, seed + draws):
        order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(draw))
        rows = sorted(order[: limit or (len(order) // draws if rendered else None)].tolist())
        dataset.check(rows)
        for row in rows:  # the first in which there is something to ask about
            first = torch.as_tensor(dataset[row]["image"])[None].to(device)
            asked = asked_about(network, first, batch_size=1, asked=wish, names=names)
            if isinstance(asked, Tensor) or bool(asked.found.any()):
                break
        if not isinstance(asked, Tensor) and not bool(asked.found.any()):
            raise ValueError(_nothing(asked, count=len(rows), wish=wish))
        kind = "" if isinstance(asked, Tensor) else asked.kind
        maps_of = network_maps(network, first, layer=layer, cams=methods, asked=asked, sites=sites)
        if not found:
            count = len(maps_of.names) + len(BASELINES)
            each = count * _passes(steps) * _seconds(network, first)
            if (cost := each * len(rows) * draws) > _LONG:
                console.print(
                    f"{count} maps of {len(rows) * draws} images, {_passes(steps)} passes of the"
                    f" network for each: about {duration(cost)} or more; --limit, --sites and"
                    " --steps take fewer",
                    soft_wrap=True,
                )
        loader = DataLoader(Subset(dataset, rows), batch_size=1 if kind else _BATCH)
        batches = track(loader, description="Measuring", console=console, transient=True)
        found.append(evaluate_maps(network, batches, maps_of=maps_of, seed=draw, **options))
    number = f"{len(rows)} images" if draws == 1 else f"{draws} draws of {len(rows)} images"
    if draws > 1 and len(rows) == len(dataset):
        number += ", which are all there are,"
    untrained = untrained_note(model, pretrained=pretrained, weights=weights)
    every = score_tables(
        found,
        title=f"{model}{untrained}: {number} of {dataset.split}{_asked(kind, wish, names)}",
        deletion=deletion_baseline,
        insertion=insertion_baseline,
    )
    tables = [table for table in every if len(table.columns) > 1]  # boxes have no third
    if draws > 1 or not console.is_terminal:  # a deviation beside each number; whole names in files
        console.width = max(console.width, _WIDE)
    for table in tables:
        console.print(table)
        console.print()
    for sentence in dict.fromkeys(chain.from_iterable(map(left_out, found))):
        console.print(sentence, soft_wrap=True, markup=False)
    if out is not None and leads():
        settings = {
            "model": str(model),
            "data": str(dataset.root),
            "split": dataset.split,
            "images": len(rows),
            **prepared,
            "mask_values": asdict(values),
            **{name: given[name] for name in _SETTINGS},
            "target": target,
            "cams": methods,
            "seed": seed,
            "visattn": visattn.__version__,
        }
        maps = [{name: scores.as_dict() for name, scores in draw.items()} for draw in found]
        written = {"maps": maps[0]} if draws == 1 else {"draws": maps}
        text = json.dumps({**settings, **written}, indent=2) + "\n"
        if Path(out).suffix == ".md":
            text = "\n".join(map(as_markdown, tables))
        write_whole(out, text)
        console.print(f"written to {out}", soft_wrap=True, markup=False)
    return found


def _asked(kind: str, target: Asked | None, names: Sequence[str] | None) -> str:
    """What the heading says of what was asked."""
    if target is None:
        return _ASKED[kind]
    where = (
        ""
        if target.box is None
        else f" in the rectangle {', '.join(map('{:g}'.format, target.box))}"
    )
    return f", asked about {class_name(target.label, names)}{where}"


def _nothing(asked: Question, *, count: int, wish: Asked | None) -> str:
    """What is so where there is nothing to ask about in any of the pictures; of the last one."""
    lacks, where = asked.words[0], "the picture" if count == 1 else f"any of the {count} pictures"
    if wish is not None and wish.box is not None:
        lacks = lacks.removesuffix(" there") + f" at {','.join(map('{:g}'.format, wish.box))}"
        lacks += f", with an IoU of {LEAST_OVERLAP:g} at least"
    todo = "Give pictures in which it finds something"
    if wish is not None:
        todo = (
            "Name with --target what is there, in the pixels of the picture that the network gets,"
            " or leave it out: each picture is asked about what the network finds then"
        )
    return (
        f"there is nothing to ask about in {where}: {lacks}. In the last one the network found "
        f"{asked.instead[0]}. {todo}"
    )


def _passes(steps: int) -> int:
    """Passes of the network for an image and a map, without those that all maps share."""
    return 2 * (steps - 1) + 2 * len(SHARES) + 1


def _seconds(network: nn.Module, image: Tensor) -> float:
    """What one image takes."""
    with torch.inference_mode():
        begin = perf_counter()
        network(image)
    return perf_counter() - begin


def duration(seconds: float) -> str:
    """A time in words.

    Example:
        >>> duration(130), duration(7500)
        ('2 minutes', '2.1 hours')
    """
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
