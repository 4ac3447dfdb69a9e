"""The classes that ask the model, and the other classes of sets, against the functions."""

import pytest
import torch

pytest.importorskip("torchmetrics")

from torchmetrics import MetricCollection

from visattn import metrics
from visattn.metrics import (
    DeletionArea,
    InsertionArea,
    MaskedConfidenceChange,
    MaxBoxAccuracy,
    PointingGameByClass,
    RoadCombined,
    RocAuc,
    summarise,
)


def model(images):
    return images.mean(1).unflatten(2, (2, -1)).sum((1, 3)) / 4


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(7, 2, 6, 8, generator=generator)
    saliency = torch.rand(7, 6, 8, generator=generator)
    saliency[4] = 0.5
    return images, saliency


@pytest.mark.parametrize(
    ("metric", "function"),
    [
        (
            DeletionArea(baseline="mean", step=5),
            lambda i, s: metrics.deletion(model, i, s, baseline="mean", step=5).area,
        ),
        (InsertionArea(batch_size=3), lambda i, s: metrics.insertion(model, i, s).area),
        (
            RoadCombined(shares=[0.3, 0.6]),
            lambda i, s: metrics.road(model, i, s, shares=[0.3, 0.6]).combined,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_batches_add_up(metric, function, batch):
    metric.reset()
    for images, saliency in zip(*(part.split(3) for part in batch), strict=True):
        metric.update(model, images, saliency)
    found = metric.compute()
    assert found["mean"].item() == pytest.approx(function(*batch).mean().item(), abs=1e-5)
    assert (found["images"].item(), found["left_out"].item()) == (7, 0)


def test_drop_and_increase_leave_out_the_same_images(batch):
    metric = MaskedConfidenceChange()
    metric.update(model, *batch)
    found = metric.compute()
    expected = metrics.masked_confidence(model, *batch)
    assert found["drop"].item() == pytest.approx(summarise(expected.drop).mean)
    assert found["increase"].item() == pytest.approx(summarise(expected.increase).mean)
    assert (found["images"].item(), found["left_out"].item()) == (6, 1)


def test_classes_reach_the_function_and_a_collection_takes_them(batch):
    images, saliency = batch
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0])
    collection = MetricCollection({"deletion": DeletionArea(), "insertion": InsertionArea()})
    collection.update(model, images, saliency, labels)
    expected = metrics.deletion(model, images, saliency, classes=labels).area.mean()
    assert collection.compute()["deletion_mean"].item() == pytest.approx(expected.item())


def test_pointing_by_class(random_batch):
    saliency, mask = random_batch(5)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 3, 3, 3, 3, 3, 3])
    metric = PointingGameByClass(5, tolerance=1.5)
    for rows in torch.arange(12).split(5):
        metric.update(saliency[rows], mask[rows], labels[rows])
    found = metric.compute()
    values = metrics.pointing_game(saliency, mask, tolerance=1.5)
    chance = metrics.chance_level(mask, tolerance=1.5)
    expected = metrics.mean_over_classes(values, labels)
    nothing = metrics.mean_over_classes(chance.masked_fill(values.isnan(), torch.nan), labels)
    assert found["mean"].item() == pytest.approx(expected.mean)
    assert found["chance"].item() == pytest.approx(nothing.mean)
    assert (found["images"].item(), found["left_out"].item()) == (10, 2)
    with pytest.raises(ValueError, match="labels must be in 0 to 4, they go from 2 to 5"):
        metric.update(saliency, mask, labels + 2)
    with pytest.raises(ValueError, match=r"\(12,\), not \(11,\)"):
        metric.update(saliency, mask, labels[1:])


def test_boxes_over_batches(random_batch):
    saliency, mask = random_batch(6)
    metric = MaxBoxAccuracy(thresholds=9)
    for rows in torch.arange(12).split(5):
        metric.update(saliency[rows], mask[rows])
    found = metric.compute()
    expected = metrics.max_box_accuracy(saliency, mask, thresholds=9)
    assert found["mean"].item() == pytest.approx(expected.mean)
    assert found["at_0.5"].item() == pytest.approx(expected.accuracies[1])
    assert found["chance"].item() == pytest.approx(metrics.whole_image_accuracy(mask).mean)
    assert (found["images"].item(), found["left_out"].item()) == (10, 2)


def test_auc_has_a_chance_of_one_half(random_batch):
    saliency, mask = random_batch(7)
    metric = RocAuc()
    metric.update(saliency, mask)
    expected = summarise(metrics.roc_auc(saliency, mask))
    assert metric.compute()["mean"].item() == pytest.approx(expected.mean)
    assert metric.compute()["chance"].item() == 0.5
