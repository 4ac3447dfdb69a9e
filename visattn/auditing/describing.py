"""The numbers together with what they were measured on."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from visattn.auditing import variants as v
from visattn.auditing.arrangement import Arrangement
from visattn.auditing.classes import ClassMap
from visattn.auditing.measuring import UNDEFINED, Answers
from visattn.auditing.numbers import Numbers
from visattn.auditing.results import Audit, FlipCase
from visattn.auditing.scenes import Pictures
from visattn.data import MaskValues
from visattn.metrics import RESAMPLES, wilson


def describe(
    numbers: Numbers,
    found: Answers,
    *,
    arranged: Arrangement,
    settings: Mapping[str, Any],
    notes: Sequence[str],
    in_order: bool,
    cases: Sequence[FlipCase],
) -> Audit:
    """An audit from its parts.

    Args:
        numbers: What follows from the answers.
        found: The answers.
        arranged: What was asked.
        settings: Of the audit; what is known of the data and the notes are added.
        notes: What is to be said of the classifier.
        in_order: Whether the logits were taken in the order of the class folders.
        cases: Pictures to show.
    """
    pictures = arranged.pictures
    root, split = getattr(pictures, "root", None), getattr(pictures, "split", None)
    data = type(pictures).__name__ if root is None else str(root)
    adversarial = None
    chance = dict(numbers.chance)
    if found.right_on_all is not None:
        right = found.right_on_all
        adversarial = wilson(int(right.sum()), images=len(right))
        chance["adversarial"] = chance[v.ORIGINAL]
    defined = found.ious[~found.ious.isnan()]
    return Audit(
        settings={
            **settings,
            "data": data,
            "split": split,
            "size": int(arranged.scenes[0]["image"].shape[-1]),
            "resamples": RESAMPLES,
            "notes": [*notes, *_notes(arranged, in_order=in_order)],
        },
        classes=tuple(pictures.class_names),
        estimate=arranged.work.masks_of is not None,
        made=_made(arranged),
        accuracies=numbers.accuracies,
        gap=numbers.gap,
        adversarial=adversarial,
        backgrounds=arranged.backgrounds,
        worst_groups=numbers.worst_groups,
        noise_accuracies=numbers.noise_accuracies,
        sensitivity=numbers.sensitivity,
        sensitivity_interval=numbers.sensitivity_interval,
        flips=numbers.flips,
        chance=chance,
        left_out=_left_out(found, numbers, unmasked=arranged.unmasked),
        mask_iou=float(defined.mean()) if len(defined) else math.nan,
        cases=cases,
    )


def as_read(pictures: Pictures) -> dict[str, Any]:
    """The fit and the mask values that pictures are read with; None where a data set won't say."""
    decoder = getattr(pictures, "decoder", None)
    values = getattr(decoder, "mask_values", None)
    meant = None
    if isinstance(values, MaskValues):
        meant = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(values).items()
        }
    return {"fit": getattr(decoder, "fit", None), "mask_values": meant}


def plain_map(class_map: ClassMap) -> dict[str, int | list[int]]:
    """A class map as plain values, to be given again.

    Example:
        >>> plain_map({"cat": 3, "dog": range(4, 6)})
        {'cat': 3, 'dog': [4, 5]}
    """
    return {
        str(name): [int(place) for place in places] if isinstance(places, Iterable) else int(places)
        for name, places in class_map.items()
    }


def _made(arranged: Arrangement) -> dict[str, str]:
    work = arranged.work
    made = {v.ORIGINAL: "given"}
    made.update(dict.fromkeys(work.composed, "composed"))
    made.update({name: found.made for name, found in arranged.scenes.renders.items()})
    if work.parts:
        for name in (v.ONLY_FG, v.ONLY_BG_T, v.ONLY_BG_B, v.NO_FG):
            made.setdefault(name, "composed")
    if arranged.backgrounds:
        made["adversarial"] = "rendered" if arranged.adversarial else "composed"
    return made


def _notes(arranged: Arrangement, *, in_order: bool) -> list[str]:
    notes = []
    if in_order:
        notes.append("The logits were taken to be in the order of the class folders.")
    if arranged.scenes.renders:
        renders = arranged.scenes.renders.values()
        splits = ", ".join(found.split for found in renders)
        made = next(iter(renders)).made.capitalize()
        notes.append(
            f"{made} variants are those of {splits}; --composites makes all by cutting out."
        )
    return notes


def _left_out(found: Answers, numbers: Numbers, *, unmasked: int) -> dict[str, int]:
    left_out = {
        "pictures without a mask are left out": unmasked,
        "pictures whose mask marks nothing are left out": found.empty,
    }
    for name, told in found.answers.items():
        left_out[f"pictures have no {name}"] = int((told == UNDEFINED).sum())
    for name, count in numbers.nameless.items():
        left_out[f"pictures of {name} have a background without a name: in no group"] = count
    return left_out
