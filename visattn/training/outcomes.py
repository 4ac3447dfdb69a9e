"""What a network did on a test split, image by image, and what follows from it."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from visattn.basics.processes import process_count
from visattn.metrics import (
    Proportion,
    Summary,
    WorstGroup,
    accuracy,
    summarise,
    wilson,
    worst_group,
)

BACKGROUND = "style"
"""Column of a data set's ``metadata.csv`` that names what an image's object lies on."""

GROUP_MINIMUM = 10
"""Images from which on a (class, background) group counts."""

_NUMBER = re.compile(r"(?<=.)_\d+$")

COLUMNS = ("label", "prediction", "mask_iou", "mask_share", "index")
"""What is measured of each image."""


@dataclass(frozen=True)
class SplitOutcome:
    """Predictions on one split, an entry an image.

    Attributes:
        label: True classes (N,).
        prediction: Predicted classes (N,).
        mask_iou: IoU of the network's mask with the true one (N,), NaN where there is none.
        mask_share: The true mask's share of the image (N,), NaN where there is none.
        index: Row of each image in the dataset (N,).
        names: File name of each image, or the id of its foreground; empty where the dataset
            doesn't say.
        backgrounds: Name of each image's background, empty where the dataset doesn't say.
        class_names: The classes in the order of their labels, empty where the dataset doesn't say.
        foregrounds: On a split ``..._adversarial``, the id of each image's foreground: one counts
            as right only if it is on all of its images. Empty where each image counts by itself.
    """

    label: Tensor
    prediction: Tensor
    mask_iou: Tensor
    mask_share: Tensor
    index: Tensor
    names: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    foregrounds: tuple[str, ...] = ()

    @property
    def accuracy(self) -> Proportion:
        """Share of images, or of foregrounds, whose class is predicted."""
        if not self.foregrounds:
            return accuracy(self.prediction, self.label)
        shown = list(zip(self.label.tolist(), self.foregrounds, strict=True))
        return right_on_all(self.prediction == self.label, shown)

    @property
    def iou(self) -> Summary | None:
        """Mean mask IoU; None where there is no mask to compare."""
        found = summarise(self.mask_iou)
        return found if found.count else None

    @property
    def chance(self) -> float:
        """Mean share of the true masks, over the images that have an IoU."""
        return float(self.mask_share[~self.mask_iou.isnan()].mean())

    @property
    def worst(self) -> WorstGroup | None:
        """The (class, background) group of 10 images or more with the lowest accuracy.

        None where there is but one background, or no group is large enough, or where it is
        foregrounds that count.
        """
        if self.foregrounds or len(set(self.backgrounds)) < 2:
            return None
        found = worst_group(self.prediction, self.label, self.backgrounds, minimum=GROUP_MINIMUM)
        return found if found.groups else None


@final
class Columns(Metric):
    """Columns of `SplitOutcome` by name, batch after batch.

    In a test on several processes they are those of all of them, in the order of the rows; a row
    that came more than once, as samplers other than those of visattn deal it, counts once.

    Example:
        >>> import torch
        >>> columns = Columns()
        >>> columns.update({name: torch.tensor([1, 0]) for name in COLUMNS})
        >>> columns.compute()["label"]
        tensor([1, 0])
    """

    def __init__(self) -> None:
        super().__init__()
        for name in COLUMNS:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, found: Mapping[str, Tensor]) -> None:
        """Keep those of one batch, (N,) each."""
        for name in COLUMNS:
            getattr(self, name).append(found[name].detach())

    def compute(self) -> dict[str, Tensor]:
        """Those of all batches."""
        found = {name: dim_zero_cat(getattr(self, name)) for name in COLUMNS}
        if process_count() == 1:
            return found
        rows = found["index"].cpu().numpy()
        first = torch.from_numpy(np.unique(rows, return_index=True)[1])
        return {name: values[first.to(values.device)] for name, values in found.items()}


def split_outcome(
    columns: Mapping[str, Tensor], *, split: str, dataset: Any = None
) -> SplitOutcome:
    """What was found on a split, with what its dataset says of the images.

    Args:
        columns: The tensors of a `SplitOutcome` by name.
        split: Its name.
        dataset: Its ``items`` and ``class_names`` are looked at, if it has them.
    """
    columns = {name: values.cpu().flatten() for name, values in columns.items()}
    items = getattr(dataset, "items", None)
    rows = columns["index"].tolist() if isinstance(items, (list, tuple)) else []
    shown = [items[row] for row in rows] if items is not None else []
    behind = [getattr(item, "metadata", {}).get(BACKGROUND, "") for item in shown]
    return SplitOutcome(
        **columns,
        names=tuple(_foreground(item) for item in shown),
        backgrounds=tuple(behind) if all(behind) else (),
        class_names=tuple(getattr(dataset, "class_names", ())),
        foregrounds=foreground_ids(shown) if is_adversarial(split) else (),
    )


def _foreground(item: Any) -> str:
    """What tells an image's object from others: its id where the data give one, else the file."""
    return getattr(item, "metadata", {}).get("foreground", item.path.name)


def is_adversarial(split: str) -> bool:
    """Whether a split shows each foreground on many backgrounds, ``ID_NUMBER`` by name.

    Example:
        >>> is_adversarial("test_adversarial"), is_adversarial("test_mixed_rand")
        (True, False)
    """
    return split.endswith("adversarial")


def foreground_ids(items: Sequence[Any]) -> tuple[str, ...]:
    """The foreground of each image ``ID_NUMBER``; an image of another name is one of its own."""
    return tuple(_NUMBER.sub("", item.path.stem) for item in items)


def right_on_all(hits: Tensor, foregrounds: Sequence[Hashable]) -> Proportion:
    """Share of foregrounds that are classified correctly in all of their images.

    As `visattn.metrics.adversarial_accuracy`, for images in any order and number.

    Args:
        hits: Whether each image's class is predicted (N,).
        foregrounds: What each image shows (N,).

    Example:
        >>> import torch
        >>> right_on_all(torch.tensor([True, True, False]), ["a", "b", "a"]).value
        0.5
    """
    mistaken = {shown for shown, hit in zip(foregrounds, hits.tolist(), strict=True) if not hit}
    shown = set(foregrounds)
    return wilson(len(shown - mistaken), images=len(shown))
