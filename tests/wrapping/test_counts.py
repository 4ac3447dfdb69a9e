"""Parameters and multiply-adds of whole models, at 224 px with 1,000 classes."""

from itertools import product

import pytest
import timm
import torch
import torchvision
from each_block import EACH_BLOCK
from quick import slow_but

from visattn import plan, wrap

PARAMETERS = {  # of ResNet-18, 34, 50 and 101
    "plain": (11_689_512, 21_797_672, 25_557_032, 44_549_160),
    "se": (11_778_592, 21_958_868, 28_088_024, 49_326_872),
    "se, timm's rounding": (11_779_624, 21_960_416, 28_088_024, 49_326_872),
    "se, no bias": (11_776_552, 21_954_856, 28_071_976, 49_292_328),
    "cbam": (11_779_392, 21_960_468, 28_089_624, 49_330_172),
    "cbam, timm": (11_777_352, 21_956_456, 28_073_576, 49_295_628),
    "bam": (11_712_503, 21_820_663, 25_915_099, 44_907_227),
}
MULTIPLY_ADDS = {  # in 1e9, by depth; "v1" has the stride on the first 1x1 convolution
    "plain": {18: 1.814, 34: 3.664, 50: 4.089, "50 v1": 3.858, 101: 7.801},
    "se": {50: 4.092, 101: 7.806},
    "cbam": {18: 1.815, 34: 3.665, 50: 4.096, "50 v1": 3.864},
    "bam": {"50 v1": 3.940},
}
COLUMNS = {
    "se": ("se", {}),
    "se, timm's rounding": ("se", {"rd_divisor": 8}),
    "se, no bias": ("se", {"bias": False}),
    "cbam": ("cbam", {}),
    "cbam, timm": ("cbam", {"variant": "timm"}),
    "bam": ("bam", {}),
}
DEPTHS = [18, 34, 50, 101]
ECA_KERNELS = {18: (3, 5, 7, 7), 34: (3, 3, 5, 7), 50: (3, 5, 5, 7), 101: (3, 3, 5, 7)}
ECA_PARAMETERS = {18: 11_689_556, 34: 21_797_744, 50: 25_557_112, 101: 44_549_317}


def resnet(depth, library=torchvision):
    """A ResNet without memory; "50 v1" has its strides where the first version had them."""
    number, _, version = str(depth).partition(" ")
    with torch.device("meta"):
        model = (
            timm.create_model(f"resnet{number}")
            if library is timm
            else getattr(torchvision.models, f"resnet{number}")()
        )
    if version:
        for stage in (model.layer2, model.layer3, model.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return model


def planned(model, block, **options):
    with torch.device("meta"):
        return plan(model, block, init="paper", **options)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def together(found):
    """Parameters, and multiply-adds in 1e9, of model and attention."""
    count = found.parameters + found.added_parameters
    return count, (found.multiply_adds + found.added_multiply_adds) / 1e9


@pytest.mark.parametrize(
    ("column", "depth"),
    slow_but(
        product(COLUMNS, DEPTHS), [*product(COLUMNS, [18]), *product(["se", "cbam", "bam"], [50])]
    ),
)
def test_resnets(column, depth):
    block, options = COLUMNS[column]
    found = planned(resnet(depth), block, **options)
    assert found.parameters == PARAMETERS["plain"][DEPTHS.index(depth)]
    expected = MULTIPLY_ADDS["plain"][depth]
    assert found.multiply_adds / 1e9 == pytest.approx(expected, rel=1e-3)
    count, multiply_adds = together(found)
    assert count == PARAMETERS[column][DEPTHS.index(depth)]
    if depth in MULTIPLY_ADDS.get(column, {}):
        assert multiply_adds == pytest.approx(MULTIPLY_ADDS[column][depth], rel=1e-3)


@pytest.mark.parametrize("column", ["cbam", "bam"])
def test_resnet50_with_the_stride_on_the_1x1(column):
    found = planned(resnet("50 v1"), column)
    assert found.multiply_adds / 1e9 == pytest.approx(MULTIPLY_ADDS["plain"]["50 v1"], rel=1e-3)
    count, multiply_adds = together(found)
    assert count == PARAMETERS[column][2]
    assert multiply_adds == pytest.approx(MULTIPLY_ADDS[column]["50 v1"], rel=1e-3)


@pytest.mark.parametrize("column", ["se, timm's rounding", "cbam, timm", "bam"])
@pytest.mark.parametrize("depth", [18, 50])
def test_timms_resnets_have_the_same_counts_and_wrap_adds_what_plan_says(depth, column):
    block, options = COLUMNS[column]
    with torch.device("meta"):
        model = wrap(resnet(depth, timm), block, **options)
    assert parameters(model) == PARAMETERS[column][DEPTHS.index(depth)]


@pytest.mark.parametrize("depth", slow_but(DEPTHS, [18, 50]))
def test_eca_with_the_kernels_of_the_published_checkpoints(depth):
    model = resnet(depth)
    with torch.device("meta"):
        for stage, size in enumerate(ECA_KERNELS[depth], start=1):
            wrap(model, "eca", stages=[stage], kernel_size=size)
    assert parameters(model) == ECA_PARAMETERS[depth]


@pytest.mark.parametrize("depth", [18, 50])
def test_eca_with_the_formulas_kernels_as_timm_has_them(depth):
    with torch.device("meta"):
        theirs = timm.create_model(f"resnet{depth}", block_args={"attn_layer": "eca"})
    count, _ = together(planned(resnet(depth), "eca"))
    assert count == parameters(theirs)


RESNET50 = {
    "one non-local block": ("nonlocal", {"at": "layer3.4", "norm": False}, 27_656_744),
    "one GC": ("gc", {"at": "layer3.5"}, 25_690_345),
    "GC in stages 2 to 4": ("gc", {}, 28_078_773),
    "BoTNet-50": ("mhsa", {}, 20_852_008),
    "triplet": ("triplet", {}, 25_561_832),
}


@pytest.mark.parametrize("name", RESNET50)
def test_others_in_resnet50(name):
    block, options, expected = RESNET50[name]
    assert together(planned(resnet(50), block, **options))[0] == expected


def test_sknet50_is_timms_skresnext50():
    with torch.device("meta"):
        theirs = timm.create_model("skresnext50_32x4d")
        plain = torchvision.models.resnext50_32x4d()
    found = planned(plain, "sk", rd_divisor=32)
    assert together(found)[0] == parameters(theirs) == 27_479_784


@pytest.mark.parametrize("block", EACH_BLOCK)
def test_the_plan_of_any_pair_adds_up(block):
    with torch.device("meta"):
        model = timm.create_model("test_resnet")
    found = planned(model, block)
    count, multiply_adds = together(found)
    with torch.device("meta"):
        wrap(model, block, init="paper")
    assert count == parameters(model)
    text = str(found)
    assert f"{found.parameters:,} {found.added_parameters:+,} = {count:,}" in text
    assert f"= {round(multiply_adds * 1e9):,}" in text
