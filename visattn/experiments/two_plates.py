"""One piece of sushi on two plates: where two networks look, and what they answer."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from visattn.data.modules import SushiData
from visattn.pictures import grid, save
from visattn.recording.cam import grad_cam
from visattn.training.classifier import ImageClassifier
from visattn.training.results import Results

PLATES = {"mixed_same": "a plate of its own style", "mixed_rand": "any plate"}


def draw_two_plates(
    networks: Mapping[str, tuple[ImageClassifier, Results]], data: SushiData, *, out: Path
) -> Path | None:
    """Draw the first piece for which the plate decides what ``plain`` says, and not ``mask``.

    Of ``plain`` the Grad-CAM of its answer is drawn, of ``mask`` its mask.

    Args:
        networks: ``plain`` and ``mask``, and their results on the splits of `PLATES`, which show
            the same pieces in the same order.
        data: What they were tested on.
        out: The picture's file.

    Returns:
        The file; None if there is no such piece.
    """
    right = {
        (name, split): _in_order(results, split)
        for name, (_, results) in networks.items()
        for split in PLATES
    }
    told = right["plain", "mixed_same"] & ~right["plain", "mixed_rand"]
    told &= right["mask", "mixed_same"] & right["mask", "mixed_rand"]
    if not told.any():
        return None
    index = int(told.nonzero()[0])
    items = [data.dataset(f"test_{split}")[index] for split in PLATES]
    images = torch.stack([torch.as_tensor(item["image"]) for item in items])
    plain, mask = (networks[name][0].eval() for name in ("plain", "mask"))
    with torch.no_grad():
        answers = {"plain": plain(images.to(plain.device)).argmax(1)}
        logits, masks = mask.masked_forward(images.to(mask.device))
        answers["mask"] = logits.argmax(1)
    if masks is None:
        raise ValueError("the recipe foreground/mask has no spatial mask to draw")
    heats = grad_cam(plain, images.to(plain.device), classes=answers["plain"])
    names = data.class_names
    figure = grid(
        images,
        {"plain network": heats.float().cpu(), "behind a mask": masks.float().cpu()},
        captions=[f"{names[int(items[0]['label'])]} on {plate}" for plate in PLATES.values()],
        notes={
            title: [f"says {names[int(answer)]}" for answer in answers[name]]
            for title, name in (("plain network", "plain"), ("behind a mask", "mask"))
        },
        across="model",
        width=6.0,
        mean=data.reading["mean"],
        std=data.reading["std"],
    )
    return save(figure, out, dpi=130)


def _in_order(results: Results, split: str) -> Tensor:
    """Whether each picture of a split was answered rightly, in the data's order."""
    outcome = results.splits[split]
    right = torch.zeros(len(outcome.label), dtype=torch.bool)
    right[outcome.index] = outcome.prediction == outcome.label
    return right
