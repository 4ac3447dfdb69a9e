import pytest
import timm
import torch

import visattn
from visattn.blocks import BAM
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.recording import record
from visattn.testing import check_block, enliven


def normalised(bn, x):
    """Batch normalisation of (N, C, ...) in evaluation, written out."""
    columns = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
    mean, variance = bn.running_mean.view(columns), bn.running_var.view(columns)
    return (x - mean) / (variance + bn.eps).sqrt() * bn.weight.view(columns) + bn.bias.view(columns)


def dilated(conv, x, step):
    """A dilated 3x3 convolution as a sum of nine shifted 1x1 convolutions."""
    height, width = x.shape[2:]
    padded = torch.zeros(*x.shape[:2], height + 2 * step, width + 2 * step)
    padded[:, :, step:-step, step:-step] = x
    result = conv.bias.view(1, -1, 1, 1).expand(len(x), -1, height, width)
    for i in range(3):
        for j in range(3):
            part = padded[:, :, i * step : i * step + height, j * step : j * step + width]
            result = result + torch.einsum("oc,nchw->nohw", conv.weight[:, :, i, j], part)
    return result


def branches(block, x):
    """Mc (N, C, 1, 1) and Ms (N, 1, H, W)."""
    channel, spatial = block.channel, block.spatial
    hidden = x.mean((2, 3)) @ channel.fc1.weight.flatten(1).T + channel.fc1.bias
    hidden = normalised(channel.bn, hidden).clamp(min=0)
    of_channel = hidden @ channel.fc2.weight.flatten(1).T + channel.fc2.bias
    y = torch.einsum("oc,nchw->nohw", spatial.conv1.weight[:, :, 0, 0], x)
    y = normalised(spatial.bn1, y + spatial.conv1.bias.view(1, -1, 1, 1)).clamp(min=0)
    y = normalised(spatial.bn2, dilated(spatial.conv2, y, 4)).clamp(min=0)
    y = normalised(spatial.bn3, dilated(spatial.conv3, y, 4)).clamp(min=0)
    of_place = torch.einsum("oc,nchw->nohw", spatial.conv4.weight[:, :, 0, 0], y)
    return of_channel[:, :, None, None], of_place + spatial.conv4.bias


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_the_formula_and_what_is_recorded(variant):
    block = enliven(BAM(64, variant=variant)).eval()
    x = torch.randn(2, 64, 11, 14)
    of_channel, of_place = branches(block, x)
    logits = of_channel + of_place if variant == "paper" else of_channel * of_place
    gate = 1 + 1 / (1 + torch.exp(-logits))
    with record(block) as maps:
        torch.testing.assert_close(block(x), x * gate)
    (site,) = maps.values()
    torch.testing.assert_close(site.channel, of_channel.flatten(1))
    torch.testing.assert_close(site.spatial_logits, of_place.squeeze(1))
    torch.testing.assert_close(site.gate, gate)


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_identity_and_that_both_variants_leave_it(variant):
    block, x = BAM(64, variant=variant, init="identity").train(), torch.randn(3, 64, 9, 7)
    assert torch.equal(block(x), x)
    (block(x) * torch.randn_like(x)).sum().backward()
    assert block.channel.fc2.weight.grad.any()
    assert bool(block.spatial.conv4.weight.grad.any()) == (variant == "paper")


@pytest.mark.parametrize("channels", [1, 5, 64])
def test_trains_on_a_single_value_a_channel(channels):
    check_block(BAM, channels=(channels,), sizes=((1, 1, 1), (1, 5, 3), (2, 1, 1)))


def test_a_single_value_is_normalised_with_the_running_statistics():
    bn = enliven(SafeBatchNorm2d(3)).train()
    before, x = bn.running_mean.clone(), torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(bn(x), normalised(bn, x))
    assert torch.equal(bn.running_mean, before)
    assert bn.num_batches_tracked == 0


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 1, 2), (4, 3, 5, 6)])
def test_several_values_are_normalised_as_ever(training, shape):
    ours, theirs = SafeBatchNorm2d(3).train(training), torch.nn.BatchNorm2d(3).train(training)
    x = torch.randn(shape)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
    assert ours.num_batches_tracked == theirs.num_batches_tracked


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_parameter_count(variant):
    assert sum(p.numel() for p in BAM(256, variant=variant).parameters()) == 17_361


@pytest.mark.parametrize(
    ("name", "parameters"), [("resnet18", 11_712_503), ("resnet50", 25_915_099)]
)
def test_stands_after_stages_1_to_3(name, parameters):
    model = visattn.wrap(timm.create_model(name), BAM)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "product"}, "variant must be 'paper' or 'official', got 'product'"),
        ({"dilation": 0}, "dilation must be at least 1, got 0"),
        ({"reduction": 0}, "reduction must be at least 1, got 0"),
        ({"init": "zero"}, "init must be"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        BAM(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(BAM(16)) == {
        "channel": (2, 16, 1, 1),
        "spatial_logits": (2, 1, 9, 7),
        "gate": (2, 16, 9, 7),
    }


def test_a_variant_keeps_the_contract():
    check_block(BAM, variant="official")
