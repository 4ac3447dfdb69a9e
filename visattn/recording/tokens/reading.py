"""Attention that reads values, and whether it is what the model computed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from visattn.recording.tokens.einstein import einstein_sum
from visattn.recording.tokens.places import Places, Unknown
from visattn.recording.tokens.scores import Scores, permuted


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """Attention that read values once.

    Attributes:
        scores: The weights (..., T, S).
        value: (..., S, E).
        context: What was read, as the model went on with it.
        order: The context's axes in the order (..., T, E).
    """

    scores: Scores
    value: Tensor
    context: Tensor
    order: tuple[int, ...]

    def places(self) -> Places | Unknown:
        """Where what was read belongs."""
        asking = self.scores.asking
        if isinstance(asking, Unknown):
            return asking
        read = asking.broadcast([self.context.shape[axis] for axis in self.order])
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return read.moved(read.ids.permute(back))


def reading_of(
    name: str, args: Any, out: Any, *, find: Callable[[Tensor], Scores | None]
) -> Reading | None:
    """The attention that a product of weights and values is; None if it is something else."""
    if name not in ("matmul", "bmm", "mm", "einsum") or not isinstance(out, Tensor):
        return None
    if name == "einsum":
        sum_of = einstein_sum(args[0], args[1:])
        scores = None if sum_of is None else find(args[1])
        if sum_of is None or scores is None:
            return None
        order, other = sum_of.orders
        if order[-2:] != [scores.row, scores.column]:
            return None
        return Reading(permuted(scores, order), args[2].permute(other), out, sum_of.result)
    first, second = args
    scores = find(first)
    if scores is not None:
        if scores.column != len(scores.shape) - 1 or scores.row != len(scores.shape) - 2:
            return None
        return Reading(scores, second, out, tuple(range(out.ndim)))
    scores = find(second)
    if scores is None or scores.column != len(scores.shape) - 2:
        return None
    turned = permuted(scores, [*range(len(scores.shape) - 2), -1, -2])
    return Reading(turned, first.mT, out, (*range(out.ndim - 2), out.ndim - 1, out.ndim - 2))


def fault_of(scores: Scores | None, weights: Tensor) -> str | None:
    """Whether a row computed on demand isn't what the model computed."""
    if scores is None or scores.dropped or weights.device.type == "meta":
        return None
    middle = torch.tensor([scores.count // 2], device=weights.device)
    with torch.no_grad(), torch.autocast(weights.device.type, enabled=False):
        true, found = weights.index_select(scores.row, middle), scores.rows(middle)
    slack = 0.05 if weights.dtype in (torch.float16, torch.bfloat16) else 1e-4
    if torch.allclose(true.float(), found.float(), atol=slack, rtol=slack, equal_nan=True):
        return None
    return "its weights are not what follows from the queries and keys that were seen"
