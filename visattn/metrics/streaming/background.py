"""Metrics of predictions on pictures whose background was changed."""

from typing import Any

import torch
from torch import Tensor

from visattn.metrics import background
from visattn.metrics.streaming.base import Metric, dim_zero_cat


class BackgroundGap(Metric):
    """``background_gap`` over all batches: ``{"gap", "low", "high", "images"}``.

    Example:
        >>> metric = BackgroundGap()
        >>> metric.update(torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([0, 1]))
        >>> metric.compute()["gap"].item()
        0.5
    """

    full_state_update = False

    mixed_same: list[Tensor]
    mixed_rand: list[Tensor]
    labels: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for state in ("mixed_same", "mixed_rand", "labels"):
            self.add_state(state, [], dist_reduce_fx="cat")

    def update(self, mixed_same: Tensor, mixed_rand: Tensor, labels: Tensor) -> None:
        """Add a batch: predicted classes (N,) on both variants and the true classes (N,)."""
        background.background_gap(mixed_same, mixed_rand, labels)  # refuses what does not fit
        self.mixed_same.append(mixed_same)
        self.mixed_rand.append(mixed_rand)
        self.labels.append(labels)

    def compute(self) -> dict[str, Tensor]:
        """The gap with its interval and the number of images."""
        found = background.background_gap(
            dim_zero_cat(self.mixed_same), dim_zero_cat(self.mixed_rand), dim_zero_cat(self.labels)
        )
        return {
            "gap": torch.tensor(found.value),
            "low": torch.tensor(found.low),
            "high": torch.tensor(found.high),
            "images": torch.tensor(found.images),
        }


class FlipRate(Metric):
    """``flip_rate`` over all batches: ``{"rate", "low", "high", "images"}``.

    Example:
        >>> metric = FlipRate()
        >>> metric.update(torch.tensor([0, 1]), torch.tensor([0, 2]))
        >>> metric.compute()["rate"].item()
        0.5
    """

    full_state_update = False

    flips: Tensor
    images: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for state in ("flips", "images"):
            self.add_state(state, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, swapped: Tensor) -> None:
        """Add a batch: predicted classes (N,) before and after the background was changed."""
        found = background.flip_rate(predictions, swapped)
        self.flips += found.count
        self.images += found.images

    def compute(self) -> dict[str, Tensor]:
        """The flip rate with its interval and the number of images."""
        found = background.wilson(int(self.flips), images=int(self.images))
        return {
            "rate": torch.tensor(found.value),
            "low": torch.tensor(found.low),
            "high": torch.tensor(found.high),
            "images": self.images,
        }
