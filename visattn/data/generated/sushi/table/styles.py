"""Styles: which plate stands on which table, and a background rendered from one."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.noise import Field
from visattn.data.generated.sushi.drawing.shading import Finish, Light, sample_light
from visattn.data.generated.sushi.drawing.shapes import (
    disc,
    leaf,
    lobed_disc,
    octagon,
    oval,
    rounded_box,
)
from visattn.data.generated.sushi.names import HELD_OUT_STYLES, STYLES, check_name, check_size
from visattn.data.generated.sushi.table import plates, tables
from visattn.data.generated.sushi.table.chopsticks import lay_chopsticks
from visattn.data.generated.sushi.table.garnish import lay_garnish
from visattn.data.generated.sushi.table.plates import Plate
from visattn.data.generated.sushi.table.tables import Ground, Table

GLAZED = Finish(specular=0.20, gloss=34, window=0.10)
LACQUER = Finish(specular=0.20, gloss=46, window=0.13)
MATTE = Finish(specular=0.03, gloss=10, wrap=0.1)


@dataclass(frozen=True)
class Style:
    """A table and a plate on it."""

    table: Table
    plate: Plate


ALL_STYLES: dict[str, Style] = {
    "black_lacquer": Style(
        tables.wood((0.72, 0.52, 0.33), (0.47, 0.29, 0.16)),
        Plate(partial(disc, radius=0.45), plates.DISH, plates.plain((0.10, 0.10, 0.11)), LACQUER),
    ),
    "white_porcelain": Style(
        tables.slate((0.27, 0.30, 0.34)),
        Plate(
            partial(disc, radius=0.44),
            plates.DEEP,
            plates.plain((0.93, 0.93, 0.91), edge=(0.30, 0.40, 0.62), edge_width=0.009),
            GLAZED,
        ),
    ),
    "blue_glaze": Style(
        tables.marble((0.92, 0.91, 0.89), (0.55, 0.55, 0.57)),
        Plate(
            partial(disc, radius=0.43),
            plates.DEEP,
            plates.pooled((0.42, 0.58, 0.74), (0.13, 0.25, 0.52)),
            GLAZED,
        ),
    ),
    "geta_board": Style(
        tables.cloth((0.16, 0.21, 0.36), (0.80, 0.80, 0.76), pattern="waves"),
        Plate(
            partial(rounded_box, a=0.50, b=0.34, radius=0.015),
            plates.SLAB,
            plates.grained((0.86, 0.70, 0.48), (0.70, 0.50, 0.29)),
            Finish(specular=0.04, gloss=14),
            thickness=0.06,
        ),
    ),
    "celadon": Style(
        tables.slats((0.78, 0.66, 0.38), (0.30, 0.22, 0.14)),
        Plate(
            partial(lobed_disc, radius=0.46, lobes=8, depth=0.09),
            plates.DISH,
            plates.pooled((0.78, 0.86, 0.76), (0.55, 0.70, 0.60)),
            GLAZED,
        ),
    ),
    "terracotta": Style(
        tables.straw((0.70, 0.70, 0.46)),
        Plate(
            partial(oval, a=0.50, b=0.39),
            plates.DEEP,
            plates.pooled((0.62, 0.36, 0.24), (0.70, 0.43, 0.30), speckles=0.5),
            MATTE,
            relief=0.0012,
        ),
    ),
    "stone_slab": Style(
        tables.wood((0.90, 0.80, 0.64), (0.80, 0.66, 0.47), boards=4.0),
        Plate(
            partial(rounded_box, a=0.47, b=0.38, radius=0.02),
            plates.SLAB,
            plates.rough((0.33, 0.35, 0.36)),
            Finish(specular=0.05, gloss=16),
            thickness=0.035,
            relief=0.004,
        ),
    ),
    "red_lacquer": Style(
        tables.cloth((0.80, 0.76, 0.68), (0.62, 0.57, 0.48)),
        Plate(
            partial(rounded_box, a=0.46, b=0.40, radius=0.10),
            plates.TRAY,
            plates.plain((0.50, 0.07, 0.07), edge=(0.09, 0.08, 0.08), edge_width=0.026),
            LACQUER,
        ),
    ),
    "leaf": Style(
        tables.granite((0.62, 0.58, 0.56), (0.28, 0.27, 0.29), (0.82, 0.78, 0.74)),
        Plate(
            partial(leaf, a=0.62, b=0.37),
            plates.DISH,
            plates.veined((0.25, 0.42, 0.19), (0.52, 0.62, 0.32)),
            Finish(specular=0.12, gloss=22, window=0.04),
        ),
    ),
    "kintsugi": Style(
        tables.wood((0.36, 0.24, 0.17), (0.21, 0.13, 0.09), boards=2.0),
        Plate(
            partial(disc, radius=0.44),
            plates.DISH,
            plates.mended((0.88, 0.87, 0.84), (0.82, 0.62, 0.22)),
            GLAZED,
        ),
    ),
    "mustard_glaze": Style(
        tables.felt((0.14, 0.34, 0.36)),
        Plate(
            partial(rounded_box, a=0.42, b=0.42, radius=0.06),
            plates.DEEP,
            plates.pooled((0.86, 0.68, 0.26), (0.72, 0.52, 0.14), speckles=0.4),
            GLAZED,
        ),
    ),
    "octagon": Style(
        tables.cloth((0.88, 0.86, 0.84), (0.70, 0.36, 0.42), pattern="checks", threads=40),
        Plate(
            partial(octagon, radius=0.43),
            plates.DISH,
            plates.plain((0.34, 0.24, 0.40), edge=(0.80, 0.64, 0.32), edge_width=0.012),
            GLAZED,
        ),
    ),
}
"""Every style by name."""


def background(style: str, seed: int, *, size: int = 96, light: Light | None = None) -> Field:
    """Render a plate on a table, without sushi and without its shadow.

    Args:
        style: one of :data:`~visattn.data.generated.sushi.STYLES` or
            :data:`~visattn.data.generated.sushi.HELD_OUT_STYLES`.
        seed: of the background: place, turn, grain, small shifts of colour.
        size: side of the picture in pixels.
        light: of the scene; ``sample_light(seed)`` if not given.

    Returns:
        Display values (size, size, 3), float32 in [0, 1].

    Raises:
        ValueError: for an unknown style or a size below 32.

    >>> background("celadon", 1, size=48).shape
    (48, 48, 3)
    """
    check_name(style, STYLES + HELD_OUT_STYLES, what="style")
    size = check_size(size)
    light = sample_light(seed) if light is None else light
    ground = Ground(size, light, np.random.default_rng([seed, 0xBAC6]))
    chosen = ALL_STYLES[style]
    planes = plates.lay(ground, chosen.table(ground), chosen.plate)
    planes = lay_garnish(ground, planes)
    if ground.rng.uniform() < variety.CHOPSTICKS:
        planes = lay_chopsticks(ground, planes)
    return ground.developed(planes)
