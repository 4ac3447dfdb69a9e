"""A round plate of one colour."""

import numpy as np

from visattn.data.generated.sushi.drawing.noise import smoothstep
from visattn.data.generated.sushi.drawing.shading import Finish, Light
from visattn.data.generated.sushi.drawing.shapes import disc
from visattn.data.generated.tasty.cutouts import SUPERSAMPLING, Cutout, Sheet
from visattn.data.generated.tasty.palette import RGB

_GLAZED = Finish(specular=0.20, gloss=34, window=0.08)


def draw_plate(*, colour: int, diameter: int, light: Light) -> Cutout:
    """Draw a plate.

    Args:
        colour: its number in `palette.NAMES`.
        diameter: in pixels.
        light: of the scene.

    >>> draw_plate(colour=2, diameter=18, light=Light((0.3, -0.4, 0.87))).alpha.shape
    (18, 18)
    """
    sheet = Sheet(diameter * SUPERSAMPLING, light)
    radius = np.sqrt(sheet.x**2 + sheet.y**2)
    # A lip, then a slope down to the well.
    relief = 0.05 * smoothstep(1.0, 0.93, radius) - 0.14 * smoothstep(0.88, 0.62, radius)
    edge = disc(sheet.x, sheet.y, radius=0.995)
    alpha = sheet.lay(RGB[colour], edge, finish=_GLAZED, relief=relief)
    return sheet.cutout(alpha, size=diameter)
