"""Attention in detectors: the networks of the guide, and what it promises of them."""

import copy
import re
from pathlib import Path

import pytest
import torch
from own_models import detector

import visattn

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "detect.md"
WIDTHS = {"model.9": 128, "model.15": 32, "model.18": 64, "model.21": 128}
BRANCHES = {"model.2.m.0": 8, "model.4.m.0": 16, "model.4.m.1": 16, "model.6.m.0": 32,
            "model.6.m.1": 32, "model.8.m.0": 64}  # fmt: skip


@pytest.fixture(scope="module")
def guide():
    """What is there after the guide's code has run: its network, wrapped, and its classes."""
    code = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    found = {"__name__": "guide"}
    exec(compile(code[0], str(GUIDE), "exec"), found)
    return found


def test_channels_are_found_at_names_and_places(guide):
    plain = guide["Detector"]()
    for at, widths in ((list(WIDTHS), WIDTHS), ("branch", BRANCHES)):
        planned = visattn.plan(plain, "ema", at=at, input_size=(3, 64, 64)).sites
        assert {site.name: site.channels for site in planned} == widths
    assert set(guide["maps"]) == WIDTHS.keys() | BRANCHES.keys()


def test_training_reaches_all_attention_and_the_plain_weights_come_out(guide):
    model, images = copy.deepcopy(guide["model"]).train(), guide["images"]
    plain = guide["Detector"]()
    plain.load_state_dict(visattn.backbone_state_dict(model))
    for ours, theirs in zip(model.eval()(images), plain.eval()(images), strict=True):
        assert torch.equal(ours, theirs)
    visattn.freeze_backbone(model, train="model.22")
    added = visattn.attention_parameters(model)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    before = [p.detach().clone() for p in added]
    for _ in range(2):  # what lies behind a layer that starts at zero moves in the second step
        optimiser.zero_grad()
        sum(y.square().mean() for y in model.train()(images)).backward()
        optimiser.step()
    assert all(not torch.equal(p, old) for p, old in zip(added, before, strict=True))
    state = visattn.backbone_state_dict(model)
    heads = [k for k, v in plain.state_dict().items() if not torch.equal(v, state[k])]
    assert heads
    assert all(name.startswith("model.22.") for name in heads)


def test_attention_moves_into_another_copy(guide, tmp_path):
    model = copy.deepcopy(guide["model"]).eval()
    with torch.no_grad():
        for parameter in visattn.attention_parameters(model):
            parameter.add_(0.1)
    path = visattn.save_attention(model, tmp_path / "attention.safetensors")
    other = copy.deepcopy(guide["model"]).eval()
    visattn.load_attention(other, path)
    images = guide["images"]
    changed = False
    for ours, theirs, old in zip(model(images), other(images), guide["expected"], strict=True):
        assert torch.equal(ours, theirs)
        changed |= not torch.allclose(ours, old)
    assert changed
    plain = visattn.unwrap(other)
    assert list(plain.state_dict()) == list(guide["Detector"]().state_dict())


@pytest.mark.parametrize("block", ["sa", "lsk", "polarized", "scsa", "nonlocal"])
def test_at_every_resolution_and_another_size(guide, block):
    plain = guide["Detector"]().eval()
    model = visattn.wrap(copy.deepcopy(plain), block, at="stage", input_size=(3, 64, 64))
    assert len(visattn.plan(plain, block, at="stage", input_size=(3, 64, 64)).sites) >= 7
    images = torch.rand(1, 3, 96, 64)
    for ours, theirs in zip(model(images), plain(images), strict=True):
        assert torch.equal(ours, theirs)


def test_a_neck_that_the_pass_does_not_reach_is_told():
    model = detector("retinanet_resnet50_fpn")
    for name in ("backbone.fpn.layer_blocks.0", "backbone.fpn.layer_blocks.?"):
        with pytest.raises(ValueError, match=r"wrap\(model.backbone, ..., at='fpn.layer_blocks"):
            visattn.wrap(model, "gc", at=name)
