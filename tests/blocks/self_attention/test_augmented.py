import pytest
import torch
import torch.nn.functional as F
import torchvision
from timm.layers.bottleneck_attn import PosEmbedRel
from torch import nn

from visattn.blocks.self_attention.augmented import AugmentedConv
from visattn.recording import record
from visattn.testing import check_block


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_is_the_formula_with_timms_relative_terms(relative, stride):
    size = (4, 6)
    block = AugmentedConv(
        24, in_channels=10, stride=stride, heads=2, upsilon=0.25, size=size, relative=relative
    )
    assert (block.keys, block.values) == (40, 6)
    x = torch.randn(3, 10, size[0] * stride, size[1] * stride)
    z = x if stride == 1 else F.avg_pool2d(x, 3, 2, padding=1, count_include_pad=False)
    places = torch.einsum("oi,nihw->nohw", block.qkv.weight[:, :, 0, 0], z).flatten(2)
    q, k, v = (part.unflatten(1, (2, -1)).flatten(0, 1).mT for part in places.split((40, 40, 6), 1))
    scores = q @ k.mT
    if relative:
        terms = PosEmbedRel(size, dim_head=20, scale=1.0)
        terms.load_state_dict(
            {"height_rel": block.relative.height, "width_rel": block.relative.width}
        )
        scores = scores + terms(q)
    weights = (scores / 20**0.5).softmax(-1)
    heads = (weights @ v).mT.reshape(3, 6, *size)
    attended = torch.einsum("oi,nihw->nohw", block.out.weight[:, :, 0, 0], heads)
    expected = torch.cat((F.conv2d(x, block.conv.weight, stride=stride, padding=1), attended), 1)
    with torch.no_grad(), record(block) as maps:
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
    (site,) = maps.values()
    row = weights.unflatten(0, (3, 2))[:, 1, 2 * 6 + 5].unflatten(1, size)
    torch.testing.assert_close(site.query(2, 5, head=1), row, atol=1e-5, rtol=1e-4)


def test_resnet_50_with_it_has_the_25_8_million_parameters_of_the_paper():
    with torch.device("meta"):
        model = torchvision.models.resnet50()
        for stage, side in ((model.layer2, 28), (model.layer3, 14), (model.layer4, 7)):
            for block in stage:
                conv = block.conv2
                block.conv2 = AugmentedConv(
                    conv.out_channels,
                    in_channels=conv.in_channels,
                    stride=conv.stride[0],
                    size=(side, side),
                )
        assert model(torch.empty(1, 3, 224, 224)).shape == (1, 1000)
    assert sum(p.numel() for p in model.parameters()) == 25_781_872


@pytest.mark.parametrize(
    ("channels", "options", "heads", "values"),
    [
        (128, {}, 8, 16),
        (512, {}, 8, 48),
        (24, {}, 4, 4),
        (1, {}, 1, 1),
        (128, {"groups": 32}, 8, 32),
        (64, {"upsilon": 1.0}, 8, 64),
        (12, {"upsilon": 1.0}, 4, 12),
        (64, {"heads": 4, "upsilon": 0.5}, 4, 32),
    ],
)
def test_heads_and_values_fit_the_channels(channels, options, heads, values):
    block = AugmentedConv(channels, **options)
    assert (block.heads, block.values) == (heads, values)
    assert (block.conv is None) == (values == channels)
    assert block(torch.randn(1, channels, 3, 4)).shape == (1, channels, 3, 4)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_has_the_size_of_the_convolution(stride):
    block = AugmentedConv(8, in_channels=3, stride=stride, dilation=2, kernel_size=5)
    for size in ((1, 1), (7, 4), (2, 9)):
        x = torch.randn(1, 3, *size)
        assert block(x).shape == nn.Conv2d(3, 8, 3, stride=stride, padding=1)(x).shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 32}, "no share of 16 channels fits heads=32"),
        ({"heads": 0}, "heads must be at least 1"),
        ({"upsilon": 1.5}, "upsilon in"),
        ({"kernel_size": 4}, "must be odd"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        AugmentedConv(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(AugmentedConv(16)) == {"pairwise": (2, (9, 7), (9, 7))}


@pytest.mark.parametrize("options", [{"upsilon": 1.0}, {"relative": False}], ids=str)
def test_variants_keep_the_contract(options):
    check_block(AugmentedConv, **options)
