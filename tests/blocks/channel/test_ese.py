import pytest
import torch
from timm.layers import EffectiveSEModule

from visattn.blocks import EffectiveSE


def test_parity_with_timm():
    theirs, ours = EffectiveSEModule(48), EffectiveSE(48)
    ours.load_state_dict(theirs.state_dict())
    x = 5 * torch.randn(3, 48, 6, 9) + 3 * torch.randn(3, 48, 1, 1)
    torch.testing.assert_close(ours(x), theirs(x))


def test_the_gate_is_written_out():
    block, x = EffectiveSE(6), torch.randn(2, 6, 3, 5)
    with torch.no_grad():
        block.fc.weight.mul_(20)  # so that both ends of the hard sigmoid are reached
    z = torch.einsum("oc,nchw->no", block.fc.weight[:, :, 0, 0], x) / 15 + block.fc.bias
    gate = ((z + 3) / 6).clamp(0, 1)
    assert (gate == 0).any() or (gate == 1).any()
    torch.testing.assert_close(block(x), x * gate[:, :, None, None])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_identity_in_every_format(dtype):
    x = torch.randn(1, 9, 3, 4).to(dtype)
    assert torch.equal(EffectiveSE(9, init="identity").to(dtype)(x), x)


def test_the_identity_gate_reaches_from_zero_to_two():
    block, x = EffectiveSE(2, init="identity"), torch.randn(1, 2, 3, 3)
    with torch.no_grad():
        block.fc.bias.copy_(torch.tensor([-9.0, 9.0]))
    torch.testing.assert_close(block(x), x * torch.tensor([0.0, 2.0]).view(1, 2, 1, 1))


def test_parameter_count():
    assert sum(p.numel() for p in EffectiveSE(256).parameters()) == 65_792


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        (0, {}, "channels must be at least 1, got 0"),
        (8, {"init": "zero"}, "init must be 'identity' or 'paper', got 'zero'"),
    ],
)
def test_errors(channels, options, message):
    with pytest.raises(ValueError, match=message):
        EffectiveSE(channels, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(EffectiveSE(16)) == {"channel": (2, 16, 1, 1)}
