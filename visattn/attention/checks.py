"""Checks of the shapes that attention is given: refuse what broadcasting would hide."""

from itertools import zip_longest

import torch
from torch import Tensor

Shape = tuple[int, ...]


def scores_shape(query: Tensor, key: Tensor) -> Shape:
    """The shape (..., T, S) of the scores of a query (..., T, D) and a key (..., S, E).

    Example:
        >>> scores_shape(torch.zeros(4, 3, 8), torch.zeros(5, 8))
        (4, 3, 5)
    """
    if min(query.ndim, key.ndim) < 2:
        raise ValueError(
            "query and key need two axes at least, (..., places, channels); got"
            f" {tuple(query.shape)} and {tuple(key.shape)}"
        )
    leading = _broadcast(query.shape[:-2], key.shape[:-2])
    if leading is None:
        raise ValueError(
            "query and key must have the same axes before the last two, or 1 there; got"
            f" {tuple(query.shape)} and {tuple(key.shape)}"
        )
    return (*leading, query.shape[-2], key.shape[-2])


def check_value(value: Tensor, *, key: Tensor, scores: Shape) -> None:
    """Refuse values that don't belong to the keys."""
    if value.ndim < 2:
        raise ValueError(
            f"the value needs two axes at least, (..., places, channels); got {tuple(value.shape)}"
        )
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"each key belongs to a value: got {key.shape[-2]} keys {tuple(key.shape)} and"
            f" {value.shape[-2]} values {tuple(value.shape)}"
        )
    if _broadcast(scores[:-2], value.shape[:-2]) is None:
        raise ValueError(
            "the value must have the same axes before the last two as query and key, whose scores"
            f" are {tuple(scores)}, or 1 there; got {tuple(value.shape)}"
        )


def check_widths(query: Tensor, key: Tensor) -> None:
    """Refuse a dot product of two widths."""
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            "a dot product needs a query and a key of the same width, got"
            f" {query.shape[-1]} and {key.shape[-1]}: {tuple(query.shape)} and {tuple(key.shape)}."
            " GeneralScore, ProjectedDotScore and AdditiveScore compare any two widths."
        )


def check_added(scores: Shape, *, mask: Tensor | None, bias: Tensor | None) -> None:
    """Refuse a mask or a bias that would make more scores of the scores.

    Example:
        >>> check_added((4, 1, 5), mask=torch.ones(4, 5, dtype=torch.bool), bias=None)
        Traceback (most recent call last):
        ...
        ValueError: the mask must be broadcastable to the scores (..., T, S) = (4, 1, 5), got
        (4, 5). For a padding mask of (N, S) give mask[:, None, :], or make it by length_mask.
    """
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(f"the mask must be boolean, True keeps; got {mask.dtype}")
    for name, added, hint in (
        ("mask", mask, "a padding mask of (N, S) give mask[:, None, :], or make it by length_mask"),
        ("bias", bias, "one number a source, (N, S), give bias[:, None, :]"),
    ):
        if added is not None and _broadcast(added.shape, scores) != tuple(scores):
            raise ValueError(
                f"the {name} must be broadcastable to the scores (..., T, S) = {tuple(scores)}, got"
                f" {tuple(added.shape)}. For {hint}."
            )


def _broadcast(first: Shape, second: Shape) -> Shape | None:
    """What two shapes broadcast to, None if they don't."""
    sizes = list(zip_longest(reversed(first), reversed(second), fillvalue=1))
    if any(a != b and a != 1 and b != 1 for a, b in sizes):
        return None
    return tuple(b if a == 1 else a for a, b in reversed(sizes))
