"""Ranking metrics against every pair of pixels, and against torchmetrics."""

import math

import pytest
import torch

from visattn.metrics import pixel_average_precision, roc_auc

NAN = float("nan")


def maps(*rows: list[float]) -> torch.Tensor:
    """A batch of one-row maps (N, 1, W)."""
    return torch.tensor(rows)[:, None]


def test_roc_auc_is_the_share_of_pairs_in_the_right_order(random_batch, pixels_of) -> None:
    saliency, mask = random_batch(7)
    saliency = saliency - 0.5
    found = roc_auc(saliency, mask)
    for image in range(len(mask)):
        pixels = pixels_of(saliency[image], mask[image])
        inside = [value for value, on_mask, *_ in pixels if on_mask]
        outside = [value for value, on_mask, *_ in pixels if not on_mask]
        if not inside or not outside:
            assert math.isnan(found[image])
            continue
        wins = sum((a > b) + (a == b) / 2 for a in inside for b in outside)
        assert found[image].item() == pytest.approx(wins / len(inside) / len(outside))
    assert found.isnan().sum() == 3


def test_roc_auc_agrees_with_torchmetrics() -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    generator = torch.Generator().manual_seed(8)
    saliency = torch.rand(3, 16, 16, generator=generator)
    mask = torch.rand(3, 16, 16, generator=generator) < saliency
    for image, found in enumerate(roc_auc(saliency, mask)):
        expected = classification.BinaryAUROC()(saliency[image], mask[image].long())
        assert found.item() == pytest.approx(expected.item(), abs=1e-6)


def test_average_precision_steps_through_the_thresholds(random_batch, pixels_of) -> None:
    saliency, mask = random_batch(9)
    pooled = [
        pixel for image in range(len(mask)) for pixel in pixels_of(saliency[image], mask[image])
    ]
    positives = sum(inside for _, inside, *_ in pooled)
    expected, recall_before = 0.0, 0.0
    for threshold in sorted({value for value, *_ in pooled}, reverse=True):
        taken = [inside for value, inside, *_ in pooled if value >= threshold]
        recall = sum(taken) / positives
        expected += sum(taken) / len(taken) * (recall - recall_before)
        recall_before = recall
    assert pixel_average_precision(saliency, mask) == pytest.approx(expected)


def test_average_precision_agrees_with_torchmetrics() -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    generator = torch.Generator().manual_seed(10)
    saliency = torch.rand(3, 16, 16, generator=generator)
    mask = torch.rand(3, 16, 16, generator=generator) < saliency**3
    expected = classification.BinaryAveragePrecision()(saliency.flatten(), mask.flatten().long())
    assert pixel_average_precision(saliency, mask) == pytest.approx(expected.item(), abs=1e-6)


def test_average_precision_edge_cases() -> None:
    assert math.isnan(pixel_average_precision(maps([1.0, 2.0]), maps([0.0, 0.0])))
    assert math.isnan(pixel_average_precision(maps([1.0, 2.0]), maps([NAN, NAN])))
    assert pixel_average_precision(maps([1.0, 2.0]), maps([1.0, 1.0])) == 1
    # A flat map gets chance: the mask's share.
    assert pixel_average_precision(maps([1.0] * 4), maps([1.0, 0, 0, 0])) == 0.25
