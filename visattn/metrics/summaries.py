"""Means over images that say how many values were undefined."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Summary:
    """A mean and what it was taken over.

    Attributes:
        mean: Mean of the defined values; NaN if there is none.
        count: How many values were defined.
        left_out: How many were undefined (NaN) and left out.
    """

    mean: float
    count: int
    left_out: int

    def __str__(self) -> str:
        left_out = f", {self.left_out} undefined left out" if self.left_out else ""
        return f"{self.mean:.3f} (n = {self.count}{left_out})"


def summarise(values: Tensor) -> Summary:
    """Average one value an image, leaving undefined ones out and counting them.

    Args:
        values: Values (N,), NaN where undefined.

    Returns:
        The mean, the number of values in it and the number left out.

    Raises:
        ValueError: If ``values`` has another shape.

    Example:
        >>> print(summarise(torch.tensor([1.0, 0.5, float("nan")])))
        0.750 (n = 2, 1 undefined left out)
    """
    if values.ndim != 1:
        raise ValueError(f"values must be (N,), not {tuple(values.shape)}")
    defined = values[~values.isnan()]
    mean = float(defined.double().mean()) if len(defined) else float("nan")
    return Summary(mean=mean, count=len(defined), left_out=len(values) - len(defined))


def mean_over_classes(values: Tensor, labels: Tensor) -> Summary:
    """Average within each class, then over the classes that have a defined value.

    This is how the pointing game is reported (Zhang et al., "Top-down neural attention by
    excitation backprop", 2016, arXiv:1608.00507): every class weighs the same.

    Args:
        values: Values (N,), NaN where undefined.
        labels: Class of each image (N,), integers.

    Returns:
        The mean of the class means; ``count`` and ``left_out`` count images.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> hits = torch.tensor([1.0, 1.0, 1.0, 0.0])
        >>> mean_over_classes(hits, torch.tensor([0, 0, 0, 1])).mean
        0.5
    """
    if values.ndim != 1 or labels.shape != values.shape:
        raise ValueError(
            "values and labels must be (N,) of one length, not "
            f"{tuple(values.shape)} and {tuple(labels.shape)}"
        )
    overall = summarise(values)
    labels = labels.to(values.device)
    means = [summarise(values[labels == label]).mean for label in labels.unique()]
    mean = summarise(torch.tensor(means, dtype=torch.float64)).mean
    return Summary(mean=mean, count=overall.count, left_out=overall.left_out)
