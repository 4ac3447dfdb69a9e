"""What the optimiser is given: groups of parameters, and a learning rate over the steps."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn


def parameter_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters into those that decay and those that don't.

    Weight decay acts on matrices and kernels; norms, biases and single scalars (all with at most
    one dimension) are left alone.

    Returns:
        Two groups for a ``torch.optim`` optimiser; an empty one is left out.

    Raises:
        ValueError: If nothing in ``model`` is trainable.

    Example:
        >>> layer = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        >>> [(len(g["params"]), g["weight_decay"]) for g in parameter_groups(layer, weight_decay=1)]
        [(1, 1), (3, 0.0)]
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError("nothing to train: every parameter of the model is frozen")
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def warmup_cosine(*, steps: int, warmup: float) -> Callable[[int], float]:
    r"""Factor on the learning rate: a straight rise, then half a cosine down to zero.

    With w = max(1, round(warmup * steps)): (t + 1) / w for t < w, then
    (1 + cos(pi (t - w) / (steps - w))) / 2, and 0 from ``steps`` on.

    Args:
        steps: Optimiser steps in all.
        warmup: Share of them that the rise takes, in [0, 1); 0 for no rise.

    Raises:
        ValueError: If ``steps`` or ``warmup`` is out of its range.

    Example:
        >>> factor = warmup_cosine(steps=10, warmup=0.2)
        >>> [round(factor(step), 2) for step in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup is a share of the training, in [0, 1), got {warmup}")
    rise = max(1, round(warmup * steps)) if warmup else 0

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        if step >= steps:
            return 0.0
        return (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2

    return factor
