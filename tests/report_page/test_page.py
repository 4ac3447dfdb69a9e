import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import timm
import torch
from each_block import EACH_BLOCK
from torch import nn

import visattn
from visattn.metrics import energy_pointing, resize_saliency
from visattn.metrics.curves import deletion
from visattn.report_page.contents import Answer, Contents, ModelView, Picture
from visattn.report_page.layers import MapLayer, RowsLayer
from visattn.report_page.opening import opening_layer, opening_picture
from visattn.report_page.packing import quantise
from visattn.report_page.page import Report, build_html
from visattn.report_page.subjects import Subject

HOSTILE = "<img src=x onerror=alert(1)>.png"


class Parts(HTMLParser):
    """The text of scripts and styles, all tags with their attributes, as a browser reads them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.inside = None
        if tag in ("script", "style", "title"):
            self.inside = attributes.get("id") or attributes.get("type") or tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.texts[self.inside] = self.texts.get(self.inside, "") + data


def data_of(page):
    return json.loads(Parts(page.html).texts["data"])


def test_the_policy_allows_the_one_script_and_the_one_style_alone(page):
    parts = Parts(page.html)
    policy = next(a["content"] for t, a in parts.tags if a.get("http-equiv"))
    for kind, text in (("script", parts.texts["module"]), ("style", parts.texts["style"])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "img-src data:;" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_nothing_is_loaded_from_elsewhere(page):
    parts = Parts(page.html)
    for _, attributes in parts.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    script = parts.texts["module"]
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "Function(", "fetch("):
        assert word not in script
    assert set(re.findall(r"https?://[^\"'\s]+", script)) <= {"http://www.w3.org/2000/svg"}


def test_names_are_text_and_nothing_else(models, scenes):
    few = {"images": scenes["images"][:1], "masks": scenes["masks"][:1]}
    page = visattn.report(
        {HOSTILE: models["gated"]},
        **few,
        labels=[0],
        classes=["</script><script>alert(2)</script>", "{{script}}", "b", "c"],
        names=[HOSTILE],
        title="</title><script>alert(3)</script>{{data}}",
        note=HOSTILE,
        curves=False,
    )
    parts = Parts(page.html)
    assert [tag for tag, _ in parts.tags].count("script") == 2
    assert not [a for t, a in parts.tags if t == "img"]
    assert parts.texts["title"] == "</title><script>alert(3)</script>{{data}}"
    data = data_of(page)
    assert data["pictures"][0]["name"] == data["models"][0]["name"] == HOSTILE
    assert data["classes"][:2] == ["</script><script>alert(2)</script>", "{{script}}"]
    frame = Parts(page._repr_html_())
    assert [tag for tag, _ in frame.tags] == ["iframe"]


def test_in_a_notebook_it_stands_in_a_frame_without_an_origin(page):
    (tag, attributes), *rest = Parts(page._repr_html_()).tags
    assert (tag, rest) == ("iframe", [])
    assert attributes["sandbox"] == "allow-scripts allow-downloads"
    assert attributes["srcdoc"] == page.html


def test_save_writes_the_file(page, tmp_path):
    path = page.save(tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == page.html
    assert "2 models" in repr(page)


def test_24_pictures_with_rows_of_14_x_14_take_under_3_mb():
    generator = np.random.default_rng(0)
    rows = [
        quantise(generator.random((1, 196, 196)).astype(np.float32), leading=2) for _ in range(24)
    ]  # noise: nothing to compress
    layer = RowsLayer("layer3", rows, (14, 14), (14, 14), (list(range(14)), list(range(14))))
    coarse = torch.rand(24, 3, 56, 56)
    images = nn.functional.interpolate(coarse, size=224, mode="bicubic").clamp(0, 1)
    pictures = [
        Picture(f"{n}.png", (image * 255).byte().permute(1, 2, 0).numpy(), np.eye(224) > 0)
        for n, image in enumerate(images)
    ]
    answers = [Answer([0, 1], [0.5, 0.5])] * 24
    contents = Contents("t", "", pictures, [ModelView("m", [layer], answers)], layers=[0])
    assert 1e6 < len(build_html(contents).encode()) < 3e6


def test_every_layer_that_records_is_there(page):
    found = {
        model["name"]: [(layer["kind"], layer["name"]) for layer in model["layers"]]
        for model in data_of(page)["models"]
    }
    assert found["attending"] == [("pairwise", "layer2.0"), ("channel", "layer4.0")]
    assert sorted(found["gated"]) == [
        ("channel", "layer3.0"),
        ("channel", "layer4.0"),
        ("spatial", "layer3.0"),
        ("spatial", "layer4.0"),
    ]


def test_maps_gates_and_answers_are_those_of_a_pass(page, models, scenes):
    with torch.inference_mode(), visattn.record(models["gated"]) as maps:
        logits = models["gated"](scenes["images"])
    view = page.contents.models[1]
    spatial = next(layer for layer in view.layers if isinstance(layer, MapLayer))
    np.testing.assert_allclose(spatial.maps, maps["layer3.0"].spatial.numpy(), atol=1e-5)
    shares = logits.softmax(1)
    for row, answer in enumerate(view.answers):
        expected = shares[row, list(answer.classes)].tolist()
        assert list(answer.whole) == pytest.approx(expected, abs=1e-5)
        assert list(answer.whole) == sorted(answer.whole, reverse=True)
    resized = resize_saliency(maps["layer3.0"].spatial, size=(112, 112))
    inside = energy_pointing(resized, scenes["masks"])
    np.testing.assert_allclose(spatial.inside, inside.numpy(), atol=1e-5)


def test_answers_to_the_object_and_the_background_alone(page, models, scenes):
    masks = scenes["masks"][:, None]
    with torch.inference_mode():
        thing = models["gated"](scenes["images"] * masks).softmax(1)
        rest = models["gated"](scenes["images"] * (1 - masks)).softmax(1)
    for row, answer in enumerate(page.contents.models[1].answers):
        classes = list(answer.classes)
        assert list(answer.thing) == pytest.approx(thing[row, classes].tolist(), abs=1e-5)
        assert list(answer.background) == pytest.approx(rest[row, classes].tolist(), abs=1e-5)


def test_curves_are_those_of_the_metrics(page, models, scenes):
    spatial = next(x for x in page.contents.models[1].layers if isinstance(x, MapLayer))
    resized = resize_saliency(torch.from_numpy(spatial.maps), size=(112, 112))
    expected = deletion(models["gated"], scenes["images"], resized, step=112 * 112 // 16)
    assert spatial.curves["deletion"]["fractions"] == pytest.approx(expected.fractions.tolist())
    assert spatial.curves["deletion"]["areas"] == pytest.approx(expected.area.tolist(), abs=1e-3)


def test_normalisation_is_applied_here(models, scenes):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    images = scenes["images"][:2]
    found = visattn.report(models["gated"], images, mean=mean, std=std, curves=False)
    with torch.inference_mode():
        given = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        shares = models["gated"](given).softmax(1)
    answer = found.contents.models[0].answers[1]
    assert answer.whole[0] == pytest.approx(float(shares[1].max()), abs=1e-5)
    assert answer.thing is None


def test_a_model_without_attention_gets_grad_cam():
    model = timm.create_model("resnet10t", num_classes=3)
    found = visattn.report(model, torch.rand(2, 3, 64, 64), curves=False)
    (layer,) = found.contents.models[0].layers
    assert (layer.kind, layer.maps.shape) == ("cam", (2, 2, 2))
    expected = visattn.grad_cam(model.eval(), found_images(found))
    np.testing.assert_allclose(layer.maps, expected.numpy(), rtol=0.3, atol=0.02)


def test_the_page_of_one_logit_and_another_method():
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=1)
    found = visattn.report(model, torch.rand(3, 3, 64, 64), cam="layercam")
    (layer,) = found.contents.models[0].layers
    assert (layer.name, layer.kind) == ("LayerCAM", "cam")
    expected = visattn.class_activation(model.eval(), found_images(found), method="layercam")
    np.testing.assert_allclose(layer.maps, expected.numpy(), rtol=0.3, atol=0.02)
    for curve, answer in zip(
        layer.curves["deletion"]["values"], found.contents.models[0].answers, strict=True
    ):
        assert curve[0] == pytest.approx(max(answer.whole), abs=1e-3)
    with pytest.raises(ValueError, match=r"'auto' or one of .*'scorecam'"):
        visattn.report(model, torch.rand(1, 3, 64, 64), cam="cam")


def found_images(found):
    return torch.stack(
        [torch.from_numpy(p.pixels).permute(2, 0, 1) / 255 for p in found.contents.pictures]
    )


@pytest.mark.parametrize("block", EACH_BLOCK)
def test_every_block_has_a_place_on_the_page(block):
    options = {"num_classes": 3, "channels": (8, 8, 16, 16), "stem_width": 8}
    model = visattn.wrap(timm.create_model("resnet10t", **options), block)
    found = visattn.report(model, torch.rand(1, 3, 64, 64), curves=False)
    layers = found.contents.models[0].layers
    with torch.inference_mode(), visattn.record(model.eval()) as maps:
        model(torch.rand(1, 3, 64, 64))
    for site in maps:
        assert any(layer.name.startswith(site) for layer in layers), site
    assert opening_layer(layers) >= 0


def test_a_single_logit_is_no_or_yes():
    model = timm.create_model("resnet10t", num_classes=1, channels=(8, 8, 16, 16), stem_width=8)
    images = torch.rand(2, 3, 64, 64)
    found = visattn.report(model, images, labels=[0, 1], curves=False)
    with torch.inference_mode():
        yes = model.eval()(images).sigmoid()
    answer = found.contents.models[0].answers[1]
    assert answer.whole[list(answer.classes).index(1)] == pytest.approx(float(yes[1]), abs=1e-5)


def test_several_labels_are_shares_of_their_own():
    options = {"num_classes": 3, "channels": (8, 8, 16, 16), "stem_width": 8}
    model = timm.create_model("resnet10t", **options).eval()
    images = torch.rand(2, 3, 64, 64)
    found = visattn.report({"labels": Subject(model, multilabel=True)}, images)
    with torch.inference_mode():
        expected = model(images).sigmoid()
    view = found.contents.models[0]
    for answer, shares, curve in zip(
        view.answers, expected, view.layers[0].curves["deletion"]["values"], strict=True
    ):
        np.testing.assert_allclose(answer.whole, shares[list(answer.classes)], atol=1e-5)
        assert curve[0] == pytest.approx(float(shares.max()), abs=1e-3)


def test_modes_and_hooks_are_left_as_they_were(models, scenes):
    model = models["gated"]
    model.train()
    model.layer1.eval()
    before = [module.training for module in model.modules()]
    visattn.report(model, scenes["images"][:2], curves=False)
    assert [module.training for module in model.modules()] == before
    assert not any(module._forward_hooks for module in model.modules())
    model.eval()


def test_large_pictures_and_maps_are_brought_to_the_page(models):
    masks = torch.zeros(1, 400, 600)
    masks[:, 100:200, 150:450] = 1
    masks[:, :20] = torch.nan
    found = visattn.report(models["gated"], torch.rand(1, 3, 400, 600), masks=masks, curves=False)
    (picture,) = found.contents.pictures
    assert picture.pixels.shape == (256, 384, 3)
    assert np.isnan(picture.mask[:12]).all()
    assert np.nanmean(picture.mask) == pytest.approx(0.125 / 0.95, rel=0.02)


def test_it_opens_on_the_layer_that_lies_best_and_a_picture_on_which_models_differ():
    maps = np.zeros((2, 2, 2), np.float32)
    layers = [
        MapLayer("a", maps, inside=np.array([0.2, np.nan])),
        MapLayer("b", maps, inside=np.array([0.6, 0.4])),
        MapLayer("c", maps, inside=np.array([0.1, 0.1])),
    ]
    assert opening_layer(layers) == 1
    assert opening_layer([MapLayer("a", maps), MapLayer("b", maps)]) == 1
    assert opening_layer([]) == -1
    sure, unsure = Answer([0], [0.9]), Answer([0], [0.2])
    views = [ModelView("a", layers, [sure, sure]), ModelView("b", layers, [sure, unsure])]
    assert opening_picture(views, [0, 0]) == 1


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"images": torch.rand(3, 8, 8)}, ValueError, r"\(N, 3, H, W\)"),
        ({"images": torch.zeros(6, 3, 8, 8, dtype=torch.uint8)}, TypeError, "floating point"),
        ({"images": torch.randn(6, 3, 112, 112)}, ValueError, "before they are normalised"),
        ({"masks": torch.zeros(6, 8, 8)}, ValueError, r"\(6, 112, 112\)"),
        ({"masks": torch.full((6, 112, 112), 255.0)}, ValueError, "divide a mask"),
        ({"labels": [0, 1]}, ValueError, "one whole number an image"),
        ({"labels": [0.5] * 6}, ValueError, "one whole number an image"),
        ({"labels": [9] * 6}, ValueError, "knows the classes 0 to 3"),
        ({"names": ["a"]}, ValueError, "6 images, 1 names"),
        ({"classes": ["a"]}, ValueError, "classes has 1 names"),
        ({"backgrounds": torch.rand(6, 3, 8, 8)}, ValueError, "backgrounds must be one an image"),
        ({"mean": (0.5, 0.5, 0.5)}, ValueError, "belong together"),
        ({"models": {}}, ValueError, "at least one model"),
        ({"models": {"a": 3}}, TypeError, r"models\['a'\]"),
        ({"models": nn.Flatten(2)}, TypeError, r"returned logits \(1, 3, 12544\): expected logits"),
        ({"cam": "yes"}, ValueError, "cam must be"),
        ({"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_mistakes(models, scenes, changes, error, words):
    given = {"models": models["gated"], **scenes, "curves": False, **changes}
    with pytest.raises(error, match=words):
        visattn.report(given.pop("models"), given.pop("images"), **given)


def test_a_map_that_is_not_finite_is_named(models, scenes):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = models["gated"]

        def forward(self, images):
            return self.inner(images * torch.nan)

    with pytest.raises(ValueError, match=r"'model'.*layer3.0.* NaN"):
        visattn.report(Broken(), scenes["images"], curves=False)


def test_no_two_pages_share_their_contents(page):
    assert Report(page.contents).html == page.html
