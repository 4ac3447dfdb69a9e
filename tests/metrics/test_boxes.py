"""MaxBoxAcc: parts of the map found by flood fill, boxes compared pixel by pixel."""

import numpy as np
import pytest
import torch

from visattn.metrics import box_overlaps, max_box_accuracy, whole_image_accuracy

NAN = float("nan")


def parts(above):
    """Sets of pixels that touch, at a corner too: a flood fill with a stack."""
    left = {(y, x) for y, x in zip(*np.nonzero(above), strict=True)}
    while left:
        stack, part = [left.pop()], set()
        while stack:
            y, x = stack.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            stack += near
        yield part


def box(part):
    rows, columns = zip(*part, strict=True)
    return {
        (y, x)
        for y in range(min(rows), max(rows) + 1)
        for x in range(min(columns), max(columns) + 1)
    }


def overlaps_by_hand(saliency, mask, thresholds):
    """Best IoU at each threshold, boxes as sets of pixels."""
    known = ~np.isnan(mask)
    true = {(y, x) for y, x in zip(*np.nonzero(known & (mask >= 0.5)), strict=True)}
    if not true:
        return [NAN] * thresholds
    true = box(true)
    low, high = saliency[known].min(), saliency[known].max()
    found = []
    for threshold in range(thresholds):
        above = known & (saliency > low + threshold / thresholds * (high - low))
        boxes = map(box, parts(above))
        found.append(max((len(b & true) / len(b | true) for b in boxes), default=0.0))
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_overlaps_by_flood_fill(random_batch, seed):
    saliency, mask = random_batch(seed)
    saliency[1] = torch.rand(7, 9)
    saliency[2] = 0.4
    found = box_overlaps(saliency, mask, thresholds=7)
    expected = [
        overlaps_by_hand(s, m, 7)
        for s, m in zip(saliency.double().numpy(), mask.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found[2].tolist() == [0.0] * 7


def test_a_winding_part_is_one():
    spiral = torch.zeros(1, 15, 15)
    y, x, dy, dx = 0, 0, 0, 1
    spiral[0, 0, 0] = 1
    for length in (14, 14, 14, 12, 12, 10, 10, 8, 8, 6, 6, 4, 4, 2, 2):
        for _ in range(length):
            y, x = y + dy, x + dx
            spiral[0, y, x] = 1
        dy, dx = dx, -dy
    assert sum(1 for _ in parts(spiral[0].numpy())) == 1
    assert box_overlaps(spiral, torch.ones(1, 15, 15), thresholds=1).item() == 1
    diagonal = torch.eye(6)[None]
    assert box_overlaps(diagonal, torch.ones(1, 6, 6), thresholds=1).item() == 1


def test_the_best_of_several_parts_counts():
    saliency = torch.tensor([[[1.0, 0.0, 0.6, 0.6, 0.0, 0.9]]])
    mask = torch.tensor([[[0, 0, 1, 1, 0, 0]]])
    assert box_overlaps(saliency, mask, thresholds=4).tolist() == [[1.0, 1.0, 1.0, 0.0]]


def test_the_threshold_is_common_to_all_images():
    """One map needs a low threshold, the other a high one: no threshold serves both."""
    saliency = torch.tensor([[[1.0, 0.35, 0.35, 0.0]], [[1.0, 0.35, 0.35, 0.0]]])
    mask = torch.tensor([[[1, 1, 1, 0]], [[1, 0, 0, 0]]])
    found = max_box_accuracy(saliency, mask, overlaps=[0.3, 0.9], thresholds=10)
    assert found.accuracies == (1.0, 0.5)
    assert found.mean == 0.75
    assert (found.images, found.left_out) == (2, 0)
    alone = max_box_accuracy(saliency[1:], mask[1:], overlaps=[0.9], thresholds=10)
    assert (alone.accuracies, alone.thresholds) == ((1.0,), (0.4,))


def test_accuracy_is_the_best_column_of_the_overlaps(random_batch):
    saliency, mask = random_batch(3)
    found = max_box_accuracy(saliency, mask, thresholds=5)
    overlaps = box_overlaps(saliency, mask, thresholds=5).numpy()
    known = overlaps[~np.isnan(overlaps).any(1)]
    assert (found.images, found.left_out) == (10, 2)
    for needed, value in zip(found.overlaps, found.accuracies, strict=True):
        assert value == pytest.approx(max((known >= needed).mean(0)))


def test_the_whole_image_as_a_box(random_batch):
    _, mask = random_batch(4)
    found = whole_image_accuracy(mask)
    shares = []
    for image in mask.numpy():
        true = list(zip(*np.nonzero(np.nan_to_num(image) >= 0.5), strict=True))
        if true:
            shares.append(len(box(true)) / 63)
    for needed, value in zip(found.overlaps, found.accuracies, strict=True):
        assert value == pytest.approx(np.mean([share >= needed for share in shares]))
    assert (found.images, found.left_out) == (10, 2)


def test_edge_cases_and_mistakes():
    nothing = max_box_accuracy(torch.rand(2, 3, 3), torch.zeros(2, 3, 3))
    assert np.isnan(nothing.accuracies).all()
    assert (nothing.images, nothing.left_out) == (0, 2)
    assert box_overlaps(torch.rand(0, 3, 3), torch.ones(0, 3, 3)).shape == (0, 100)
    with pytest.raises(ValueError, match="thresholds"):
        max_box_accuracy(torch.rand(1, 3, 3), torch.ones(1, 3, 3), thresholds=0)
    for overlaps in ((), (0.0,), (1.1,)):
        with pytest.raises(ValueError, match=r"each in \(0, 1\]"):
            max_box_accuracy(torch.rand(1, 3, 3), torch.ones(1, 3, 3), overlaps=overlaps)
