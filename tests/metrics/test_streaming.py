"""The classes give batch by batch what the functions give at once."""

import builtins
import importlib
import math
import sys

import pytest
import torch

pytest.importorskip("torchmetrics")

import visattn
from visattn import metrics
from visattn.metrics import (
    BackgroundGap,
    EnergyPointing,
    FlipRate,
    MaskIoU,
    PixelAveragePrecision,
    PointingGame,
    RankAccuracy,
    TopAreaIoU,
)

MEANS = [
    (MaskIoU(threshold=0.3), lambda s, m: metrics.mask_iou(s, m, threshold=0.3), 0),
    (TopAreaIoU(), metrics.top_area_iou, 0),
    (RankAccuracy(), metrics.rank_accuracy, 0),
    (
        EnergyPointing(negative="clip"),
        lambda s, m: metrics.energy_pointing(s, m, negative="clip"),
        0,
    ),
    (PointingGame(tolerance=2), lambda s, m: metrics.pointing_game(s, m, tolerance=2), 2),
]


@pytest.mark.parametrize(("metric", "function", "tolerance"), MEANS, ids=lambda v: type(v).__name__)
def test_batches_add_up(metric, function, tolerance: int, random_batch) -> None:
    saliency, mask = random_batch(11)
    metric.reset()
    for rows in torch.arange(12).split(5):
        metric.update(saliency[rows], mask[rows])
    found = metric.compute()
    values = function(saliency, mask)
    expected = metrics.summarise(values)
    chance = metrics.chance_level(mask, tolerance=tolerance)[~values.isnan()].mean()
    assert found["mean"].item() == pytest.approx(expected.mean)
    assert found["chance"].item() == pytest.approx(chance.item())
    assert (found["images"].item(), found["left_out"].item()) == (expected.count, expected.left_out)
    assert found["left_out"] > 0


def test_states_of_two_processes_sum_up(random_batch) -> None:
    """What a reduction over processes does: states of the same name are added."""
    saliency, mask = random_batch(12)
    whole, first, second = MaskIoU(), MaskIoU(), MaskIoU()
    whole.update(saliency, mask)
    first.update(saliency[:5], mask[:5])
    second.update(saliency[5:], mask[5:])
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), whole.compute())


def test_no_defined_image_is_nan() -> None:
    metric = MaskIoU()
    metric.update(torch.zeros(2, 3, 3), torch.zeros(2, 3, 3))
    found = metric.compute()
    assert math.isnan(found["mean"])
    assert (found["images"].item(), found["left_out"].item()) == (0, 2)


def test_a_collection_names_every_value(random_batch) -> None:
    torchmetrics = pytest.importorskip("torchmetrics")
    collection = torchmetrics.MetricCollection({"iou": MaskIoU(), "energy": EnergyPointing()})
    collection.update(*random_batch(13))
    names = set(collection.compute())
    assert {"iou_mean", "iou_chance", "iou_left_out", "energy_mean", "energy_chance"} <= names


def test_pixel_average_precision_pools_over_batches(random_batch) -> None:
    saliency, mask = random_batch(14)
    metric = PixelAveragePrecision()
    metric.update(saliency[:7], mask[:7])
    metric.update(saliency[7:], mask[7:])
    found = metric.compute()
    assert found["mean"].item() == pytest.approx(metrics.pixel_average_precision(saliency, mask))
    assert found["chance"].item() == pytest.approx(mask[~mask.isnan()].mean().item())
    assert (found["images"].item(), found["left_out"].item()) == (11, 1)


def test_background_gap_and_flip_rate_over_batches() -> None:
    generator = torch.Generator().manual_seed(15)
    labels, same, rand = torch.randint(0, 3, (3, 60), generator=generator)
    gap, flips = BackgroundGap(), FlipRate()
    for rows in torch.arange(60).split(25):
        gap.update(same[rows], rand[rows], labels[rows])
        flips.update(same[rows], rand[rows])
    expected = metrics.background_gap(same, rand, labels)
    found = gap.compute()
    assert found["gap"].item() == pytest.approx(expected.value)
    assert (found["low"].item(), found["high"].item()) == pytest.approx(
        (expected.low, expected.high)
    )
    assert flips.compute()["rate"].item() == pytest.approx(metrics.flip_rate(same, rand).value)
    with pytest.raises(ValueError, match="lengths are"):
        gap.update(same, rand[1:], labels)


def test_without_torchmetrics_the_functions_work_and_the_classes_name_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without(name: str, *args, **kwargs):
        if name.split(".")[0] == "torchmetrics":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(visattn, "metrics", metrics)  # put back what the fresh import replaces
    for name in [n for n in sys.modules if n.startswith("visattn.metrics")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    fresh = importlib.import_module("visattn.metrics")
    assert fresh.mask_iou(torch.ones(1, 2, 2), torch.ones(1, 2, 2)).tolist() == [1]
    with pytest.raises(ImportError, match=r"visattn\[train\]"):
        _ = fresh.MaskIoU
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = fresh.Nothing


def test_every_public_name_exists() -> None:
    assert all(hasattr(metrics, name) for name in metrics.__all__)
