"""Which picture lends its background to which: drawn by row and seed, so that nothing is kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from visattn.auditing.variants import MIXED, MIXED_NEXT, MIXED_RAND, MIXED_SAME
from visattn.data import Item

_TRIES = 20


@final
@dataclass(frozen=True)
class Lenders:
    """The pictures that can lend a background, by class.

    Args:
        rows: Rows of the data set by label; a data set without classes has the one label -1.
        seed: Of the draws.
    """

    rows: Mapping[int, Sequence[int]]
    seed: int = 0

    @classmethod
    def of(cls, items: Sequence[Item], *, needs_mask: bool, seed: int) -> "Lenders":
        """The lenders among some items: all of them, or those with a mask."""
        rows: dict[int, list[int]] = {}
        for row, item in enumerate(items):
            if item.mask_path is not None or not needs_mask:
                rows.setdefault(item.label, []).append(row)
        return cls({label: rows[label] for label in sorted(rows)}, seed)

    def candidates(self, row: int, label: int, *, variant: str) -> Iterator[int]:
        """Rows to take the background of, the first being the choice and the others its reserves.

        Mixed-same draws another picture of the same class, mixed-next of the next class (the first
        one after the last), mixed-rand of a random class, each class being equally likely. A
        picture never lends to itself.

        Args:
            row: The row that gets a background.
            label: Its class.
            variant: ``"mixed-same"``, ``"mixed-rand"`` or ``"mixed-next"``.

        Example:
            >>> lenders = Lenders({0: [0, 1], 1: [2, 3]})
            >>> set(lenders.candidates(0, 0, variant="mixed-same"))
            {1}
            >>> set(lenders.candidates(0, 0, variant="mixed-next")) <= {2, 3}
            True
        """
        classes = list(self.rows)
        generator = self._generator(row, variant=variant)
        if variant == MIXED_SAME:
            classes = [label] if label in self.rows else []
        elif variant == MIXED_NEXT:
            later = [other for other in classes if other > label]
            classes = (later or classes)[:1]
        elif variant != MIXED_RAND:
            raise ValueError(f"no background is drawn for {variant!r}")
        for _ in range(_TRIES if classes else 0):
            own = self.rows[classes[int(generator.integers(len(classes)))]]
            chosen = own[int(generator.integers(len(own)))]
            if chosen != row:
                yield chosen

    def one_of(self, row: int, *, count: int, variant: str) -> int:
        """A number below ``count`` for a row."""
        return int(self._generator(row, variant=variant).integers(count))

    def spread(self, count: int) -> list[int]:
        """Rows for a fixed set of backgrounds, as evenly over the classes as may be.

        The first ``count`` are the choice, others their reserves; no row comes twice.
        """
        generator = np.random.default_rng([self.seed, len(MIXED)])
        labels = [list(self.rows)[place] for place in generator.permutation(len(self.rows))]
        orders = [generator.permutation(self.rows[label]).tolist() for label in labels]
        found: list[int] = []
        for depth in range(max(map(len, orders), default=0)):
            found.extend(order[depth] for order in orders if depth < len(order))
            if len(found) >= count + _TRIES:
                break
        return found

    def _generator(self, row: int, *, variant: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, MIXED.index(variant), row])
