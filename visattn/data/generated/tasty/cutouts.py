"""Things drawn on nothing, to be laid on a table: their colours and their alpha."""

from dataclasses import dataclass

import numpy as np

from visattn.data.generated.pictures import Colour
from visattn.data.generated.sushi.drawing.canvas import Canvas
from visattn.data.generated.sushi.drawing.noise import Field
from visattn.data.generated.sushi.drawing.shading import Finish, Light, linear, shade
from visattn.data.generated.sushi.drawing.shapes import coverage

SUPERSAMPLING = 3


@dataclass(frozen=True)
class Cutout:
    """A drawn thing on nothing.

    Args:
        rgb: (height, width, 3), display values, not multiplied by alpha.
        alpha: (height, width), all of it.
        part: (height, width), alpha of its telling part: the head of a diner; else all of it.
    """

    rgb: Field
    alpha: Field
    part: Field


class Sheet:
    """A square canvas with coordinates from -1 to 1, on which flat shapes are laid."""

    def __init__(self, side: int, light: Light) -> None:
        axis = ((np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1).astype(np.float32)
        self.x: Field = np.broadcast_to(axis[None, :], (side, side))
        self.y: Field = np.broadcast_to(axis[:, None], (side, side))
        self.unit, self.light = side / 2, light
        self.canvas = Canvas(side, side)

    def lay(
        self,
        colour: Colour,
        distance: Field,
        *,
        finish: Finish | None = None,
        relief: Field | None = None,
        inside: Field | None = None,
        strength: float = 1.0,
    ) -> Field:
        """Lay a shape, shaded if it has a finish, and return its alpha."""
        alpha = coverage(distance, self.unit) * np.float32(strength)
        if inside is not None:
            alpha = alpha * inside
        planes = linear(colour)
        if finish is not None:
            height = np.zeros_like(distance) if relief is None else relief * np.float32(self.unit)
            planes = shade(planes, height.astype(np.float32), self.light, finish)
        self.canvas.add(planes, alpha)
        return alpha

    def cutout(self, part: Field, *, size: int) -> Cutout:
        """What was laid, brought to a size; ``part`` is the alpha of its telling part."""
        rgb, alpha, parts = self.canvas.developed(self.light, shape=(size, size), also=(part,))
        return Cutout(np.clip(rgb, 0, 1), alpha, parts[..., 0])
