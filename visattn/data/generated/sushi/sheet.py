"""One picture that shows what there is: kinds over styles, and the variants of one scene."""

import numpy as np

from visattn.data.generated.pictures import Picture
from visattn.data.generated.sheet import (
    GAP,
    PAPER,
    captioned,
    save_contact_sheet as save_contact_sheet,
)
from visattn.data.generated.sushi.composition import render_scene, render_together
from visattn.data.generated.sushi.names import HELD_OUT_STYLES, KINDS, STYLES, check_size
from visattn.data.generated.sushi.parameters import TEST_VARIANTS, SushiParameters
from visattn.data.generated.sushi.plan import Scene, plan_shots

SHEET_VARIANTS = tuple(name for name in TEST_VARIANTS if name != "only_fg_grey")


def contact_sheet(
    *, size: int = 112, rows: int = 4, seed: int = 0, variants: bool = True
) -> Picture:
    """Draw a sheet: a column for each kind, a row for each style, and a row of variants.

    In the first row every kind is on its own style, in the last on one that is held out, in
    between on others. Below, if wanted, are the test variants of a single piece. The camera's
    noise is left out, for a smaller file.

    Args:
        size: side of a tile in pixels, at least 32.
        rows: rows of kinds, from 1 to 9.
        seed: of the pieces and backgrounds.
        variants: whether to draw the row of variants.

    Returns:
        The sheet, (height, width, 3) uint8, in RGB.

    Raises:
        ValueError: for a size below 32 or rows outside 1 to 9.

    >>> contact_sheet(size=32, rows=1, variants=False).shape
    (58, 292, 3)
    """
    size = check_size(size)
    if not 1 <= rows <= 1 + len(STYLES):
        raise ValueError(f"rows must lie in 1 to {1 + len(STYLES)}, got {rows}")
    parts = []
    for row in range(rows):
        tiles = [_tile(column, row, rows, size=size, seed=seed) for column in range(len(KINDS))]
        parts.append(captioned(tiles, KINDS if row == 0 else None))
    if variants:
        parts.append(captioned(*_variant_tiles(size=size, seed=seed)))
    width = parts[0].shape[1]
    edge = np.full((GAP, width, 3), PAPER, np.uint8)
    return np.concatenate([edge, *parts])


def _tile(column: int, row: int, rows: int, *, size: int, seed: int) -> Picture:
    if row == rows - 1 and rows > 1:
        style = HELD_OUT_STYLES[column % len(HELD_OUT_STYLES)]
    else:
        # Three styles further with each row: neighbours differ, and row 0 is the own style.
        style = STYLES[(column + 3 * row) % len(STYLES)]
    number = (seed * 64 + row) * 64 + column
    return render_scene(
        Scene(KINDS[column], style, 1_000_000 + number, number), size=size, noise=False
    )[0]


def _variant_tiles(*, size: int, seed: int) -> tuple[list[Picture], tuple[str, ...]]:
    parameters = SushiParameters(
        size=size, rho=1.0, train=0, val=0, test=3, seed=seed, variants=SHEET_VARIANTS
    )
    scenes = [shot.scene for shot in list(plan_shots(parameters))[2]]
    tiles = [picture for picture, _ in render_together(scenes, size=size, noise=False)]
    return tiles, SHEET_VARIANTS
