import math

import pytest
import torch
import torch.nn.functional as F

from visattn.attention import (
    dot_attention,
    dot_weights,
    relu_sum_attention,
    relu_sum_weights,
    softmax_attention,
    softmax_weights,
)


@pytest.fixture
def qkv():
    return torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8), torch.randn(2, 3, 7, 4)


@pytest.mark.parametrize("scale", [None, 0.3, 1.0])
def test_softmax_attention_is_the_formula(qkv, scale):
    query, key, value = qkv
    factor = scale if scale is not None else 1 / math.sqrt(8)
    scores = torch.einsum("bhtd,bhsd->bhts", query, key) * factor
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    torch.testing.assert_close(softmax_weights(query, key, scale=scale), weights)
    expected = torch.einsum("bhts,bhse->bhte", weights, value)
    torch.testing.assert_close(softmax_attention(query, key, value, scale=scale), expected)


def test_parity_with_torch(qkv):
    query, key, value = qkv
    mask = torch.rand(2, 1, 5, 7) > 0.3
    mask[..., 0] = True
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    ours = softmax_weights(query, key, mask=mask) @ value
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-6)


def test_rows_sum_to_one_and_masked_places_get_nothing(qkv):
    query, key, _ = qkv
    mask = torch.tensor([True, False, True, True, False, True, True])
    weights = softmax_weights(query, key, mask=mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5))
    assert (weights[..., ~mask] == 0).all()
    assert (weights >= 0).all()


def test_a_fully_masked_row_gives_zero_and_finite_gradients(qkv):
    query, key, value = (t.clone().requires_grad_() for t in qkv)
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[2] = False
    for context in (
        softmax_attention(query, key, value, mask=mask),
        softmax_weights(query, key, mask=mask) @ value,
    ):
        assert (context[:, :, 2] == 0).all()
        context.square().sum().backward()
        for tensor in (query, key, value):
            assert tensor.grad.isfinite().all()
            tensor.grad = None


def test_blind_to_the_order_of_the_pairs(qkv):
    query, key, value = qkv
    order = torch.randperm(7)
    shuffled = softmax_attention(query, key[:, :, order], value[:, :, order])
    torch.testing.assert_close(shuffled, softmax_attention(query, key, value))


def test_equal_keys_share(qkv):
    first, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    weights = softmax_weights(first[None] * 40, torch.stack((first, first, other)), scale=1.0)
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.5, 0.0]]))


def test_dot_attention_is_its_weights_times_the_values(qkv):
    query, key, value = qkv
    expected = torch.einsum("bhtd,bhsd,bhse->bhte", query, key, value) / 7
    torch.testing.assert_close(dot_attention(query, key, value), expected)
    torch.testing.assert_close(dot_weights(query, key) @ value, expected)


def test_relu_sum_attention_is_its_weights_times_the_values_gradients_too():
    double = {"dtype": torch.float64, "requires_grad": True}
    query, key = torch.randn(2, 1, 5, 1, **double), torch.randn(2, 1, 7, 1, **double)
    value = torch.randn(2, 1, 7, 4, **double)
    expected = torch.einsum(
        "bhts,bhse->bhte", (query + key.transpose(-2, -1)).clamp(min=0) / 7, value
    )
    torch.testing.assert_close(relu_sum_attention(query, key, value), expected)
    torch.testing.assert_close(relu_sum_weights(query, key) @ value, expected)
    assert torch.autograd.gradcheck(relu_sum_attention, (query, key, value))


def test_relu_sum_attention_without_any_positive_pair_is_zero():
    low = torch.full((1, 1, 3, 1), -2.0)
    assert (relu_sum_attention(low, low, torch.randn(1, 1, 3, 4)) == 0).all()
