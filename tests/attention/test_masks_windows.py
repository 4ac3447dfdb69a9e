"""What a target may look at: masks and local windows."""

import pytest
import torch

from visattn.attention import (
    AdditiveScore,
    Attention,
    DotScore,
    MonotonicWindow,
    PredictiveWindow,
    ProjectedDotScore,
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
from visattn.attention.pairwise import fused_attention


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
    (whole,) = window(torch.zeros(1, 6, 4), torch.tensor([9]), 9).mask
    for target in range(6):
        (step,) = window(torch.zeros(1, 1, 4), torch.tensor([9]), 9, start=target).mask
        assert torch.equal(step[0], whole[target])
        assert whole[target].nonzero().flatten().tolist() == [
            s for s in range(9) if abs(s - target) <= 2
        ]


def test_monotonic_windows_stay_at_the_last_word():
    layer = Attention(DotScore(), window=MonotonicWindow(1))
    memory = layer.remember(torch.randn(3, 5, 4), torch.tensor([5, 2, 1]))
    weights = layer(torch.randn(3, 7, 4), memory).weights
    for row, length in enumerate((5, 2, 1)):
        for target in range(7):
            near = [s for s in range(length) if abs(s - min(target, length - 1)) <= 1]
            assert weights[row, target].nonzero().flatten().tolist() == near
    later = layer(torch.randn(3, 1, 4), memory, start=6).weights
    assert torch.equal(later[:, 0] > 0, weights[:, 6] > 0)


@pytest.mark.parametrize(
    ("build", "least"),
    [(MonotonicWindow, 0), (lambda width: PredictiveWindow(4, hidden=4, half_width=width), 1)],
    ids=["monotonic", "predictive"],
)
def test_windows_without_any_place_are_refused(build, least):
    build(least)
    with pytest.raises(ValueError, match=f"at least {least}, got {least - 1}"):
        build(least - 1)


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


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize(
    "window", [None, MonotonicWindow(1), PredictiveWindow(4, hidden=4, half_width=1)]
)
def test_without_weights_the_layer_runs_in_the_fused_kernel(window, scale, monkeypatch):
    calls = []

    def counted(*args, **options):
        calls.append(options)
        return fused_attention(*args, **options)

    monkeypatch.setattr("visattn.attention.core.fused_attention", counted)
    layer = Attention(DotScore(scale=scale), window=window)
    memory = layer.remember(torch.randn(3, 6, 4), torch.tensor([6, 3, 0]))
    query = torch.randn(3, 5, 4)
    whole = layer(query, memory, start=1)
    assert not calls
    found = layer(query, memory, start=1, need_weights=False)
    torch.testing.assert_close(found.context, whole.context)
    assert (found.weights, found.scores, len(calls)) == (None, None, 1)
    assert whole.weights.shape == (3, 5, 6)


def test_without_weights_other_scores_and_samples_are_the_same():
    for score, normaliser in (
        (AdditiveScore(4, 4, hidden=3), softmax),
        (ProjectedDotScore(4, 4, width=3), softmax),
        (DotScore(), sample),
    ):
        layer = Attention(score, normaliser=normaliser)
        memory = layer.remember(torch.randn(2, 6, 4), torch.tensor([6, 3]))
        query, found = torch.randn(2, 5, 4), []
        for need_weights in (True, False):
            torch.manual_seed(3)
            found.append(layer(query, memory, need_weights=need_weights))
        assert torch.equal(found[0].context, found[1].context)
        assert found[1].weights is None
        assert (found[1].log_probability is None) == (normaliser is softmax)
