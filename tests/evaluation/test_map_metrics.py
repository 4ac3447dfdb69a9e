"""Every score of `evaluate_maps` against the metric's own function over all images at once."""

import math
from types import SimpleNamespace

import pytest
import torch
from recording.small_transformers import small
from torch import nn

import visattn
from visattn import grad_cam, metrics
from visattn.evaluation import baseline_maps, evaluate_maps, network_maps
from visattn.evaluation.asking import Remembered
from visattn.recording import record
from visattn.recording.asking import Asked
from visattn.recording.targets import region_score

NAN = float("nan")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    visattn.wrap(net, "cbam", at=["2"], init="paper", input_size=(3, 16, 16))
    with torch.no_grad():
        for parameter in net.parameters():  # a fresh gate is the same everywhere
            parameter.add_(0.5 * torch.randn(parameter.shape))
    return net.eval()


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(7, 3, 16, 16, generator=generator)
    masks = (torch.rand(7, 1, 16, 16, generator=generator) < 0.3).float()
    masks[2] = NAN
    masks[3] = 0
    return images, masks, torch.tensor([0, 0, 0, 1, 1, 2, 2])


def batches(data):
    for images, masks, labels in zip(*(part.split(3) for part in data), strict=True):
        yield {"image": images, "mask": masks, "label": labels}


@pytest.fixture(scope="module")
def found(model, data):
    return evaluate_maps(model, batches(data), steps=4, randomised_images=5, randomisation_steps=3)


def test_all_maps_are_there(found):
    assert list(found) == ["2", "Grad-CAM, 4", "Grad-CAM, 2", "random", "centre"]


def expected_maps(model, images):
    with torch.no_grad(), record(model) as maps:
        classes = model(images).argmax(1)
    generator = torch.Generator().manual_seed(0)
    return classes, {
        "2": metrics.resize_saliency(maps["2"].spatial, size=(16, 16)),
        "Grad-CAM, 4": grad_cam(model, images, layer="4", classes=classes, size=(16, 16)),
        **baseline_maps(7, size=(16, 16), generator=generator),
    }


@pytest.mark.parametrize("name", ["2", "Grad-CAM, 4", "random", "centre"])
def test_scores_are_those_of_the_functions(model, data, found, name):
    images, masks, labels = data
    classes, maps = expected_maps(model, images)
    saliency, where = maps[name], found[name].localisation
    empty = torch.tensor([False, False, False, True, False, False, False])
    share = metrics.chance_level(masks).masked_fill(empty, NAN)

    hits = metrics.pointing_game(saliency, masks)
    assert where["pointing"].value == pytest.approx(metrics.mean_over_classes(hits, labels).mean)
    assert (where["pointing"].images, where["pointing"].left_out) == (5, 2)
    nothing = metrics.mean_over_classes(share.masked_fill(hits.isnan(), NAN), labels)
    assert where["pointing"].chance == pytest.approx(nothing.mean)
    mass = metrics.energy_pointing(saliency, masks, negative="clip").masked_fill(empty, NAN)
    assert where["mass_inside"].value == pytest.approx(metrics.summarise(mass).mean)
    iou = metrics.summarise(metrics.top_area_iou(saliency, masks))
    assert where["iou"].value == pytest.approx(iou.mean)
    assert where["iou"].chance == pytest.approx((share / (2 - share)).nanmean().item())
    low, high = saliency.amin((1, 2), keepdim=True), saliency.amax((1, 2), keepdim=True)
    scaled = ((saliency - low) / (high - low)).nan_to_num(0).float()
    precision = metrics.pixel_average_precision(scaled, masks)
    assert where["pxap"].value == pytest.approx(precision, abs=1e-3)  # other batches, other ties
    boxes = metrics.max_box_accuracy(saliency, masks)
    assert where["max_box_acc"].value == pytest.approx(boxes.mean)
    assert where["max_box_acc"].chance == metrics.whole_image_accuracy(masks).mean

    why = found[name].faithfulness
    options = {"classes": classes}
    values = {
        "deletion": metrics.deletion(model, images, saliency, step=64, **options).area,
        "insertion": metrics.insertion(model, images, saliency, step=64, **options).area,
        "drop": metrics.masked_confidence(model, images, saliency, **options).drop,
        "increase": metrics.masked_confidence(model, images, saliency, **options).increase,
        "road": metrics.road(model, images, saliency, shares=[0.25, 0.5, 0.75], **options).combined,
    }
    for metric, each in values.items():
        assert why[metric].value == pytest.approx(metrics.summarise(each).mean, abs=1e-3), metric
        assert why[metric].images + why[metric].left_out == 7


