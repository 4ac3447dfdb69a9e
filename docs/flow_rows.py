"""Boxes in rows, as the steps of a block follow each other, with arrows as short as may be."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

LETTER, SPACE = 6.4, 14
"""Pixels of a letter, and between two boxes of a row."""


@dataclass(eq=False)
class Box:
    """A box, or with no label a line that passes a row.

    Attributes:
        label: What is done.
        before: Boxes whose results go in.
        recorded: Whether it can be recorded.
        row: From the top.
        x: Of its middle.
        times: How many boxes alike it stands for.
    """

    label: str
    before: list["Box"] = field(default_factory=list)
    recorded: bool = False
    row: int = 0
    x: float = 0.0
    times: int = 1

    @property
    def text(self) -> str:
        """What stands in it."""
        return f"{self.label} ({self.times} times)" if self.times > 1 else self.label

    @property
    def width(self) -> float:
        """In pixels."""
        return max(28.0, LETTER * len(self.text) + 14) if self.label else 4.0


def arranged(boxes: list[Box]) -> list[list[Box]]:
    """Rows from the input to the output, with a line in each row that an arrow passes."""
    for _ in boxes:  # a sum may take what comes after its first part
        for box in boxes:
            box.row = max((before.row + 1 for before in box.before), default=0)
    boxes = sorted(boxes, key=lambda box: box.row)
    after: dict[int, list[Box]] = defaultdict(list)
    for box in boxes:
        for before in box.before:
            after[id(before)].append(box)
    for box in reversed(boxes):  # as late as what takes it allows: short arrows
        if after[id(box)] and box.label != "input":
            box.row = min(other.row for other in after[id(box)]) - 1
    rows: list[list[Box]] = [[] for _ in range(max(box.row for box in boxes) + 1)]
    for box in boxes:
        rows[box.row].append(box)
    for box in boxes:
        box.before = [_passed(before, box, rows) for before in box.before]
    for _ in range(6):
        _ordered(rows)
    for row in rows:
        _placed(row)
    for sweep in range(24):
        for row in rows if sweep % 2 else rows[::-1]:
            _drawn_to_neighbours(row, rows)
    return rows


def _passed(before: Box, box: Box, rows: list[list[Box]]) -> Box:
    """The last of the lines from one to the other; arrows of one box share theirs."""
    last = before
    for row in range(before.row + 1, box.row):
        line = next((b for b in rows[row] if not b.label and b.before[0] is last), None)
        if line is None:
            line = Box("", [last], row=row)
            rows[row].append(line)
        last = line
    return last


def _ordered(rows: list[list[Box]]) -> None:
    """Each row by the mean place of what goes in, then of what comes out."""
    for upper, lower in pairwise(rows):
        place = {id(box): i / max(1, len(upper)) for i, box in enumerate(upper)}
        lower.sort(key=lambda b: sum(place[id(a)] for a in b.before) / max(1, len(b.before)))
    for upper, lower in list(pairwise(rows))[::-1]:
        place = {id(box): i / max(1, len(lower)) for i, box in enumerate(lower)}

        takers = {box: [place[id(b)] for b in lower if box in b.before] for box in upper}
        upper.sort(key=lambda b, found=takers: sum(found[b]) / len(found[b]) if found[b] else 0.5)


def _placed(row: list[Box]) -> None:
    total = sum(box.width + SPACE for box in row) - SPACE
    x = -total / 2
    for box in row:
        box.x = x + box.width / 2
        x += box.width + SPACE


def _drawn_to_neighbours(row: list[Box], rows: list[list[Box]]) -> None:
    """Each to the middle of those above and below, as far as the row has room."""
    wanted = []
    for box in row:
        below = rows[box.row + 1] if box.row + 1 < len(rows) else []
        near = [*box.before, *(b for b in below if box in b.before)]
        wanted.append(sum(b.x for b in near) / len(near) if near else box.x)
    groups: list[list[Any]] = []  # boxes that touch: their first, and how far each wants to go
    for box, x in zip(row, wanted, strict=True):
        groups.append([[box], x - box.width / 2, box.width])
        while len(groups) > 1 and groups[-2][1] + groups[-2][2] + SPACE > groups[-1][1]:
            boxes, left, width = groups.pop()
            others, far, size = groups[-1]
            count, more = len(others), len(boxes)
            start = (count * far + more * (left - size - SPACE)) / (count + more)
            groups[-1] = [[*others, *boxes], start, size + SPACE + width]
    for boxes, left, _ in groups:
        for box in boxes:
            box.x = left + box.width / 2
            left += box.width + SPACE
