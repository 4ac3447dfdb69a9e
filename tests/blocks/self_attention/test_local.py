import pytest
import torch

from visattn.blocks import LocalSelfAttention
from visattn.recording import record
from visattn.testing import check_block, enliven


def written_out(block, x, side):
    """Output and weights, (N, heads, H, W, H, W), of every place of every window."""
    n, _, height, width = x.shape
    joint = torch.einsum("oi,nihw->nohw", block.qkv.weight[:, :, 0, 0], x)
    q, k, v = joint.unflatten(1, (3, block.heads, -1)).unbind(1)
    reach = side // 2
    weights = torch.zeros(n, block.heads, height, width, height, width)
    for y in range(height):
        for c in range(width):
            ys = range(max(0, y - reach), min(height, y + reach + 1))
            cs = range(max(0, c - reach), min(width, c + reach + 1))
            scores = {}
            for yy in ys:
                for cc in cs:
                    position = torch.cat(
                        (block.rows[yy - y + reach], block.columns[cc - c + reach])
                    )
                    scores[yy, cc] = (q[..., y, c] * (k[..., yy, cc] + position)).sum(-1)
            shares = (torch.stack(list(scores.values()), -1) / q.shape[2] ** 0.5).softmax(-1)
            for share, (yy, cc) in zip(shares.unbind(-1), scores, strict=True):
                weights[:, :, y, c, yy, cc] = share
    out = torch.einsum("nhyxst,nhdst->nhdyx", weights, v)
    return out.flatten(1, 2), weights


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("size", [(6, 5), (2, 17)])
def test_the_formula_and_the_recorded_rows(size, side):
    block = enliven(LocalSelfAttention(6, heads=2, kernel_size=side)).eval()
    x = torch.randn(2, 6, *size)
    expected, weights = written_out(block, x, side)
    with torch.no_grad(), record(block) as maps:
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
    (site,) = maps.values()
    for y, column in [(0, 0), (1, 2), (size[0] - 1, size[1] - 1)]:
        torch.testing.assert_close(
            site.query(y, column), weights[:, :, y, column].mean(1), atol=1e-5, rtol=1e-4
        )
        row = site.query(y, column, head=1)
        torch.testing.assert_close(row, weights[:, 1, y, column], atol=1e-5, rtol=1e-4)


def test_gradients_are_those_of_the_formula():
    block = LocalSelfAttention(6, heads=2, kernel_size=3)
    x = torch.randn(2, 6, 4, 5, requires_grad=True)
    found = {}
    for name, forward in {"ours": block, "formula": lambda x: written_out(block, x, 3)[0]}.items():
        inputs = [x, *block.parameters()]
        found[name] = torch.autograd.grad(forward(x).pow(3).sum(), inputs)
    for ours, formula in zip(found["ours"], found["formula"], strict=True):
        torch.testing.assert_close(ours, formula, atol=1e-3, rtol=1e-3)


def test_a_window_moves_with_the_map():
    block = LocalSelfAttention(8, kernel_size=3).eval()
    x = torch.randn(1, 8, 9, 9)
    moved = block(x.roll((1, 1), (2, 3)))
    torch.testing.assert_close(moved[..., 2:8, 2:8], block(x)[..., 1:7, 1:7])


def test_what_is_kept_for_the_backward_pass_has_no_windows_of_channels():
    block = LocalSelfAttention(64, heads=1, kernel_size=7)
    x = torch.randn(1, 64, 32, 32, requires_grad=True)
    storages = {}

    def keep(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = block(x)
    assert y.shape == x.shape
    # Windows of keys and values would be 98 maps.
    assert sum(storages.values()) < 20 * x.numel() * 4


def test_stride_and_counts():
    block = LocalSelfAttention(8, in_channels=6, stride=2, kernel_size=3)
    assert block(torch.randn(2, 6, 7, 4)).shape == (2, 8, 4, 2)
    count = sum(p.numel() for p in LocalSelfAttention(256).parameters())
    assert count == 3 * 256 * 256 + 7 * 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"kernel_size": 0}, "at least 1"),
        ({"heads": 3}, "can't be shared out"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        LocalSelfAttention(8, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(LocalSelfAttention(16)) == {"pairwise": (4, (9, 7), (9, 7))}


def test_a_variant_keeps_the_contract():
    check_block(LocalSelfAttention, kernel_size=3)
