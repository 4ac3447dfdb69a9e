"""From answers to the numbers of an audit, together with what they were measured on."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from visattn.auditing import variants as v
from visattn.auditing.arrangement import Arrangement
from visattn.auditing.flips import FlipCase
from visattn.auditing.measuring import NOISE, UNDEFINED, Answers
from visattn.auditing.results import Audit
from visattn.metrics import (
    RESAMPLES,
    WorstGroup,
    accuracy,
    background_gap,
    bootstrap_sensitivity,
    flip_rate,
    wilson,
    worst_group,
)

PAIRS = (
    (v.ORIGINAL, v.MIXED_RAND),
    (v.ORIGINAL, v.MIXED_SAME),
    (v.MIXED_SAME, v.MIXED_RAND),
    (v.ORIGINAL, v.MIXED_NEXT),
    (v.ORIGINAL, v.MIXED_NEW),
    (v.ORIGINAL, v.PUT_BACK),
)
"""Pairs of variants that differ in their backgrounds alone; the first is the flip rate."""


def sum_up(
    answers: Answers,
    arranged: Arrangement,
    *,
    settings: Mapping[str, Any],
    notes: Sequence[str],
    cases: Sequence[FlipCase],
) -> Audit:
    """All numbers of some answers.

    With a model's masks only the accuracy on the originals, which needs none, and the flip rates
    are given. What is known of the data, and the notes, are added to the settings.
    """
    pictures, labels, told = arranged.pictures, answers["label"], answers.by_variant
    shown = {name: given for name, given in told.items() if name not in NOISE.values()}
    if not arranged.whole:
        shown = {v.ORIGINAL: told[v.ORIGINAL]} if arranged.labelled else {}
    chance = {"flips": _chance_of_flips(told[v.MIXED_RAND])}
    for name, given in shown.items():
        chance[name] = _commonest(labels[given != UNDEFINED])
    adversarial, gap, cost = None, None, None
    if answers.right is not None:
        adversarial = wilson(int(answers.right.sum()), images=len(answers.right))
        chance["adversarial"] = chance[v.ORIGINAL]
    if v.MIXED_SAME in shown:
        gap = background_gap(*_both(told[v.MIXED_SAME], told[v.MIXED_RAND], labels))
    if v.PUT_BACK in shown:
        cost = background_gap(*_both(told[v.ORIGINAL], told[v.PUT_BACK], labels))
    value, interval = _sensitivity(told, labels, seed=arranged.options.seed)
    behind = {
        name: found
        for name, found in _backgrounds(answers, arranged).items()
        if name in shown and any(background is not None for background in found)
    }
    return Audit(
        settings={
            **settings,
            "data": str(getattr(pictures, "root", None) or type(pictures).__name__),
            "split": getattr(pictures, "split", None) or None,
            "size": int(arranged.items[0]["image"].shape[-1]),
            "resamples": RESAMPLES,
            "notes": [*notes, *_notes(arranged)],
        },
        classes=tuple(pictures.class_names),
        estimate=arranged.estimate,
        made=_made(arranged),
        accuracies={name: accuracy(*_both(given, labels)) for name, given in shown.items()},
        gap=gap,
        cost=cost,
        adversarial=adversarial,
        backgrounds=arranged.backgrounds,
        worst_groups={name: _worst(told[name], labels, on) for name, on in behind.items()},
        noise_accuracies={
            part: accuracy(told[name], labels) for part, name in NOISE.items() if name in told
        },
        sensitivity=value,
        sensitivity_interval=interval,
        flips={
            (first, second): flip_rate(*_both(told[first], told[second]))
            for first, second in PAIRS
            if first in told and second in told
        },
        chance=chance,
        left_out={
            "pictures without a mask are left out": arranged.unmasked,
            "pictures whose mask marks nothing are left out": answers.empty,
            **{
                f"pictures have no {name}": int((given == UNDEFINED).sum())
                for name, given in told.items()
            },
            **{
                f"pictures of {name} have a background without a name: in no group": sum(
                    background is None
                    for background, given in zip(on, told[name].tolist(), strict=True)
                    if given != UNDEFINED
                )
                for name, on in behind.items()
            },
        },
        mask_iou=_mean_defined(answers["iou"]) if "iou" in answers else math.nan,
        cases=cases,
    )


def _both(first: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """The pictures of which all answers are defined; labels are, always."""
    defined = torch.stack([first, *others]).ne(UNDEFINED).all(0)
    return tuple(values[defined] for values in (first, *others))


def _commonest(labels: Tensor) -> float:
    """The share of the commonest class: the accuracy of always giving that answer."""
    return float(labels.bincount().max() / len(labels)) if len(labels) else math.nan


def _mean_defined(values: Tensor) -> float:
    defined = values[~values.isnan()]
    return float(defined.mean()) if len(defined) else math.nan


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


def _sensitivity(
    told: Mapping[str, Tensor], labels: Tensor, *, seed: int
) -> tuple[float, tuple[float, float]]:
    """RFS and the ends of its interval, from the answers under noise."""
    if NOISE["foreground"] not in told:
        return math.nan, (math.nan, math.nan)
    first, second = (told[name] == labels for name in NOISE.values())
    found = bootstrap_sensitivity(first, second, seed=seed)
    return found.value, (found.low, found.high)


def _backgrounds(answers: Answers, arranged: Arrangement) -> dict[str, list[Hashable | None]]:
    """The background of each picture on mixed-rand, and on the original where that is known.

    It is named by the column; where no picture has a name there, a lent one is named by the class
    of its lender. None for a picture whose background has no name.
    """
    items, rows = arranged.pictures.items, answers["row"].tolist()
    column = arranged.options.background_column
    named = any(item.metadata.get(column) for item in items)
    behind: dict[str, list[Hashable | None]] = {}
    if named:
        behind[v.ORIGINAL] = [items[row].metadata.get(column) or None for row in rows]
    if v.MIXED_RAND in arranged.items.renders:
        others = arranged.items.renders[v.MIXED_RAND]
        shown = [others.get(row) for row in rows]
    else:
        lenders = answers[f"lender/{v.MIXED_RAND}"].tolist()
        shown = [items[row] if row >= 0 else None for row in lenders]
        if not named:
            behind[v.MIXED_RAND] = [item and item.class_name for item in shown]
            return behind
    behind[v.MIXED_RAND] = [(item and item.metadata.get(column)) or None for item in shown]
    return behind


def _worst(told: Tensor, labels: Tensor, behind: Sequence[Any]) -> WorstGroup:
    rows = [
        row
        for row, background in enumerate(behind)
        if background is not None and told[row] != UNDEFINED
    ]
    return worst_group(told[rows], labels[rows], [behind[row] for row in rows])


def _made(arranged: Arrangement) -> dict[str, str]:
    made = {v.ORIGINAL: "given"}
    made.update(dict.fromkeys(arranged.items.composites, "composed"))
    if arranged.items.composites:
        made[v.PUT_BACK] = "composed"
    made.update(dict.fromkeys(arranged.items.renders, arranged.files.made))
    if arranged.whole:
        for name in (v.ONLY_FG, v.ONLY_BG_T, v.ONLY_BG_B, v.NO_FG):
            made.setdefault(name, "composed")
    if arranged.backgrounds:
        made["adversarial"] = "rendered" if arranged.files.adversarial else "composed"
    return made


def _notes(arranged: Arrangement) -> list[str]:
    files, renders = arranged.files, arranged.items.renders
    if not renders:
        return []
    splits = ", ".join(files.splits[name] for name in renders)
    return [
        f"{files.made.capitalize()} variants are those of {splits}; --composites makes all by "
        "cutting out."
    ]
