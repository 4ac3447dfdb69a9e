"""From answers to numbers."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from visattn.auditing import variants as v
from visattn.auditing.measuring import NOISE, UNDEFINED, Answers
from visattn.metrics import (
    Difference,
    Proportion,
    WorstGroup,
    accuracy,
    background_gap,
    bootstrap_sensitivity,
    flip_rate,
    worst_group,
)

PAIRS = (
    (v.ORIGINAL, v.MIXED_RAND),
    (v.ORIGINAL, v.MIXED_SAME),
    (v.MIXED_SAME, v.MIXED_RAND),
    (v.ORIGINAL, v.MIXED_NEXT),
    (v.ORIGINAL, v.MIXED_NEW),
)
"""Pairs of variants that differ in their backgrounds alone; the first is the flip rate."""


class Numbers(NamedTuple):
    """Everything that follows from the answers; see `Audit`."""

    accuracies: dict[str, Proportion]
    gap: Difference | None
    worst_groups: dict[str, WorstGroup]
    nameless: dict[str, int]
    noise_accuracies: dict[str, Proportion]
    sensitivity: float
    sensitivity_interval: tuple[float, float]
    flips: dict[tuple[str, str], Proportion]
    chance: dict[str, float]


def sum_up(
    found: Answers,
    *,
    labelled: bool,
    estimate: bool,
    backgrounds: Mapping[str, Sequence[Hashable | None]],
    seed: int = 0,
) -> Numbers:
    """All numbers of some answers.

    Args:
        found: The answers.
        labelled: Whether the labels mean anything.
        estimate: Whether the masks are a model's; then only the accuracy on the originals, which
            needs none, and the flip rates are given.
        backgrounds: Name of each picture's background by variant, None where unknown.
        seed: Of the resamples.
    """
    answers = found.answers
    flips = {
        (first, second): flip_rate(*_both(answers[first], answers[second]))
        for first, second in PAIRS
        if first in answers and second in answers
    }
    chance = {"flips": _chance_of_flips(answers[v.MIXED_RAND])}
    if not labelled:
        return Numbers({}, None, {}, {}, {}, math.nan, (math.nan, math.nan), flips, chance)
    shown = {name: told for name, told in answers.items() if name not in NOISE.values()}
    if estimate:
        shown = {v.ORIGINAL: answers[v.ORIGINAL]}
    accuracies = {name: _accuracy(told, found.labels) for name, told in shown.items()}
    for name, told in shown.items():
        chance[name] = _commonest(found.labels[told != UNDEFINED])
    gap = None
    if v.MIXED_SAME in shown:
        gap = background_gap(*_both(answers[v.MIXED_SAME], answers[v.MIXED_RAND], found.labels))
    noise = {
        part: _accuracy(answers[name], found.labels)
        for part, name in NOISE.items()
        if name in answers
    }
    sensitivity, interval = math.nan, (math.nan, math.nan)
    if noise:
        first, second, labels = _both(*(answers[name] for name in NOISE.values()), found.labels)
        rfs = bootstrap_sensitivity(first == labels, second == labels, seed=seed)
        sensitivity, interval = rfs.value, (rfs.low, rfs.high)
    known = {
        name: behind
        for name, behind in backgrounds.items()
        if name in shown and any(background is not None for background in behind)
    }
    groups = {name: _worst(answers[name], found.labels, on) for name, on in known.items()}
    nameless = {name: _without_name(answers[name], on) for name, on in known.items()}
    return Numbers(accuracies, gap, groups, nameless, noise, sensitivity, interval, flips, chance)


def _accuracy(told: Tensor, labels: Tensor) -> Proportion:
    return accuracy(*_both(told, labels))


def _worst(told: Tensor, labels: Tensor, behind: Sequence[Any]) -> WorstGroup:
    rows = [
        row
        for row, background in enumerate(behind)
        if background is not None and told[row] != UNDEFINED
    ]
    return worst_group(told[rows], labels[rows], [behind[row] for row in rows])


def _without_name(told: Tensor, behind: Sequence[Any]) -> int:
    """How many pictures there are whose background has no name."""
    seen = (told != UNDEFINED).tolist()
    return sum(background is None for background, there in zip(behind, seen, strict=True) if there)


def _both(first: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """The pictures of which all answers are defined; labels are, always."""
    defined = torch.stack([first, *others]).ne(UNDEFINED).all(0)
    return tuple(values[defined] for values in (first, *others))


def _commonest(labels: Tensor) -> float:
    """The share of the commonest class: the accuracy of always giving that answer."""
    return float(labels.bincount().max() / len(labels)) if len(labels) else math.nan


def _chance_of_flips(told: Tensor) -> float:
    """How often two answers differ that are drawn apart from each other: 1 - sum of p^2.

    What a classifier gets whose answers have nothing to do with the object, but with a background
    that is drawn anew.
    """
    told = told[told != UNDEFINED]
    if not len(told):
        return math.nan
    shares = torch.unique(told, return_counts=True)[1].double() / len(told)
    return float(1 - (shares**2).sum())
