"""What an operation of PyTorch does to scores and weights."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from visattn.recording.tokens.operations import DROPOUTS, LAID_OUT, MAKING, POINTWISE, ROWWISE, SAME
from visattn.recording.tokens.places import Unknown
from visattn.recording.tokens.scores import (
    Leaf,
    Scores,
    across,
    held,
    laid_out,
    over_keys,
    permuted,
    pointwise,
)

Lookup = Callable[[Tensor], Scores | None]

_OPERATORS = {"iadd": torch.add, "isub": torch.sub, "imul": torch.mul, "itruediv": torch.div}


def combined(
    name: str,
    function: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    out: Any,
    *,
    find: Lookup,
    graph: bool,
) -> Scores | Unknown | None:
    """The expression of an operation's output, where its inputs are such expressions.

    Args:
        name: The operation's.
        function: The operation.
        args: Its arguments, some of which are scores.
        kwargs: More of them.
        out: What it gave.
        find: Gives the scores that a tensor is.
        graph: Keep the graph.
    """
    if name in MAKING:
        return None
    scores = find(args[0]) if args and isinstance(args[0], Tensor) else None
    shape = out.shape if isinstance(out, Tensor) else ()
    if scores is None or not isinstance(out, Tensor):
        if isinstance(out, Tensor) and name in POINTWISE:
            return pointwise(function, args, kwargs, shape, lookup=find, graph=graph)
        return Unknown(f"{name} of its scores")
    if name in SAME:
        return scores
    if name in DROPOUTS:
        if out is args[0]:
            return replace(scores, dropped=True)
        given = {**dict(zip(("p", "training"), args[1:], strict=False)), **kwargs}
        dropped = bool(given.get("training", True)) and float(given.get("p", 0.5)) > 0
        return replace(scores, dropped=scores.dropped or dropped)
    if name in ("softmax", "log_softmax"):
        found = _softmax(name, scores, args, kwargs)
        keep = isinstance(found, Scores) and found.lost
        return held(scores, out, graph=graph) if keep else found
    if name in LAID_OUT or (name == "getitem" and _adds_axes(args[1])):
        return laid_out(scores, shape)
    if name in ("permute", "transpose", "swapaxes", "mT"):
        return permuted(scores, _order(name, len(scores.shape), args, kwargs))
    if name in ROWWISE:
        return _rowwise(function, scores, args, kwargs, shape)
    if name in ("linear", "conv2d"):
        return _mixed_heads(name, scores, args, kwargs, shape, graph=graph)
    if name in POINTWISE:
        function = _OPERATORS.get(name) or (
            getattr(torch.Tensor, name) if hasattr(torch.Tensor, name) else function
        )
        kwargs = {key: value for key, value in kwargs.items() if key != "inplace"}
        return pointwise(function, args, kwargs, shape, lookup=find, graph=graph)
    return Unknown(f"{name} of its scores")


def _softmax(
    name: str, scores: Scores, args: Sequence[Any], kwargs: dict[str, Any]
) -> Scores | Unknown:
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if name != "softmax" or not isinstance(axis, int):
        return Unknown(f"{name} of its scores")
    if axis % len(scores.shape) != scores.column:
        return Unknown("its softmax is not over the keys of a query")
    return over_keys(scores, lambda part: part.softmax(axis), keeps=True)


def _rowwise(
    function: Any, scores: Scores, args: Sequence[Any], kwargs: dict[str, Any], shape: Any
) -> Scores | Unknown:
    """A sum and the like over the keys, which keeps its axis."""
    given = {**dict(zip(("dim", "keepdim"), args[1:], strict=False)), **kwargs}
    axes = given.get("dim")
    axis = axes[0] if isinstance(axes, (tuple, list)) and len(axes) == 1 else axes
    over = isinstance(axis, int) and axis % len(scores.shape) == scores.column
    if not over or len(shape) != len(scores.shape):
        return Unknown("its scores are reduced")
    return over_keys(scores, lambda part: function(part, dim=axis, keepdim=True), keeps=False)


def _mixed_heads(
    name: str,
    scores: Scores,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    shape: Any,
    *,
    graph: bool,
) -> Scores | Unknown:
    """A linear layer, or a convolution of one place, over the heads."""
    given = {**dict(zip(("input", "weight", "bias"), args[:3], strict=False)), **kwargs}
    weight, bias = given["weight"], given.get("bias")
    kept = Leaf(weight, graph=graph), None if bias is None else Leaf(bias, graph=graph)
    tokens = {scores.row, scores.column}
    if name == "linear":
        axis, layer = len(scores.shape) - 1, F.linear
    else:
        axis, layer = 1, F.conv2d
        plain = weight.shape[2:] == (1, 1) and weight.shape[1] == scores.shape[1]
        if not plain or len(scores.shape) != 4 or tuple(shape[2:]) != scores.shape[2:]:
            return Unknown("its scores are convolved over places")
    if axis in tokens:
        return Unknown("its scores go through a linear layer over the tokens")

    def mix(part: Tensor) -> Tensor:
        return layer(part, kept[0].read(), None if kept[1] is None else kept[1].read())

    return across(scores, mix, shape, axis=axis)


def _order(name: str, count: int, args: Sequence[Any], kwargs: dict[str, Any]) -> list[int]:
    """The axes that a permutation gives."""
    if name == "permute":
        axes = kwargs.get("dims", args[1:])
        if len(axes) == 1 and isinstance(axes[0], (tuple, list)):
            axes = axes[0]
        return list(axes)
    first, second = (-1, -2) if name == "mT" else (*args[1:], *kwargs.values())
    order = list(range(count))
    order[first], order[second] = order[second], order[first]
    return order


def _adds_axes(index: Any) -> bool:
    """Whether an index takes all and adds axes at most."""
    entries = index if isinstance(index, tuple) else (index,)
    return all(
        entry is None or entry is Ellipsis or (isinstance(entry, slice) and entry == slice(None))
        for entry in entries
    )
