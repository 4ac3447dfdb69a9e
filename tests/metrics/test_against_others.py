"""Metrics that others have too, on the same maps: torchcam's and Quantus'.

Where theirs differ: Quantus' ROAD gives the accuracy after removing most relevant pixels alone and
not the difference of both orders, its MPRT randomises other sets of layers; its pointing game takes
the first of several highest places.
"""

import warnings
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from visattn import metrics
from visattn.metrics import rank_accuracy, rank_correlation

SIZE = 16


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(128, 4)
    ).eval()
    images = 2 * torch.randn(6, 3, SIZE, SIZE)
    maps = torch.rand(6, SIZE, SIZE)
    masks = torch.zeros(6, SIZE, SIZE)
    masks[:, 3:11, 4:13] = 1
    with torch.no_grad():
        classes = model(images).argmax(1)
    return model, images, maps, masks, classes


class Given:
    """Hands torchcam maps that are there already, brought to [0, 1] as its own are."""

    def __init__(self, model, maps):
        low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
        self.model, self.maps = model, (maps - low) / (high - low)

    def __call__(self, *_, **__):
        return [self.maps]

    def fuse_cams(self, cams):
        return cams[0]

    def _hooks_off(self):
        return nullcontext()


def test_drop_and_increase_are_torchcams(case):
    others = pytest.importorskip("torchcam.metrics", reason="torchcam is not installed")
    model, images, maps, _, _ = case
    found = others.ClassificationMetric(Given(model, maps), partial(torch.softmax, dim=-1))
    found.update(images)
    ours = metrics.masked_confidence(model, images, maps)
    summary = found.summary()
    assert float(ours.drop.mean()) == pytest.approx(summary["avg_drop"], abs=1e-4)
    assert float(ours.increase.double().mean()) == pytest.approx(summary["conf_increase"], abs=1e-4)


def test_deletion_and_insertion_are_torchcams(case):
    others = pytest.importorskip("torchcam.metrics", reason="torchcam is not installed")
    if not hasattr(others, "DeletionInsertionMetric"):
        pytest.skip("this torchcam has no deletion")
    model, images, maps, _, _ = case
    softmax = partial(torch.softmax, dim=-1)
    found = others.DeletionInsertionMetric(Given(model, maps), softmax, steps=8)
    found.update(images)
    options = {"baseline": "zero", "step": SIZE * SIZE // 8}
    for way in ("deletion", "insertion"):
        ours = getattr(metrics, way)(model, images, maps, **options).area.mean()
        (theirs,) = (value for name, value in found.summary().items() if way in name)
        assert float(ours) == pytest.approx(theirs, abs=1e-4)


@pytest.fixture
def quantus():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import quantus
        except ImportError:
            pytest.skip("Quantus is not installed")
    return quantus


def theirs(metric, case):
    model, images, maps, masks, classes = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = metric(
            model=model,
            x_batch=images.numpy(),
            y_batch=classes.numpy(),
            a_batch=maps[:, None].numpy(),
            s_batch=masks[:, None].numpy().astype(bool),
            device="cpu",
        )
    return np.array(found, dtype=float)


PLAIN = {"abs": False, "normalise": False, "disable_warnings": True}


def test_pixel_flipping_is_quantus(quantus, case):
    model, images, maps, _, classes = case
    options = {"features_in_step": 32, "perturb_baseline": 0.0}
    found = theirs(quantus.PixelFlipping(**options, **PLAIN), case)[:, 2::3]  # it counts channels
    curve = metrics.deletion(model, images, maps, classes=classes, step=32)
    np.testing.assert_allclose(found, curve.probabilities[:, 1:], atol=1e-4)
    whole = model(images).softmax(1).gather(1, classes[:, None]).detach().numpy()
    np.testing.assert_allclose(curve.drop, (whole - found).mean(1), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("RelevanceMassAccuracy", metrics.energy_pointing),
        ("RelevanceRankAccuracy", rank_accuracy),
        ("PointingGame", metrics.pointing_game),
        ("AUC", metrics.roc_auc),
    ],
)
def test_localisation_is_quantus(quantus, case, name, ours):
    _, _, maps, masks, _ = case
    found = theirs(getattr(quantus, name)(**PLAIN), case)
    np.testing.assert_allclose(found.ravel(), ours(maps, masks).double(), atol=1e-4)


def test_rank_correlation_is_quantus(quantus, case):
    _, _, maps, _, _ = case
    other = maps.flip(0) + maps
    found = rank_correlation(maps, other)
    for row in range(len(maps)):
        expected = quantus.similarity_func.correlation_spearman(
            maps[row].flatten().numpy(), other[row].flatten().numpy()
        )
        assert float(found[row]) == pytest.approx(float(expected), abs=1e-4)
