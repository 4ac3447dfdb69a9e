"""The frame in which a piece of sushi is built, and the canvas on which its layers are laid."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.noise import Field, fractal_noise
from visattn.data.generated.sushi.drawing.shading import Finish, Light, Planes, develop, shade
from visattn.data.optional import cv2

Outline = Callable[[Field, Field], Field]
"""A signed distance as a function of (u, v), negative inside, in half-lengths."""


@dataclass
class Frame:
    """Coordinates of a piece: ``u`` along it, ``v`` across, in half-lengths; heights show upwards.

    The camera looks down at a slant, so a point at height ``e`` appears ``e`` further up in the
    picture. :meth:`at` gives the coordinates as seen at a height, which may be a field.

    Args:
        rows: height of the canvas in pixels.
        columns: its width.
        unit: pixels per half-length.
        angle: of the long axis against the picture's horizontal, in radians.
        centre: of the piece on the canvas, (x, y) in pixels.
        light: of the scene.
        rng: of the piece.
    """

    rows: int
    columns: int
    unit: float
    angle: float
    centre: tuple[float, float]
    light: Light
    rng: np.random.Generator

    def __post_init__(self) -> None:
        x = (np.arange(self.columns, dtype=np.float32) + 0.5 - self.centre[0]) / self.unit
        y = (np.arange(self.rows, dtype=np.float32) + 0.5 - self.centre[1]) / self.unit
        self.cosine = np.float32(np.cos(self.angle))
        self.sine = np.float32(np.sin(self.angle))
        self.x = np.broadcast_to(x[None, :], (self.rows, self.columns))
        self.y = np.broadcast_to(y[:, None], (self.rows, self.columns))
        self.u: Field = (x * self.cosine)[None, :] + (y * self.sine)[:, None]
        self.v: Field = (-x * self.sine)[None, :] + (y * self.cosine)[:, None]
        self.down = (float(self.sine), float(self.cosine))
        """The picture's downward direction in (u, v)."""

    def at(self, elevation: float | Field) -> tuple[Field, Field]:
        """Coordinates (u, v) of what is seen at a height above the plate."""
        e = np.asarray(elevation, np.float32)
        return self.u + e * self.sine, self.v + e * self.cosine

    def noise(self, *, cells: tuple[int, int] = (4, 4), octaves: int = 3) -> Field:
        """Fractal noise over the canvas, mean about 0 and standard deviation about 1."""
        return fractal_noise(self.rng, self.rows, self.columns, cells=cells, octaves=octaves)

    def tone(
        self,
        tones: tuple[tuple[float, float, float], ...],
        *,
        spread: float = variety.COLOUR_SPREAD,
    ) -> Planes:
        """A colour somewhere between the given ones, as linear light (3, 1, 1)."""
        weights = self.rng.dirichlet([variety.TONE_CONCENTRATION] * len(tones))
        colour = weights @ np.asarray(tones)
        colour = colour + self.rng.normal(0, spread, 3)
        return np.square(np.clip(colour, 0.02, 1.0)).astype(np.float32).reshape(3, 1, 1)

    def shade(self, albedo: Planes, relief: Field, finish: Finish) -> Planes:
        """Shade a height field given in half-lengths."""
        height = (relief * self.unit).astype(np.float32)
        return shade(albedo.astype(np.float32), height, self.light, finish)


class Canvas:
    """Layers laid one over the other: colours times alpha, and alpha."""

    def __init__(self, rows: int, columns: int) -> None:
        self.premultiplied: Planes = np.zeros((3, rows, columns), np.float32)
        self.alpha: Field = np.zeros((rows, columns), np.float32)

    def add(self, planes: Planes, alpha: Field) -> None:
        """Lay a layer of linear light over what is there."""
        keep = 1 - alpha
        self.premultiplied *= keep
        self.premultiplied += planes * alpha
        self.alpha *= keep
        self.alpha += alpha

    def darken(self, factor: Field) -> None:
        """Shade what is there; alpha stays."""
        self.premultiplied *= factor

    def developed(
        self, light: Light, *, shape: tuple[int, int], also: tuple[Field, ...] = ()
    ) -> tuple[Field, Field, Field]:
        """Display values, developed at full resolution and then averaged down to a shape.

        So the matte is exact in display values.

        Args:
            light: of the scene.
            shape: rows and columns.
            also: further fields to average down.

        Returns:
            Colours (rows, columns, 3), not multiplied by alpha; alpha (rows, columns); the further
            fields (rows, columns, number).
        """
        shown = develop(self.premultiplied / thick(self.alpha), light) * self.alpha
        fields = np.concatenate([shown, self.alpha[None], *(field[None] for field in also)])
        packed = np.ascontiguousarray(fields.transpose(1, 2, 0).astype(np.float32))
        small = cv2.resize(packed, shape[::-1], interpolation=cv2.INTER_AREA)
        return small[..., :3] / thick(small[..., 3])[..., None], small[..., 3], small[..., 4:]


def thick(alpha: Field) -> Field:
    """Alpha to divide by, above 0."""
    return np.maximum(alpha, np.float32(1e-4))


def mix(below: Planes, above: Planes, share: Field) -> Planes:
    """Blend two colours field by field: ``below`` where ``share`` is 0."""
    return below + (above - below) * share


def dome(distance: Field, width: float) -> Field:
    """Quarter-circle edge of a solid: 0 on the outline, 1 from ``width`` inside it on."""
    t = np.clip(1 + distance * np.float32(1 / width), 0.0, 1.0)
    return np.sqrt(np.maximum(1 - t * t, 0))


def swept(frame: Frame, outline: Outline, *, high: float) -> Field:
    """Signed distance of a flat shape pulled upwards from the plate to a height."""
    heights = np.linspace(0.0, high, 5).tolist()
    return reduce(np.minimum, (outline(*frame.at(height)) for height in heights))
