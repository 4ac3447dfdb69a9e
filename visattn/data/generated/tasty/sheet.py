"""One picture that shows what there is: scenes, twins, several sushi, empty rings, distances."""

import numpy as np

from visattn.data.generated.sushi.composition import Picture
from visattn.data.generated.sushi.opencv import opencv
from visattn.data.generated.sushi.sheet import CAPTION, GAP, INK, PAPER
from visattn.data.generated.tasty.composition import TastyScene, tasty_scenes
from visattn.data.generated.tasty.folder import CLASSES
from visattn.data.generated.tasty.layout import Layout

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
    farthest = Layout(size).farthest
    near = [_one(size, seed + 20, distance=distance) for distance in (0, farthest // 2)]
    two, six = (_one(size, seed + 27 + diners, diners=diners) for diners in (2, 6))
    empty = next(tasty_scenes(4, size=size, seed=seed + 20, without_faces=True))
    first = [scenes[8 * i + i % 4] for i in range(TILES)]
    rows = (
        (first, [_answer(scene) for scene in first]),
        (
            [*scenes[4:8], *many[:2]],
            [*map(_answer, scenes[4:8]), *("an answer each" for _ in many[:2])],
        ),
        (
            [many[2], two, six, *near, empty],
            [
                "an answer each",
                _answer(two),
                _answer(six),
                "distance 0",
                f"distance {farthest // 2}",
                "no faces",
            ],
        ),
    )
    parts = [_strip([scene.image for scene in row], names) for row, names in rows]
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
    return CLASSES[scene.answers[0]].replace("_", " ")


def _strip(tiles: list[Picture], names: list[str]) -> Picture:
    """Tiles side by side with captions above them."""
    cv2 = opencv()
    size = tiles[0].shape[0]
    strip = np.full((CAPTION + size + GAP, len(tiles) * (size + GAP) + GAP, 3), PAPER, np.uint8)
    for i, (tile, name) in enumerate(zip(tiles, names, strict=True)):
        left = GAP + i * (size + GAP)
        strip[CAPTION : CAPTION + size, left : left + size] = tile
        where = (left + 1, CAPTION - 5)
        cv2.putText(strip, name, where, cv2.FONT_HERSHEY_SIMPLEX, 0.40, INK, 1, cv2.LINE_AA)
    return strip
