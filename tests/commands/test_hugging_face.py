"""Classifiers whose answer has its logits inside, as Hugging Face's have, by command."""

import json

import numpy as np
import pytest
from PIL import Image
from quick import slow_but

from visattn.cli import main

NETS = """
import torch
import transformers

OPTIONS = {
    "ViT": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 32, "image_size": 32, "patch_size": 8},
    "ConvNext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    "ResNet": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic",
               "embedding_size": 8},
    "Swin": {"image_size": 32, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2],
             "window_size": 4, "patch_size": 2},
}


def build(kind):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**OPTIONS[kind], num_labels=2)
    return getattr(transformers, f"{kind}ForImageClassification")(config).eval()


class Alone(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images).logits


def detr():
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(**OPTIONS["ResNet"], out_features=["stage4"])
    sizes = {f"{part}_{name}": 2 for part in ("encoder", "decoder")
             for name in ("layers", "attention_heads")}
    return transformers.DetrForObjectDetection(transformers.DetrConfig(
        backbone_config=backbone, backbone=None, use_timm_backbone=False,
        use_pretrained_backbone=False, d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16,
        num_queries=3, num_labels=2, **sizes,
    )).eval()
"""
KINDS = ["ViT", "ConvNext", "ResNet", "Swin"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Networks, and a split of two classes with masks."""
    pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("faces")
    each = "".join(
        f"\n\ndef {kind}():\n    return build('{kind}')\n"
        f"\n\ndef {kind}_alone():\n    return Alone(build('{kind}'))\n"
        for kind in KINDS
    )
    (root / "faces.py").write_text(NETS + each)
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        for number in range(3):
            mask = np.zeros((32, 32), np.uint8)
            mask[8:20, 10:30] = 255
            pixels = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            for kind, picture in (("images", pixels), ("masks", mask)):
                path = root / "photos" / "test" / kind / name / f"{name}{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
    return root


def written(folder, kind, *words):
    """What two commands write of a network."""
    model, data = f"{folder / 'faces.py'}:{kind}", ["--data", str(folder / "photos")]
    out, size = folder / kind, ["--size", "32"]
    steps = ["--steps", "3", "--out", f"{out}.json"]
    main(["evaluate-maps", model, *data, *size, *steps, *words])
    main(["audit", "--model", model, *data, *size, "--out", str(out)])
    maps = json.loads(out.with_suffix(".json").read_text())["maps"]
    return maps, json.loads((out / "audit.json").read_text())


@pytest.mark.parametrize("kind", slow_but(KINDS, ["ViT"]))
def test_logits_inside_are_measured_as_logits_alone(folder, kind):
    inside, audit = written(folder, kind)
    alone, expected = written(folder, f"{kind}_alone")
    assert len(inside) == len(alone) > 2
    for (name, found), (other, scores) in zip(inside.items(), alone.items(), strict=True):
        assert other == name.replace(", ", ", network.") or other in (name, f"network.{name}")
        assert {**found, "seconds": 0} == {**scores, "seconds": 0}
    del audit["settings"], expected["settings"]
    assert audit == expected


@pytest.mark.parametrize("kind", slow_but(KINDS, ["ViT"]))
def test_page_and_overlay(folder, kind, capsys):
    model, page = f"{folder / 'faces.py'}:{kind}", folder / f"{kind}.html"
    main(["report", model, "--data", str(folder / "photos"), "--size", "32", "--out", str(page)])
    assert "6 pictures" in capsys.readouterr().out
    picture, sheet = folder / "photos" / "test" / "images" / "a" / "a0.png", folder / f"{kind}.png"
    main(["overlay", str(picture), "--model", model, "--size", "32", "--out", str(sheet)])
    with Image.open(sheet) as drawn:
        assert drawn.size[0] > 64


@pytest.mark.parametrize("command", ["report", "evaluate-maps"])
def test_a_detector_that_answers_by_queries_is_refused_by_name(folder, command, capsys):
    words = [f"{folder / 'faces.py'}:detr", "--data", str(folder / "photos"), "--size", "64"]
    assert main([command, *words]) == 1
    assert "answers by queries, as DETR does (logits (1, 3, 3))" in capsys.readouterr().err
