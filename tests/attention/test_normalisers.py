"""Soft and hard, and the gradient of the sampled one."""

import pytest
import torch

from visattn.attention import (
    SampledInTraining,
    argmax,
    attend,
    masked_softmax,
    reinforce_loss,
    sample,
)


def test_argmax_takes_the_best_of_those_kept():
    scores = torch.tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 0.0]])
    assert argmax(scores).weights.tolist() == [[0, 1, 0], [1, 0, 0]]
    kept = torch.tensor([True, False, True])
    assert argmax(scores, kept).weights.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_samples_are_one_hot_with_the_softmax_frequencies():
    scores = torch.tensor([0.0, 1.0, 2.0, 9.0]).expand(20_000, 1, 4)
    kept = torch.tensor([True, True, True, False])
    drawn = sample(scores, kept)
    assert ((drawn.weights == 0) | (drawn.weights == 1)).all()
    assert (drawn.weights.sum(-1) == 1).all()
    expected = masked_softmax(scores[0], kept)[0]
    torch.testing.assert_close(drawn.weights.mean((0, 1)), expected, atol=0.015, rtol=0)
    likely = (drawn.weights * expected).sum(-1)
    torch.testing.assert_close(drawn.log_probability.exp(), likely)


def test_samples_follow_the_generator():
    scores = torch.randn(4, 5, 6)
    draws = [sample(scores, generator=torch.Generator().manual_seed(s)).weights for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("baseline", [0.0, 2.0])
def test_the_sampled_gradient_is_unbiased(baseline):
    """The mean over samples is the gradient of the enumerated expectation, and so is the sum."""
    query, key = torch.randn(1, 4), torch.randn(5, 4)
    mask = torch.tensor([True, True, False, True, True])
    value = torch.tensor([[1.0], [-2.0], [50.0], [3.0], [0.5]])
    query.requires_grad_()

    expected = (masked_softmax(query @ key.T / 2, mask) @ value.square()).sum()
    (exact,) = torch.autograd.grad(-expected, query)

    count = 40_000
    found = attend(query.expand(count, 1, 4), key, value, normaliser=sample, mask=mask)
    reward = found.context.squeeze(-1).square()
    loss = reinforce_loss(found.log_probability, reward, baseline=baseline).mean()
    (sampled,) = torch.autograd.grad(loss, query)
    torch.testing.assert_close(sampled, exact, atol=0.04 * float(exact.abs().max()), rtol=0)

    total = torch.zeros(1, 4)
    for place in (0, 1, 3, 4):
        only = torch.zeros(5, dtype=torch.bool)
        only[place] = True
        log_probability = masked_softmax(query @ key.T / 2, mask)[:, place].log()
        reward = attend(query, key, value, mask=only).context.square().flatten()
        loss = reinforce_loss(log_probability, reward, baseline=baseline)
        share = log_probability.exp().detach()
        total += torch.autograd.grad((share * loss).sum(), query)[0]
    torch.testing.assert_close(total, exact)


def test_ascent_on_the_sampled_gradient_finds_the_rewarded_place():
    scores = torch.zeros(1, 6, requires_grad=True)
    optimizer = torch.optim.SGD([scores], lr=0.5)
    for _ in range(200):
        drawn = sample(scores.expand(32, 1, 6))
        reward = drawn.weights[..., 4]
        loss = reinforce_loss(drawn.log_probability, reward, baseline=reward.mean()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert scores.softmax(-1)[0, 4] > 0.9


def test_a_share_of_the_rows_reads_the_expected_value():
    scores = torch.randn(400, 2, 5, requires_grad=True)
    layer = SampledInTraining(expected=0.3)
    found = layer(scores)
    hard = (found.weights.max(-1).values == 1).all(-1)
    assert 0.6 < hard.float().mean() < 0.8
    assert torch.equal(found.weights[~hard], scores.softmax(-1)[~hard])
    assert (found.log_probability[~hard] == 0).all()
    torch.testing.assert_close(
        found.log_probability[hard].exp(), (found.weights * scores.softmax(-1)).sum(-1)[hard]
    )
    (found.weights * torch.randn(5)).sum().backward()
    moved = scores.grad.abs().sum((1, 2)) > 0
    assert torch.equal(moved, ~hard)
    layer.eval()
    assert torch.equal(layer(scores).weights, argmax(scores).weights)
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 2"):
        SampledInTraining(expected=2)
