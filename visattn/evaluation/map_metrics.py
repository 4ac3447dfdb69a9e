"""Every metric on every map of a network."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.logits import class_probabilities
from visattn.basics.processes import from_shares, is_own
from visattn.evaluation.asking import asked_about
from visattn.evaluation.dependence import answering, dependence
from visattn.evaluation.scores import MapScores, Score
from visattn.evaluation.sources import BASELINES, MapsOf, baseline_maps, network_maps
from visattn.metrics import (
    BOX_OVERLAPS,
    Baseline,
    best_over_thresholds,
    box_hits,
    cell_share,
    chance_level,
    energy_pointing,
    grid_rows,
    image_grids,
    mean_over_classes,
    pixel_average_precision,
    pointing_game,
    randomisation_test,
    resize_saliency,
    top_area_iou,
    whole_image_accuracy,
)
from visattn.recording.asking import Asked
from visattn.recording.marking import Marker
from visattn.recording.questions import Question

SHARES = (0.25, 0.5, 0.75)
"""Shares of the pixels that ROAD removes."""

_BOX_THRESHOLDS = 100
_FAITHFULNESS = ("deletion", "insertion", "flipping", "drop", "increase", "road")
_SIDE = 2
_NO_GAME = Score(float("nan"), 0, 0, 1 / _SIDE**2)


def evaluate_maps(
    model: nn.Module,
    batches: Iterable[Mapping[str, Any]],
    *,
    maps_of: MapsOf | None = None,
    layer: str | None = None,
    cams: Sequence[Marker] = ("gradcam",),
    tolerance: float = 0,
    steps: int = 10,
    deletion_baseline: Baseline = "zero",
    insertion_baseline: Baseline = "blur",
    shares: Sequence[float] = SHARES,
    randomised_images: int = 32,
    randomisation_steps: int = 8,
    grids: int = 8,
    seed: int = 0,
    multilabel: bool = False,
    batch_size: int = 64,
    target: Asked | None = None,
    class_names: Sequence[str] | None = None,
) -> dict[str, MapScores]:
    """Measure where each map of a network lies, and whether the network depends on it.

    Maps are resized to the images. The class is the one that the network predicts for the whole
    image, for Grad-CAM too and while the weights are randomised; of a segmentation it is a class
    over its region, of a detector a box (`visattn.recording.asking.question_of`), whose mean
    probability or score is followed as a class's probability is; there are no grids for these, nor
    randomised weights for boxes, since they find other ones. Beside the network's maps stand
    two that see no image, ``"random"`` and ``"centre"``: what they get is what the others have to
    beat. PxAP and MaxBoxAcc bring each map to [0, 1] by its own range first.

    Args:
        model: Images to logits, to one logit whose sigmoid is yes, to a segmentation, or to what
            torchvision's detectors give, in evaluation mode.
        batches: Mappings with ``image`` (N, C, H, W), ``mask`` (N, H, W) or (N, 1, H, W), NaN where
            nothing is known, and ``label`` (N,), over whose classes the pointing game is averaged;
            a loader over `visattn.data.FolderDataset` gives them.
        maps_of: Makes the maps; `network_maps`, the network's own and Grad-CAM, if None.
        layer: Grad-CAM's layer; the last maps before the global pooling if None.
        cams: Methods of `class_activation` beside each other; ``"rollout"``, ``"relevance"`` and
            ``"legrad"`` of a transformer.
        tolerance: Of the pointing game, in pixels.
        steps: Steps of deletion and insertion.
        deletion_baseline: What stands in the place of a deleted pixel.
        insertion_baseline: On what pixels are revealed.
        shares: Shares of the pixels that ROAD removes.
        randomised_images: How many of the images serve the randomisation test; 0 leaves it out.
        randomisation_steps: In how many steps the layers are randomised.
        grids: How many grids the grid pointing game takes, each of 2 x 2 of the images at most for
            the randomisation test, the surest answers first; shrunk to one image's size for a
            network that takes no other. Of fewer than four classes there are none.
        seed: Of the random map and of the randomised weights.
        multilabel: The logits are labels that hold each by itself, not classes.
        batch_size: Images a call of the network.
        target: What every image is asked about, if not about what the network says to it.
        class_names: Names of the classes, of which the background's is told by ``question_of``.

    Returns:
        Scores by map.

    Raises:
        ValueError: If there is no image, or the network is in training mode.

    Example:
        >>> import torchvision, visattn
        >>> model = visattn.wrap(torchvision.models.resnet18(), "cbam", stages=[4]).eval()
        >>> batch = {"image": torch.randn(2, 3, 64, 64), "mask": torch.rand(2, 64, 64).round()}
        >>> batch["label"] = torch.tensor([0, 1])
        >>> found = evaluate_maps(model, [batch], steps=2, randomised_images=0)
        >>> list(found)
        ['layer4.0', 'layer4.1', 'Grad-CAM, layer4', 'Grad-CAM, layer2', 'random', 'centre']
        >>> found["random"].localisation["mass_inside"].images
        2
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    if model.training:
        raise ValueError("the network is in training mode: call model.eval() first")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    measured: dict[int, tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]] = {}
    kept: list[tuple[Tensor, Tensor | Question]] = []
    for place, batch in enumerate(batches):
        images = torch.as_tensor(batch["image"]).to(device)
        asked = asked_about(model, images, batch_size=batch_size, asked=target, names=class_names)
        maps_of = maps_of or network_maps(model, images, layer=layer, cams=cams, asked=asked)
        size = (images.shape[2], images.shape[3])
        baselines = baseline_maps(len(images), size=size, generator=generator)
        left = randomised_images - sum(len(held) for held, _ in kept)
        if left > 0:
            few = asked[:left] if isinstance(asked, Tensor) else asked
            kept.append((images[:left] if isinstance(asked, Tensor) else images, few))
        if not is_own(place):  # another process measures it
            continue
        found = {**_resized(maps_of(model, images, asked), size), **baselines}
        mask = torch.as_tensor(batch["mask"]).cpu()
        mask = mask[:, 0] if mask.ndim == 4 else mask
        truth = {"masks": mask, "labels": torch.as_tensor(batch["label"]).cpu()}
        values: dict[str, dict[str, Tensor]] = {}
        answers = answering(model, asked)
        options: dict[str, Any] = {
            "deletion_baseline": deletion_baseline,
            "insertion_baseline": insertion_baseline,
            "steps": steps,
            "shares": shares,
            "seed": seed,
            "multilabel": multilabel,
            "batch_size": batch_size,
        }
        for name, maps in found.items():
            values[name] = {
                **_places(maps.cpu(), mask, tolerance=tolerance),
                **dependence(answers, images, maps, asked, **options),
            }
            values[name] = {metric: each.cpu() for metric, each in values[name].items()}
        measured[place] = truth, values
    if maps_of is None:
        raise ValueError("there is no image to evaluate on")
    tests: dict[str, dict[float, Score]] = {}
    boxes = any(not isinstance(asked, Tensor) and asked.kind == "box" for _, asked in kept)
    if kept and not boxes:  # other weights find other boxes
        together = _together(model, kept, asked=target, names=class_names)
        tests = _randomised(model, maps_of, *together, steps=randomisation_steps, seed=seed)
    games = _grid_games(model, maps_of, kept, grids=grids, seed=seed)
    seconds = getattr(maps_of, "seconds", {})
    everywhere = {place: part for found in from_shares(measured) for place, part in found.items()}
    parts = [everywhere[place] for place in sorted(everywhere)]
    true = _joined([truth for truth, _ in parts])
    by_map = {name: _joined([values[name] for _, values in parts]) for name in parts[0][1]}
    return {
        name: MapScores(
            localisation=_localisation(values, **true) | {"grid": games.get(name, _NO_GAME)},
            faithfulness={metric: Score.mean(values[metric]) for metric in _FAITHFULNESS},
            randomisation=tests.get(name, {}),
            seconds=seconds.get(name, float("nan")),
        )
        for name, values in by_map.items()
    }


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The values of all batches by name."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _places(maps: Tensor, mask: Tensor, *, tolerance: float) -> dict[str, Tensor]:
    """Where each map of a batch lies, one value an image, and the map over its own range."""
    share = chance_level(mask)
    empty = share == 0
    lowest = maps.amin((1, 2), keepdim=True)
    width = maps.amax((1, 2), keepdim=True) - lowest
    mass = energy_pointing(maps, mask, negative="clip")
    return {
        "pointing": pointing_game(maps, mask, tolerance=tolerance),
        "pointing_chance": chance_level(mask, tolerance=tolerance),
        "iou": top_area_iou(maps, mask),
        "share": share.masked_fill(empty, torch.nan),
        "mass_inside": mass.masked_fill(empty, torch.nan),
        "boxes": box_hits(maps, mask, overlaps=BOX_OVERLAPS, thresholds=_BOX_THRESHOLDS),
        "scaled": ((maps - lowest) / width).nan_to_num(0).float(),
    }


