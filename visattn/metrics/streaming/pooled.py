"""Metrics of a whole set of images, for which a threshold has to serve all."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from visattn.metrics import boxes, ranking
from visattn.metrics.inputs import prepare
from visattn.metrics.streaming.base import Metric, dim_zero_cat


class PixelAveragePrecision(Metric):
    """``pixel_average_precision`` over all batches; holds every pixel (5 bytes each).

    ``compute`` returns ``{"mean", "chance", "images", "left_out"}``: an image is left out if it
    has no pixel that counts.
    """

    full_state_update = False

    pixels: list[Tensor]
    foreground: list[Tensor]
    images: Tensor
    left_out: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("pixels", [], dist_reduce_fx="cat")
        self.add_state("foreground", [], dist_reduce_fx="cat")
        self.add_state("images", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("left_out", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, saliency: Tensor, mask: Tensor) -> None:
        """Add a batch: maps and masks (N, H, W) or (N, 1, H, W)."""
        rows = prepare(saliency, mask)
        self.pixels.append(rows.saliency[rows.valid].float())
        self.foreground.append(rows.mask[rows.valid])
        known = rows.valid.any(1).sum()
        self.images += known
        self.left_out += len(rows.valid) - known

    def compute(self) -> dict[str, Tensor]:
        """The average precision, the mask's share of all pixels, and the numbers of images."""
        foreground = dim_zero_cat(self.foreground)
        found = ranking.average_precision(dim_zero_cat(self.pixels), foreground)
        return {
            "mean": torch.tensor(found, dtype=torch.float64),
            "chance": foreground.double().mean(),
            "images": self.images,
            "left_out": self.left_out,
        }


class MaxBoxAccuracy(Metric):
    """``max_box_accuracy`` over all batches: ``{"mean", "chance", "images", "left_out"}``.

    The mean is that over the overlaps, and each of them has its own value, too, by its name such as
    ``"at_0.5"``. The chance level is what a box of the whole image gets.

    Args:
        overlaps: The IoU that counts as a hit, each in (0, 1].
        thresholds: How many are tried, evenly from 0.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> metric = MaxBoxAccuracy()
        >>> metric.update(torch.tensor([[[0.9, 0.8, 0.0]]]), torch.tensor([[[1, 1, 1]]]))
        >>> metric.compute()["at_0.7"].item(), metric.compute()["chance"].item()
        (0.0, 1.0)
    """

    full_state_update = False

    hits: Tensor
    whole: Tensor
    images: Tensor
    left_out: Tensor

    def __init__(
        self,
        *,
        overlaps: Sequence[float] = boxes.BOX_OVERLAPS,
        thresholds: int = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.overlaps, self.thresholds = tuple(overlaps), thresholds
        for state, rows in (("hits", thresholds), ("whole", 1)):
            zeros = torch.zeros(rows, len(self.overlaps), dtype=torch.float64)
            self.add_state(state, zeros, dist_reduce_fx="sum")
        for state in ("images", "left_out"):
            self.add_state(state, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, saliency: Tensor, mask: Tensor) -> None:
        """Add a batch: maps and masks (N, H, W) or (N, 1, H, W)."""
        options: dict[str, Any] = {"overlaps": self.overlaps, "thresholds": self.thresholds}
        hits = boxes.box_hits(saliency, mask, **options).to(self.hits)
        defined = ~hits.flatten(1).isnan().any(1)
        self.hits += hits[defined].sum(0)
        self.whole += boxes.whole_image_hits(mask, overlaps=self.overlaps).to(hits)[defined].sum(0)
        self.images += defined.sum()
        self.left_out += (~defined).sum()

    def compute(self) -> dict[str, Tensor]:
        """The accuracies at the best common thresholds, and the numbers of images."""
        best = self.hits.amax(0) / self.images
        single = {f"at_{at:g}": value for at, value in zip(self.overlaps, best, strict=True)}
        return {
            "mean": best.mean(),
            **single,
            "chance": (self.whole.amax(0) / self.images).mean(),
            "images": self.images,
            "left_out": self.left_out,
        }
