"""What each subject costs under each condition, as ratios to the first."""

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from visattn.bench.steps import Stepper
from visattn.bench.subjects import Subject
from visattn.bench.timing import Scatter, Spread, clock, interleaved, spread

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PRECISIONS = {"float32": None, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Condition:
    """How subjects run: one of `PRECISIONS`, one of `LAYOUTS`, and whether compiled."""

    precision: str
    layout: str
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.precision}, {self.layout}, {'compiled' if self.compiled else 'eager'}"


@dataclass(frozen=True)
class Cost:
    """What one subject costs under one condition.

    Attributes:
        subject: What was measured.
        condition: How it ran.
        forward: Time of a pass without gradients over that of the first subject.
        step: Time of a training step with its optimiser over that of the first subject; for blocks
            alone, forward and backward over a copy of the map.
        forward_of_peer: Over timm's counterpart under the same condition.
        step_of_peer: The same for the step.
        forward_of_eager: Of compiled code, over timm's counterpart in eager mode.
        step_of_eager: The same for the step.
        kept: Bytes that a training step keeps for the backward pass, over the first subject's or,
            for a block alone, over the map's.
        peak: Bytes at the peak of a training step, over the same.
    """

    subject: Subject
    condition: Condition
    forward: Spread | None
    step: Spread | None
    forward_of_peer: Spread | None
    step_of_peer: Spread | None
    forward_of_eager: Spread | None
    step_of_eager: Spread | None
    kept: float
    peak: float


def conditions(
    precisions: Sequence[str], layouts: Sequence[str], *, compiled: bool
) -> list[list[Condition]]:
    """Every precision in every layout: eager and, if wanted, compiled."""
    modes = (False, True) if compiled else (False,)
    ways = itertools.product(precisions, layouts)
    return [[Condition(*way, mode) for mode in modes] for way in ways]


def measure(
    subjects: Sequence[Subject], x: Tensor, modes: Sequence[Condition], *, rounds: int
) -> Iterator[Cost]:
    """The cost of each subject on one batch of images, or on one map.

    Args:
        subjects: The first is what the others are compared with. A `Copy` makes the input a map
            in the precision of the condition, whose gradient is asked for.
        x: The images (N, C, H, W) or the map.
        modes: How all run: conditions that differ in whether code is compiled. All take their turns
            in one run.
        rounds: How often each is timed; with 0 only memory is measured.

    Raises:
        ValueError: A subject can't run like that; the message names it.
    """
    alone = subjects[0].name == "copy"
    dtype, layout = PRECISIONS[modes[0].precision], LAYOUTS[modes[0].layout]
    x = x.to(memory_format=layout, dtype=dtype if alone else None, copy=True).requires_grad_(alone)
    steppers: dict[tuple[str, bool], Stepper] = {}
    kept, peaks = {}, {}
    for mode, subject in itertools.product(modes, subjects):
        module = copy.deepcopy(subject.module).to(x.device).to(memory_format=layout)
        if mode.compiled:
            module = cast("nn.Module", torch.compile(module))  # its call: compile() takes forward()
        stepper, key = Stepper(module, x, dtype, subject.context), (subject.name, mode.compiled)
        try:
            stepper.forward()
            kept[key], peaks[key] = stepper.kept_bytes(), stepper.peak_bytes()
        except Exception as error:
            raise ValueError(
                f"{subject.name} can't run on {tuple(x.shape)} in {mode}: {error}"
            ) from error
        if rounds:  # else each may go before the next comes
            steppers[key] = stepper
    now = clock(x.device)
    how: dict[str, Any] = {"rounds": rounds, "now": now}
    if alone:  # a model has its maps in many places anyway
        how["before"] = Scatter()
    forward = interleaved({n: s.forward for n, s in steppers.items()}, **how)
    step = interleaved({n: s.step for n, s in steppers.items()}, **how)
    eager = not all(mode.compiled for mode in modes)
    for mode, subject in itertools.product(modes, subjects):
        own, base = (subject.name, mode.compiled), (subjects[0].name, mode.compiled)
        peer = (subject.peer, mode.compiled) if subject.peer else None
        of_eager = (subject.peer, False) if peer and mode.compiled and eager else None
        yield Cost(
            subject=subject,
            condition=mode,
            forward=spread(forward[own], over=forward[base]),
            step=spread(step[own], over=forward[base] if alone else step[base]),
            forward_of_peer=spread(forward[own], over=forward[peer]) if peer else None,
            step_of_peer=spread(step[own], over=step[peer]) if peer else None,
            forward_of_eager=spread(forward[own], over=forward[of_eager]) if of_eager else None,
            step_of_eager=spread(step[own], over=step[of_eager]) if of_eager else None,
            kept=kept[own] / (x.nbytes if alone else kept[base]),
            peak=peaks[own] / (x.nbytes if alone else peaks[base]),
        )
    torch.compiler.reset()
