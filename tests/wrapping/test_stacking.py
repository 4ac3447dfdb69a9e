"""Attention put into a model that has some already."""

import copy

import pytest
import timm
import torch
from quick import slow_but

import visattn
from visattn.blocks import block_names
from visattn.testing import enliven


@pytest.fixture(scope="module")
def plain():
    return enliven(timm.create_model("resnet18", num_classes=5)).eval()


@pytest.mark.parametrize("name", slow_but(block_names(), ["se", "nonlocal", "spatial_mask"]))
def test_the_model_s_own_branches_are_found_and_not_the_block_s(plain, name):
    model = visattn.wrap(copy.deepcopy(plain), name)
    sites = visattn.plan(model, "cbam", at="branch").sites
    assert [s.name for s in sites] == [s.name for s in visattn.plan(plain, "cbam").sites]


@pytest.mark.parametrize("first", ["bam", "residual_attention", "abn", "mhsa", "nonlocal"])
def test_a_second_block_changes_nothing_and_both_come_out_again(plain, first):
    images = torch.randn(2, 3, 64, 48)
    model = visattn.wrap(copy.deepcopy(plain), first)
    visattn.wrap(model, "se", stack=True)
    with torch.no_grad():
        assert torch.equal(model(images), plain(images))
        with visattn.record(model) as maps:
            model(images)
    assert sum("fc1" in key for key in model.state_dict()) >= 16
    assert len(maps) >= 9
    visattn.unwrap(model)
    assert list(model.state_dict()) == list(plain.state_dict())
    with torch.no_grad():
        assert torch.equal(model(images), plain(images))


def test_two_blocks_at_one_place_have_two_names(plain):
    model = visattn.wrap(copy.deepcopy(plain), "bam", at="branch", stages=[4])
    visattn.wrap(model, "se", at="branch", stages=[4], stack=True)
    with visattn.record(model) as maps:
        model(torch.randn(1, 3, 64, 64))
    assert list(maps) == ["layer4.0", "layer4.0:se", "layer4.1", "layer4.1:se"]
