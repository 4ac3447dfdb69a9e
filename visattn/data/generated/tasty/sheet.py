"""One picture that shows what there is: scenes, twins, several sushi, empty rings, distances."""

import numpy as np

from visattn.data.generated.pictures import Picture
from visattn.data.generated.sheet import PAPER, captioned
from visattn.data.generated.tasty.composition import TastyScene, tasty_scenes
from visattn.data.generated.tasty.layout import Layout
from visattn.data.generated.tasty.parameters import CLASSES

TILES = 6  # in a row


def tasty_sheet(*, size: int = 148, seed: int = 0) -> Picture:
    """Draw a sheet: a row of scenes, a group of four, and the variants.

    Args:
        size: side of a tile in pixels.
        seed: of the scenes.

    Returns:
        The sheet, (height, width, 3) uint8, in RGB.

    >>> tasty_sheet(size=72).shape
    (282, 460, 3)
    """
    scenes = list(tasty_scenes(8 * TILES, size=size, seed=seed, settings=9))
    many = [_one(size, seed + 9 + sushi, sushi=sushi) for sushi in (2, 3, 4)]
    distances = (0, Layout(size).farthest // 2)
    near = [_one(size, seed + 20, distance=distance) for distance in distances]
    two, six = (_one(size, seed + 27 + diners, diners=diners) for diners in (2, 6))
    empty = next(tasty_scenes(4, size=size, seed=seed + 20, without_faces=True))
    first = [scenes[8 * i + i % 4] for i in range(TILES)]
    shared = "an answer each"
    rows = (
        (first, [*map(_answer, first)]),
        ([*scenes[4:8], *many[:2]], [*map(_answer, scenes[4:8]), shared, shared]),
        (
            [many[2], two, six, *near, empty],
            [shared, *map(_answer, (two, six)), *(f"distance {d}" for d in distances), "no faces"],
        ),
    )
    parts = [captioned([scene.image for scene in row], names) for row, names in rows]
    width = max(part.shape[1] for part in parts)
    padded = [
        np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=PAPER) for p in parts
    ]
    return np.concatenate(padded)


def _one(
    size: int, seed: int, *, diners: int = 4, sushi: int = 1, distance: int | None = None
) -> TastyScene:
    scenes = tasty_scenes(4, size=size, diners=diners, sushi=sushi, distance=distance, seed=seed)
    return next(scenes)


def _answer(scene: TastyScene) -> str:
    return CLASSES[scene.answers[0]]
