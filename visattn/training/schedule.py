"""A learning rate over the steps of a training."""

import math
from collections.abc import Callable

import lightning as L

from visattn.training.checks import check_in


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
    check_in("[1, inf)", steps=steps)
    check_in("[0, 1)", warmup=warmup)
    rise = max(1, round(warmup * steps)) if warmup else 0

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        if step >= steps:
            return 0.0
        return (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2

    return factor


def training_steps(trainer: L.Trainer) -> int:
    """Optimiser steps of a training in all.

    Raises:
        ValueError: If it has no end, or no step.
    """
    steps = trainer.estimated_stepping_batches
    if not math.isfinite(steps) or steps < 1:
        raise ValueError(
            f"the schedule needs to know the length of the training, which is {steps} steps: "
            "set trainer.max_epochs (or max_steps) and trainer.limit_train_batches to at least 1"
        )
    return int(steps)