def test_maps_before_the_randomised_layers_stay(found):
    shares = list(found["2"].randomisation)
    assert shares[-1] == 1
    assert len(shares) == 3
    top = found["2"].randomisation[shares[0]]
    assert (top.value, top.images) == (pytest.approx(1), 5)
    assert found["2"].randomisation[1].value < 0.99
    assert not found["Grad-CAM, 4"].randomisation[shares[0]].value > 0.999
    for name in ("random", "centre"):
        assert [score.value for score in found[name].randomisation.values()] == [1, 1, 1]


def test_undefined_values_are_none_in_json(model, data):
    images, masks, labels = data
    batch = {"image": images[:2], "mask": masks[:2] * NAN, "label": labels[:2]}
    found = evaluate_maps(model, [batch], steps=1, randomised_images=0)["2"]
    assert found.as_dict()["localisation"]["iou"] == {
        "value": None,
        "chance": None,
        "images": 0,
        "left_out": 2,
    }
    assert math.isnan(found.localisation["pxap"].value)
    assert found.randomisation == {}


def test_a_network_without_attention_has_grad_cam_alone(data):
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 2)).eval()
    maps = network_maps(plain, data[0])(plain, data[0], torch.zeros(7, dtype=torch.long))
    assert {name: found.shape for name, found in maps.items()} == {"Grad-CAM, 1": (7, 14, 14)}


def test_mistakes(model, data):
    with pytest.raises(ValueError, match="no image"):
        evaluate_maps(model, [])
    with pytest.raises(ValueError, match="steps"):
        evaluate_maps(model, batches(data), steps=0)
    with pytest.raises(KeyError, match="no layer '9'"):
        evaluate_maps(model, batches(data), layer="9")
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        evaluate_maps(nn.Linear(2, 2), batches(data))


def test_self_attention_and_gates_are_judged_too():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    visattn.wrap(net, "nonlocal", at=["0"], init="paper", input_size=(3, 16, 16))
    visattn.wrap(net, "coord", at=["1"], init="paper", input_size=(3, 16, 16))
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad(), record(net.eval()) as maps:
        net(images)
    found = network_maps(net, images, layer="1")(net, images, torch.zeros(3, dtype=torch.long))
    assert list(found) == ["0", "1", "Grad-CAM, 1"]
    assert torch.equal(found["0"], maps["0"].pairwise.received())
    assert torch.equal(found["1"], maps["1"].heat)


def test_a_transformer_is_measured_as_it_is():
    vit, images = small("vit_tiny_patch16_224")
    masks = torch.zeros(2, 32, 32)
    masks[:, 8:24, 8:24] = 1
    batch = {"image": images, "mask": masks, "label": torch.tensor([0, 1])}
    scores = evaluate_maps(vit, [batch], steps=2, randomised_images=1, randomisation_steps=2)
    assert list(scores)[:2] == ["blocks.0.attn", "blocks.1.attn"]
    with torch.no_grad(), record(vit) as maps:
        vit(images)
    received = metrics.resize_saliency(maps["blocks.1.attn"].heat, size=(32, 32))
    expected = float(metrics.energy_pointing(received, masks).mean())
    assert scores["blocks.1.attn"].localisation["mass_inside"].value == pytest.approx(expected)


