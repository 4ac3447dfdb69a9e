"""One function: context, weights and scores."""

import math

import pytest
import torch
import torch.nn.functional as F
from quick import slow_but

from visattn.attention import (
    AdditiveScore,
    DotScore,
    MultiHeadAttention,
    argmax,
    attend,
    attention_weights,
    length_mask,
    sample,
    sine_positions,
    softmax,
    softmax_weights,
    weighted_sum,
)


@pytest.fixture
def qkv():
    return torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8), torch.randn(2, 3, 7, 4)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_equals_torch(qkv, scale, need_weights):
    mask = torch.rand(2, 1, 5, 7) > 0.4
    mask[..., 0] = True
    bias = torch.randn(5, 7)
    for kept, added in ((None, None), (mask, None), (None, bias), (mask, bias)):
        given = kept
        if added is not None:
            given = added if kept is None else added.masked_fill(~kept, -math.inf)
        expected = F.scaled_dot_product_attention(*qkv, attn_mask=given, scale=scale)
        found = attend(
            *qkv, score=DotScore(scale=scale), mask=kept, bias=added, need_weights=need_weights
        )
        torch.testing.assert_close(found.context, expected, atol=1e-6, rtol=1e-6)
        assert (found.weights is not None) == need_weights
        assert (found.scores is not None) == need_weights


def test_weights_and_scores_are_the_formula(qkv):
    query, key, value = qkv
    found = attend(*qkv)
    for batch, head, target in ((0, 0, 0), (1, 2, 4)):
        scores = torch.stack([query[batch, head, target] @ k for k in key[batch, head]]) / 8**0.5
        weights = scores.exp() / scores.exp().sum()
        context = sum(w * v for w, v in zip(weights, value[batch, head], strict=True))
        torch.testing.assert_close(found.scores[batch, head, target], scores)
        torch.testing.assert_close(found.weights[batch, head, target], weights)
        torch.testing.assert_close(found.context[batch, head, target], context)


def test_a_weight_layer_and_a_weighted_sum_make_attention(qkv):
    query, key, value = qkv
    scores, found = attention_weights(query, key)
    whole = attend(*qkv)
    assert torch.equal(whole.scores, scores)
    assert torch.equal(whole.weights, found.weights)
    assert torch.equal(whole.context, weighted_sum(found.weights, value))


def test_axes_are_batch_target_source():
    """a_{3,2}: target 3 takes all from source 2, counted from 1."""
    source = torch.eye(4).expand(2, 4, 4)
    query = 1000 * source[:, [0, 3, 1]]
    weights = attend(query, source).weights
    assert weights.shape == (2, 3, 4)
    assert weights[0, 2, 1] == 1
    assert weights[0, 1, 2] == 0


def test_the_value_is_the_key_by_default(qkv):
    query, key, _ = qkv
    assert torch.equal(attend(query, key).context, attend(query, key, key).context)


def test_equal_keys_share():
    like, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    value = torch.randn(3, 6)
    found = attend(1000 * like[None], torch.stack((like, like, other)), value)
    torch.testing.assert_close(found.weights, torch.tensor([[0.5, 0.5, 0.0]]))
    torch.testing.assert_close(found.context, (value[:1] + value[1:2]) / 2)


def test_blind_to_order_until_positions_are_added(qkv):
    query, key, value = qkv
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    shuffled = attend(query, key[..., order, :], value[..., order, :])
    torch.testing.assert_close(shuffled.context, attend(*qkv).context)
    torch.testing.assert_close(shuffled.weights, attend(*qkv).weights[..., order])
    placed = key + sine_positions(7, 8)
    shuffled = attend(query, key[..., order, :] + sine_positions(7, 8), value[..., order, :])
    difference = (shuffled.context - attend(query, placed, value).context).abs().max()
    assert difference > 0.05


@pytest.mark.parametrize("length", [1, 2, 17, 300])
def test_soft_weights_of_any_length(length):
    query, key = torch.randn(3, 4, 8), torch.randn(3, length, 8)
    weights = attend(query, key).weights
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))
    if length > 1:
        assert (weights - attend(query, key + torch.randn_like(key)).weights).abs().max() > 1e-3


@pytest.mark.parametrize("normaliser", [softmax, argmax, sample])
@pytest.mark.parametrize("need_weights", [True, False])
def test_a_row_without_sources_is_zero_with_finite_gradients(qkv, normaliser, need_weights):
    query, key, value = (t.clone().requires_grad_() for t in qkv)
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[2] = False
    bias = torch.randn(5, 7, requires_grad=True)
    found = attend(
        query, key, value, mask=mask, bias=bias, normaliser=normaliser, need_weights=need_weights
    )
    assert (found.context[..., 2, :] == 0).all()
    assert (found.context[..., 1, :] != 0).any()
    loss = found.context.square().sum()
    if found.log_probability is not None:
        assert (found.log_probability[..., 2] == 0).all()
        loss = loss + found.log_probability.sum()
    loss.backward()
    for tensor in (query, key, value, bias):
        if tensor is value or normaliser is not argmax:
            assert tensor.grad.isfinite().all()


def test_dropout_leaves_the_returned_weights_alone(qkv):
    found = attend(*qkv, dropout=0.5)
    torch.testing.assert_close(found.weights, softmax_weights(*qkv[:2]))
    assert (found.context - attend(*qkv).context).abs().max() > 1e-2
    fused = attend(*qkv, dropout=0.5, need_weights=False)
    assert (fused.context - attend(*qkv).context).abs().max() > 1e-2


