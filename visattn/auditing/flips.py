"""The same object, two backgrounds, two answers: which to show."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from visattn.auditing import variants as v
from visattn.auditing.arrangement import Arrangement
from visattn.auditing.classes import Subject
from visattn.auditing.measuring import UNDEFINED, Answers, make, open_batch

_SHOWN = (v.ORIGINAL, v.MIXED_RAND)


@dataclass(frozen=True)
class FlipCase:
    """One object on two backgrounds.

    Attributes:
        name: File of the original.
        true: Its class; empty where that is unknown.
        images: The original and the picture with the other background (H, W, 3), bytes.
        answers: The two answers.
        probabilities: The probability of each.
        kind: ``"random"`` or ``"worst"``.

    Example:
        >>> black = np.zeros((4, 4, 3), dtype=np.uint8)
        >>> case = FlipCase("1.png", "buri", (black, black), ("buri", "ebi"), (0.9, 0.6), "worst")
        >>> case.flipped
        True
    """

    name: str
    true: str
    images: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] = field(repr=False)
    answers: tuple[str, str]
    probabilities: tuple[float, float]
    kind: str

    @property
    def flipped(self) -> bool:
        """Whether the answers differ."""
        return self.answers[0] != self.answers[1]


def flip_cases(subject: Subject, arranged: Arrangement, answers: Answers) -> list[FlipCase]:
    """Random objects and the worst flips, the original beside mixed-rand.

    A flip is the worse the surer both of its answers are: the smaller of the two probabilities
    decides. The pictures are made again, for these few objects.
    """
    from visattn.pictures import choose_cases  # Matplotlib: the measuring has no need of it

    count = arranged.options.cases
    first, second = (answers[f"answer/{name}"] for name in _SHOWN)
    shown = ((first != UNDEFINED) & (second != UNDEFINED)).nonzero().flatten()
    if not count or not len(shown):
        return []
    sure = torch.minimum(*(answers[f"share/{name}"] for name in _SHOWN))
    scores = torch.where(first != second, sure, torch.nan)[shown]
    choice = choose_cases(
        scores.numpy(),
        name="probability",
        random=count,
        worst=count,
        worst_are="highest",
        seed=arranged.options.seed,
    )
    drawn = min(count, len(shown))
    kinds = ["random"] * drawn + ["worst"] * (len(choice.rows) - drawn)
    return [
        _case(subject, arranged, answers, int(shown[place]), kind=kind)
        for place, kind in zip(choice.rows, kinds, strict=True)
    ]


def _case(
    subject: Subject, arranged: Arrangement, answers: Answers, place: int, *, kind: str
) -> FlipCase:
    row = int(answers["row"][place])
    item = arranged.pictures.items[row]
    names = subject.classes.names
    first, second = (names[int(answers[f"answer/{name}"][place])] for name in _SHOWN)
    share, other = (float(answers[f"share/{name}"][place]) for name in _SHOWN)
    read = arranged.items[arranged.items.rows.index(row)]
    batch = {name: value[None] for name, value in read.items()}
    images, masks, _ = open_batch(batch, arranged, device=subject.device)
    variants = make(batch, arranged, images=images, cutouts=v.cut_out(images, masks))
    mixed = next(variant.pictures for variant in variants if variant.name == v.MIXED_RAND)
    return FlipCase(
        name=item.path.name,
        true=item.class_name,
        images=(_bytes(images), _bytes(mixed)),
        answers=(first, second),
        probabilities=(share, other),
        kind=kind,
    )


def _bytes(pictures: Tensor) -> npt.NDArray[np.uint8]:
    from visattn.pictures.blending import as_bytes

    return as_bytes(pictures[0].permute(1, 2, 0).cpu().numpy())
