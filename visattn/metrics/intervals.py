"""Shares with their uncertainty: Wilson's interval, paired differences, mean and spread."""

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from statistics import NormalDist, mean, stdev


@dataclass(frozen=True)
class Proportion:
    """A share of images with its 95 % interval.

    Attributes:
        value: The share in [0, 1]; NaN if there is no image.
        low: Lower end of the interval.
        high: Upper end of the interval.
        count: Number of images that count as successes.
        images: Number of images.
    """

    value: float
    low: float
    high: float
    count: int
    images: int

    def __str__(self) -> str:
        return (
            f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f}, "
            f"n = {self.images})"
        )


@dataclass(frozen=True)
class Difference:
    """A difference of two shares of the same images with its 95 % interval.

    Attributes:
        value: First share minus second share, in [-1, 1]; NaN if there is no image.
        low: Lower end of the interval.
        high: Upper end of the interval.
        images: Number of images (pairs).
    """

    value: float
    low: float
    high: float
    images: int

    def __str__(self) -> str:
        return (
            f"{100 * self.value:+.1f} points ({100 * self.low:+.1f} to {100 * self.high:+.1f}, "
            f"n = {self.images})"
        )


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over training seeds.

    Attributes:
        mean: Mean of the defined values.
        std: Sample standard deviation (divided by n - 1).
        seeds: How many values were defined.
        left_out: How many were undefined (NaN) and left out.
    """

    mean: float
    std: float
    seeds: int
    left_out: int = 0

    def __str__(self) -> str:
        left_out = f", {self.left_out} undefined left out" if self.left_out else ""
        return f"{self.mean:.3f} ± {self.std:.3f} ({self.seeds} seeds{left_out})"


def wilson(count: int, *, images: int, confidence: float = 0.95) -> Proportion:
    """A share with Wilson's score interval.

    The interval stays inside [0, 1] and has a width at 0 and at 1 too. Wilson, 1927,
    doi:10.1080/01621459.1927.10502953; without continuity correction.

    Args:
        count: Number of successes.
        images: Number of trials.
        confidence: Coverage, between 0 and 1.

    Returns:
        The share; all NaN for no image.

    Raises:
        ValueError: If the numbers cannot belong together.

    Example:
        >>> print(wilson(95, images=100))
        95.0 % (88.8 to 97.8, n = 100)
    """
    if not 0 <= count <= images:
        raise ValueError(f"count must lie in 0 to images = {images}, not {count}")
    check_confidence(confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    if images == 0:
        return Proportion(math.nan, math.nan, math.nan, 0, 0)
    share = count / images
    centre = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = math.sqrt(share * (1 - share) / images + (z / (2 * images)) ** 2) * z
    half /= 1 + z**2 / images
    low = 0.0 if count == 0 else centre - half
    high = 1.0 if count == images else centre + half
    return Proportion(share, low, high, count, images)


def paired_difference(
    *, both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95
) -> Difference:
    """Difference of two shares of the same images, with Newcombe's interval for pairs.

    Wilson's intervals of the two shares are combined by squaring and adding, with the
    (continuity-corrected) correlation within the pairs taken into account. It is a closed form,
    stays inside [-1, 1], and has a sensible width where no pair differs, where a bootstrap would
    give none. Newcombe, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", 1998, method 10.

    Args:
        both: Pairs where both succeed.
        only_first: Pairs where the first alone succeeds.
        only_second: Pairs where the second alone succeeds.
        neither: Pairs where none succeeds.
        confidence: Coverage, between 0 and 1.

    Returns:
        Share of the first minus share of the second; all NaN for no pair.

    Raises:
        ValueError: If a number is negative.

    Example:
        >>> print(paired_difference(both=36, only_first=12, only_second=2, neither=0))
        +20.0 points (+5.7 to +34.0, n = 50)
    """
    counts = (both, only_first, only_second, neither)
    if min(counts) < 0:
        raise ValueError(f"numbers of pairs cannot be negative: {counts}")
    images = sum(counts)
    if images == 0:
        return Difference(math.nan, math.nan, math.nan, 0)
    first = wilson(both + only_first, images=images, confidence=confidence)
    second = wilson(both + only_second, images=images, confidence=confidence)
    scale = math.prod(
        (both + only_first, only_second + neither, both + only_second, only_first + neither)
    )
    cross = float(both * neither - only_first * only_second)
    if cross > 0:
        cross = max(cross - images / 2, 0.0)
    correlation = cross / math.sqrt(scale) if scale else 0.0
    value = first.value - second.value
    down = _combined(first.value - first.low, second.high - second.value, correlation)
    up = _combined(first.high - first.value, second.value - second.low, correlation)
    return Difference(value, value - down, value + up, images)


def check_lengths(**columns: Sized) -> None:
    """Raise a ValueError, with the names and lengths, unless all columns are as long."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "one value an image, in the same order, was expected; the lengths are "
            + ", ".join(f"{name} {length}" for name, length in lengths.items())
        )


def mean_std(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation over training seeds, at least three of them.

    Args:
        values: One number a seed; NaN where undefined.

    Returns:
        Mean and standard deviation over the defined values, and their number; both NaN if fewer
        than three are defined.

    Raises:
        ValueError: If fewer than three values are given: a spread over two says nothing.

    Example:
        >>> print(mean_std([0.91, 0.95, 0.93]))
        0.930 ± 0.020 (3 seeds)
    """
    values = [float(value) for value in values]
    if len(values) < 3:
        raise ValueError(
            f"a mean with its spread needs at least three seeds, {len(values)} given: "
            "train more seeds, or report the single numbers"
        )
    defined = [value for value in values if not math.isnan(value)]
    left_out = len(values) - len(defined)
    if len(defined) < 3:
        return Spread(math.nan, math.nan, len(defined), left_out)
    return Spread(mean(defined), stdev(defined), len(defined), left_out)


def check_confidence(confidence: float) -> None:
    """Raise a ValueError for what is no coverage of an interval."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")


def _combined(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(first**2 - 2 * correlation * first * second + second**2, 0.0))
