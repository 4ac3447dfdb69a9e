"""Every score of `evaluate_maps` against the metric's own function over all images at once."""

import math

import pytest
import torch
from recording.small_transformers import small
from torch import nn

import visattn
from visattn import grad_cam, metrics
from visattn.evaluation import baseline_maps, evaluate_maps, network_maps
from visattn.recording import record

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
