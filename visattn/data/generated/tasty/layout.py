"""Where rings and plates stand, in whole pixels, so that the distance between them is exact."""

import itertools
from dataclasses import dataclass

import numpy as np

from visattn.data.generated.tasty.palette import COLOURS

MARGIN = 1  # rows left free above the rings and below the plates
PLATE = 0.28  # diameter of a plate, in sides of the picture
RING = 0.26  # the same of a ring, at most
SMALLEST_RING, SMALLEST_PLATE = 11, 11
PLAY = 4  # rows by which all may stand lower, where there is room


@dataclass(frozen=True)
class Layout:
    """Sizes of a scene: ``diners`` rings along the top, ``sushi`` plates far below.

    Args:
        size: side of the picture in pixels.
        diners: number of diners; even, since half of them smile.
        sushi: number of plates.
        distance: rows of bare table between the rings and the plates; two fewer than there is room
            for if None. A convolution that sees a ring and a plate at once has a receptive field
            of at least distance + 2 rows.

    Raises:
        ValueError: a number out of its range, or no room for all that.

    >>> layout = Layout(64)
    >>> layout.ring, layout.plate, layout.rows_between
    (15, 17, 28)
    """

    size: int = 64
    diners: int = 4
    sushi: int = 1
    distance: int | None = None

    def __post_init__(self) -> None:
        if self.diners % 2 or not 2 <= self.diners <= len(COLOURS):
            raise ValueError(
                f"diners must be even, from 2 to {len(COLOURS)} (half of them smile, each ring has "
                f"its own colour), got {self.diners}"
            )
        if not 1 <= self.sushi <= self.diners:
            raise ValueError(
                f"sushi must be 1 to {self.diners}, the number of diners, since every plate has "
                f"another one's colour; got {self.sushi}"
            )
        if self.ring < SMALLEST_RING or self.plate < SMALLEST_PLATE:
            most = max(self.diners, self.sushi)
            least = max((SMALLEST_RING + 1) * most, 48)
            raise ValueError(
                f"size must be at least {least} pixels for {self.diners} diners and {self.sushi} "
                f"sushi, or no one can read the faces; got {self.size}"
            )
        if self.distance is not None and not 0 <= self.distance <= self.farthest:
            raise ValueError(
                f"distance must lie in 0 to {self.farthest} for pictures of {self.size} pixels "
                f"with {self.diners} diners and {self.sushi} sushi, got {self.distance}"
            )

    @property
    def ring(self) -> int:
        """Diameter of a ring in pixels."""
        return min(self.size // self.diners - 1, int(RING * self.size))

    @property
    def plate(self) -> int:
        """Diameter of a plate in pixels."""
        return min(self.size // self.sushi - 1, int(PLATE * self.size))

    @property
    def farthest(self) -> int:
        """The largest distance there is room for."""
        return self.size - 2 * MARGIN - self.ring - self.plate

    @property
    def rows_between(self) -> int:
        """The distance, given or not."""
        return self.farthest - 2 if self.distance is None else self.distance


@dataclass(frozen=True)
class Corners:
    """Upper left corners, (row, column), of rings and plates."""

    rings: tuple[tuple[int, int], ...]
    plates: tuple[tuple[int, int], ...]


def place(layout: Layout, rng: np.random.Generator) -> Corners:
    """Draw where rings and plates stand; what is drawn does not depend on the distance."""
    free = min(layout.farthest - layout.rows_between, PLAY)
    top = MARGIN + int(rng.uniform() * (free + 1))
    below = top + layout.ring + layout.rows_between
    rings = _spread(layout.size, layout.diners, layout.ring, rng)
    plates = _spread(layout.size, layout.sushi, layout.plate, rng)
    return Corners(
        tuple((top, column) for column in rings), tuple((below, column) for column in plates)
    )


def _spread(size: int, count: int, width: int, rng: np.random.Generator) -> list[int]:
    """Left edges of things side by side, each anywhere in its own share of the width."""
    edges = np.linspace(0, size, count + 1).astype(int)
    return [int(rng.integers(left, right - width + 1)) for left, right in itertools.pairwise(edges)]
