"""What an objective needs of its data, looked at before the first step."""

from typing import Any

import lightning as L
from torch import Tensor

from visattn.training.objectives.base import Batch, Objective

_WAYS = {
    "mask": "masks, in SPLIT/masks/CLASS/ID.png with data.mask_share above 0 and mask_form mask",
    "box": "boxes: masks in SPLIT/masks/CLASS/ID.png with data.mask_form: box",
    "region": "masks or boxes, in SPLIT/masks/CLASS/ID.png with data.mask_share above 0",
    "background": "the background of every training picture, in the column {column!r} of "
    "metadata.csv (columns split, class, id, {column})",
}


def check_needs(objective: Objective, trainer: L.Trainer) -> None:
    """Refuse training data that haven't got what an objective needs, as far as they can be asked.

    Raises:
        ValueError: Something is missing; it is said where it belongs.
    """
    dataset = _training_set(trainer)
    masks, form = getattr(dataset, "masks_kept", None), getattr(dataset, "mask_form", "mask")
    name = type(objective).__name__
    for need in objective.needs:
        if need == "background":
            _check_backgrounds(name, dataset)
        elif masks == 0:
            found = getattr(dataset, "masks_found", 0)
            kept = f" ({found} found, none of them kept)" if found else ""
            raise ValueError(
                f"{name} needs {_WAYS[need]}; none of the {len(dataset)} training pictures has "
                f"one{kept}. Add some, or take another objective, such as CrossEntropy"
            )
        elif masks and need != "region" and form != need:
            other = "BoxFocus" if form == "box" else "MaskedFocus"
            raise ValueError(
                f"{name} needs {_WAYS[need]}; data.mask_form is {form}: change it, or take {other}"
            )
    swap = getattr(getattr(getattr(trainer, "datamodule", None), "augmentation", None), "swap", 0)
    if swap and masks == 0:
        raise ValueError(
            f"data.augmentation.swap={swap} needs masks to cut objects out with; none of the "
            f"{len(dataset)} training pictures has one: set it to 0, or add masks"
        )


def check_seen(objective: Objective, seen: Tensor | float) -> None:
    """Refuse to go on after an epoch without any mask, for an objective that needs some.

    Args:
        objective: What is trained on.
        seen: How many images with a mask there were.

    Raises:
        ValueError: There was none.
    """
    if not int(seen) and {"mask", "box", "region"} & set(objective.needs):
        raise ValueError(
            f"{type(objective).__name__} needs masks, and no batch of the first epoch had one: "
            "expected 'mask' (N, 1, H, W) in the batches, NaN where a picture has none"
        )


def masks_in(batch: Batch) -> Tensor:
    """How many images of a batch have a mask."""
    return (~batch["mask"].isnan().flatten(1).all(1)).sum()


def _training_set(trainer: L.Trainer) -> Any:
    data: Any = getattr(trainer, "datamodule", None)
    split = getattr(data, "train_split", None)
    if split is not None and hasattr(data, "dataset"):
        return data.dataset(split)
    return None


def _check_backgrounds(name: str, dataset: Any) -> None:
    if not hasattr(dataset, "background_names"):
        return
    column = dataset.background_column
    without = [i.path for i in dataset.items if not i.metadata.get(column)]
    if without:
        raise ValueError(
            f"{name} needs {_WAYS['background'].format(column=column)}; {len(without)} of "
            f"{len(dataset)} have none, such as {without[0]}. Add them, or take another objective, "
            "such as CrossEntropy"
        )
