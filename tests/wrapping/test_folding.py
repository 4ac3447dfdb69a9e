"""Tools that fold modules together keep attention, or say where to put it."""

from itertools import product

import pytest
import timm
import torch
from quick import slow_but
from timm.utils import reparameterize_model
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from visattn import unwrap, wrap
from visattn.blocks.attended import attended
from visattn.testing import enliven

NAMES = (
    *("mobileone_s1", "repvgg_a0", "repvit_m0_9", "shvit_s1", "fastvit_t8", "efficientvit_m0"),
    *("repghostnet_050", "inception_next_atto"),
)
PLACES = (None, "conv", "stage")


def build(name):
    return enliven(timm.create_model(name, num_classes=3)).eval()


@pytest.mark.parametrize(
    ("name", "place"),
    slow_but(
        product(NAMES, PLACES),
        [*product(["repvgg_a0"], PLACES), ("shvit_s1", "conv"), ("repghostnet_050", None)],
    ),
)
def test_reparameterised_models_keep_attention_or_are_refused(name, place):
    size = 64 if "efficientvit" not in name else 224
    images = torch.randn(1, 3, size, size)
    try:
        model = wrap(build(name), "se", at=place, init="paper")
    except ValueError as error:
        model, refused = None, error
    if model is None:
        assert f"has no place {place!r}" in str(refused)
        return
    model = enliven(model).eval()
    count, folded = len(list(attended(model))), None
    with torch.no_grad():
        expected = model(images)
        try:
            folded = reparameterize_model(model)
        except (RuntimeError, AttributeError) as error:
            refused = error
        if folded is None:
            assert "would be lost" in str(refused)
            assert "at='stage'" in str(refused)
            assert torch.equal(model(images), expected)
            bare = unwrap(model)
            close(reparameterize_model(bare)(images), bare(images), tolerance=1e-4)
        else:
            assert len(list(attended(folded))) == count
            close(folded(images), expected, tolerance=1e-5)


def close(ours, expected, *, tolerance):
    scale = expected.abs().max()
    torch.testing.assert_close(ours / scale, expected / scale, atol=tolerance, rtol=0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x):
        return self.bn(self.conv(x))


@pytest.mark.parametrize("at", ["bn", "conv"])
def test_fusing_a_convolution_and_its_normalisation_is_refused(at):
    model = enliven(wrap(enliven(Net()).eval(), "se", at=at, init="paper")).eval()
    images = torch.randn(2, 3, 16, 16)
    expected = model(images)
    with pytest.raises(AttributeError, match=r"attention that stands between.*would be lost"):
        fuse_conv_bn_eval(model.conv, model.bn)
    assert torch.equal(model(images), expected)


def test_eager_quantisations_fusing_is_refused():
    model = enliven(wrap(enliven(Net()).eval(), "se", at="bn", init="paper")).eval()
    with pytest.raises((AssertionError, NotImplementedError), match=r"fuse"):
        torch.ao.quantization.fuse_modules(model, [["conv", "bn"]])
