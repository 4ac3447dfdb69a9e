"""How right a translation is, and how right its attention."""

import torch
from torch import Tensor

from visattn.sequence.vocabulary import END, PAD


def exact_match(tokens: Tensor, target: Tensor) -> Tensor:
    """Whether every word is right, and the end where it belongs.

    Args:
        tokens: (N, T), padding after the end.
        target: (N, U), padded likewise.

    Returns:
        (N,), boolean.

    Example:
        >>> exact_match(torch.tensor([[5, 2, 0]]), torch.tensor([[5, 2]]))
        tensor([True])
    """
    missing = target.shape[1] - tokens.shape[1]
    tokens = torch.nn.functional.pad(tokens, (0, max(missing, 0)), value=PAD)
    target = torch.nn.functional.pad(target, (0, max(-missing, 0)), value=PAD)
    return (tokens == target).all(1)


def alignment_hits(weights: Tensor, alignment: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the greatest weight of each target word lies on a word that it comes from.

    Args:
        weights: (N, T, S).
        alignment: (N, T, S), boolean: true origins.
        target: (N, T), numbers.

    Returns:
        Hits (N, T), and which of them count (N, T): words, without the end and padding.

    Example:
        >>> weights = torch.tensor([[[0.9, 0.1], [0.8, 0.2]]])
        >>> truth = torch.tensor([[[True, False], [False, True]]])
        >>> hits, counted = alignment_hits(weights, truth, torch.tensor([[3, 4]]))
        >>> hits.float().mean().item()
        0.5
    """
    counted = (target != PAD) & (target != END)
    hits = alignment.gather(-1, weights.argmax(-1, keepdim=True)).squeeze(-1)
    return hits & counted, counted
