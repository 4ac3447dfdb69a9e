import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from timm.layers.bottleneck_attn import BottleneckAttn
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from visattn.attention import sine_positions_2d
from visattn.blocks.self_attention.mhsa import MultiHeadSelfAttention
from visattn.recording import record
from visattn.testing import check_block

POSITIONS = ["none", "sine", "learned", "relative"]


def rename(state, names=MultiHeadSelfAttention.timm_names):
    renamed = {}
    for name, tensor in state.items():
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        renamed[names[prefix] + name.removeprefix(prefix)] = tensor
    return renamed


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("scaled", [True, False])
def test_parity_with_timm(scaled, stride):
    height, width = 8, 6
    theirs = BottleneckAttn(
        24, 32, feat_size=(height, width), stride=stride, scale_pos_embed=scaled
    )
    ours = MultiHeadSelfAttention(
        32, in_channels=24, stride=stride, size=(height // stride, width // stride)
    )
    state = rename(theirs.state_dict())
    if not scaled:  # timm then leaves the position term as it is: 1 / sqrt(8) is taken back
        for name in ("relative.height", "relative.width"):
            state[name] = state[name] * 8**0.5
    ours.load_state_dict(state)
    x = torch.randn(2, 24, height, width)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)


def written_out(block, x, position):
    """Output and weights with every pair of places written out."""
    n, _, height, width = x.shape
    heads, table = block.heads, None
    if position == "sine":
        x = x + sine_positions_2d(height, width, x.shape[1]).permute(2, 0, 1)
    if position == "learned":
        x = x + F.interpolate(block.absolute.table, (height, width), mode="bilinear")
    joint = torch.einsum("oi,nihw->nohw", block.qkv.weight[:, :, 0, 0], x)
    q, k, v = (
        part.reshape(n, heads, -1, height * width)
        for part in joint.split(block.qkv.out_channels // 3, 1)
    )
    scores = torch.einsum("nhct,nhcs->nhts", q, k)
    if position == "relative":
        rows, columns = np.divmod(np.arange(height * width), width)
        for places, table in ((rows, block.relative.height), (columns, block.relative.width)):
            reach = (len(table) - 1) // 2
            distance = places[None] - places[:, None]
            at = distance * reach / max(1, places.max()) + reach
            known = np.arange(len(table))
            vectors = [np.interp(at, known, column) for column in table.detach().numpy().T]
            vectors = torch.from_numpy(np.stack(vectors, -1)).float()
            scores = scores + torch.einsum("nhct,tsc->nhts", q, vectors)
    weights = (scores / q.shape[2] ** 0.5).softmax(-1)
    return torch.einsum("nhts,nhcs->nhct", weights, v).reshape(n, -1, height, width), weights


@pytest.mark.parametrize("size", [(5, 7), (3, 4), (9, 13), (1, 6), (1, 1)])
@pytest.mark.parametrize("position", POSITIONS)
def test_each_position_is_its_formula_on_any_map_and_so_are_the_recorded_rows(position, size):
    block = MultiHeadSelfAttention(12, in_channels=6, heads=2, position=position, size=(5, 7))
    x = torch.randn(2, 6, *size)
    expected, weights = written_out(block, x, position)
    with torch.no_grad(), record(block) as maps:
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
    (site,) = maps.values()
    for y, column in {(0, 0), (size[0] - 1, size[1] - 1), (size[0] // 2, 0)}:
        row = weights[:, :, y * size[1] + column].unflatten(-1, size)
        torch.testing.assert_close(site.query(y, column), row.mean(1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(site.query(y, column, head=1), row[:, 1], atol=1e-5, rtol=1e-4)


def test_without_positions_it_is_pytorchs_multi_head_attention():
    block = MultiHeadSelfAttention(8, heads=2, position="none")
    theirs = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(block.qkv.weight.flatten(1))
        theirs.out_proj.weight.copy_(torch.eye(8))
    x = torch.randn(2, 8, 3, 5)
    places = x.flatten(2).transpose(1, 2)
    expected, _ = theirs(places, places, places, need_weights=False)
    torch.testing.assert_close(block(x).flatten(2).transpose(1, 2), expected)


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 3), (1, 1)])
@pytest.mark.parametrize("stride", [2, 3])
def test_stride_averages_what_there_is(size, stride):
    block = MultiHeadSelfAttention(8, stride=stride, size=(3, 3))
    whole = MultiHeadSelfAttention(8, size=(3 * stride, 3 * stride))
    whole.load_state_dict(block.state_dict())
    x = torch.randn(2, 8, *size)
    expected = F.avg_pool2d(whole(x), stride, ceil_mode=True, count_include_pad=False)
    torch.testing.assert_close(block(x), expected)
    assert expected.shape == nn.Conv2d(8, 8, 3, stride=stride, padding=1)(x).shape


@pytest.mark.parametrize("position", POSITIONS)
def test_nothing_of_the_size_of_all_pairs_is_built(position):
    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for value in result if isinstance(result, tuple) else (result,):
                self.numbers = max(self.numbers, getattr(value, "numel", lambda: 0)())
            return result

    block = MultiHeadSelfAttention(64, position=position)
    x = torch.randn(1, 64, 28, 28, requires_grad=True)
    with Largest() as largest:
        block(x).sum().backward()
    assert largest.numbers < block.heads * 28**4 / 4


def test_parameter_counts():
    block = MultiHeadSelfAttention(256, size=(14, 10))
    assert sum(p.numel() for p in block.parameters()) == 199_552


def test_resnet_50_with_it_in_the_last_stage_is_botnet_50():
    with torch.device("meta"):
        model = torchvision.models.resnet50()
        for block in model.layer4:
            conv = block.conv2
            block.conv2 = MultiHeadSelfAttention(
                conv.out_channels, in_channels=conv.in_channels, stride=conv.stride[0], size=(7, 7)
            )
        assert model(torch.empty(1, 3, 224, 224)).shape == (1, 1000)
    assert sum(p.numel() for p in model.parameters()) == 20_852_008


@pytest.mark.parametrize(("channels", "heads"), [(1, 1), (2, 2), (9, 3), (24, 4), (512, 4)])
def test_heads_adapt_to_the_channels(channels, heads):
    assert MultiHeadSelfAttention(channels).heads == heads


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 5}, "Give one of 1, 2, 4, 8, or leave"),
        ({"heads": 0}, "can't be shared out among heads=0"),
        ({"position": "rotary"}, "position must be one of"),
        ({"size": (0, 4)}, "height must be at least 1"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadSelfAttention(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(MultiHeadSelfAttention(16)) == {"pairwise": (4, (9, 7), (9, 7))}


@pytest.mark.parametrize(
    "options", [{"position": "none"}, {"position": "sine"}, {"position": "learned"}], ids=str
)
def test_variants_keep_the_contract(options):
    check_block(MultiHeadSelfAttention, **options)
