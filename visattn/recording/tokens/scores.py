"""Attention weights as an expression of queries and keys, of which single rows are computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.recording.tokens.places import Places, Unknown

Rows = Callable[[Tensor], Tensor]
"""Numbers of rows to these rows of the weights, in the weights' axes."""

_HALF = (torch.float16, torch.bfloat16)


@final
@dataclass(frozen=True, eq=False)
class Scores:
    """Scores or weights (..., T, ..., S, ...), of which any row follows.

    Attributes:
        rows: Computes some of the T rows, with all other axes.
        shape: Of the whole, which isn't held.
        row: The axis of the queries.
        column: The axis of the keys.
        asking: Places of the queries, for the shape with a column axis of 1.
        asked: Places of the keys, for the shape with a row axis of 1.
        weights: Whether a softmax over the keys is among what is computed.
        dropped: Whether some of them were dropped, in training.
        lost: Whether the model did something to them that can't be followed: the weights are then
            held as it computed them.
    """

    rows: Rows
    device: torch.device
    shape: tuple[int, ...]
    row: int
    column: int
    asking: Places | Unknown
    asked: Places | Unknown
    weights: bool = False
    dropped: bool = False
    lost: bool = False

    @property
    def count(self) -> int:
        """Number of queries."""
        return self.shape[self.row]

    def thin(self, shape: Sequence[int], *, row: bool) -> list[int]:
        """A shape with one query, or with one key."""
        found = list(shape)
        found[self.row if row else self.column] = 1
        return found


class Leaf:
    """A tensor from which weights are computed, in single precision at least.

    Raises:
        RuntimeError: When it is read, if it was changed in place since.
    """

    def __init__(self, tensor: Tensor, *, graph: bool) -> None:
        if isinstance(tensor, nn.Parameter) and not graph:
            tensor = tensor.detach().clone()  # training goes on and changes it
        self.tensor = tensor if graph else tensor.detach()
        self.version = None if tensor.is_inference() else tensor._version

    def read(self, *, axis: int | None = None, rows: Tensor | None = None) -> Tensor:
        """The tensor, or some of its rows."""
        tensor = self.tensor
        if self.version is not None and tensor._version != self.version:
            raise RuntimeError(
                "The model changed queries, keys or biases in place after it had used them, so that"
                " its attention can't be computed any more: look at it before the next pass."
            )
        if axis is not None and rows is not None:
            tensor = tensor.index_select(axis, rows)
        return tensor.float() if tensor.dtype in _HALF else tensor


def product(
    query: Tensor, key: Tensor, asking: Places | Unknown, asked: Places | Unknown, *, graph: bool
) -> Scores:
    """``query @ key`` of (..., T, D) and (..., D, S)."""
    lead = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    shape = (*lead, query.shape[-2], key.shape[-1])
    left, right = Leaf(query, graph=graph), Leaf(key, graph=graph)

    def rows(chosen: Tensor) -> Tensor:
        some, keys = left.read(axis=query.ndim - 2, rows=chosen), right.read()
        return some @ keys.to(some.dtype)

    return Scores(
        rows,
        query.device,
        shape,
        len(lead),
        len(lead) + 1,
        _narrowed(asking, -1, (*lead, shape[-2], 1)),
        _narrowed(asked, -2, (*lead, 1, shape[-1])),
    )


def fused(
    query: Tensor,
    key: Tensor,
    asking: Places | Unknown,
    asked: Places | Unknown,
    *,
    mask: Tensor | None,
    causal: bool,
    scale: float | None,
    grouped: bool,
    dropped: bool,
    graph: bool,
) -> Scores:
    """What ``scaled_dot_product_attention`` weighs the values with."""
    if grouped and key.shape[-3] != query.shape[-3]:
        times = query.shape[-3] // key.shape[-3]
        key = key.repeat_interleave(times, -3)
        if isinstance(asked, Places):
            asked = asked.moved(asked.ids.repeat_interleave(times, -3))
    if isinstance(asked, Places):
        asked = asked.moved(asked.ids.transpose(-2, -1))
    found = product(query, key.transpose(-2, -1), asking, asked, graph=graph)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    bias = None if mask is None else Leaf(mask, graph=graph)
    columns = torch.arange(key.shape[-2], device=query.device)

    def rows(chosen: Tensor) -> Tensor:
        scores = found.rows(chosen) * factor
        if bias is not None:
            sliced = bias.tensor.ndim > 1 and bias.tensor.shape[-2] == found.count
            given = bias.read(axis=bias.tensor.ndim - 2, rows=chosen) if sliced else bias.read()
            kept = given.dtype == torch.bool
            scores = scores.masked_fill(~given, -torch.inf) if kept else scores + given
        if causal:
            scores = scores.masked_fill(columns > chosen[:, None], -torch.inf)
        return scores.softmax(-1)

    return replace(found, rows=rows, weights=True, dropped=dropped)


