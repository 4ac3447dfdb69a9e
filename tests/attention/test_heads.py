"""Several heads, against PyTorch's own layer."""

import pytest
import torch
from torch import nn

from visattn.attention import MultiHeadAttention, RelativeBias, attend, merge_heads, split_heads


def of_torch(layer, key_channels, value_channels):
    """``nn.MultiheadAttention`` with the weights of a layer."""
    theirs = nn.MultiheadAttention(
        8, layer.heads, kdim=key_channels, vdim=value_channels, batch_first=True
    )
    ours = [layer.query, layer.key, layer.value]
    with torch.no_grad():
        if theirs.in_proj_weight is None:
            for name, part in zip("qkv", ours, strict=True):
                getattr(theirs, f"{name}_proj_weight").copy_(part.weight)
        else:
            theirs.in_proj_weight.copy_(torch.cat([part.weight for part in ours]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in ours]))
        theirs.out_proj.weight.copy_(layer.out.weight)
        theirs.out_proj.bias.copy_(layer.out.bias)
    return theirs


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize(("key_channels", "value_channels"), [(8, 8), (6, 5)])
def test_equals_torch(heads, key_channels, value_channels):
    layer = MultiHeadAttention(
        8, heads=heads, key_channels=key_channels, value_channels=value_channels
    )
    theirs = of_torch(layer, key_channels, value_channels)
    query, key = torch.randn(3, 5, 8), torch.randn(3, 7, key_channels)
    value = torch.randn(3, 7, value_channels)
    kept = torch.tensor([7, 4, 1])
    mask = (torch.arange(7) < kept[:, None])[:, None]
    expected, weights = theirs(
        query, key, value, key_padding_mask=~mask[:, 0], average_attn_weights=False
    )
    found = layer(query, key, value, mask=mask)
    torch.testing.assert_close(found.context, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.weights, weights, atol=1e-5, rtol=1e-5)
    fused = layer(query, key, value, mask=mask, need_weights=False)
    torch.testing.assert_close(fused.context, expected, atol=1e-5, rtol=1e-5)
    assert fused.weights is None


def test_a_fully_masked_row_is_finite_where_torch_gives_nan():
    layer = MultiHeadAttention(8, heads=2)
    x = torch.randn(1, 4, 8)
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[1] = False
    theirs, _ = of_torch(layer, 8, 8)(x, x, x, attn_mask=~mask)
    assert theirs[0, 1].isnan().all()
    found = layer(x, mask=mask)
    assert torch.equal(found.context[0, 1], layer.out.bias)
    assert (found.weights[0, :, 1] == 0).all()


def test_heads_are_slices_and_take_their_own_bias():
    layer = MultiHeadAttention(8, heads=2)
    bias = RelativeBias(2, reach=2)(5, 5)
    x = torch.randn(3, 5, 8)
    parts = []
    for head in range(2):
        own = slice(4 * head, 4 * head + 4)
        q, k, v = (part(x)[..., own] for part in (layer.query, layer.key, layer.value))
        parts.append(attend(q, k, v, bias=bias[head]).context)
    torch.testing.assert_close(layer(x, bias=bias).context, layer.out(torch.cat(parts, -1)))


def test_split_and_merge():
    x = torch.randn(2, 5, 6)
    assert split_heads(x, 3).shape == (2, 3, 5, 2)
    assert torch.equal(split_heads(x, 3)[:, 1], x[..., 2:4])
    assert torch.equal(merge_heads(split_heads(x, 3)), x)
    with pytest.raises(ValueError, match="6 channels can't be shared out among 4 heads"):
        split_heads(x, 4)
    with pytest.raises(ValueError, match="8 channels can't be shared out among 3 heads"):
        MultiHeadAttention(8, heads=3)


def test_dropout_in_training_only():
    layer = MultiHeadAttention(8, heads=2, dropout=0.5)
    x = torch.randn(2, 5, 8)
    assert not torch.equal(layer(x).context, layer(x).context)
    assert torch.equal(layer(x).weights, layer(x).weights)
    layer.eval()
    assert torch.equal(layer(x).context, layer(x).context)
