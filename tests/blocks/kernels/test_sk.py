import pytest
import timm
import torch
from timm.layers import SelectiveKernel as TheirKernel
from torch import nn

from visattn.blocks.kernels.sk import SelectiveKernel
from visattn.recording import record
from visattn.testing import check_block, enliven


def rename(state, names=SelectiveKernel.timm_names):
    renamed = {}
    for name, tensor in state.items():
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        renamed[names[prefix] + name.removeprefix(prefix)] = tensor
    return renamed


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"rd_divisor": 32, "split_input": False, "groups": 4}, {"groups": 4}),
        ({}, {"rd_divisor": 8, "split_input": True}),
        (
            {"rd_ratio": 1 / 8, "rd_divisor": 16, "stride": 2, "dilation": 2},
            {"reduction": 8, "rd_divisor": 16, "split_input": True, "stride": 2, "dilation": 2},
        ),
    ],
    ids=str,
)
def test_parity_with_timm(theirs, ours, training):
    timms = enliven(TheirKernel(24, 64, **theirs)).train(training)
    block = SelectiveKernel(64, in_channels=24, **ours).train(training)
    block.load_state_dict(rename(timms.state_dict()))
    x = torch.randn(3, 24, 9, 6)
    torch.testing.assert_close(block(x), timms(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(block.reduce[1].running_var, timms.attn.bn.running_var)


def test_a_resnext_with_it_is_timms_skresnext():
    theirs = enliven(timm.create_model("skresnext50_32x4d")).eval()
    ours = timm.create_model("resnext50_32x4d").eval()
    names = {}
    for path, conv in list(ours.named_modules()):
        if path.endswith("conv2"):
            block = SelectiveKernel(
                conv.out_channels,
                in_channels=conv.in_channels,
                stride=conv.stride[0],
                dilation=conv.dilation[0],
                groups=conv.groups,
            ).eval()
            parent = ours.get_submodule(path.removesuffix(".conv2"))
            parent.conv2, parent.bn2 = block, nn.Identity()
            names |= {f"{path}.{t}": f"{path}.{o}" for t, o in block.timm_names.items()}
    state = {}
    for name, tensor in theirs.state_dict().items():
        slot = next((slot for slot in names if name.startswith(slot)), None)
        if slot is not None:
            name = names[slot] + name.removeprefix(slot)
        elif name.startswith("layer"):
            for number in "13":
                name = name.replace(f"conv{number}.conv.", f"conv{number}.")
                name = name.replace(f"conv{number}.bn.", f"bn{number}.")
        state[name] = tensor
    ours.load_state_dict(state)
    assert sum(p.numel() for p in ours.parameters()) == 27_479_784
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, atol=1e-4 * expected.abs().max(), rtol=1e-4)


@pytest.mark.parametrize(
    ("channels", "options", "hidden"),
    [
        (256, {}, 32),
        (1024, {}, 64),
        (800, {}, 50),
        (800, {"rd_divisor": 32}, 64),
        (64, {"rd_divisor": 8}, 8),
        (24 * 16, {"rd_divisor": 16}, 32),
    ],
)
def test_width_of_the_hidden_layer(channels, options, hidden):
    assert SelectiveKernel(channels, **options).select.in_channels == hidden


def test_the_recorded_gate_is_the_share_of_the_wider_convolution():
    block = enliven(SelectiveKernel(8)).eval()
    x = torch.randn(2, 8, 6, 5)
    near, far = (branch(x) for branch in block.branches)
    with torch.no_grad(), record(block) as maps:
        y = block(x)
    share = next(iter(maps.values())).channel[:, :, None, None]
    torch.testing.assert_close(y, near + share * (far - near))
    assert 0 < share.min() < share.max() < 1


def test_contract_of_the_form_that_splits_its_input():
    check_block(SelectiveKernel, channels=(2, 24), split_input=True, rd_divisor=8)


@pytest.mark.parametrize("stride", [1, 2])
def test_trains_on_a_single_place_and_keeps_the_size_of_a_convolution(stride):
    block = SelectiveKernel(6, in_channels=3, stride=stride).train()
    for size in ((1, 1), (7, 4), (1, 6)):
        x = torch.randn(1, 3, *size)
        assert block(x).shape == nn.Conv2d(3, 6, 3, stride=stride, padding=1)(x).shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 3}, "groups=3 must divide"),
        ({"split_input": True, "in_channels": 7}, "even number of channels, got 7"),
        ({"reduction": 0}, "reduction must be at least 1"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        SelectiveKernel(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(SelectiveKernel(16)) == {"channel": (2, 16, 1, 1)}


def test_a_variant_keeps_the_contract():
    check_block(SelectiveKernel, rd_divisor=8)
