"""The picture of objects on two backgrounds, each with the two answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from matplotlib.figure import Figure

from visattn.auditing.flips import FlipCase
from visattn.auditing.opening import short_name
from visattn.metrics import Proportion
from visattn.pictures.sheets import GAP, LINE, MARGIN, SIZE, Sheet

_HEAD = 1.6 * LINE
_SECTION = 1.7 * LINE


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
        >>> import numpy as np
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