def pointwise(
    function: Callable[..., Tensor],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    shape: Sequence[int],
    *,
    lookup: Callable[[Tensor], Scores | None],
    graph: bool,
) -> Scores | Unknown:
    """A function of each number by itself, of scores and of what is added to them and the like."""
    nodes = [lookup(arg) if isinstance(arg, Tensor) else arg for arg in args]
    scores = [node for node in nodes if isinstance(node, Scores)]
    first = max(scores, key=lambda node: len(node.shape))
    from_right = (len(first.shape) - first.row, len(first.shape) - first.column)
    row, column = (len(shape) - axis for axis in from_right)
    if (
        min(row, column) < 0
        or shape[row] != first.count
        or any(
            (len(node.shape) - node.row, len(node.shape) - node.column) != from_right
            for node in scores
        )
    ):
        return Unknown("scores of different axes are combined")
    inputs = [
        node.rows
        if isinstance(node, Scores)
        else _input(arg, from_right=from_right[0], count=first.count, graph=graph)
        for arg, node in zip(args, nodes, strict=True)
    ]

    def rows(chosen: Tensor) -> Tensor:
        return function(*(part(chosen) for part in inputs), **kwargs)

    wide = next((n for n in scores if n.shape[n.column] == shape[column]), first)
    asking, asked = list(shape), list(shape)
    asking[column], asked[row] = 1, 1
    return Scores(
        rows,
        first.device,
        tuple(shape),
        row,
        column,
        first.asking if isinstance(first.asking, Unknown) else first.asking.broadcast(asking),
        wide.asked if isinstance(wide.asked, Unknown) else wide.asked.broadcast(asked),
        weights=any(node.weights for node in scores),
        dropped=any(node.dropped for node in scores),
        lost=any(node.lost for node in scores),
    )


def _input(value: Any, *, from_right: int, count: int, graph: bool) -> Callable[[Tensor], Any]:
    """What an argument is for some rows."""
    if not isinstance(value, Tensor):
        return lambda chosen: value
    leaf, axis = Leaf(value, graph=graph), value.ndim - from_right
    if axis >= 0 and value.shape[axis] == count:
        return lambda chosen: leaf.read(axis=axis, rows=chosen)
    return lambda chosen: leaf.read()


def laid_out(scores: Scores, shape: Sequence[int]) -> Scores | Unknown:
    """The same scores in a shape in which queries and keys still have an axis each."""
    row = _axis(scores.shape, scores.row, shape)
    column = _axis(scores.shape, scores.column, shape, taken=row)
    if row is None or column is None:
        return Unknown(f"scores {scores.shape} are laid out as {tuple(shape)}")

    def fit(part: Tensor) -> Tensor:
        wanted = list(shape)
        wanted[row], wanted[column] = part.shape[scores.row], part.shape[scores.column]
        return part.reshape(wanted)

    return _relaid(scores, fit, tuple(shape), row, column)


def permuted(scores: Scores, axes: Sequence[int]) -> Scores:
    """The same scores with their axes in another order."""
    order = [axis % len(scores.shape) for axis in axes]
    shape = tuple(scores.shape[axis] for axis in order)
    return _relaid(
        scores,
        lambda part: part.permute(order),
        shape,
        order.index(scores.row),
        order.index(scores.column),
    )


def across(
    scores: Scores, function: Callable[[Tensor], Tensor], shape: Sequence[int], *, axis: int
) -> Scores:
    """Scores mixed along an axis that is neither the queries' nor the keys', such as the heads."""

    def fit(places: Places | Unknown, *, row: bool) -> Places | Unknown:
        if isinstance(places, Unknown):
            return places
        return places.moved(places.ids.narrow(axis, 0, 1)).broadcast(scores.thin(shape, row=row))

    return replace(
        scores,
        rows=lambda chosen: function(scores.rows(chosen)),
        shape=tuple(shape),
        asking=fit(scores.asking, row=False),
        asked=fit(scores.asked, row=True),
    )


def over_keys(scores: Scores, function: Callable[[Tensor], Tensor], *, keeps: bool) -> Scores:
    """A function of whole rows; ``keeps`` if it gives a number for each key, not for each row."""
    if keeps:
        return replace(scores, rows=lambda chosen: function(scores.rows(chosen)), weights=True)
    shape = tuple(scores.thin(scores.shape, row=False))
    asked = scores.asked
    if isinstance(asked, Places):
        asked = asked.moved(asked.ids.narrow(scores.column, 0, 1))
    return replace(
        scores, rows=lambda chosen: function(scores.rows(chosen)), shape=shape, asked=asked
    )


def held(scores: Scores, weights: Tensor, *, graph: bool) -> Scores:
    """The same weights, kept as the model computed them."""
    leaf = Leaf(weights, graph=graph)
    return replace(
        scores, rows=lambda chosen: leaf.read(axis=scores.row, rows=chosen), weights=True
    )


def _relaid(
    scores: Scores,
    fit: Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
    row: int,
    column: int,
) -> Scores:
    def turned(places: Places | Unknown) -> Places | Unknown:
        return places if isinstance(places, Unknown) else places.moved(fit(places.ids))

    return replace(
        scores,
        rows=lambda chosen: fit(scores.rows(chosen)),
        shape=shape,
        row=row,
        column=column,
        asking=turned(scores.asking),
        asked=turned(scores.asked),
    )


def _axis(
    before: Sequence[int], axis: int, after: Sequence[int], *, taken: int | None = None
) -> int | None:
    """Where an axis is after a reshape, None if it is one no longer."""
    left = prod(before[:axis])
    return next(
        (
            other
            for other in range(len(after))
            if other != taken and after[other] == before[axis] and prod(after[:other]) == left
        ),
        None,
    )


def _narrowed(places: Places | Unknown, axis: int, shape: Sequence[int]) -> Places | Unknown:
    if isinstance(places, Unknown):
        return places
    return places.moved(places.ids.narrow(axis, 0, 1)).broadcast(shape)
