"""Metrics that ask the model about changed images: the mean of one value an image."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from visattn.metrics import confidence, curves, removal
from visattn.metrics.probing import Baseline, Model
from visattn.metrics.streaming.base import Metric
from visattn.metrics.summaries import summarise


class MeanOverProbes(Metric, ABC):
    """The means of some values an image, and how many images had none.

    ``update`` takes the model, so that no copy of it is kept and its weights are no state of the
    metric. ``compute`` returns a mean by name, ``"images"`` and ``"left_out"``.
    """

    full_state_update = False
    names: tuple[str, ...] = ("mean",)

    totals: Tensor
    images: Tensor
    left_out: Tensor

    def __init__(self, *, batch_size: int = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_size = batch_size
        zeros = torch.zeros(len(self.names), dtype=torch.float64)
        self.add_state("totals", zeros, dist_reduce_fx="sum")
        for state in ("images", "left_out"):
            self.add_state(state, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    @abstractmethod
    def values(
        self, model: Model, images: Tensor, saliency: Tensor, classes: Tensor | None
    ) -> Tensor:
        """A row an image (N, names), NaN where undefined."""

    def update(
        self, model: Model, images: Tensor, saliency: Tensor, classes: Tensor | None = None
    ) -> None:
        """Add a batch.

        Args:
            model: Images to logits (N, K), in evaluation mode.
            images: Images (N, C, H, W) as the model takes them.
            saliency: Maps (N, H, W) or (N, 1, H, W) of the images' size.
            classes: Classes (N,) to follow; those that the model predicts if None.
        """
        values = self.values(model, images, saliency, classes).to(self.totals.device)
        undefined = values.isnan().any(1)
        found = summarise(values[:, 0].masked_fill(undefined, torch.nan))
        self.totals += values[~undefined].sum(0)
        self.images += found.count
        self.left_out += found.left_out

    def compute(self) -> dict[str, Tensor]:
        """The means, the number of images in them and the number left out."""
        means = dict(zip(self.names, self.totals / self.images, strict=True))
        return {**means, "images": self.images, "left_out": self.left_out}


class DeletionArea(MeanOverProbes):
    """Mean area of ``deletion``: low is good.

    Args:
        baseline: What stands in the place of a deleted pixel.
        step: Pixels a step; 1/32 of the image if None.
        batch_size: Images a call of the model.
        kwargs: Options of ``torchmetrics.Metric``.
    """

    def __init__(
        self,
        *,
        baseline: Baseline = "zero",
        step: int | None = None,
        batch_size: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **kwargs)
        self.options: dict[str, Any] = {"baseline": baseline, "step": step}

    def values(
        self, model: Model, images: Tensor, saliency: Tensor, classes: Tensor | None
    ) -> Tensor:
        """One area an image."""
        options = {**self.options, "batch_size": self.batch_size}
        return curves.deletion(model, images, saliency, classes=classes, **options).area[:, None]


class InsertionArea(MeanOverProbes):
    """Mean area of ``insertion``: high is good.

    Args:
        baseline: On what the pixels are revealed.
        step: Pixels a step; 1/32 of the image if None.
        batch_size: Images a call of the model.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> model = lambda images: torch.stack([images[:, 0, 0, 0], 0 * images[:, 0, 0, 0]], 1)
        >>> metric = InsertionArea(baseline="zero", step=1)
        >>> metric.update(model, torch.tensor([[[[4.0, 0.0]]]]), torch.tensor([[[1.0, 0.0]]]))
        >>> round(metric.compute()["mean"].item(), 3)
        0.862
    """

    def __init__(
        self,
        *,
        baseline: Baseline = "blur",
        step: int | None = None,
        batch_size: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **kwargs)
        self.options: dict[str, Any] = {"baseline": baseline, "step": step}

    def values(
        self, model: Model, images: Tensor, saliency: Tensor, classes: Tensor | None
    ) -> Tensor:
        """One area an image."""
        options = {**self.options, "batch_size": self.batch_size}
        return curves.insertion(model, images, saliency, classes=classes, **options).area[:, None]


class MaskedConfidenceChange(MeanOverProbes):
    """Average drop and increase of ``masked_confidence``: ``{"drop", "increase", ...}``.

    Args:
        baseline: What the map lets through where it is 0.
        batch_size: Images a call of the model.
        kwargs: Options of ``torchmetrics.Metric``.
    """

    names = ("drop", "increase")

    def __init__(self, *, baseline: Baseline = "zero", batch_size: int = 64, **kwargs: Any) -> None:
        super().__init__(batch_size=batch_size, **kwargs)
        self.baseline: Baseline = baseline

    def values(
        self, model: Model, images: Tensor, saliency: Tensor, classes: Tensor | None
    ) -> Tensor:
        """Drop and increase of each image."""
        found = confidence.masked_confidence(
            model,
            images,
            saliency,
            classes=classes,
            baseline=self.baseline,
            batch_size=self.batch_size,
        )
        return torch.stack([found.drop, found.increase], 1)


class RoadCombined(MeanOverProbes):
    """Mean of the combined value of ``road``: high is good, a map that knows nothing gets 0.

    Args:
        shares: Shares of the pixels to remove, each in (0, 1).
        noise: Standard deviation of the noise on the filled pixels.
        batch_size: Images a call of the model.
        kwargs: Options of ``torchmetrics.Metric``.
    """

    def __init__(
        self,
        *,
        shares: Sequence[float] = removal.ROAD_SHARES,
        noise: float = 0.01,
        batch_size: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **kwargs)
        self.options: dict[str, Any] = {"shares": tuple(shares), "noise": noise}

    def values(
        self, model: Model, images: Tensor, saliency: Tensor, classes: Tensor | None
    ) -> Tensor:
        """One value an image."""
        options = {**self.options, "batch_size": self.batch_size}
        return removal.road(model, images, saliency, classes=classes, **options).combined[:, None]
