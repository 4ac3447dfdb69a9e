"""Metrics that others have too, on the same maps: torchcam's and Quantus'.

Where theirs differ, recipes/maps/README.md says why.
"""

import warnings
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from visattn import metrics
from visattn.metrics import cell_share, rank_accuracy, rank_correlation

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


def quietly(metric, case, **more):
    model, images, maps, masks, classes = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(
            model=model,
            x_batch=images.numpy(),
            y_batch=classes.numpy(),
            a_batch=maps[:, None].numpy(),
            s_batch=masks[:, None].numpy().astype(bool),
            device="cpu",
            **more,
        )


def theirs(metric, case, **more):
    return np.array(quietly(metric, case, **more), dtype=float)


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
        ("AttributionLocalisation", metrics.energy_pointing),
        ("RelevanceRankAccuracy", rank_accuracy),
        ("PointingGame", metrics.pointing_game),
        ("AUC", metrics.roc_auc),
    ],
)
def test_localisation_is_quantus(quantus, case, name, ours):
    _, _, maps, masks, _ = case
    found = theirs(getattr(quantus, name)(**PLAIN), case)
    np.testing.assert_allclose(found.ravel(), ours(maps, masks).double(), atol=1e-4)


def test_the_grid_game_is_quantus(quantus, case):
    maps = case[2] - 0.3  # with values below zero, which do not count
    cells = torch.tensor([0, 1, 2, 3, 1, 2])
    focus = quantus.Focus(**PLAIN)
    found = theirs(focus, (*case[:2], maps, *case[3:]), custom_batch=np.eye(4)[cells])
    np.testing.assert_allclose(found, cell_share(maps, cells), atol=1e-4)


def test_road_is_quantus(quantus):
    """Its share of images whose class is kept is our probability, of a network that is always sure.

    Of one channel, since it counts more channels' pixels as places.
    """
    torch.manual_seed(5)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 14 * 14, 4))
    with torch.no_grad():
        model[3].weight *= 1e6
        model[3].bias.zero_()
    images, maps = torch.randn(12, 1, SIZE, SIZE), torch.rand(12, SIZE, SIZE)
    case = (model.eval(), images, maps, torch.ones(12, SIZE, SIZE), model(images).argmax(1))
    metric = quantus.ROAD(percentages=[25, 50, 75], noise=0.0, **PLAIN)
    found = quietly(metric, case)
    ours = metrics.road(model, images, maps, shares=[0.25, 0.5, 0.75], noise=0).most_relevant
    np.testing.assert_allclose(list(found.values()), ours.mean(0), atol=1e-4)
    assert 0 < float(ours.mean()) < 1
    for image, order in zip(images, maps.flatten(1).argsort(1, descending=True), strict=True):
        gone = order[:64]
        filled = quantus.perturb_func.noisy_linear_imputation(image.numpy(), gone.numpy(), noise=0)
        known = torch.ones(SIZE * SIZE, dtype=torch.bool).index_fill(0, gone, False)
        mine = metrics.linear_imputation(image[None], known.view(1, SIZE, SIZE), tolerance=1e-6)
        np.testing.assert_allclose(filled, mine[0], atol=1e-4)


def test_randomisation_is_quantus(quantus, case):
    """The correlations of each step with the maps of before, given the maps of each step."""
    model, images, maps, _, _ = case
    noise = torch.rand(2, *maps.shape, generator=torch.manual_seed(3))
    steps = [maps, noise[0] + maps, noise[1] - maps]
    theirs_left, ours_left = iter(steps), iter(steps)
    spearman = quantus.similarity_func.correlation_spearman
    metric = quantus.MPRT(similarity_func=spearman, **PLAIN)
    found = quietly(metric, case, explain_func=lambda *_, **__: next(theirs_left)[:, None].numpy())

    def again(network):
        network(images)
        return next(ours_left)

    ours = metrics.randomisation_test(model, again, steps=2).correlations
    np.testing.assert_allclose(list(found.values())[1:], ours, atol=1e-4)


def test_rank_correlation_is_quantus(quantus, case):
    _, _, maps, _, _ = case
    other = maps.flip(0) + maps
    found = rank_correlation(maps, other)
    for row in range(len(maps)):
        expected = quantus.similarity_func.correlation_spearman(
            maps[row].flatten().numpy(), other[row].flatten().numpy()
        )
        assert float(found[row]) == pytest.approx(float(expected), abs=1e-4)
