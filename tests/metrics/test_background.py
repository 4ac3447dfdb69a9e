"""Background metrics against hand-computed cases."""

import math

import numpy as np
import pytest
import torch

from visattn.metrics import (
    accuracies,
    accuracy,
    adversarial_accuracy,
    background_gap,
    flip_rate,
    gap_recovery,
    relative_foreground_sensitivity,
    wilson,
    worst_group,
)

LABELS = [0, 0, 1, 1, 2, 2, 2, 2]


def test_accuracy_counts_the_images() -> None:
    found = accuracy([0, 1, 1, 1, 2, 0, 2, 2], LABELS)
    assert found == wilson(6, images=8)
    assert accuracy(np.array([0, 1]), torch.tensor([0, 1])).value == 1
    assert math.isnan(accuracy([], []).value)


def test_accuracies_take_labels_for_all_variants_or_for_each() -> None:
    predictions = {"original": LABELS, "only-fg": [0] * 8}
    assert [p.count for p in accuracies(predictions, LABELS).values()] == [8, 2]
    by_variant = {"original": LABELS, "only-fg": [0] * 8}
    assert [p.count for p in accuracies(predictions, by_variant).values()] == [8, 8]
    with pytest.raises(KeyError, match="no variant 'only-fg'"):
        accuracies(predictions, {"original": LABELS})
    with pytest.raises(ValueError, match=r"variant 'only-fg': .* predictions 7, labels 8"):
        accuracies({"only-fg": [0] * 7}, LABELS)


def test_background_gap_is_the_difference_of_the_accuracies() -> None:
    """Of eight images six are right on mixed-same and three on mixed-rand, two on both."""
    same = [0, 0, 1, 1, 2, 2, 0, 0]
    rand = [0, 0, 0, 0, 0, 0, 0, 2]
    found = background_gap(same, rand, LABELS)
    assert found.value == pytest.approx(6 / 8 - 3 / 8)
    assert found.low < found.value < found.high
    assert found.images == 8


def test_background_gap_agrees_with_the_bootstrap_on_many_images() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 8, 2000)
    same = np.where(generator.random(2000) < 0.9, labels, (labels + 1) % 8)
    rand = np.where(generator.random(2000) < 0.6, same, (labels + 2) % 8)
    differences = (same == labels) * 1.0 - (rand == labels)
    means = generator.choice(differences, (2000, 2000)).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    found = background_gap(same, rand, labels)
    assert found.value == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.003)


def test_worst_group_leaves_small_groups_out() -> None:
    labels = [0] * 10 + [0] * 12 + [1] * 20 + [1] * 9
    backgrounds = ["slate"] * 10 + ["wood"] * 12 + ["slate"] * 20 + ["wood"] * 9
    predictions = [0] * 10 + [0] * 6 + [1] * 6 + [1] * 15 + [0] * 5 + [0] * 9
    found = worst_group(predictions, labels, backgrounds)
    assert (found.label, found.background) == (0, "wood")
    assert found.accuracy == wilson(6, images=12)
    assert (found.groups, found.left_out) == (3, 1)
    smaller = worst_group(predictions, labels, backgrounds, minimum=9)
    assert (smaller.label, smaller.background, smaller.accuracy.value) == (1, "wood", 0)
    none = worst_group(predictions, labels, backgrounds, minimum=21)
    assert (none.label, none.background, none.groups, none.left_out) == (None, None, 0, 4)
    assert math.isnan(none.accuracy.value)


def test_worst_group_reads_tensors_and_refuses_what_does_not_fit() -> None:
    found = worst_group(torch.zeros(20).long(), torch.zeros(20).long(), torch.arange(20) % 2)
    assert (found.accuracy.value, found.groups) == (1, 2)
    with pytest.raises(ValueError, match="20 labels, 3 backgrounds"):
        worst_group([0] * 20, [0] * 20, [1, 2, 3])
    with pytest.raises(ValueError, match="minimum"):
        worst_group([0], [0], [0], minimum=0)


def test_flip_rate_needs_no_labels() -> None:
    assert flip_rate([0, 1, 2, 2], [0, 2, 2, 1]) == wilson(2, images=4)
    assert math.isnan(flip_rate([], []).value)


def test_adversarial_accuracy_wants_every_background_right() -> None:
    predictions = torch.tensor([[0, 0, 0], [1, 1, 0], [1, 1, 1], [2, 2, 2]])
    labels = [0, 1, 1, 1]  # the last prediction holds on every background, but is wrong
    assert adversarial_accuracy(predictions, labels) == wilson(2, images=4)
    assert adversarial_accuracy(predictions.tolist(), labels) == wilson(2, images=4)
    for wrong in (predictions[:, :0], predictions[:3], predictions[0]):
        with pytest.raises(ValueError, match=r"\(N, B\) with N = 4"):
            adversarial_accuracy(wrong, labels)


@pytest.mark.parametrize(
    ("foreground", "background", "expected"),
    [
        (0.5, 0.9, 0.4 / (2 * 0.3)),
        (0.9, 0.5, -0.4 / (2 * 0.3)),
        (0.1, 0.3, 0.2 / (2 * 0.2)),
        (0.0, 0.4, 1.0),
        (0.4, 1.0, 1.0),
        (0.7, 0.7, 0.0),
        (0.0, 0.0, math.nan),
        (1.0, 1.0, math.nan),
    ],
)
def test_relative_foreground_sensitivity(
    foreground: float, background: float, expected: float
) -> None:
    found = relative_foreground_sensitivity(foreground, background)
    assert found == pytest.approx(expected, nan_ok=True)


def test_relative_foreground_sensitivity_refuses_percent() -> None:
    with pytest.raises(ValueError, match="background_noise must be an accuracy in"):
        relative_foreground_sensitivity(0.5, 90)


def test_gap_recovery() -> None:
    assert gap_recovery(0.9, plain=0.4, oracle=0.9) == 1
    assert gap_recovery(0.4, plain=0.4, oracle=0.9) == 0
    assert gap_recovery(0.65, plain=0.4, oracle=0.9) == pytest.approx(0.5)
    assert gap_recovery(0.3, plain=0.4, oracle=0.9) == pytest.approx(-0.2)
    assert math.isnan(gap_recovery(0.9, plain=0.9, oracle=0.9))


def test_logits_and_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not \(4, 3\); take the argmax"):
        accuracy(torch.randn(4, 3), [0] * 4)
    with pytest.raises(TypeError, match="must be integers"):
        accuracy(torch.randn(4), [0] * 4)
    with pytest.raises(ValueError, match="predictions 4, swapped 3"):
        flip_rate([0] * 4, [0] * 3)
