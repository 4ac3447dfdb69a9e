"""Metrics with one value an image: their mean, beside the chance level."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from visattn.metrics import localisation, ranking
from visattn.metrics.inputs import Negative
from visattn.metrics.streaming.base import Metric
from visattn.metrics.summaries import summarise


class MeanOverImages(Metric, ABC):
    """A metric with one value an image: the mean, the chance level, the number left out.

    ``compute`` returns ``{"mean", "chance", "images", "left_out"}``, scalars in a dictionary. The
    mean and the chance level are taken over the same images, those where the value is defined.
    """

    full_state_update = False

    total: Tensor
    chance: Tensor
    images: Tensor
    left_out: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for state in ("total", "chance"):
            self.add_state(state, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for state in ("images", "left_out"):
            self.add_state(state, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    @abstractmethod
    def values(self, saliency: Tensor, mask: Tensor) -> Tensor:
        """One value an image (N,), NaN where undefined."""

    def chance_level(self, mask: Tensor) -> Tensor:
        """Chance level of each image (N,)."""
        return localisation.chance_level(mask)

    def update(self, saliency: Tensor, mask: Tensor) -> None:
        """Add a batch.

        Args:
            saliency: Maps (N, H, W) or (N, 1, H, W).
            mask: True masks of the same size, boolean or in [0, 1], NaN to ignore.
        """
        values = self.values(saliency, mask).to(self.total.device)
        found = summarise(values)
        defined = ~values.isnan()
        self.total += values[defined].sum()
        self.chance += self.chance_level(mask).to(self.total.device)[defined].sum()
        self.images += found.count
        self.left_out += found.left_out

    def compute(self) -> dict[str, Tensor]:
        """The mean, its chance level, the number of images in it and the number left out."""
        return {
            "mean": self.total / self.images,
            "chance": self.chance / self.images,
            "images": self.images,
            "left_out": self.left_out,
        }


class MaskIoU(MeanOverImages):
    """Mean of ``mask_iou``.

    Args:
        threshold: From this value on a pixel belongs to the predicted mask.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> metric = MaskIoU()
        >>> metric.update(torch.tensor([[[0.9, 0.8, 0.1, 0.2]]]), torch.tensor([[[1, 0, 0, 0]]]))
        >>> {name: value.item() for name, value in metric.compute().items()}
        {'mean': 0.5, 'chance': 0.25, 'images': 1, 'left_out': 0}
    """

    def __init__(self, *, threshold: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def values(self, saliency: Tensor, mask: Tensor) -> Tensor:
        """One IoU an image."""
        return localisation.mask_iou(saliency, mask, threshold=self.threshold)


class TopAreaIoU(MeanOverImages):
    """Mean of ``top_area_iou``."""

    def values(self, saliency: Tensor, mask: Tensor) -> Tensor:
        """One IoU an image."""
        return localisation.top_area_iou(saliency, mask)


class RankAccuracy(MeanOverImages):
    """Mean of ``rank_accuracy``."""

    def values(self, saliency: Tensor, mask: Tensor) -> Tensor:
        """One share an image."""
        return ranking.rank_accuracy(saliency, mask)


class EnergyPointing(MeanOverImages):
    """Mean of ``energy_pointing``.

    Args:
        negative: ``"refuse"`` negative values or ``"clip"`` them to 0.
        kwargs: Options of ``torchmetrics.Metric``.
    """

    def __init__(self, *, negative: Negative = "refuse", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.negative = negative

    def values(self, saliency: Tensor, mask: Tensor) -> Tensor:
        """One share an image."""
        return localisation.energy_pointing(saliency, mask, negative=self.negative)


class PointingGame(MeanOverImages):
    """Mean of ``pointing_game`` over images; for the mean over classes see ``mean_over_classes``.

    Args:
        tolerance: In pixels; the chance level takes it into account.
        kwargs: Options of ``torchmetrics.Metric``.
    """

    def __init__(self, *, tolerance: float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tolerance = tolerance

    def values(self, saliency: Tensor, mask: Tensor) -> Tensor:
        """One hit an image."""
        return localisation.pointing_game(saliency, mask, tolerance=self.tolerance)

    def chance_level(self, mask: Tensor) -> Tensor:
        """Share of the pixels that would be a hit."""
        return localisation.chance_level(mask, tolerance=self.tolerance)


class RocAuc(MeanOverImages):
    """Mean of ``roc_auc``; its chance level is 0.5, whatever the mask's share."""

    def values(self, saliency: Tensor, mask: Tensor) -> Tensor:
        """One area an image."""
        return ranking.roc_auc(saliency, mask)

    def chance_level(self, mask: Tensor) -> Tensor:
        """One half for each image."""
        return torch.full((len(mask),), 0.5, dtype=torch.float64, device=mask.device)


class PointingGameByClass(Metric):
    """``pointing_game``, averaged within each class and then over the classes.

    ``compute`` returns ``{"mean", "chance", "images", "left_out"}``, the chance level averaged in
    the same way. Classes without a defined value stay out.

    Args:
        num_classes: Number of classes K.
        tolerance: In pixels; the chance level takes it into account.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> metric = PointingGameByClass(2)
        >>> saliency = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
        >>> metric.update(saliency, torch.tensor([[[1, 0]]] * 3), torch.tensor([0, 0, 1]))
        >>> metric.compute()["mean"].item()
        0.5
    """

    full_state_update = False

    hits: Tensor
    chance: Tensor
    counts: Tensor
    left_out: Tensor

    def __init__(self, num_classes: int, *, tolerance: float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, not {num_classes}")
        self.tolerance = tolerance
        for state in ("hits", "chance"):
            zeros = torch.zeros(num_classes, dtype=torch.float64)
            self.add_state(state, zeros, dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("left_out", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, saliency: Tensor, mask: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            saliency: Maps (N, H, W) or (N, 1, H, W).
            mask: True masks of the same size, boolean or in [0, 1], NaN to ignore.
            labels: Class of each image (N,), below ``num_classes``.
        """
        values = localisation.pointing_game(saliency, mask, tolerance=self.tolerance)
        chance = localisation.chance_level(mask, tolerance=self.tolerance)
        labels = labels.to(self.counts.device)
        if labels.shape != values.shape:
            raise ValueError(f"labels must be ({len(values)},), not {tuple(labels.shape)}")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.counts):
            raise ValueError(
                f"labels must be in 0 to {len(self.counts) - 1}, they go from {int(labels.min())} "
                f"to {int(labels.max())}"
            )
        values, chance = values.to(self.hits.device), chance.to(self.hits.device)
        defined = ~values.isnan()
        self.hits.index_add_(0, labels[defined], values[defined])
        self.chance.index_add_(0, labels[defined], chance[defined])
        self.counts.index_add_(0, labels[defined], torch.ones_like(labels[defined]))
        self.left_out += (~defined).sum()

    def compute(self) -> dict[str, Tensor]:
        """The mean of the class means, its chance level, and the numbers of images."""
        seen = self.counts > 0
        return {
            "mean": (self.hits[seen] / self.counts[seen]).mean(),
            "chance": (self.chance[seen] / self.counts[seen]).mean(),
            "images": self.counts.sum(),
            "left_out": self.left_out,
        }
