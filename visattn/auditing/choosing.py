"""Which objects the picture of an audit shows: random ones, and the surest of those that flip."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from visattn.auditing import variants as v
from visattn.auditing.measuring import UNDEFINED, Answers, Work, make, open_batch
from visattn.auditing.results import FlipCase
from visattn.auditing.scenes import Scenes
from visattn.auditing.subject import Subject
from visattn.pictures import choose_cases
from visattn.pictures.blending import as_bytes


def flip_cases(
    subject: Subject, scenes: Scenes, found: Answers, *, work: Work, count: int, seed: int
) -> list[FlipCase]:
    """Random objects and the worst flips, the original beside mixed-rand.

    A flip is the worse the surer both of its answers are: the smaller of the two probabilities
    decides. The pictures are made again, for these few objects.

    Args:
        subject: Who gave the answers.
        scenes: What the pictures are made from.
        found: The answers.
        work: How they were made.
        count: How many random ones, and how many of the worst.
        seed: Of the random ones.
    """
    first, second = found.answers[v.ORIGINAL], found.answers[v.MIXED_RAND]
    shown = ((first != UNDEFINED) & (second != UNDEFINED)).nonzero().flatten()
    if not count or not len(shown):
        return []
    sure = torch.minimum(found.shares[v.ORIGINAL], found.shares[v.MIXED_RAND])
    scores = torch.where(first != second, sure, torch.nan)[shown]
    choice = choose_cases(
        scores.numpy(),
        name="probability",
        random=count,
        worst=count,
        worst_are="highest",
        seed=seed,
    )
    drawn = min(count, len(shown))
    return [
        _case(subject, scenes, found, int(shown[place]), work=work, kind=kind)
        for place, kind in zip(
            choice.rows, ["random"] * drawn + ["worst"] * len(choice.rows), strict=False
        )
    ]


def _case(
    subject: Subject, scenes: Scenes, found: Answers, place: int, *, work: Work, kind: str
) -> FlipCase:
    row = int(found.rows[place])
    item = scenes.pictures.items[row]
    names: Sequence[str] = subject.reading.names if subject.reading else ()
    told = [int(found.answers[name][place]) for name in (v.ORIGINAL, v.MIXED_RAND)]
    shares = [float(found.shares[name][place]) for name in (v.ORIGINAL, v.MIXED_RAND)]
    original, swapped = _pictures(scenes, scenes.rows.index(row), work=work, device=subject.device)
    return FlipCase(
        name=item.path.name,
        true=item.class_name,
        images=(original, swapped),
        answers=(names[told[0]], names[told[1]]),
        probabilities=(shares[0], shares[1]),
        kind=kind,
    )


def _pictures(
    scenes: Scenes, place: int, *, work: Work, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """The original and mixed-rand, made again."""
    batch = {name: value[None] for name, value in scenes[place].items()}
    images, masks, _ = open_batch(batch, device=device, masks_of=work.masks_of)
    cutouts = v.cut_out(images, masks)
    for made in make(batch, images=images, masks=masks, cutouts=cutouts, work=work):
        if made.variant == v.MIXED_RAND:
            return _bytes(images), _bytes(made.pictures)
    raise RuntimeError("mixed-rand was not made")


def _bytes(pictures: Tensor) -> np.ndarray:
    return as_bytes(pictures[0].permute(1, 2, 0).cpu().numpy())
