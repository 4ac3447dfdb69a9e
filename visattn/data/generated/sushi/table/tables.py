"""What plates stand on: wood, slate, marble, cloth, bamboo, straw, stone, felt."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec

import numpy as np

from visattn.data.generated.pictures import Colour
from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.canvas import mix
from visattn.data.generated.sushi.drawing.noise import (
    Field,
    fractal_noise,
    lines,
    smoothstep,
    stretched_noise,
)
from visattn.data.generated.sushi.drawing.shading import (
    Finish,
    Light,
    Planes,
    develop,
    linear,
    shade,
)
from visattn.data.generated.sushi.drawing.shapes import turned
from visattn.data.optional import cv2

SUPERSAMPLING = 1.5
"""Enough where edges are anti-aliased by their distance already."""


@dataclass
class Ground:
    """The picture's plane: ``x`` and ``y`` in units of its side, 0 in the middle.

    Args:
        size: pixels of a side; all is drawn on `SUPERSAMPLING` as many, ``pixels``.
        light: of the scene.
        rng: of the background.
    """

    size: int
    light: Light
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.pixels = round(self.size * SUPERSAMPLING)
        axis = ((np.arange(self.pixels, dtype=np.float32) + 0.5) / self.pixels - 0.5).astype(
            np.float32
        )
        self.x: Field
        self.y: Field
        self.x, self.y = np.meshgrid(axis, axis)

    def developed(self, planes: Planes) -> Field:
        """Linear light as display values (size, size, 3)."""
        packed = np.ascontiguousarray(develop(planes, self.light).transpose(1, 2, 0))
        small = cv2.resize(packed, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.clip(small, 0, 1)

    def noise(self, *, cells: tuple[int, int] = (4, 4), octaves: int = 3) -> Field:
        """Fractal noise over the picture."""
        side = self.pixels
        return fractal_noise(self.rng, side, side, cells=cells, octaves=octaves)

    def turned(self, degrees: float) -> tuple[Field, Field]:
        """Coordinates in a frame turned by up to so many degrees and shifted at random."""
        angle = np.deg2rad(self.rng.uniform(-degrees, degrees))
        dx, dy = self.rng.uniform(-0.5, 0.5, 2).astype(np.float32)
        x, y = turned(self.x, self.y, angle)
        return x + dx, y + dy

    def colour(self, rgb: Colour, *, spread: float = variety.STYLE_COLOUR_SPREAD) -> Planes:
        """A colour near the given one, as linear light."""
        return linear(np.clip(np.asarray(rgb) + self.rng.normal(0, spread, 3), 0.01, 1.0))

    def shade(self, albedo: Planes, height: Field, finish: Finish) -> Planes:
        """Shade a height field given in units of the picture's side."""
        relief = (height * np.float32(self.pixels)).astype(np.float32)
        tilt = (self.x * np.float32(-0.3), self.y * np.float32(-0.3))
        return shade(albedo.astype(np.float32), relief, self.light, finish, tilt=tilt)


Options = ParamSpec("Options")
Table = Callable[[Ground], Planes]


def table(draw: Callable[Concatenate[Ground, Options], Planes]) -> Callable[Options, Table]:
    """From a function that draws a table with options to one of the options that gives a table."""

    @wraps(draw)
    def with_options(*args: Options.args, **kwargs: Options.kwargs) -> Table:
        return lambda ground: draw(ground, *args, **kwargs)

    return with_options


@table
def wood(ground: Ground, light_tone: Colour, dark_tone: Colour, *, boards: float = 3.0) -> Planes:
    """Planks with grain along them and a dark gap between two."""
    x, y = ground.turned(variety.TABLE_TURN_DEGREES)
    board = np.floor(y * boards)
    shift = np.float32(7.31) * board
    warp = ground.noise(cells=(3, 3), octaves=2)
    fibre = stretched_noise(ground.rng, x + shift, y, cells=(96, 3))
    rings = np.sin(
        2 * np.pi * (5.5 * y + 0.55 * np.sin(2.2 * x + shift) + 0.10 * warp + 0.35 * fibre)
    )
    share = np.clip(0.45 + 0.28 * rings + 0.20 * fibre, 0, 1)
    albedo = mix(ground.colour(light_tone), ground.colour(dark_tone), share)
    tone = 1 + 0.10 * np.sin(board * np.float32(12.9898) + 1)
    gap = lines(y * boards, 0.035)
    albedo = albedo * (tone * (1 - 0.75 * gap))
    return ground.shade(albedo, 0.0016 * fibre - 0.004 * gap, Finish(specular=0.05, gloss=12))


@table
def slate(ground: Ground, tone: Colour) -> Planes:
    """Cleft stone: a rough relief that the light rakes."""
    rough = ground.noise(cells=(4, 5), octaves=5)
    steps = np.abs(ground.noise(cells=(3, 3), octaves=4))
    albedo = ground.colour(tone) * np.clip(1 + 0.16 * rough, 0.4, 1.8)
    return ground.shade(albedo, 0.006 * rough + 0.016 * steps, Finish(specular=0.06, gloss=14))


@table
def marble(ground: Ground, tone: Colour, vein: Colour) -> Planes:
    """Polished marble with soft veins."""
    x, y = ground.turned(variety.TABLE_TURN_DEGREES)
    warp = ground.noise(cells=(2, 2), octaves=5)
    cloud = ground.noise(cells=(3, 3), octaves=4)
    thick = lines(1.5 * x + 0.7 * y + 0.42 * warp, 0.16)
    thin = lines(3.1 * y - 1.2 * x + 0.62 * warp + 0.2 * cloud, 0.07)
    share = 0.62 * thick * smoothstep(-1.2, 1.0, cloud) + 0.40 * thin + 0.07 * np.abs(cloud)
    albedo = mix(ground.colour(tone), ground.colour(vein), np.clip(share, 0, 1))
    flat = np.zeros_like(x)
    return ground.shade(albedo, flat, Finish(specular=0.03, gloss=20))


