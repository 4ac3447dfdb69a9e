"""Deletion, insertion, average drop: against loops over images and pixels."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from visattn.metrics import baseline_images, deletion, insertion, masked_confidence, road, summarise

NAN = float("nan")


class Linear(nn.Module):
    """Logits by one weight a pixel, the sizes of the batches that it saw noted."""

    def __init__(self, pixels, classes=3):
        super().__init__()
        generator = torch.Generator().manual_seed(9)
        self.weight = torch.randn(classes, pixels, generator=generator) / 3
        self.batches = []

    def forward(self, images):
        assert torch.is_inference_mode_enabled()
        self.batches.append(len(images))
        return images.flatten(1) @ self.weight.T


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 2, 5, 6, generator=generator)
    saliency = torch.randint(0, 8, (4, 5, 6), generator=generator).float()
    return Linear(60).eval(), images, saliency


def probability(model, image, label):
    logits = (model.weight @ image.flatten()).tolist()
    return math.exp(logits[label]) / sum(math.exp(value) for value in logits)


def curve_by_hand(model, image, saliency, label, other, *, step, way):
    """Pixel after pixel in a list sorted by (falling value, position), then trapezoids."""
    places = [(y, x) for y in range(5) for x in range(6)]
    places.sort(key=lambda place: -float(saliency[place]))  # Python's sort is stable
    start, end = (image, other) if way == "deletion" else (other, image)
    current = start.clone()
    points = [(0.0, probability(model, current, label))]
    for first in range(0, 30, step):
        for y, x in places[first : first + step]:
            current[:, y, x] = end[:, y, x]
        share = min(first + step, 30) / 30
        points.append((share, probability(model, current, label)))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    return points, area


@pytest.mark.parametrize("step", [1, 4, 7, 30, 99])
@pytest.mark.parametrize("baseline", ["zero", "mean"])
@pytest.mark.parametrize(("metric", "way"), [(deletion, "deletion"), (insertion, "insertion")])
def test_curves_pixel_by_pixel(case, metric, way, baseline, step):
    model, images, saliency = case
    found = metric(model, images, saliency, baseline=baseline, step=step, batch_size=7)
    assert found.baseline == baseline
    for row in range(4):
        label = int((model.weight @ images[row].flatten()).argmax())
        other = torch.zeros(2, 5, 6)
        if baseline == "mean":
            other += images[row].mean((1, 2), keepdim=True)
        points, area = curve_by_hand(
            model, images[row], saliency[row], label, other, step=step, way=way
        )
        shares, values = zip(*points, strict=True)
        assert found.classes[row] == label
        np.testing.assert_allclose(found.fractions, shares, atol=1e-12)
        np.testing.assert_allclose(found.probabilities[row], values, atol=1e-5)
        assert found.area[row].item() == pytest.approx(area, abs=1e-5)
    assert max(model.batches) <= 7


def test_the_last_step_counts_by_its_width():
    """Two steps of 3 and 1 of 4 pixels: equal widths would give another area."""
    model = lambda images: torch.stack([images.flatten(1).sum(1), torch.zeros(len(images))], 1)  # noqa: E731
    images, saliency = torch.ones(1, 1, 1, 4), torch.tensor([[[4.0, 3.0, 2.0, 1.0]]])
    found = deletion(model, images, saliency, step=3)
    p = [1 / (1 + math.exp(-logit)) for logit in (4, 1, 0)]
    assert found.fractions.tolist() == [0, 0.75, 1]
    assert found.probabilities[0].tolist() == pytest.approx(p)
    expected = 0.75 * (p[0] + p[1]) / 2 + 0.25 * (p[1] + p[2]) / 2
    assert found.area.item() == pytest.approx(expected)
    assert found.area.item() != pytest.approx((p[0] / 2 + p[1] + p[2] / 2) / 2, abs=1e-3)


def test_the_default_is_32_steps_and_both_ends(case):
    model, _, _ = case
    images = torch.randn(1, 1, 6, 10)
    found = deletion(model, images, torch.rand(1, 6, 10), classes=torch.tensor([2]))
    assert len(found.fractions) == 31  # 60 pixels, 2 at a time
    assert found.probabilities[0, 0].item() == pytest.approx(
        probability(model, images, 2), abs=1e-6
    )
    assert found.probabilities[0, -1].item() == pytest.approx(1 / 3, abs=1e-6)


def test_given_classes_are_followed(case):
    model, images, saliency = case
    labels = torch.tensor([2, 1, 0, 2])
    found = insertion(model, images, saliency, classes=labels, baseline="zero")
    assert found.classes.tolist() == labels.tolist()
    for row in range(4):
        expected = probability(model, images[row], int(labels[row]))
        assert found.probabilities[row, -1].item() == pytest.approx(expected, abs=1e-6)


def test_the_blur_is_a_gaussian_over_the_mirrored_image():
    images = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    width, radius = 2.0, 6
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * width**2))
    kernel /= kernel.sum()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (radius,) * 2, (radius,) * 2), "reflect")
    expected = np.zeros(images.shape)
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            weight = kernel[dy] * kernel[dx]
            expected += weight * padded[:, :, dy : dy + 32, dx : dx + 48]
    np.testing.assert_allclose(baseline_images(images, "blur"), expected, atol=1e-5)
    constant = torch.full((1, 1, 5, 3), 2.0)
    torch.testing.assert_close(baseline_images(constant, "blur"), constant)


def test_images_as_a_baseline(case):
    model, images, saliency = case
    other = torch.randn(2, 1, 1)
    found = deletion(model, images, saliency, baseline=other)
    assert found.baseline == "images"
    expected = probability(model, other.expand(2, 5, 6), int(found.classes[0]))
    assert found.probabilities[0, -1].item() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="doesn't broadcast"):
        deletion(model, images, saliency, baseline=torch.zeros(7, 1, 1))
    with pytest.raises(ValueError, match="one of 'zero', 'mean', 'blur'"):
        deletion(model, images, saliency, baseline="black")


@pytest.mark.parametrize("normalise", ["image", "none"])
def test_average_drop_and_increase_image_by_image(case, normalise):
    model, images, saliency = case
    saliency = saliency / 10
    saliency[3] = 0.25
    found = masked_confidence(model, images, saliency, normalise=normalise, batch_size=3)
    drops, increases = [], []
    for row in range(4):
        label = int((model.weight @ images[row].flatten()).argmax())
        share = saliency[row]
        if normalise == "image":
            if share.min() == share.max():
                drops.append(NAN)
                increases.append(NAN)
                continue
            share = (share - share.min()) / (share.max() - share.min())
        y, o = (probability(model, image, label) for image in (images[row], images[row] * share))
        drops.append(max(0, y - o) / y)
        increases.append(float(o > y))
    np.testing.assert_allclose(found.drop, drops, atol=1e-5)
    np.testing.assert_allclose(found.increase, increases)
    assert summarise(found.drop).left_out == (normalise == "image")


def test_drop_of_an_impossible_class_is_undefined():
    model = lambda images: torch.tensor([[0.0, -1e4]]).expand(len(images), 2)  # noqa: E731
    found = masked_confidence(
        model, torch.ones(1, 1, 1, 2), torch.tensor([[[0.0, 1.0]]]), classes=torch.tensor([1])
    )
    assert found.drop.isnan().all()


@pytest.mark.parametrize("metric", [deletion, insertion, masked_confidence, road])
def test_every_metric_refuses_the_same_mistakes(case, metric):
    model, images, saliency = case
    before = [t.clone() for t in (images, saliency)]
    expected = metric(model, images, saliency).classes
    assert torch.equal(images, before[0])
    assert torch.equal(saliency, before[1])
    assert torch.equal(metric(model, images, saliency[:, None]).classes, expected)
    assert len(metric(model, images[:0], saliency[:0]).classes) == 0
    with pytest.raises(ValueError, match=r"training mode, .* model.eval\(\)"):
        metric(Linear(60).train(), images, saliency)
    with pytest.raises(ValueError, match="4 images, 3 maps"):
        metric(model, images, saliency[:3])
    with pytest.raises(ValueError, match=r"saliency is 5 x 5 .* resize_saliency"):
        metric(model, images, saliency[..., 1:])
    with pytest.raises(ValueError, match="saliency map 1 holds NaN"):
        metric(model, images, saliency.index_fill(0, torch.tensor(1), NAN))
    with pytest.raises(TypeError, match=r"floating point, .* not torch\.uint8"):
        metric(model, images.byte(), saliency)
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), not \(2, 5, 6\)"):
        metric(model, images[0], saliency)
    with pytest.raises(ValueError, match="classes 0 to 2; classes go from 0 to 3"):
        metric(model, images, saliency, classes=torch.tensor([0, 1, 2, 3]))
    with pytest.raises(ValueError, match=r"one an image, not \(3,\)"):
        metric(model, images, saliency, classes=torch.tensor([0, 1, 2]))
    with pytest.raises(TypeError, match=r"integers, not torch\.float32"):
        metric(model, images, saliency, classes=torch.zeros(4))
    with pytest.raises(ValueError, match=r"logits \(4, classes\).* returned \(4, 2, 5, 6\)"):
        metric(lambda batch: batch, images, saliency)
    with pytest.raises(ValueError, match="batch_size"):
        metric(model, images, saliency, batch_size=0)


def test_mistakes_of_single_metrics(case):
    model, images, saliency = case
    with pytest.raises(ValueError, match="at least 1 pixel"):
        deletion(model, images, saliency, step=0)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        masked_confidence(model, images, saliency, normalise="none")
    with pytest.raises(ValueError, match="'image' or 'none'"):
        masked_confidence(model, images, saliency, normalise="max")
