"""Scenes of two dishes beside or above each other, each with its own mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visattn.data.generated.pictures import Picture, to_bytes
from visattn.data.generated.sushi.composition import camera_noise, cast_shadow
from visattn.data.generated.sushi.drawing.noise import Field
from visattn.data.generated.sushi.drawing.shading import Light, sample_light
from visattn.data.generated.sushi.food.pieces import cut_piece
from visattn.data.generated.sushi.names import KINDS, STYLES, check_size
from visattn.data.generated.sushi.table.styles import background

RELATIONS = ("left", "above")
"""How the first dish stands to the second."""

_ASIDE = 0.07  # how far a dish may stand off the line that joins the two, in sides of the picture


@dataclass(frozen=True)
class TwoDishes:
    """Scenes of two dishes.

    Attributes:
        images: (N, size, size, 3), RGB.
        mattes: (N, 2, size, size), of the first and the second dish.
        kinds: (N, 2), places in `KINDS`; the two differ.
        relations: (N,), places in `RELATIONS`.
    """

    images: Picture
    mattes: Picture
    kinds: NDArray[np.int64]
    relations: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


def render_two_dishes(
    count: int, *, size: int = 64, seed: int = 0, pieces: int = 40, backgrounds: int = 64
) -> TwoDishes:
    """Render scenes of two dishes.

    The pieces and backgrounds of a seed are drawn once and put together at random, so that
    thousands of scenes take seconds. Dishes never overlap.

    Args:
        count: Number of scenes.
        size: Side of the pictures in pixels.
        seed: Of everything; two seeds share no piece and no background.
        pieces: Pieces of each kind.
        backgrounds: Number of backgrounds, of all styles in turn.

    Raises:
        ValueError: A number is below 1, or the size below 32.

    Example:
        >>> scenes = render_two_dishes(3, size=32, pieces=1, backgrounds=2)
        >>> scenes.images.shape, scenes.mattes.shape
        ((3, 32, 32, 3), (3, 2, 32, 32))
    """
    size = check_size(size)
    for name, value in (("count", count), ("pieces", pieces), ("backgrounds", backgrounds)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rng = np.random.default_rng([seed, 0x2D15])
    pool = [[_cut(kind, rng, size=size) for _ in range(pieces)] for kind in KINDS]
    ground = [
        background(STYLES[number % len(STYLES)], int(rng.integers(2**40)), size=size)
        for number in range(backgrounds)
    ]
    scenes = TwoDishes(
        np.zeros((count, size, size, 3), np.uint8),
        np.zeros((count, 2, size, size), np.uint8),
        np.zeros((count, 2), np.int64),
        rng.integers(0, len(RELATIONS), count),
    )
    for row in range(count):
        scenes.kinds[row] = rng.choice(len(KINDS), 2, replace=False)
        chosen = [pool[kind][rng.integers(pieces)] for kind in scenes.kinds[row]]
        light = sample_light(int(rng.integers(2**40)))
        behind = ground[rng.integers(backgrounds)]
        picture, mattes = _compose(chosen, behind, int(scenes.relations[row]), light, rng)
        scenes.images[row], scenes.mattes[row] = picture, mattes
    return scenes


Piece = tuple[Field, Field]


def _cut(kind: str, rng: np.random.Generator, *, size: int) -> Piece:
    """Colours and alpha of a piece, cut out; one that fits into half of the picture."""
    while True:
        rgb, alpha = cut_piece(kind, int(rng.integers(2**40)), size=size)
        if max(alpha.shape) <= size // 2:
            return rgb, alpha


def _compose(
    pieces: list[Piece], behind: Field, relation: int, light: Light, rng: np.random.Generator
) -> tuple[Picture, Picture]:
    """Lay two pieces on a background, one after the other along an axis."""
    size = behind.shape[0]
    picture = behind
    mattes = np.zeros((2, size, size), np.float32)
    along = 0 if RELATIONS[relation] == "above" else 1
    first, second = (alpha.shape[along] for _, alpha in pieces)
    free = np.sort(rng.integers(0, size - first - second + 1, 2))
    starts = (int(free[0]), first + int(free[1]))
    for number, (rgb, alpha) in enumerate(pieces):
        place = [0, 0]
        place[along] = starts[number]
        middle = (size - alpha.shape[1 - along]) / 2
        aside = round(middle + rng.uniform(-_ASIDE, _ASIDE) * size)
        place[1 - along] = min(max(aside, 0), size - alpha.shape[1 - along])
        box = (
            slice(place[0], place[0] + alpha.shape[0]),
            slice(place[1], place[1] + alpha.shape[1]),
        )
        mattes[number][box] = alpha
        picture = picture * cast_shadow(mattes[number], light)[..., None]
        share = alpha[..., None]
        picture[box] = rgb * share + picture[box] * (1 - share)
    picture = picture + camera_noise(int(rng.integers(2**40)), picture.shape)
    return to_bytes(picture), to_bytes(mattes)
