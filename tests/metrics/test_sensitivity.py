"""The interval of RFS against every resample there is, and against images drawn one by one."""

import itertools
import math

import numpy as np
import pytest
import torch

from visattn.metrics import bootstrap_sensitivity, relative_foreground_sensitivity


def shares(on_object: np.ndarray, around: np.ndarray) -> list[float]:
    """RFS of each row of hits (R, N)."""
    return [
        relative_foreground_sensitivity(float(a), float(b))
        for a, b in zip(on_object.mean(1), around.mean(1), strict=True)
    ]


def test_the_interval_is_that_of_all_resamples_of_five_images() -> None:
    on_object, around = np.array([1, 0, 0, 1, 0]), np.array([1, 1, 0, 0, 1])
    rows = np.array(list(itertools.product(range(5), repeat=5)))
    values = np.array(shares(on_object[rows], around[rows]))
    found = bootstrap_sensitivity(torch.tensor(on_object) > 0, torch.tensor(around) > 0)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx(tuple(np.nanquantile(values, (0.025, 0.975))))
    assert (found.low, found.high) == pytest.approx((-0.6, 1))
    assert found.images == 5
    assert found.undefined < 10  # 2 of 3,125 resamples have no RFS, so about 1 of 2,000
    half = bootstrap_sensitivity(on_object > 0, around > 0, confidence=0.5)
    assert (half.low, half.high) == pytest.approx(tuple(np.nanquantile(values, (0.25, 0.75))))


def test_images_are_drawn_with_both_their_hits() -> None:
    """Hits that mostly agree leave a narrow interval; as many hits apart leave a wide one."""
    draw = np.random.default_rng(0)
    hits = {}
    for name, both in (("together", 95), ("apart", 25)):
        on_object, around = np.zeros((2, 200), bool)
        on_object[:100], around[100 - both : 220 - both] = True, True
        hits[name] = on_object, around
    widths = {}
    for name, (on_object, around) in hits.items():
        found = bootstrap_sensitivity(on_object, around, seed=3)
        rows = draw.integers(200, size=(4000, 200))
        expected = np.nanquantile(shares(on_object[rows], around[rows]), (0.025, 0.975))
        assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.02)
        assert found.value == pytest.approx(0.1 / 0.9)
        widths[name] = found.high - found.low
    assert widths["apart"] > 1.9 * widths["together"]


def test_the_seed_decides() -> None:
    hits = [True, False] * 30, [True, True, False] * 20
    first, again, other = (bootstrap_sensitivity(*hits, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert first.value == other.value


def test_what_never_varies_has_no_width() -> None:
    ones = bootstrap_sensitivity([False] * 40, [True] * 20 + [False] * 20)
    assert (ones.value, ones.low, ones.high) == (1, 1, 1)
    same = [True] * 20 + [False] * 20
    zeros = bootstrap_sensitivity(same, same)
    assert (zeros.value, zeros.low, zeros.high) == (0, 0, 0)


@pytest.mark.parametrize("hits", [[], [True] * 4, [False] * 4], ids=["none", "right", "wrong"])
def test_where_there_is_no_rfs_there_is_no_interval(hits: list[bool]) -> None:
    found = bootstrap_sensitivity(hits, hits)
    assert all(math.isnan(value) for value in (found.value, found.low, found.high))
    assert found.images == len(hits)


def test_what_is_no_pair_of_hits_is_refused() -> None:
    with pytest.raises(ValueError, match="foreground_hits 2, background_hits 3"):
        bootstrap_sensitivity([True] * 2, [True] * 3)
    with pytest.raises(TypeError, match="background_hits must be truth values"):
        bootstrap_sensitivity([True], [1])
    with pytest.raises(ValueError, match=r"must be \(N,\), one an image, not \(1, 1\)"):
        bootstrap_sensitivity([[True]], [True])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        bootstrap_sensitivity([True], [True], resamples=0)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
        bootstrap_sensitivity([True], [True], confidence=95)