class Segmentation(nn.Module):
    """Red, green and blue as classes of their places, a little blurred."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, images):
        return {"out": 4 * self.head(self.body(images))}


def test_a_segmentation_is_measured_by_its_region(data):
    model, (images, masks, labels) = Segmentation().eval(), data
    batch = {"image": images, "mask": masks, "label": labels}
    with torch.no_grad():
        shares = model(images)["out"].softmax(1)
    predicted = shares.argmax(1)
    asked = [max((1, 2), key=lambda k, p=p: int((p == k).sum())) for p in predicted]
    regions = torch.stack([p == k for p, k in zip(predicted, asked, strict=True)])
    assert all(0 < float(region.float().mean()) < 1 for region in regions)
    options = {"steps": 4, "randomised_images": 3, "randomisation_steps": 2, "seed": 1}
    found = evaluate_maps(model, [batch], **options)
    assert list(found) == ["Grad-CAM, body", "random", "centre"]
    target = region_score(torch.tensor(asked), regions)
    maps = visattn.class_activation(model, images, target=target, layer="body")
    areas, drops = [], []
    for row, (label, region) in enumerate(zip(asked, regions, strict=True)):

        def yes(versions, label=label, region=region):
            inside = model(versions)["out"].softmax(1)[:, label][:, region].double().mean(1)
            return torch.stack([1 - inside, inside], 1).log()

        one = (yes, images[row : row + 1], maps[row : row + 1])
        classes = torch.tensor([1])
        areas.append(metrics.deletion(*one, classes=classes, step=64).area)
        drops.append(metrics.masked_confidence(*one, classes=classes).drop)
    scores = found["Grad-CAM, body"].faithfulness
    assert scores["deletion"].value == pytest.approx(float(torch.cat(areas).mean()), abs=1e-6)
    assert scores["drop"].value == pytest.approx(float(torch.cat(drops).nanmean()), abs=1e-6)
    assert scores["deletion"].images == 7
    assert math.isnan(found["Grad-CAM, body"].localisation["grid"].value)
    assert list(found["Grad-CAM, body"].randomisation)
    assert all(score.value < 0.999 for score in found["Grad-CAM, body"].randomisation.values())


def test_a_segmentation_is_asked_about_a_class_in_a_rectangle(data):
    model, (images, masks, labels) = Segmentation().eval(), data
    batch = {"image": images, "mask": masks, "label": labels}
    target = Asked(0, (2.0, 4.0, 10.0, 8.0))
    found = evaluate_maps(model, [batch], layer="body", steps=4, randomised_images=0, target=target)
    with torch.no_grad():
        whole = model(images)["out"].softmax(1)[:, 0, 4:8, 2:10].double().mean((1, 2))
        gone = model(0 * images)["out"].softmax(1)[:, 0, 4:8, 2:10].double().mean((1, 2))
    random = found["random"].faithfulness["deletion"].value
    ends = float(torch.minimum(whole, gone).mean()), float(torch.maximum(whole, gone).mean())
    other = evaluate_maps(model, [batch], layer="body", steps=4, randomised_images=0)
    assert ends[0] - 0.1 < random < ends[1] + 0.1
    assert random != other["random"].faithfulness["deletion"].value


@pytest.mark.parametrize("kind", ["logits", "object"])
def test_an_image_is_answered_once(kind):
    seen = []

    def model(images):
        seen.extend(images)
        logits = images.flatten(1).double()
        return logits if kind == "logits" else SimpleNamespace(logits=logits)

    answers = Remembered(model)
    images = torch.randn(5, 3, 2, 2)
    first = answers(images[[0, 1, 1, 2]])
    second = answers(images[[2, 3, 0, 4]])
    assert torch.equal(first, images[[0, 1, 1, 2]].flatten(1).double())
    assert torch.equal(second, images[[2, 3, 0, 4]].flatten(1).double())
    assert len(seen) == 5


class Detector(nn.Module):
    """One box where the picture is bright, with that brightness for its score."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 1, 3, padding=1)
        nn.init.constant_(self.body.weight, 1 / 27)
        nn.init.zeros_(self.body.bias)

    def forward(self, images):
        said = []
        for picture in images:
            score = self.body(picture[None])[0, 0, 4:12, 4:12].mean().sigmoid()
            kept = score[None][score[None] > 0.5]
            box = torch.tensor([[4.0, 4.0, 12.0, 12.0]]).expand(len(kept), 4)
            said.append({"boxes": box, "labels": torch.ones(len(kept)).long(), "scores": kept})
        return said


def test_a_detector_is_measured_by_its_box(data):
    model, (images, masks, labels) = Detector().eval(), data
    given = [
        {
            "image": images[row : row + 1],
            "mask": masks[row : row + 1],
            "label": labels[row : row + 1],
        }
        for row in range(7)
    ]
    with torch.no_grad():
        seen = [len(found["scores"]) for found in model(images)]
    assert 0 < sum(seen) < 7
    found = evaluate_maps(model, given, layer="body", steps=2, randomised_images=2)
    assert found["random"].faithfulness["deletion"].images == sum(seen)
    assert found["random"].faithfulness["deletion"].left_out == 7 - sum(seen)
    assert not found["random"].randomisation
    if not seen[0]:
        with pytest.raises(ValueError, match="no box is found; the first has no box"):
            evaluate_maps(model, given, steps=2, randomised_images=0)
