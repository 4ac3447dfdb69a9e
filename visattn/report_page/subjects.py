"""Models and pictures as a report takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visattn.recording.asking import Asked


@dataclass(frozen=True)
class Subject:
    """A model of a page, and how it takes its images.

    Attributes:
        model: From images (N, 3, H, W) to logits (N, K), to a segmentation (N, K, h, w), or
            to what torchvision's detectors give.
        mean: Taken off each channel of an image in [0, 1].
        std: Divided by after that.
        multilabel: Its logits are labels that hold each by itself, not classes.
        asked: What class activation is asked about; what the model predicts if None.
        names: Names of its classes, for the words of what a segmentation or detector was asked.
    """

    model: nn.Module
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    multilabel: bool = False
    asked: Asked | None = None
    names: Sequence[str] | None = None

    def normalised(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as the model takes them, on its device."""
        first = next(iter(self.model.parameters()), images)
        centre, width = (
            torch.tensor(list(values), device=first.device).view(1, -1, 1, 1)
            for values in (self.mean, self.std)
        )
        return (images.to(first.device) - centre) / width


class Scenes(NamedTuple):
    """The pictures as the models see them.

    Attributes:
        images: (N, 3, H, W) in [0, 1].
        masks: True masks (N, H, W) in [0, 1]; NaN where nothing is known, everywhere for a picture
            without a mask.
        labels: True classes (N,), -1 where unknown.
        objects: The objects alone (N, 3, H, W).
        backgrounds: The pictures without their objects (N, 3, H, W).
        focus: Where the objects' centres are (N, 2), shares of height and width.
    """

    images: Tensor
    masks: Tensor
    labels: Tensor
    objects: Tensor
    backgrounds: Tensor
    focus: NDArray[np.float64]

    @property
    def size(self) -> tuple[int, int]:
        """Their height and width."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def masked(self) -> Tensor:
        """Which pictures have a mask (N,)."""
        return ~self.masks.isnan().flatten(1).all(1)
