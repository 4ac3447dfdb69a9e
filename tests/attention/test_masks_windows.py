"""What a target may look at: masks and local windows."""

import pytest
import torch

from visattn.attention import (
    Attention,
    DotScore,
    MonotonicWindow,
    PredictiveWindow,
    attend,
    both,
    causal_mask,
    gaussian_bias,
    length_mask,
    neighbourhood_mask,
    sample,
    softmax,
    window_mask,
)


def test_length_mask_refuses_lengths_beyond_the_padding():
    with pytest.raises(ValueError, match="0 to 3, got"):
        length_mask(torch.tensor([2, 4]), 3)


def test_causal_mask_hides_the_future():
    x = torch.randn(1, 6, 8)
    later = x.clone()
    later[:, 4:] += 1
    first, second = (attend(t, t, mask=causal_mask(6)).context for t in (x, later))
    assert torch.equal(first[:, :4], second[:, :4])
    assert not torch.equal(first[:, 4:], second[:, 4:])


def test_neighbourhood_on_a_grid_that_is_not_square():
    mask = neighbourhood_mask(3, 5, 1).view(3, 5, 3, 5)
    for row in range(3):
        for column in range(5):
            expected = torch.zeros(3, 5, dtype=torch.bool)
            expected[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
            assert torch.equal(mask[row, column], expected)


def test_both():
    mask = torch.tensor([True, False])
    assert both(None, None) is None
    assert both(mask, None) is mask
    assert both(mask, ~mask).tolist() == [False, False]


def test_monotonic_windows_move_with_the_target():
    window = MonotonicWindow(2)
    whole = window(torch.zeros(1, 6, 4), torch.tensor([9]), 9).mask
    for target in range(6):
        step = window(torch.zeros(1, 1, 4), torch.tensor([9]), 9, start=target).mask
        assert torch.equal(step[0], whole[target])
        assert whole[target].nonzero().flatten().tolist() == [
            s for s in range(9) if abs(s - target) <= 2
        ]


def test_predictive_windows_stay_on_the_source_and_learn():
    window = PredictiveWindow(4, hidden=8, half_width=2)
    query, lengths = 10 * torch.randn(3, 5, 4), torch.tensor([9, 4, 1])
    centre = window.centre(query, lengths)
    assert (centre >= 0).all()
    assert (centre <= lengths.unsqueeze(-1) - 1).all()
    found = window(query, lengths, 9)
    torch.testing.assert_close(
        found.bias[0, 0], -((torch.arange(9) - centre[0, 0]) ** 2) / 2, atol=1e-5, rtol=1e-5
    )
    assert torch.equal(found.mask[0, 0], (torch.arange(9) - centre[0, 0]).abs() <= 2)
    found.bias.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in window.parameters())


def test_the_gaussian_is_the_paper_s_up_to_the_sum_of_the_row():
    query, key, centre = torch.randn(1, 3, 4), torch.randn(1, 7, 4), torch.tensor([[1.0, 3.4, 6.0]])
    mask, bias = window_mask(centre, 7, half_width=2), gaussian_bias(centre, 7, sigma=1.0)
    weights = attend(query, key, mask=mask, bias=bias).weights
    of_paper = attend(query, key, mask=mask).weights * torch.exp(bias)
    torch.testing.assert_close(weights, of_paper / of_paper.sum(-1, keepdim=True))


@pytest.mark.parametrize("normaliser", [softmax, sample])
@pytest.mark.parametrize(
    "window", [None, MonotonicWindow(1), PredictiveWindow(4, hidden=4, half_width=1)]
)
def test_the_four_corners(normaliser, window):
    """Global and local, soft and hard."""
    layer = Attention(DotScore(), normaliser=normaliser, window=window)
    memory = layer.remember(torch.randn(2, 6, 4), torch.tensor([6, 4]))
    found = layer(torch.randn(2, 3, 4), memory)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(2, 3))
    assert (found.weights[1, :, 4:] == 0).all()
    assert ((found.weights > 0).sum(-1) <= (3 if window else 6)).all()
    if normaliser is sample:
        assert (found.weights.max(-1).values == 1).all()
        assert found.log_probability.shape == (2, 3)
