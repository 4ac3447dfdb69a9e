import pytest
import torch
from timm.layers.cbam import CbamModule

from visattn.blocks import CBAM
from visattn.testing import check_block, enliven


def rename(state):
    """timm's names to ours, by the block's own table."""
    renamed = {}
    for name, tensor in state.items():
        prefix = next(prefix for prefix in CBAM.timm_names if name.startswith(prefix))
        renamed[CBAM.timm_names[prefix] + name.removeprefix(prefix)] = tensor
    return renamed


@pytest.mark.parametrize("training", [True, False])
def test_parity_with_timm(training):
    theirs = enliven(CbamModule(64)).train(training)
    ours = CBAM(64, variant="timm").train(training)
    ours.load_state_dict(rename(theirs.state_dict()))
    x = torch.randn(3, 64, 6, 9)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.spatial.bn.running_var, theirs.spatial.conv.bn.running_var)


def test_official_is_the_formula_with_biases_and_the_maximum_first():
    block = enliven(CBAM(32)).eval()
    x = torch.randn(2, 32, 5, 8)
    channel, spatial = block.channel, block.spatial
    first, last = (layer.weight.flatten(1) for layer in (channel.fc1, channel.fc2))

    def mlp(v):
        return (v @ first.T + channel.fc1.bias).relu() @ last.T + channel.fc2.bias

    gate = torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.flatten(2).max(2).values))
    y = x * gate[:, :, None, None]
    planes = torch.stack((y.max(1).values, y.mean(1)), 1)
    z = torch.nn.functional.conv2d(planes, spatial.conv.weight, padding=3)
    bn = spatial.bn
    z = (z - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
    torch.testing.assert_close(block(x), y * torch.sigmoid(z))


def test_flipping_the_planes_turns_one_variant_into_the_other():
    official, timm_like = enliven(CBAM(32)).eval(), CBAM(32, variant="timm").eval()
    with torch.no_grad():
        official.channel.fc1.bias.zero_()
        official.channel.fc2.bias.zero_()
    state = {
        k: v for k, v in official.state_dict().items() if not k.endswith(("fc1.bias", "fc2.bias"))
    }
    state["spatial.conv.weight"] = state["spatial.conv.weight"].flip(1)
    timm_like.load_state_dict(state)
    x = torch.randn(2, 32, 6, 6)
    torch.testing.assert_close(timm_like(x), official(x))


def test_variants_start_as_published():
    official, timm_like = CBAM(64), CBAM(64, variant="timm")
    assert (official.spatial.bn.weight == 0).all()
    assert official.spatial.bn.momentum == 0.01
    assert (timm_like.spatial.bn.weight == 1).all()


@pytest.mark.parametrize(("variant", "parameters"), [("official", 8564), ("timm", 8292)])
def test_parameter_counts(variant, parameters):
    assert sum(p.numel() for p in CBAM(256, variant=variant).parameters()) == parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [({"variant": "paper"}, "variant must be"), ({"kernel_size": 4}, "kernel_size must be odd")],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        CBAM(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(CBAM(16)) == {"channel": (2, 16, 1, 1), "spatial": (2, 1, 9, 7)}


def test_a_variant_keeps_the_contract():
    check_block(CBAM, variant="timm")
