"""One logit and several labels: deletion, insertion, masked confidence and ROAD by their sigmoids.

A binary classifier must get what one of two logits, 0 and z, gets; a label what a binary classifier
of this label alone gets.
"""

import pytest
import torch
from torch import nn

from visattn.basics.logits import class_logits, class_probabilities
from visattn.evaluation import evaluate_maps
from visattn.metrics import deletion, insertion, masked_confidence, road


def weights():
    return torch.randn(48, 3, generator=torch.Generator().manual_seed(3)) / 2


def labels(images):
    return images.flatten(1) @ weights()


def single(images):
    return labels(images)[:, :1]


def double(images):
    return torch.cat([torch.zeros(len(images), 1), single(images)], 1)


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(9, 3, 4, 4, generator=generator), torch.rand(9, 4, 4, generator=generator)


MEASURES = {
    "deletion": lambda *given, **options: deletion(*given, step=3, **options).probabilities,
    "insertion": lambda *given, **options: insertion(*given, step=3, **options).probabilities,
    "masked": lambda *given, **options: masked_confidence(*given, **options).masked,
    "drop": lambda *given, **options: masked_confidence(*given, **options).drop,
    "road": lambda *given, **options: road(*given, shares=[0.3], **options).most_relevant,
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("classes", [None, torch.arange(9) % 2])
def test_one_logit_is_measured_as_two(case, measure, classes):
    expected = measure(double, *case, classes=classes)
    assert expected.unique().numel() > 3
    for model in (single, lambda images: single(images)[:, 0]):
        found = measure(model, *case, classes=classes, batch_size=4)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_classes_of_one_logit_are_no_and_yes(case):
    images, maps = case
    predicted = (single(images)[:, 0] > 0).long()
    assert 0 < int(predicted.sum()) < 9
    found = deletion(single, images, maps)
    assert torch.equal(found.classes, predicted)
    assert float(found.probabilities[:, 0].min()) > 0.5
    with pytest.raises(ValueError, match="classes 0 to 1"):
        deletion(single, images, maps, classes=torch.full((9,), 2))


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_labels_that_hold_each_by_itself(case, measure):
    images, maps = case
    wanted = torch.arange(9) % 3
    found = measure(labels, images, maps, classes=wanted, multilabel=True)
    for row, label in enumerate(wanted.tolist()):
        one = (images[row : row + 1], maps[row : row + 1])
        expected = measure(
            lambda x, label=label: labels(x)[:, label], *one, classes=torch.tensor([1])
        )
        torch.testing.assert_close(found[row : row + 1], expected, rtol=0, atol=1e-5)


def test_the_likeliest_label_is_followed(case):
    assert torch.equal(deletion(labels, *case, multilabel=True).classes, labels(case[0]).argmax(1))


def test_what_is_no_logits_is_refused(case):
    with pytest.raises(ValueError, match=r"\(9, classes\) for 9 images, or one logit an image"):
        deletion(lambda images: images, *case)


class Answering(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.forward = answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda images: {"boxes": images}, "dict"),
        (lambda images: [{"boxes": part} for part in images], "list"),
        (lambda images: images[:, 0], r"logits \(1, 4, 4\)"),
    ],
)
def test_maps_of_what_gives_nothing_to_ask_about_are_not_measured(answer, said):
    images = torch.rand(2, 3, 4, 4)
    batch = {"image": images, "mask": images[:, 0].round(), "label": torch.tensor([0, 1])}
    with pytest.raises(TypeError, match=rf"network returned {said}: expected logits \(N, K\) of"):
        evaluate_maps(Answering(answer).eval(), [batch], batch_size=1)
    with pytest.raises(TypeError, match=r"\(N, K\), it returned .*; overlay, report and evaluate"):
        class_logits(answer(images[:1]) if said != r"logits \(1, 4, 4\)" else images)


def test_probabilities():
    logits = torch.tensor([[-800.0], [0.5]])
    expected = torch.stack([1 - logits[:, 0].sigmoid(), logits[:, 0].sigmoid()], 1)
    torch.testing.assert_close(class_probabilities(logits), expected)
    torch.testing.assert_close(class_probabilities(logits[:, 0], multilabel=True), expected)
    both = torch.tensor([[1.0, 2.0]])
    assert class_logits(both) is both
    torch.testing.assert_close(class_probabilities(both, multilabel=True), both.sigmoid())


def test_every_metric_of_a_binary_network():
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*body, nn.Linear(4, 1)).eval()
    pair = nn.Sequential(*body, nn.Linear(4, 2)).eval()
    pair[-1].weight.data = torch.cat([-model[-1].weight.data, model[-1].weight.data]) / 2
    pair[-1].bias.data = torch.cat([-model[-1].bias.data, model[-1].bias.data]) / 2
    batch = {
        "image": 5 * torch.randn(6, 3, 8, 8),
        "mask": torch.rand(6, 8, 8).round(),
        "label": torch.arange(6) % 2,
    }
    cams = ["gradcam", "layercam", "eigencam"]
    options = {"steps": 3, "randomised_images": 0, "cams": cams}
    found, expected = (evaluate_maps(network, [batch], **options) for network in (model, pair))
    names = [f"{title}, 1" for title in ("Grad-CAM", "LayerCAM", "Eigen-CAM")]
    assert list(found) == [*names, "random", "centre"]
    for name, scores in found.items():
        for kind in ("faithfulness", "localisation"):
            for metric, score in getattr(scores, kind).items():
                other = getattr(expected[name], kind)[metric].value
                assert score.value == pytest.approx(other, abs=1e-4, nan_ok=True), (name, metric)
        assert 0.01 < scores.faithfulness["deletion"].value < 0.99