@table
def cloth(
    ground: Ground, tone: Colour, thread: Colour, *, threads: float = 46.0, pattern: str = "plain"
) -> Planes:
    """Woven cloth, plain or with a pattern of waves ("waves") or checks ("checks")."""
    x, y = ground.turned(variety.TABLE_TURN_DEGREES)
    uneven = ground.noise(cells=(24, 24), octaves=2)
    folds = ground.noise(cells=(2, 2), octaves=2)
    warp = np.sin(2 * np.pi * threads * x + 0.5 * uneven)
    weft = np.sin(2 * np.pi * threads * y + 0.5 * uneven)
    weave = np.maximum(warp, weft)
    share = np.clip(0.30 + 0.22 * weave + 0.12 * uneven, 0, 1)
    if pattern == "waves":
        share = np.clip(0.16 * share + 0.85 * _waves(x, y), 0, 1)
    elif pattern == "checks":
        stripe = 0.5 * ((x * 7) % 1 < 0.5) + 0.5 * ((y * 7) % 1 < 0.5)
        share = np.clip(0.25 * share + 0.75 * stripe, 0, 1).astype(np.float32)
    albedo = mix(ground.colour(tone), ground.colour(thread), share)
    albedo = albedo * np.clip(1 + 0.05 * uneven, 0.6, 1.4)
    return ground.shade(albedo, 0.0012 * weave + 0.018 * folds, Finish(specular=0.0, wrap=0.3))


def _waves(x: Field, y: Field) -> Field:
    """Seigaiha: rows of overlapping scales, each of concentric arcs."""
    scale = np.float32(7.0)
    out = np.zeros_like(x)
    row = np.floor(y * scale * 2)
    done = np.zeros(x.shape, bool)
    # The scale that lies on top at a point is the lowest of the rows that reach it.
    for back in (2, 1, 0):
        r = row + back
        centre_x = (np.floor(x * scale - 0.5 * (r % 2)) + 0.5 + 0.5 * (r % 2)).astype(np.float32)
        dx, dy = x * scale - centre_x, y * scale - r / 2
        distance = np.sqrt(dx * dx + dy * dy)
        inside = (distance < 0.5) & ~done
        arcs = lines(distance * 6 + 0.5, 0.55)
        out = np.where(inside, arcs, out)
        done |= inside
    return out.astype(np.float32)


@table
def slats(ground: Ground, tone: Colour, thread: Colour, *, count: float = 17.0) -> Planes:
    """A mat of round slats, tied with rows of thread."""
    x, y = ground.turned(variety.TABLE_TURN_DEGREES)
    fibre = stretched_noise(ground.rng, x, y, cells=(80, 4))
    position = y * np.float32(count)
    slat = np.floor(position)
    across = 2 * (position - slat) - 1
    round_ = np.sqrt(np.maximum(1 - 0.96 * across * across, 0))
    tint = 1 + 0.10 * np.sin(slat * np.float32(78.233))
    knots = lines(x * 1.15 + np.float32(0.37) * (slat % 5), 0.012) * 0.35
    albedo = ground.colour(tone) * (tint * (0.90 + 0.08 * fibre) * (0.45 + 0.55 * round_))
    albedo = albedo * (1 - knots)
    tie = np.maximum(lines(x * 2.6, 0.05) - 0.2, 0) * 1.25
    albedo = mix(albedo, ground.colour(thread), np.clip(tie * 1.4, 0, 1))
    height = (0.4 / count) * round_ + 0.004 * tie
    return ground.shade(albedo, height, Finish(specular=0.08, gloss=18))


@table
def straw(ground: Ground, tone: Colour, *, count: float = 46.0) -> Planes:
    """Tatami: fine rushes in ribs."""
    x, y = ground.turned(variety.TABLE_TURN_DEGREES)
    fibre = stretched_noise(ground.rng, x, y, cells=(120, 10))
    rib = np.cos(2 * np.pi * count * y)
    nodes = np.cos(2 * np.pi * (count / 2.6) * x + np.pi * np.floor(count * y))
    albedo = ground.colour(tone) * np.clip(0.92 + 0.09 * fibre + 0.05 * nodes, 0.4, 1.5)
    return ground.shade(albedo, 0.0022 * rib + 0.0006 * nodes, Finish(specular=0.03, gloss=10))


@table
def granite(ground: Ground, tone: Colour, dark: Colour, pale: Colour) -> Planes:
    """Polished granite: grains of three colours."""
    fine = ground.noise(cells=(60, 60), octaves=1)
    other = ground.noise(cells=(52, 52), octaves=1)
    cloud = ground.noise(cells=(3, 3), octaves=3)
    albedo = mix(ground.colour(tone), ground.colour(dark), smoothstep(0.3, 1.3, fine + 0.2 * cloud))
    albedo = mix(albedo, ground.colour(pale), smoothstep(0.6, 1.5, other))
    return ground.shade(albedo, np.zeros_like(fine), Finish(specular=0.04, gloss=24))


@table
def felt(ground: Ground, tone: Colour) -> Planes:
    """Thick felt with a nap."""
    nap = ground.noise(cells=(40, 40), octaves=2)
    broad = ground.noise(cells=(3, 3), octaves=3)
    albedo = ground.colour(tone) * np.clip(1 + 0.10 * nap + 0.06 * broad, 0.5, 1.5)
    return ground.shade(albedo, 0.0022 * nap + 0.01 * broad, Finish(specular=0.0, wrap=0.35))
