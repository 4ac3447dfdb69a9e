"""Intervals against SciPy, published examples and simulation."""

import math

import numpy as np
import pytest

from visattn.metrics import mean_std, paired_difference, wilson


@pytest.mark.parametrize(
    ("count", "images"), [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20), (95, 100)]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_agrees_with_scipy(count: int, images: int, confidence: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(count, images).proportion_ci(confidence, method="wilson")
    found = wilson(count, images=images, confidence=confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.value == count / images
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_solves_its_own_equation() -> None:
    """Both ends p satisfy (share - p)^2 = z^2 p (1 - p) / n, by which Wilson defines them."""
    found = wilson(13, images=41)
    for end in (found.low, found.high):
        assert (13 / 41 - end) ** 2 == pytest.approx(1.959963985**2 * end * (1 - end) / 41)


def test_wilson_edge_cases() -> None:
    nothing = wilson(0, images=0)
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.low)
    assert nothing.images == 0
    for count, images in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="count must lie in 0 to images = 3"):
            wilson(count, images=images)
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, images=2, confidence=95)
    assert str(wilson(95, images=100)) == "95.0 % (88.8 to 97.8, n = 100)"


# Published examples of the method: both, only first, only second, neither; the interval.
# Altman et al., "Statistics with confidence", 2000, table 6.2; Bentur et al. 2009 and Cavo et al.
# 2012 as worked in Fagerland, Lydersen and Laake, "Recommended tests and confidence intervals for
# paired binomial proportions", 2014.
PUBLISHED = [
    ((14, 5, 0, 22), (0.01, 0.23), 2),
    ((1, 1, 7, 12), (-0.507, -0.026), 3),
    ((59, 6, 16, 80), (-0.119, -0.005), 3),
]


@pytest.mark.parametrize(("table", "interval", "digits"), PUBLISHED)
def test_paired_difference_agrees_with_published_examples(
    table: tuple[int, ...], interval: tuple[float, float], digits: int
) -> None:
    names = ("both", "only_first", "only_second", "neither")
    found = paired_difference(**dict(zip(names, table, strict=True)))
    assert found.value == pytest.approx((table[1] - table[2]) / sum(table))
    assert (round(found.low, digits), round(found.high, digits)) == interval


def test_paired_difference_covers_the_truth() -> None:
    """In 2,000 simulated test sets the 95 % interval holds the true gap about 95 % of the time."""
    generator = np.random.default_rng(0)
    truth = np.array([0.70, 0.12, 0.03, 0.15])
    covered = 0
    for table in generator.multinomial(200, truth, size=2000).tolist():
        found = paired_difference(
            both=table[0], only_first=table[1], only_second=table[2], neither=table[3]
        )
        covered += found.low <= truth[1] - truth[2] <= found.high
    assert 0.935 <= covered / 2000 <= 0.975


def test_paired_difference_is_narrower_than_for_independent_sets() -> None:
    pairs = paired_difference(both=150, only_first=20, only_second=5, neither=25)
    first, second = wilson(170, images=200), wilson(155, images=200)
    independent = math.hypot(first.value - first.low, second.high - second.value)
    assert pairs.value - pairs.low < independent


def test_paired_difference_edge_cases() -> None:
    same = paired_difference(both=50, only_first=0, only_second=0, neither=0)
    assert same.value == 0
    assert -0.11 < same.low < 0 < same.high < 0.11
    turned = paired_difference(both=3, only_first=9, only_second=2, neither=4)
    back = paired_difference(both=3, only_first=2, only_second=9, neither=4)
    assert (turned.low, turned.high) == pytest.approx((-back.high, -back.low))
    extreme = paired_difference(both=0, only_first=5, only_second=0, neither=0)
    assert extreme.value == 1
    assert extreme.high <= 1
    assert math.isnan(paired_difference(both=0, only_first=0, only_second=0, neither=0).value)
    with pytest.raises(ValueError, match="negative"):
        paired_difference(both=1, only_first=-1, only_second=0, neither=0)


def test_mean_std_is_the_sample_standard_deviation() -> None:
    values = [0.91, 0.95, 0.93, 0.90]
    found = mean_std(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert found.seeds == 4
    with_gap = mean_std([*values, float("nan")])
    assert (with_gap.mean, with_gap.seeds, with_gap.left_out) == (found.mean, 4, 1)
    assert str(with_gap) == "0.922 ± 0.022 (4 seeds, 1 undefined left out)"
    assert math.isnan(mean_std([0.5, 0.5, float("nan")]).std)
    with pytest.raises(ValueError, match="at least three seeds, 2 given"):
        mean_std([0.91, 0.95])
