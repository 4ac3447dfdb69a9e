"""Relative foreground sensitivity: does noise on the object hurt more than noise around it?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from visattn.metrics.intervals import check_confidence, check_lengths

RESAMPLES = 2000


@dataclass(frozen=True)
class Sensitivity:
    """RFS with its percentile interval.

    Attributes:
        value: RFS in [-1, 1]; NaN where it is undefined.
        low: Lower end of the interval; NaN where the value is.
        high: Upper end of the interval.
        images: Number of images.
        undefined: How many resamples have no RFS and are left out.
    """

    value: float
    low: float
    high: float
    images: int
    undefined: int


def relative_foreground_sensitivity(foreground_noise: float, background_noise: float) -> float:
    r"""RFS: does noise on the foreground hurt more than noise on the background?

    .. math:: (a_{bg} - a_{fg}) \; / \; (2 \min(a, 1 - a)), \quad a = (a_{fg} + a_{bg}) / 2

    The denominator is the largest difference that the mean accuracy allows. Moayeri et al., "A
    comprehensive study of image classification model sensitivity to foregrounds, backgrounds,
    and visual attributes", 2022, arXiv:2201.10766.

    Args:
        foreground_noise: Accuracy under noise on the foreground, in [0, 1].
        background_noise: Accuracy under noise on the background, in [0, 1].

    Returns:
        A value in [-1, 1], above 0 where the foreground matters more; NaN where both accuracies
        are 0 or both are 1.

    Raises:
        ValueError: If an accuracy lies outside [0, 1].

    Example:
        >>> round(relative_foreground_sensitivity(0.2, 0.6), 3)
        0.5
    """
    for name, value in (
        ("foreground_noise", foreground_noise),
        ("background_noise", background_noise),
    ):
        if not (0 <= value <= 1 or math.isnan(value)):
            raise ValueError(f"{name} must be an accuracy in [0, 1], not {value}")
    mean = (foreground_noise + background_noise) / 2
    largest = 2 * min(mean, 1 - mean)
    return (background_noise - foreground_noise) / largest if largest else math.nan


def bootstrap_sensitivity(
    foreground_hits: Tensor | Sequence[bool],
    background_hits: Tensor | Sequence[bool],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Sensitivity:
    """RFS with the percentile interval of a bootstrap over images.

    Images are drawn with replacement, as many as there are, both hits of an image together; the
    interval ends where (1 - ``confidence``) / 2 of the resampled values lie beyond. Efron,
    "Bootstrap methods: another look at the jackknife", 1979, doi:10.1214/aos/1176344552. Since
    RFS knows the images by their hits alone, the numbers of the four kinds of image are drawn, from
    the multinomial distribution that drawing the images one by one would give.

    It has no width where each resample gives the same, such as 1 where noise on the foreground
    leaves no answer right: it is then the fewness of the images that is not told.

    Args:
        foreground_hits: Whether each image is recognised under noise on its foreground (N,).
        background_hits: The same images under noise on their background (N,).
        confidence: Coverage, between 0 and 1.
        resamples: How often to draw.
        seed: Of the draws.

    Returns:
        The value and its interval; all NaN for no image, or where both accuracies are 0 or 1.

    Raises:
        TypeError: If the hits are no truth values.
        ValueError: If the lengths differ, or an option is out of its range.

    Example:
        >>> found = bootstrap_sensitivity([True] * 20 + [False] * 80, [True] * 60 + [False] * 40)
        >>> print(f"{found.value:.1f}, {found.low:.1f} to {found.high:.1f}")
        0.5, 0.4 to 0.6
    """
    check_confidence(confidence)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    on_object = _hits(foreground_hits, what="foreground_hits")
    around = _hits(background_hits, what="background_hits")
    check_lengths(foreground_hits=on_object, background_hits=around)
    images = len(around)
    if not images:
        return Sensitivity(math.nan, math.nan, math.nan, 0, 0)
    both, only_object, only_around = (
        int(kind.sum()) for kind in (on_object & around, on_object & ~around, ~on_object & around)
    )
    value = relative_foreground_sensitivity(
        (both + only_object) / images, (both + only_around) / images
    )
    if math.isnan(value):
        return Sensitivity(math.nan, math.nan, math.nan, images, resamples)
    drawn = _multinomial([both, only_object, only_around], of=images, times=resamples, seed=seed)
    first, second = (drawn[:, 0] + drawn[:, 1]) / images, (drawn[:, 0] + drawn[:, 2]) / images
    mean = (first + second) / 2
    largest = 2 * torch.minimum(mean, 1 - mean)
    values = torch.where(largest > 0, (second - first) / largest, torch.nan)
    ends = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=values.dtype)
    low, high = torch.nanquantile(values, ends).tolist()
    return Sensitivity(value, low, high, images, int(values.isnan().sum()))


def _multinomial(counts: Sequence[int], *, of: int, times: int, seed: int) -> Tensor:
    """Multinomial draws (times, kinds) of ``of`` images, with the shares of some counts.

    One kind after the other, each binomial of what the kinds before it left.
    """
    generator = torch.Generator().manual_seed(seed)
    left, rest = torch.full((times,), of, dtype=torch.float64), of
    drawn = []
    for count in counts:
        share = torch.full_like(left, count / rest if rest else 0.0)
        drawn.append(torch.binomial(left, share, generator=generator))
        left, rest = left - drawn[-1], rest - count
    return torch.stack(drawn, 1)


def _hits(values: Tensor | Sequence[bool], *, what: str) -> Tensor:
    hits = torch.as_tensor(values).detach().cpu()
    if hits.ndim != 1:
        raise ValueError(f"{what} must be (N,), one an image, not {tuple(hits.shape)}")
    if hits.numel() and hits.dtype != torch.bool:
        raise TypeError(f"{what} must be truth values (predictions == labels), not {hits.dtype}")
    return hits.bool()
