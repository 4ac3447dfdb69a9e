"""Settings: a table in its light, and the buri that are served on it."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from visattn.data.generated.sushi.drawing.canvas import thick
from visattn.data.generated.sushi.drawing.noise import Field
from visattn.data.generated.sushi.drawing.shading import Light, sample_light
from visattn.data.generated.sushi.food.pieces import cut_piece
from visattn.data.generated.sushi.table import tables
from visattn.data.generated.sushi.table.tables import Ground
from visattn.data.generated.tasty.cutouts import Cutout
from visattn.data.optional import cv2

TABLES = (
    tables.wood((0.72, 0.52, 0.33), (0.47, 0.29, 0.16)),
    tables.slate((0.30, 0.32, 0.35)),
    tables.marble((0.92, 0.91, 0.89), (0.55, 0.55, 0.57)),
    tables.cloth((0.80, 0.76, 0.68), (0.62, 0.57, 0.48)),
    tables.wood((0.90, 0.80, 0.64), (0.80, 0.66, 0.47), boards=4.0),
    tables.granite((0.62, 0.58, 0.56), (0.28, 0.27, 0.29), (0.82, 0.78, 0.74)),
    tables.slats((0.74, 0.62, 0.42), (0.30, 0.22, 0.14)),
    tables.wood((0.36, 0.24, 0.17), (0.21, 0.13, 0.09), boards=2.0),
    tables.felt((0.36, 0.34, 0.33)),
)
"""Tables of wood, stone and cloth, none in a colour of the rings."""

LENGTH = 0.80  # of a buri, in diameters of its plate
_DRAWN_AT = 128  # side of the picture from which a buri is cut


@dataclass(frozen=True)
class Setting:
    """What a scene is laid on.

    Args:
        light: of all that stands there.
        table: (size, size, 3), display values.
        buri: one for each plate.
    """

    light: Light
    table: Field
    buri: tuple[Cutout, ...]


def render_setting(number: int, seed: int, *, size: int, plate: int, pieces: int) -> Setting:
    """Render a setting.

    Args:
        number: chooses the kind of table.
        seed: of all the rest.
        size: side of the picture in pixels.
        plate: diameter of a plate in pixels.
        pieces: how many buri.
    """
    drawn = sample_light(seed)
    # The colour of the light is held back, since it is by colour that diners are told apart.
    red, green, blue = (factor**0.5 for factor in drawn.white_balance)
    light = dataclasses.replace(
        drawn, white_balance=(red, green, blue), exposure=drawn.exposure**0.5
    )
    ground = Ground(size, light, np.random.default_rng([seed, 0x7AB1E]))
    table = ground.developed(TABLES[number % len(TABLES)](ground))
    rng = np.random.default_rng([seed, 0xB021])
    buri = tuple(
        _cut(int(rng.integers(2**40)), light, length=round(LENGTH * plate)) for _ in range(pieces)
    )
    return Setting(light, table, buri)


def _cut(seed: int, light: Light, *, length: int) -> Cutout:
    """A buri, cut out and brought to a length."""
    rgb, alpha = cut_piece("buri", seed, size=_DRAWN_AT, light=light)
    scale = length / max(alpha.shape)
    height, width = (max(round(side * scale), 1) for side in alpha.shape)
    packed = np.concatenate([rgb * alpha[..., None], alpha[..., None]], axis=2)
    small = cv2.resize(packed, (width, height), interpolation=cv2.INTER_AREA)
    alpha = small[..., 3]
    return Cutout(np.clip(small[..., :3] / thick(alpha)[..., None], 0, 1), alpha, alpha)
