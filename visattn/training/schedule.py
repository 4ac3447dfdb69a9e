"""A learning rate over the steps of a training."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

import lightning as L

from visattn.training.checks import check_in


def warmup_cosine(
    *, steps: int, warmup: float, stages: Sequence[float] = (), waits: bool = False
) -> Callable[[int], float]:
    r"""Factor on the learning rate: a straight rise, then half a cosine down to zero.

    With w = max(1, round(warmup * steps)): (t + 1) / w for t < w, then
    (1 + cos(pi (t - w) / (steps - w))) / 2, and 0 from ``steps`` on. Every stage has a rise and a
    fall of its own.

    Args:
        steps: Optimiser steps in all.
        warmup: Share of them, and of those of each stage, that the rise takes, in [0, 1); 0 for
            no rise.
        stages: Shares of the steps at which a stage begins, rising, each in (0, 1).
        waits: Whether the factor is 0 in the first stage.

    Raises:
        ValueError: If ``steps``, ``warmup`` or a stage is out of its range.

    Example:
        >>> factor = warmup_cosine(steps=10, warmup=0.2)
        >>> [round(factor(step), 2) for step in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
        >>> factor = warmup_cosine(steps=15, warmup=0.2, stages=[1 / 3], waits=True)
        >>> [round(factor(step), 2) for step in (0, 4, 5, 6, 7, 11, 15)]
        [0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    check_in("[1, inf)", steps=steps)
    check_in("[0, 1)", warmup=warmup)
    for share in stages:
        check_in("(0, 1)", stages=share)
    begins = [0, *(first_step(share, steps=steps) for share in stages)]

    def factor(step: int) -> float:
        if step >= steps:
            return 0.0
        stage = bisect_right(begins, step) - 1
        if waits and stage == 0 and len(begins) > 1:
            return 0.0
        done = step - begins[stage]
        length = [*begins[1:], steps][stage] - begins[stage]
        rise = max(1, round(warmup * length)) if warmup else 0
        if done < rise:
            return (done + 1) / rise
        return (1 + math.cos(math.pi * (done - rise) / (length - rise))) / 2

    return factor


def first_step(share: float, *, steps: int) -> int:
    """The first step of which ``step / steps`` is at least a share.

    Example:
        >>> first_step(0.2, steps=10), first_step(0.67, steps=10)
        (2, 7)
    """
    guess = math.floor(share * steps)
    return next(step for step in range(max(0, guess - 1), guess + 3) if step / steps >= share)


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
