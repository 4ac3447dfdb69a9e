"""What every path through an autograd graph passes, and graphs where a model builds none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, final

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

Value: TypeAlias = tuple[Node, int]
"""A node of the graph, and which of its results."""


def value_of(tensor: Tensor) -> Value | None:
    """Where a tensor stands in the graph at this moment; None outside of it."""
    return None if tensor.grad_fn is None else (tensor.grad_fn, tensor.output_nr)


def is_sum(value: Value | None) -> bool:
    """Whether a value was added up at last, as a residual stream is."""
    return value is not None and value[0].name() == "AddBackward0"


def trunk(score: Tensor, *, source: Tensor) -> set[Value]:
    """The values that all paths from a source to a score pass; none if there is no path.

    What such a value says of the source is all that the score gets: the maps after a residual
    addition are one, those inside of the branch are not. In topological order a value is one if no
    edge leads past it.

    Example:
        >>> source = torch.ones(2, requires_grad=True).clone()
        >>> inside = source * 2
        >>> after = source + inside
        >>> found = trunk(after.sum(), source=source)
        >>> [value_of(tensor) in found for tensor in (source, inside, after)]
        [True, False, True]
    """
    root, end = value_of(score), value_of(source)
    if root is None or end is None:
        return set()
    reaching: set[Value] = {end}
    order = []
    for value in _from_below(root, end):
        if value == end or any(below in reaching for below in _below(value)):
            reaching.add(value)
            order.append(value)
    place = {value: index for index, value in enumerate(reversed(order))}
    found, furthest = set(), 0
    for value, index in place.items():
        if furthest <= index:
            found.add(value)
        if value != end:
            furthest = max(furthest, *(place[v] for v in _below(value) if v in place))
    return found


def _below(value: Value) -> Iterator[Value]:
    """The values that a value was computed from."""
    return ((node, number) for node, number in value[0].next_functions if node is not None)


def _from_below(root: Value, end: Value) -> Iterator[Value]:
    """Each value above ``end`` after all that it was computed from."""
    seen: set[Value] = set()
    stack = [(root, False)]
    while stack:
        value, done = stack.pop()
        if done:
            yield value
        elif value not in seen:
            seen.add(value)
            stack.append((value, True))
            if value != end:
                stack += [(below, False) for below in _below(value) if below not in seen]


@final
class _Kept(TorchFunctionMode):
    """Gradients stay on once they are: the model's own ``torch.no_grad`` is passed over."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled and torch.is_grad_enabled():
            return None
        return func(*args, **(kwargs or {}))


@contextmanager
def gradients_kept() -> Iterator[None]:
    """From where gradients are on they stay on, also inside of a model's own ``torch.no_grad``.

    A backbone that a model runs frozen, without gradients, has some for as long.

    Example:
        >>> weight = torch.ones(1, requires_grad=True)
        >>> with gradients_kept(), torch.no_grad():
        ...     (2 * weight).requires_grad
        True
    """
    before = torch.is_grad_enabled()
    try:
        with _Kept():
            yield
    finally:
        torch.set_grad_enabled(before)
