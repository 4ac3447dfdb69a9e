"""Normalisers: from scores to weights, soft or hard.

A normaliser takes scores (..., T, S) and a mask (True keeps, broadcastable, or None) and returns
`Weights`. A row whose mask keeps nothing has weights of 0 and finite gradients.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Weights(NamedTuple):
    """Weights, and for sampled ones how likely they were.

    Attributes:
        weights: (..., T, S), rows sum to 1, or to 0 where the mask keeps nothing.
        log_probability: (..., T), of the sampled source; None if nothing was sampled.
    """

    weights: Tensor
    log_probability: Tensor | None = None


Normaliser = Callable[[Tensor, Tensor | None], Weights]
"""Maps scores (..., T, S) and a mask to `Weights`."""


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the last axis, of what the mask keeps.

    Args:
        scores: (..., T, S).
        mask: Boolean, broadcastable to the scores; True keeps.

    Returns:
        (..., T, S); rows sum to 1, or are 0 where the mask keeps nothing.

    Example:
        >>> masked_softmax(torch.zeros(2, 3), torch.tensor([[True, False, True], [False] * 3]))
        tensor([[0.5000, 0.0000, 0.5000],
                [0.0000, 0.0000, 0.0000]])
    """
    if mask is None:
        return scores.softmax(-1)
    empty = ~mask.any(-1, keepdim=True)
    scores = scores.masked_fill(~mask & ~empty, -math.inf)
    return scores.softmax(-1).masked_fill(empty | ~mask, 0.0)


def softmax(scores: Tensor, mask: Tensor | None = None) -> Weights:
    """Soft attention: `masked_softmax`.

    Example:
        >>> softmax(torch.zeros(1, 4)).weights
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    return Weights(masked_softmax(scores, mask))


def argmax(scores: Tensor, mask: Tensor | None = None) -> Weights:
    """Hard attention to the source of the highest score; the scores get no gradient.

    Shapes are (..., T, S).

    Example:
        >>> argmax(torch.tensor([[1.0, 3.0, 2.0]])).weights
        tensor([[0., 1., 0.]])
    """
    kept = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return Weights(_one_hot(kept.argmax(-1), like=scores, mask=mask))


def sample(
    scores: Tensor, mask: Tensor | None = None, *, generator: torch.Generator | None = None
) -> Weights:
    """Stochastic hard attention: one source, drawn with the probabilities of the softmax.

    The weights are one-hot and carry no gradient; it comes through ``log_probability``, see
    `reinforce_loss`.

    Args:
        scores: (..., T, S).
        mask: Boolean, broadcastable to the scores; True keeps.
        generator: Where the random numbers come from; PyTorch's own if None.

    Example:
        >>> drawn = sample(torch.tensor([[0.0, 0.0, -100.0]]))
        >>> drawn.weights.sum().item(), drawn.weights[0, 2].item()
        (1.0, 0.0)
        >>> drawn.log_probability.exp()
        tensor([0.5000])

    Source: Xu et al., Show, Attend and Tell, arXiv:1502.03044.
    """
    probabilities = masked_softmax(scores, mask)
    rows = probabilities.detach().flatten(0, -2)
    empty = rows.sum(-1, keepdim=True) == 0
    place = torch.multinomial(rows + empty, 1, generator=generator).view(scores.shape[:-1])
    weights = _one_hot(place, like=scores, mask=mask)
    drawn = probabilities.gather(-1, place.unsqueeze(-1)).squeeze(-1)
    # In a row without anything to draw the probability is 0: log 1 there, without gradient.
    nothing = empty.view(scores.shape[:-1])
    return Weights(weights, drawn.masked_fill(nothing, 1.0).log())


@final
class SampledInTraining(nn.Module):
    """Hard attention as a layer: `sample` in training, `argmax` in evaluation.

    Args:
        expected: Probability, for each row of the batch in training, that the softmax itself is
            used in place of a sample, with a log-probability of 0. It gives the scores a gradient
            of little noise, at the price of a bias.

    Raises:
        ValueError: ``expected`` is no probability.

    Example:
        >>> SampledInTraining().eval()(torch.tensor([[1.0, 3.0]])).weights
        tensor([[0., 1.]])

    Source: Xu et al., arXiv:1502.03044, who use the expected value for half of the images.
    """

    def __init__(self, *, expected: float = 0.0) -> None:
        super().__init__()
        if not 0 <= expected <= 1:
            raise ValueError(f"expected is a probability, in [0, 1], got {expected}")
        self.expected = expected

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Weights:
        """Weights of scores (N, ..., T, S)."""
        if not self.training:
            return argmax(scores, mask)
        drawn = sample(scores, mask)
        if self.expected == 0 or drawn.log_probability is None:
            return drawn
        shape = (len(scores),) + (1,) * (scores.ndim - 1)
        soft = torch.rand(shape, device=scores.device) < self.expected
        weights = torch.where(soft, masked_softmax(scores, mask), drawn.weights)
        return Weights(weights, drawn.log_probability.masked_fill(soft.squeeze(-1), 0.0))


def reinforce_loss(log_probability: Tensor, reward: Tensor, *, baseline: Tensor | float) -> Tensor:
    """A loss whose gradient is that of the expected reward, with the sign of a loss.

    ``-(reward - baseline) log p``, reward and baseline detached: in the mean over the samples its
    gradient is that of ``-E[reward]``, whatever the baseline, as long as that doesn't depend on
    the sample. A good baseline lowers the variance.

    Args:
        log_probability: Of the samples, any shape.
        reward: What they brought, broadcastable.
        baseline: What was to be expected, broadcastable.

    Returns:
        The shape of the arguments, not reduced.

    Example:
        >>> log_probability = torch.tensor([-0.5], requires_grad=True)
        >>> loss = reinforce_loss(log_probability, torch.tensor([3.0]), baseline=1.0)
        >>> loss.sum().backward()
        >>> log_probability.grad  # a step downhill makes what was better than expected likelier
        tensor([-2.])

    Source: Williams, Simple statistical gradient-following algorithms for connectionist
    reinforcement learning, 1992; in attention: Xu et al., arXiv:1502.03044.
    """
    base = baseline.detach() if isinstance(baseline, Tensor) else baseline
    return -(reward.detach() - base) * log_probability


def _one_hot(place: Tensor, *, like: Tensor, mask: Tensor | None) -> Tensor:
    """1 at ``place`` (..., T) in the shape of ``like``, 0 where the mask keeps nothing."""
    hot = F.one_hot(place, like.shape[-1]).to(like.dtype)
    return hot if mask is None else hot.masked_fill(~mask, 0.0)
