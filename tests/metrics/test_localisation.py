"""Overlap, energy and pointing against formulas written out pixel by pixel."""

import itertools
import math

import numpy as np
import pytest
import torch

from visattn.metrics import (
    chance_level,
    edge_checkerboard,
    energy_pointing,
    mask_iou,
    mean_over_classes,
    pointing_game,
    rank_accuracy,
    resize_saliency,
    summarise,
    top_area_iou,
)

NAN = float("nan")


def maps(*rows: list[float]) -> torch.Tensor:
    """A batch of one-row maps (N, 1, W)."""
    return torch.tensor(rows)[:, None]


def test_iou_at_a_threshold_counts_pixels(random_batch, pixels_of) -> None:
    saliency, mask = random_batch(0)
    expected = []
    for image in range(len(mask)):
        pixels = pixels_of(saliency[image], mask[image])
        intersection = sum(value >= 0.4 and inside for value, inside, *_ in pixels)
        union = sum(value >= 0.4 or inside for value, inside, *_ in pixels)
        expected.append(intersection / union if union else NAN)
    np.testing.assert_allclose(mask_iou(saliency, mask, threshold=0.4), expected, rtol=1e-12)
    assert math.isnan(expected[5])
    assert not math.isnan(expected[3])


def test_iou_agrees_with_torchmetrics(random_batch) -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    saliency, mask = random_batch(1)
    mask = mask.nan_to_num(0)
    for image in (0, 1, 2, 4, 6):
        reference = classification.BinaryJaccardIndex(threshold=0.5)
        expected = reference(saliency[image], mask[image].long())
        found = mask_iou(saliency, mask)[image]
        assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_iou_edge_cases() -> None:
    nothing, everything = maps([0.0, 0.0]), maps([1.0, 1.0])
    assert mask_iou(nothing, nothing).isnan().all()
    assert mask_iou(everything, nothing).tolist() == [0]
    assert mask_iou(nothing, everything).tolist() == [0]
    assert mask_iou(everything, everything).tolist() == [1]
    assert mask_iou(maps([0.5, 0.49]), maps([1.0, 0.0])).tolist() == [1]


def test_top_area_averages_over_every_way_to_break_ties() -> None:
    """I is the expected number of hits over all orders of the tied pixels."""
    saliency, mask = maps([3.0, 2.0, 2.0, 2.0, 1.0]), maps([1.0, 1.0, 0.0, 0.0, 1.0])
    area, order = 3, [3.0, 2.0, 2.0, 2.0, 1.0]
    hits = []
    for ranking in itertools.permutations(range(5)):
        if [order[i] for i in ranking] == sorted(order, reverse=True):
            hits.append(sum(mask[0, 0, i].item() for i in ranking[:area]))
    expected = sum(hits) / len(hits)
    assert rank_accuracy(saliency, mask).item() == pytest.approx(expected / area)
    assert top_area_iou(saliency, mask).item() == pytest.approx(expected / (2 * area - expected))


def test_top_area_without_ties_is_the_iou_of_the_highest_pixels(pixels_of) -> None:
    generator = torch.Generator().manual_seed(2)
    saliency = torch.randn(6, 8, 8, generator=generator)
    mask = (torch.rand(6, 8, 8, generator=generator) < 0.25).float()
    mask[:, 0, :3] = NAN
    for image in range(6):
        pixels = sorted(pixels_of(saliency[image], mask[image]), reverse=True)
        true = {(y, x) for _, inside, y, x in pixels if inside}
        top = {(y, x) for _, _, y, x in pixels[: len(true)]}
        assert top_area_iou(saliency, mask)[image].item() == pytest.approx(
            len(top & true) / len(top | true)
        )
        assert rank_accuracy(saliency, mask)[image].item() == pytest.approx(
            len(top & true) / len(true)
        )


def test_top_area_edge_cases() -> None:
    saliency = maps([0.2, 0.2, 0.2, 0.2])
    quarter = maps([0.0, 0.0, 1.0, 0.0])
    assert top_area_iou(saliency, quarter).item() == pytest.approx(0.25 / (2 - 0.25))
    assert rank_accuracy(saliency, quarter).item() == chance_level(quarter).item() == 0.25
    assert top_area_iou(saliency, maps([0.0] * 4)).isnan().all()
    assert rank_accuracy(saliency, maps([0.0] * 4)).isnan().all()
    assert top_area_iou(saliency, maps([1.0] * 4)).tolist() == [1]
    assert top_area_iou(saliency, maps([NAN] * 4)).isnan().all()


