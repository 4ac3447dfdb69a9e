"""The same object, two backgrounds, two answers: which to show, and the picture of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from visattn.auditing import variants as v
from visattn.auditing.arrangement import Arrangement
from visattn.auditing.classes import Subject
from visattn.auditing.measuring import UNDEFINED, Answers, make, open_batch
from visattn.auditing.opening import short_name
from visattn.metrics import Proportion
from visattn.pictures import choose_cases
from visattn.pictures.blending import as_bytes
from visattn.pictures.sheets import GAP, LINE, MARGIN, SIZE, Sheet

_HEAD = 1.6 * LINE
_SECTION = 1.7 * LINE
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
    return as_bytes(pictures[0].permute(1, 2, 0).cpu().numpy())


class FoundFlips(Protocol):
    """What the picture needs of a `visattn.auditing.Audit`."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What was audited and how."""

    @property
    def cases(self) -> Sequence[FlipCase]:
        """What to draw."""

    @property
    def estimate(self) -> bool:
        """Whether masks were predicted."""

    @property
    def flip_rate(self) -> Proportion:
        """How often the answer changes on another background."""


def draw_flips(found: "FoundFlips", *, columns: int = 3, width: float = 7.5) -> Figure:
    """Draw random objects and the worst flips, each on two backgrounds with the two answers.

    Args:
        found: An audit.
        columns: How many objects stand side by side.
        width: Width of the figure in inches.

    Raises:
        ValueError: If there is nothing to draw, or too many columns.

    Example:
        >>> from types import SimpleNamespace
        >>> black = np.zeros((4, 4, 3), dtype=np.uint8)
        >>> case = FlipCase("1.png", "buri", (black, black), ("buri", "ebi"), (0.9, 0.6), "worst")
        >>> rate = Proportion(value=1.0, low=0.2, high=1.0, count=1, images=1)
        >>> found = SimpleNamespace(  # as visattn.audit gives it
        ...     cases=[case],
        ...     settings={"name": "resnet50", "seed": 0},
        ...     estimate=False,
        ...     flip_rate=rate,
        ... )
        >>> float(draw_flips(found, columns=1).get_figwidth())
        7.5
    """
    if not found.cases:
        raise ValueError("the audit kept no pictures: ask for some with cases")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    block = (width - 2 * MARGIN - (columns - 1) * 4 * GAP) / columns
    tile = (block - GAP) / 2
    if tile < 0.4:
        raise ValueError(f"{columns} columns do not fit {width} inches: fewer, or a larger width")
    sections = [(title, rows) for title, rows in _sections(found) if rows]
    step = LINE + tile + LINE + 1.5 * GAP
    lines = sum(-(-len(rows) // columns) for _, rows in sections)
    head = _HEAD + (LINE if found.estimate else 0)
    height = MARGIN + head + len(sections) * _SECTION + lines * step + MARGIN
    sheet = Sheet(width=width, height=height)
    wide = width - 2 * MARGIN
    y = MARGIN
    title = f"The same object on two backgrounds: {found.settings['name']}"
    sheet.write(title, x=MARGIN, y=y + LINE / 2, width=wide, size=10, bold=True)
    if found.estimate:
        words = (
            f"AN ESTIMATE: cut out with masks predicted by {short_name(found.settings['masks'])}"
        )
        sheet.write(words, x=MARGIN, y=y + 1.6 * LINE, width=wide)
    y += head
    for heading, cases in sections:
        sheet.write(heading, x=MARGIN, y=y + _SECTION / 2, width=wide, size=9, bold=True)
        y += _SECTION
        for place, case in enumerate(cases):
            x = MARGIN + place % columns * (block + 4 * GAP)
            top = y + place // columns * step
            _draw(sheet, case, x=x, y=top, tile=tile)
        y += -(-len(cases) // columns) * step
    return sheet.figure


def _draw(sheet: Sheet, case: FlipCase, *, x: float, y: float, tile: float) -> None:
    verdict = "flips" if case.flipped else "holds"
    words = f"{case.true}, {verdict}" if case.true else verdict
    sheet.write(words, x=x, y=y + LINE / 2, width=2 * tile + GAP, bold=case.flipped)
    for side in range(2):
        left = x + side * (tile + GAP)
        sheet.picture(case.images[side], x=left, y=y + LINE, width=tile, height=tile)
        answer = f"{case.answers[side]} {case.probabilities[side]:.2f}"
        middle = y + LINE + tile + LINE / 2
        sheet.write(answer, x=left + tile / 2, y=middle, width=tile, size=SIZE - 1, align="center")


def _sections(found: "FoundFlips") -> list[tuple[str, Sequence[FlipCase]]]:
    rate = found.flip_rate
    drawn = [case for case in found.cases if case.kind == "random"]
    worst = [case for case in found.cases if case.kind == "worst"]
    seed = found.settings["seed"]
    about = "an estimated " if found.estimate else ""
    return [
        (f"{len(drawn)} random of {rate.images} pictures (seed {seed})", drawn),
        (
            f"the {len(worst)} of {about}{rate.count} flips whose two answers are surest "
            f"({rate.count} of {rate.images} pictures flip)",
            worst,
        ),
    ]
