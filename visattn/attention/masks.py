"""Masks: True keeps. All are boolean and broadcastable to weights (..., T, S)."""

import torch
from torch import Tensor


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Which sources are there, in a batch padded to ``size``.

    Args:
        lengths: (N,), how many of each row are there.
        size: S.

    Returns:
        (N, 1, S): the same for every target.

    Raises:
        ValueError: A length is above ``size`` or below 0.

    Example:
        >>> length_mask(torch.tensor([1, 3]), 3)[:, 0]
        tensor([[ True, False, False],
                [ True,  True,  True]])
    """
    if lengths.numel() and (int(lengths.min()) < 0 or int(lengths.max()) > size):
        raise ValueError(f"lengths must lie in 0 to {size}, got {lengths.tolist()}")
    return (torch.arange(size, device=lengths.device) < lengths.unsqueeze(-1)).unsqueeze(-2)


def causal_mask(
    targets: int, sources: int | None = None, *, device: torch.device | None = None
) -> Tensor:
    """Target t sees the sources 0 to t.

    Args:
        targets: T.
        sources: S; T if None.
        device: Where the mask is made.

    Returns:
        (T, S).

    Example:
        >>> causal_mask(2, 3)
        tensor([[ True, False, False],
                [ True,  True, False]])
    """
    width = targets if sources is None else sources
    return torch.ones(targets, width, dtype=torch.bool, device=device).tril()


def neighbourhood_mask(
    height: int, width: int, radius: int, *, device: torch.device | None = None
) -> Tensor:
    """Each place of a grid sees those at most ``radius`` rows and columns away.

    Args:
        height: Rows of the grid.
        width: Columns of the grid.
        radius: 0 for the place alone.
        device: Where the mask is made.

    Returns:
        (height * width, height * width), places row by row.

    Example:
        >>> neighbourhood_mask(1, 4, 1).int()
        tensor([[1, 1, 0, 0],
                [1, 1, 1, 0],
                [0, 1, 1, 1],
                [0, 0, 1, 1]], dtype=torch.int32)

    Source: Ramachandran et al., Stand-Alone Self-Attention in Vision Models, arXiv:1906.05909.
    """
    row = torch.arange(height, device=device).repeat_interleave(width)
    column = torch.arange(width, device=device).repeat(height)
    near = [(at.unsqueeze(1) - at).abs() <= radius for at in (row, column)]
    return torch.logical_and(*near)


def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """What both masks keep; None keeps all.

    Shapes are any that broadcast to (..., T, S).

    Example:
        >>> both(None, torch.tensor([True, False]))
        tensor([ True, False])
    """
    if first is None or second is None:
        return second if first is None else first
    return first & second
