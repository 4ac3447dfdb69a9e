"""The metrics as torchmetrics classes: fed batch by batch, synchronised over processes.

Each class only gathers; the numbers come from the functions. ``compute`` returns a dictionary, for
a value never travels without its chance level and the number of images left out; ``log_dict`` of
Lightning and ``MetricCollection`` take it as it is. Needs the extra ``visattn[train]``.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from visattn.metrics import background, localisation, ranking
from visattn.metrics.inputs import Negative, prepare
from visattn.metrics.summaries import summarise

try:
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat
except ImportError as error:
    raise ImportError(
        "the metric classes need torchmetrics; install it with: pip install 'visattn[train]' "
        "(the functions of visattn.metrics work without it)"
    ) from error


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
