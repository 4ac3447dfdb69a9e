"""A question about each picture: whether there is such a thing in it, where, and how sure of it.

`visattn.recording.asking` makes them from what a network gives.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from visattn.basics.logits import main_output
from visattn.recording.targets import box_score, region_score


class Question(ABC):
    """What N pictures are asked about, fixed by what the network said to them.

    Attributes:
        words: What is asked about in each picture.
        regions: Where that is, truth values (N, H, W) in the pictures' pixels.
        found: Whether there is such a thing in each picture (N,); where there is none, scores
            are 0.
        instead: What the network said instead of each picture, for an error; empty where there is
            such a thing.
        kind: ``"region"`` or ``"box"``.
    """

    words: Sequence[str]
    regions: Tensor
    found: Tensor
    instead: Sequence[str]
    kind: str

    @abstractmethod
    def score(self, outputs: Any) -> Tensor:
        """A score for each of the N pictures (N,), for class activation."""

    @abstractmethod
    def share(self, outputs: Any, *, picture: int) -> Tensor:
        """How far versions of one picture (n, C, H, W) show what is asked about: (n,) in [0, 1].

        For a region the mean of the class's probability over it, for a box its score.
        """


@final
class Region(Question):
    """A class over a region of each picture, of a segmentation.

    Args:
        labels: The classes (N,).
        cells: Truth values (N, h, w) on the grid of the logits.
        size: Height and width of the pictures.
        words: As for `Question`.
        instead: As for `Question`.
    """

    kind = "region"

    def __init__(
        self,
        labels: Tensor,
        cells: Tensor,
        *,
        size: tuple[int, int],
        words: Sequence[str],
        instead: Sequence[str],
    ) -> None:
        self._labels, self._cells, self.words, self.instead = labels, cells, words, instead
        self.found = cells.flatten(1).any(1)
        planes = F.interpolate(cells[:, None].float(), size, mode="nearest-exact")[:, 0]
        self.regions = planes > 0

    def score(self, outputs: Any) -> Tensor:
        """The sum of the class's logits over the region."""
        there = self.found[:, None, None]
        found = region_score(self._labels, self._cells | ~there)(outputs)
        return found * self.found.to(found)

    def share(self, outputs: Any, *, picture: int) -> Tensor:
        """The mean of the class's probability over the region."""
        logits = logit_planes(outputs).float()
        shares = logits.softmax(1)[:, self._labels[picture]]
        inside = self._cells[picture].to(logits.device)
        return shares[:, inside].mean(1) if bool(inside.any()) else shares.new_zeros(len(shares))


@final
class Box(Question):
    """A box of each picture, of a detector.

    Args:
        boxes: (N, 4), left, top, right and bottom in pixels.
        labels: Their classes (N,), -1 where there is no box.
        size: Height and width of the pictures.
        words: As for `Question`.
        instead: As for `Question`.
    """

    kind = "box"

    def __init__(
        self,
        boxes: Tensor,
        labels: Tensor,
        *,
        size: tuple[int, int],
        words: Sequence[str],
        instead: Sequence[str],
    ) -> None:
        self._boxes, self._labels, self.words, self.instead = boxes, labels, words, instead
        self.found = labels >= 0
        self.regions = torch.stack([covered_cells(box, size) for box in boxes.cpu()])

    def score(self, outputs: Any) -> Tensor:
        """The score of the detection that is the box."""
        return box_score(self._boxes, self._labels)(outputs)

    def share(self, outputs: Any, *, picture: int) -> Tensor:
        """The same, for versions of one picture."""
        count = len(outputs)
        box, label = self._boxes[picture].expand(count, 4), self._labels[picture].expand(count)
        return box_score(box, label)(outputs)


def class_name(label: int, names: Sequence[str] | None) -> str:
    """A class by its name, or its number where it has none."""
    return names[label] if names is not None and label < len(names) else f"class {label}"


def covered_cells(
    box: Tensor, size: tuple[int, int], *, cells: Sequence[int] | None = None
) -> Tensor:
    """The cells of a picture (h, w) that a box touches."""
    height, width = size
    rows, columns = cells or size
    y, x = torch.arange(rows), torch.arange(columns)
    left, top, right, bottom = box.tolist()
    down = ((y + 1) * height / rows > top) & (y * height / rows < bottom)
    across = ((x + 1) * width / columns > left) & (x * width / columns < right)
    return down[:, None] & across


def logit_planes(outputs: Any) -> Tensor:
    """Logits (N, K, h, w) of at least two classes: of a single one, those of no and yes."""
    logits = main_output(outputs)
    if logits is None or logits.ndim != 4:
        came = type(outputs).__name__ if logits is None else tuple(logits.shape)
        raise TypeError(f"logits (N, K, h, w) of a segmentation were expected, not {came}")
    if logits.shape[1] > 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], 1)