def test_padding_changes_nothing(qkv):
    query, key, value = qkv
    mask = torch.arange(10) < 7
    padded = [F.pad(t, (0, 0, 0, 3), value=50.0) for t in (key, value)]
    for need_weights in (True, False):
        found = attend(query, *padded, mask=mask, need_weights=need_weights).context
        torch.testing.assert_close(found, attend(*qkv).context)


def test_errors_say_what_came(qkv):
    query, key, value = qkv
    with pytest.raises(ValueError, match=r"7 keys .* and 6 values"):
        attend(query, key, value[..., :6, :])
    with pytest.raises(TypeError, match=r"boolean, True keeps; got torch\.float32"):
        attend(query, key, value, mask=torch.ones(5, 7))
    with pytest.raises(ValueError, match="two axes at least"):
        attend(query[0, 0, 0], key, value)
    with pytest.raises(ValueError, match=r"\(\.\.\., 5, 7\), got \(2, 3, 7, 5\)"):
        attend(query, key, value, score=lambda q, k: k @ q.transpose(-2, -1))
    with pytest.raises(ValueError, match="dropout"):
        attend(query, key, value, dropout=1.0)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("normaliser", [softmax, argmax, sample])
def test_a_mask_or_bias_never_makes_more_scores(normaliser, need_weights):
    """A padding mask without an axis for the targets would give each query all sentences' masks."""
    query, key = torch.randn(4, 1, 8), torch.randn(4, 5, 8)
    mask = torch.arange(5) < torch.tensor([5, 2, 3, 1])[:, None]
    options = {"normaliser": normaliser, "need_weights": need_weights}
    with pytest.raises(ValueError, match=r"mask .* \(4, 1, 5\), got \(4, 5\).*length_mask"):
        attend(query, key, mask=mask, **options)
    with pytest.raises(ValueError, match=r"bias .* \(4, 1, 5\), got \(4, 5\).*bias\[:, None, :\]"):
        attend(query, key, bias=torch.randn(4, 5), **options)
    with pytest.raises(ValueError, match=r"mask .* \(4, 1, 5\), got \(1, 4, 1, 5\)"):
        attend(query, key, mask=mask[None, :, None], **options)
    with pytest.raises(ValueError, match=r"mask .* \(4, 1, 5\), got \(6,\)"):
        attend(query, key, mask=torch.ones(6, dtype=torch.bool), **options)
    found = attend(query, key, mask=mask[:, None], bias=torch.zeros(4, 1, 5), **options)
    assert found.context.shape == (4, 1, 8)
    assert torch.equal(mask[:, None], length_mask(torch.tensor([5, 2, 3, 1]), 5))


def test_masks_of_every_fitting_shape_and_a_padding_mask_for_heads(qkv):
    whole = torch.rand(2, 3, 5, 7) > 0.3
    for axes in ((), (0,), (1,), (2,), (3,), (0, 1), (2, 3), (0, 1, 2)):
        mask = whole.all(axes, keepdim=True) if axes else whole
        expected = attend(*qkv, mask=mask.expand(2, 3, 5, 7)).context
        for given in (mask, mask[0, 0] if 0 in axes and 1 in axes else mask):
            torch.testing.assert_close(attend(*qkv, mask=given).context, expected)
            fused = attend(*qkv, mask=given, need_weights=False).context
            torch.testing.assert_close(fused, expected)
    with pytest.raises(ValueError, match=r"\(4, 2, 1, 5\), got \(4, 5\)"):
        MultiHeadAttention(8, heads=2)(
            torch.randn(4, 1, 8), torch.randn(4, 5, 8), mask=torch.ones(4, 5, dtype=torch.bool)
        )


@pytest.mark.parametrize("need_weights", [True, False])
def test_widths_and_batches_that_do_not_fit(need_weights):
    query, key = torch.randn(2, 3, 8), torch.randn(2, 4, 6)
    with pytest.raises(ValueError, match=r"same width, got 8 and 6: .* AdditiveScore"):
        attend(query, key, need_weights=need_weights)
    with pytest.raises(ValueError, match=r"or 1 there; got \(2, 3, 8\) and \(3, 4, 8\)"):
        attend(query, torch.randn(3, 4, 8), need_weights=need_weights)
    with pytest.raises(ValueError, match=r"scores are \(2, 3, 4\), or 1 there; got \(5, 4, 8\)"):
        attend(query, torch.randn(2, 4, 8), torch.randn(5, 4, 8), need_weights=need_weights)
    with pytest.raises(ValueError, match="same width, got 8 and 6"):
        attention_weights(query, key)
    one = attend(query[:1], key, score=AdditiveScore(8, 6, hidden=4), need_weights=need_weights)
    assert one.context.shape == (2, 3, 6)


@pytest.mark.parametrize("need_weights", slow_but([True, False], [False]))
def test_compiles_and_exports_with_any_batch_and_length(need_weights):
    class Masked(torch.nn.Module):
        def forward(self, query, key, mask, bias):
            return attend(query, key, mask=mask, bias=bias, need_weights=need_weights).context

    def given(batch, sources):
        mask = torch.rand(batch, 1, sources) > 0.3
        return torch.randn(batch, 3, 8), torch.randn(batch, sources, 8), mask, torch.randn(sources)

    batch, sources = torch.export.Dim("batch", min=2), torch.export.Dim("sources", min=2)
    shapes = ({0: batch}, {0: batch, 1: sources}, {0: batch, 2: sources}, {0: sources})
    program = torch.export.export(Masked(), given(4, 5), dynamic_shapes=shapes)
    traced = torch.compile(Masked(), backend="eager", fullgraph=True, dynamic=True)
    for sizes in ((4, 5), (6, 9)):
        inputs = given(*sizes)
        expected = Masked()(*inputs)
        torch.testing.assert_close(program.module()(*inputs), expected)
        torch.testing.assert_close(traced(*inputs), expected)
