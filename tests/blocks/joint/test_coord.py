import pytest
import torch
import torch.nn.functional as F
from timm.layers.coord_attn import CoordAttn

from visattn.blocks import CoordinateAttention
from visattn.recording import record
from visattn.testing import check_block, enliven

TIMM = {"reduction": 24, "rd_divisor": 8, "bias": False}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [16, 96, 320, 1000])
def test_parity_with_timm(training, channels):
    theirs = enliven(CoordAttn(channels)).train(training)
    ours = CoordinateAttention(channels, **TIMM).train(training)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, channels, 6, 9)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.bn1.running_var, theirs.bn1.running_var)


@pytest.mark.parametrize("training", [True, False])
def test_parity_with_timms_module_of_the_official_sizes(training):
    theirs = enliven(CoordAttn(320, rd_channels=10, bias=True)).train(training)
    ours = CoordinateAttention(320).train(training)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 320, 5, 8)
    torch.testing.assert_close(ours(x), theirs(x))


def test_rows_and_columns_written_out_one_at_a_time():
    block, x = enliven(CoordinateAttention(6)).eval(), torch.randn(2, 6, 4, 7)
    bn = block.bn1

    def gate(mean, conv):
        z = F.linear(mean, block.conv1.weight.flatten(1), block.conv1.bias)
        z = (z - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
        z = z * (z + 3).clamp(0, 6) / 6
        return 1 / (1 + torch.exp(-F.linear(z, conv.weight.flatten(1), conv.bias)))

    rows = torch.stack([gate(x[:, :, i].mean(2), block.conv_h) for i in range(4)], 2)
    columns = torch.stack([gate(x[:, :, :, j].mean(2), block.conv_w) for j in range(7)], 2)
    with record(block) as maps:
        y = block(x)
    torch.testing.assert_close(y, torch.einsum("nchw,nch,ncw->nchw", x, rows, columns))
    (site,) = maps.values()
    torch.testing.assert_close(site.values["rows.tap"][0].squeeze(3), rows)
    torch.testing.assert_close(site.values["columns.tap"][0].squeeze(2), columns)


def test_one_place_in_a_batch_of_one():
    check_block(CoordinateAttention, sizes=((1, 1, 1), (2, 1, 1), (1, 1, 9)))


@pytest.mark.parametrize(
    ("channels", "options", "parameters"),
    [
        (256, {}, 6680),
        (256, {"bias": False}, 6160),
        (256, TIMM, 6160),
        (1024, {}, 100_448),
        (16, {"reduction": 1}, 848),
    ],
)
def test_parameter_counts(channels, options, parameters):
    block = CoordinateAttention(channels, **options)
    assert sum(p.numel() for p in block.parameters()) == parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 0}, "reduction must be at least 1, got 0"),
        ({"rd_divisor": -8}, "rd_divisor must be at least 1, got -8"),
        ({"init": "zero"}, "init must be"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        CoordinateAttention(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(CoordinateAttention(16)) == {
        "gate rows": (2, 16, 9, 1),
        "gate columns": (2, 16, 1, 7),
    }


def test_a_variant_keeps_the_contract():
    check_block(CoordinateAttention, reduction=24, rd_divisor=8, bias=False)