def _localisation(
    found: Mapping[str, Tensor], *, masks: Tensor, labels: Tensor
) -> dict[str, Score]:
    """The scores of all images from `_places`, with their chance levels."""
    hits, mass, share = found["pointing"], found["mass_inside"], found["share"]
    nothing = found["pointing_chance"].masked_fill(hits.isnan(), torch.nan)
    boxes = best_over_thresholds(found["boxes"], overlaps=BOX_OVERLAPS)
    known = ~masks.isnan()
    counted = int(known.flatten(1).any(1).sum())
    precision = pixel_average_precision(found["scaled"], masks)
    pooled = float((masks[known] >= 0.5).double().mean()) if counted else float("nan")
    return {
        "pointing": Score.of(
            mean_over_classes(hits, labels), chance=mean_over_classes(nothing, labels).mean
        ),
        "mass_inside": Score.mean(mass, chance=share.masked_fill(mass.isnan(), torch.nan)),
        "iou": Score.mean(found["iou"], chance=share / (2 - share)),
        "pxap": Score(precision, counted, len(masks) - counted, pooled),
        "max_box_acc": Score(
            boxes.mean, boxes.images, boxes.left_out, whole_image_accuracy(masks).mean
        ),
    }


def _grid_games(
    model: nn.Module,
    maps_of: MapsOf,
    kept: Sequence[tuple[Tensor, Tensor | Question]],
    *,
    grids: int,
    seed: int,
) -> dict[str, Score]:
    """The grid pointing game of all maps: each cell's class asked for in turn."""
    if not kept or not grids or not all(isinstance(asked, Tensor) for _, asked in kept):
        return {}
    images, classes = _together(model, kept)
    with torch.no_grad():
        shares = class_probabilities(model(images)).gather(1, classes[:, None])[:, 0]
    rows = grid_rows(classes.cpu(), shares.cpu(), side=_SIDE)[:grids]
    if not len(rows):
        return {}
    together = image_grids(images, rows)
    size = (together.shape[2], together.shape[3])
    try:
        with torch.no_grad():
            model(together[:1])
    except Exception:  # it takes images of one size alone
        together = F.interpolate(together, images.shape[2:], mode="area")
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[Tensor]] = {}
    for cell in range(_SIDE**2):
        asked = classes[rows[:, cell]]
        maps = _resized(maps_of(model, together, asked), size)
        maps |= baseline_maps(len(rows), size=size, generator=generator)
        for name, values in maps.items():
            place = torch.full((len(rows),), cell)
            found.setdefault(name, []).append(cell_share(values.cpu(), place, side=_SIDE))
    chance = torch.full((rows.numel(),), 1 / _SIDE**2)
    return {name: Score.mean(torch.cat(parts), chance=chance) for name, parts in found.items()}