def test_energy_is_the_sum_inside_over_the_sum(random_batch, pixels_of) -> None:
    saliency, mask = random_batch(3)
    expected = []
    for image in range(len(mask)):
        pixels = pixels_of(saliency[image], mask[image])
        total = sum(value for value, *_ in pixels)
        inside = sum(value for value, on_mask, *_ in pixels if on_mask)
        expected.append(inside / total if total else NAN)
    np.testing.assert_allclose(energy_pointing(saliency, mask), expected, rtol=1e-12)
    assert expected[3] == 0
    assert expected[4] == 1


def test_energy_edge_cases() -> None:
    mask = maps([1.0, 0.0])
    assert energy_pointing(maps([0.0, 0.0]), mask).isnan().all()
    tiny = torch.full((1, 1, 2), 1e-300, dtype=torch.float64)
    assert energy_pointing(tiny, mask).tolist() == [0.5]
    with pytest.raises(ValueError, match=r"negative values \(smallest -1\)"):
        energy_pointing(maps([3.0, -1.0]), mask)
    assert energy_pointing(maps([3.0, -1.0]), mask, negative="clip").tolist() == [1]
    assert energy_pointing(maps([-3.0, -1.0]), mask, negative="clip").isnan().all()
    with pytest.raises(ValueError, match="'refuse' or 'clip'"):
        energy_pointing(maps([3.0, 1.0]), mask, negative="drop")  # type: ignore[arg-type]


def test_negative_values_under_ignored_pixels_do_not_matter() -> None:
    assert energy_pointing(maps([3.0, 1.0, -9.0]), maps([1.0, 0.0, NAN])).tolist() == [0.75]


@pytest.mark.parametrize("tolerance", [0, 0.5, 1, 1.5, 2, 3, 4.2, 15, 100])
def test_pointing_measures_the_distance_of_every_maximum(
    tolerance: float, random_batch, pixels_of
) -> None:
    saliency, mask = random_batch(4)
    kept = torch.rand(mask.shape, generator=torch.Generator().manual_seed(4)) < 0.3
    mask = torch.where(kept, mask, mask * 0)  # a thin mask, for which distances matter
    mask[3], mask[4], mask[5] = 0, 1, NAN
    expected = []
    for image in range(len(mask)):
        pixels = pixels_of(saliency[image], mask[image])
        true = [(y, x) for _, inside, y, x in pixels if inside]
        if not true:
            expected.append(NAN)
            continue
        highest = max(value for value, *_ in pixels)
        maxima = [(y, x) for value, _, y, x in pixels if value == highest]
        hits = [
            (y, x) in true or any(math.dist((y, x), other) < tolerance for other in true)
            for y, x in maxima
        ]
        expected.append(sum(hits) / len(hits))
    found = pointing_game(saliency, mask, tolerance=tolerance)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_pointing_edge_cases() -> None:
    flat = maps([0.3, 0.3])
    assert pointing_game(flat, maps([1.0, 1.0])).tolist() == [0]
    assert pointing_game(flat, maps([0.0, 0.0])).isnan().all()
    assert pointing_game(maps([0.0, 1.0, 1.0]), maps([0.0, 1.0, 0.0])).tolist() == [0.5]
    # The maximum of the whole map lies under an ignored pixel; what is left is flat.
    assert pointing_game(maps([0.3, 0.3, 9.0]), maps([1.0, 0.0, NAN])).tolist() == [0]
    with pytest.raises(ValueError, match="at least 0"):
        pointing_game(flat, flat, tolerance=-1)


def test_chance_level_is_what_a_random_map_gets() -> None:
    generator = torch.Generator().manual_seed(5)
    saliency = torch.rand(4000, 6, 6, generator=generator)
    mask = torch.zeros(1, 6, 6)
    mask[:, 1:3, 1:4] = 1
    mask[:, 5] = NAN
    masks = mask.expand(4000, 6, 6)
    assert chance_level(mask).item() == 6 / 30
    for tolerance in (0, 2):
        chance = chance_level(mask, tolerance=tolerance).item()
        mean = summarise(pointing_game(saliency, masks, tolerance=tolerance)).mean
        assert mean == pytest.approx(chance, abs=0.03)
    assert chance_level(mask, tolerance=2).item() > chance_level(mask).item()
    assert summarise(energy_pointing(saliency, masks)).mean == pytest.approx(0.2, abs=0.01)
    assert summarise(rank_accuracy(saliency, masks)).mean == pytest.approx(0.2, abs=0.01)
    assert chance_level(maps([NAN, NAN])).isnan().all()


