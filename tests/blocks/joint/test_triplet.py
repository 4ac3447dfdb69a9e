import pytest
import timm
import torch

import visattn
from visattn.blocks import TripletAttention
from visattn.recording import record
from visattn.testing import check_block, enliven


def gate(branch, highest, mean):
    """Gate over a plane (N, A, B) from its two statistics, the 7x7 kernel as 49 shifted sums."""
    rows, columns = mean.shape[1:]
    total = torch.zeros_like(mean)
    for plane, kernel in zip((highest, mean), branch.conv.weight[0], strict=True):
        reach = kernel.shape[0] // 2
        padded = torch.nn.functional.pad(plane, (reach, reach, reach, reach))
        for i, weights in enumerate(kernel):
            for j, weight in enumerate(weights):
                total = total + weight * padded[:, i : i + rows, j : j + columns]
    bn = branch.bn
    z = (total - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
    return 1 / (1 + torch.exp(-z))


@pytest.mark.parametrize("kernel_size", [3, 7])
@pytest.mark.parametrize("spatial", [True, False])
def test_the_three_planes_written_out(spatial, kernel_size):
    block = enliven(TripletAttention(6, spatial=spatial, kernel_size=kernel_size)).eval()
    x = torch.randn(2, 6, 5, 8)
    cw = gate(block.cw, x.max(2).values, x.mean(2))  # (N, C, W)
    along_width = x.max(3).values, x.mean(3)  # (N, C, H)
    hc = gate(block.hc, *(plane.transpose(1, 2) for plane in along_width))  # (N, H, C)
    gated = [torch.einsum("nchw,ncw->nchw", x, cw), torch.einsum("nchw,nhc->nchw", x, hc)]
    if spatial:
        hw = gate(block.hw, x.max(1).values, x.mean(1))
        gated.append(torch.einsum("nchw,nhw->nchw", x, hw))
    with record(block) as maps:
        torch.testing.assert_close(block(x), sum(gated) / len(gated))
    (site,) = maps.values()
    torch.testing.assert_close(site.values["columns.tap"][0][:, :, 0], cw)
    torch.testing.assert_close(site.values["rows.tap"][0][..., 0].transpose(1, 2), hc)
    if spatial:
        torch.testing.assert_close(site.spatial, hw)


@pytest.mark.parametrize("spatial", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_identity_in_every_format(dtype, spatial):
    block = TripletAttention(7, spatial=spatial, init="identity").to(dtype)
    x = torch.randn(2, 7, 33, 31).to(dtype)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("spatial", [True, False])
def test_one_value_in_a_batch_of_one(spatial):
    sizes = ((1, 1, 1), (2, 1, 1), (1, 1, 5), (1, 5, 1))
    check_block(TripletAttention, sizes=sizes, spatial=spatial)


@pytest.mark.parametrize(
    ("options", "parameters"), [({}, 300), ({"spatial": False}, 200), ({"kernel_size": 3}, 60)]
)
def test_parameter_counts(options, parameters):
    assert sum(p.numel() for p in TripletAttention(256, **options).parameters()) == parameters


def test_stands_in_every_branch():
    model = visattn.wrap(timm.create_model("resnet50"), TripletAttention)
    assert sum(p.numel() for p in model.parameters()) == 25_561_832


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        (0, {}, "channels must be at least 1, got 0"),
        (4, {"kernel_size": 4}, "kernel_size must be odd and at least 1, got 4"),
        (4, {"init": "zero"}, "init must be"),
    ],
)
def test_errors(channels, options, message):
    with pytest.raises(ValueError, match=message):
        TripletAttention(channels, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(TripletAttention(16)) == {
        "gate columns": (2, 16, 1, 7),
        "gate rows": (2, 16, 9, 1),
        "spatial": (2, 1, 9, 7),
    }


def test_a_variant_keeps_the_contract():
    check_block(TripletAttention, spatial=False)