def _randomised(
    model: nn.Module,
    maps_of: MapsOf,
    images: Tensor,
    asked: Tensor | Question,
    *,
    steps: int,
    seed: int,
) -> dict[str, dict[float, Score]]:
    """The randomisation test of all maps in one go: they stand below each other as one batch."""
    size = (images.shape[2], images.shape[3])
    names: list[str] = []

    def stacked(network: nn.Module) -> Tensor:
        found = _resized(maps_of(network, images, asked), size)
        names[:] = found
        return torch.cat(list(found.values()))

    test = randomisation_test(model, stacked, steps=steps, seed=seed)
    total = sum(map(len, test.layers))
    ends = torch.tensor([len(layers) for layers in test.layers]).cumsum(0) / total
    parts = test.correlations.unflatten(1, (len(names), len(images)))
    found = {
        name: {
            round(share, 3): Score.mean(values)
            for share, values in zip(ends.tolist(), parts[:, place], strict=True)
        }
        for place, name in enumerate(names)
    }
    for name in BASELINES:  # they never change
        found[name] = {share: Score(1.0, len(images), 0) for share in found[names[0]]}
    return found


def _together(
    model: nn.Module, kept: Sequence[tuple[Tensor, Tensor | Question]], **options: Any
) -> tuple[Tensor, Any]:
    """The images of all batches, and what they are asked about."""
    images = torch.cat([batch for batch, _ in kept])
    classes = [asked for _, asked in kept if isinstance(asked, Tensor)]
    if len(classes) == len(kept):
        return images, torch.cat(classes)
    return images, asked_about(model, images, batch_size=len(images), **options)


def _resized(found: Mapping[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    return {name: resize_saliency(maps, size=size) for name, maps in found.items()}