@pytest.mark.parametrize(
    "metric", [mask_iou, top_area_iou, rank_accuracy, energy_pointing, pointing_game]
)
def test_every_metric_reads_the_same_shapes_and_refuses_the_same_mistakes(
    metric, random_batch
) -> None:
    saliency, mask = random_batch(6)
    expected = metric(saliency, mask)
    assert expected.shape == (12,)
    assert expected.dtype == torch.float64
    for s, m in ((saliency[:, None], mask), (saliency, mask[:, None]), (saliency.half(), mask)):
        torch.testing.assert_close(metric(s, m), expected, equal_nan=True, rtol=1e-3, atol=1e-3)
    whole = mask.nan_to_num(0)
    torch.testing.assert_close(
        metric(saliency, whole.bool()), metric(saliency, whole), equal_nan=True
    )
    assert not metric(saliency.requires_grad_(), mask).requires_grad
    assert metric(saliency[:0], mask[:0]).shape == (0,)
    saliency = saliency.detach()
    with pytest.raises(TypeError, match="saliency must be a torch tensor, not ndarray"):
        metric(saliency.numpy(), mask)
    with pytest.raises(ValueError, match=r"saliency\[None\]"):
        metric(saliency[0], mask[:1])
    with pytest.raises(ValueError, match="12 maps, mask has 2 masks"):
        metric(saliency, mask[:2])
    with pytest.raises(ValueError, match=r"7 x 9 and mask is 7 x 8 .* resize_saliency"):
        metric(saliency, mask[..., 1:])
    with pytest.raises(ValueError, match=r"from 0 to 255; .* Divide"):
        metric(saliency, whole * 255)
    with pytest.raises(ValueError, match="saliency map 2 holds NaN"):
        metric(saliency.index_fill(0, torch.tensor(2), NAN), mask)
    with pytest.raises(ValueError, match="no pixels"):
        metric(saliency[..., :0], mask[..., :0])


def test_nan_in_the_map_under_an_ignored_pixel_is_ignored() -> None:
    assert mask_iou(maps([1.0, 0.0, NAN]), maps([1.0, 0.0, NAN])).tolist() == [1]


def test_resizing_matches_half_pixel_centres() -> None:
    coarse = torch.tensor([[[0.0, 3.0], [6.0, 9.0]]])
    fine = resize_saliency(coarse, size=(4, 6))
    centres_y = (np.arange(4) + 0.5) / 2 - 0.5
    centres_x = (np.arange(6) + 0.5) / 3 - 0.5
    expected = 6 * np.clip(centres_y, 0, 1)[:, None] + 3 * np.clip(centres_x, 0, 1)[None]
    np.testing.assert_allclose(fine[0], expected, atol=1e-6)
    nearest = resize_saliency(coarse[:, None].long(), size=(4, 4), interpolation="nearest")
    assert nearest[0].tolist() == np.kron(coarse[0], np.ones((2, 2))).tolist()
    with pytest.raises(ValueError, match="'bilinear' or 'nearest'"):
        resize_saliency(coarse, size=(4, 4), interpolation="cubic")  # type: ignore[arg-type]


def test_summaries_count_what_they_leave_out() -> None:
    values = torch.tensor([1.0, NAN, 0.0, 0.5])
    found = summarise(values)
    assert (found.mean, found.count, found.left_out) == (0.5, 3, 1)
    assert str(found) == "0.500 (n = 3, 1 undefined left out)"
    nothing = summarise(values[1:2])
    assert math.isnan(nothing.mean)
    assert (nothing.count, nothing.left_out) == (0, 1)
    with pytest.raises(ValueError, match=r"\(N,\)"):
        summarise(values[None])


def test_mean_over_classes_weighs_classes_the_same() -> None:
    values = torch.tensor([1.0, 1.0, 1.0, 0.0, NAN, NAN])
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    found = mean_over_classes(values, labels)
    assert (found.mean, found.count, found.left_out) == (0.5, 4, 2)
    with pytest.raises(ValueError, match="one length"):
        mean_over_classes(values, labels[1:])


def test_checkerboard_at_an_edge():
    rows, columns = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    disc = 16 - ((rows - 23.7) ** 2 + (columns - 22.2) ** 2).sqrt()
    patterns = [(rows % 2) * 1.0, (columns % 2) * 1.0, ((rows + columns) % 2) * 1.0]
    clean = edge_checkerboard(torch.stack([disc.sigmoid(), (disc > 0) * 1.0]))
    assert clean.abs().max() < 0.05
    for pattern in patterns:
        masks = torch.stack([(disc + 2 * pattern).sigmoid(), (disc + 2 * pattern > 0) * 1.0])
        assert (edge_checkerboard(masks[:, None]) > 0.2).all()
    assert edge_checkerboard(torch.ones(2, 48, 48)).isnan().all()
    assert edge_checkerboard(torch.rand(1, 2, 2)).isnan().all()
