"""What lies beside sushi: ginger, wasabi, radish, carrot, cucumber, shiso, lemon, plum, loose roe.

Garnish belongs to the background. It has the colours of the kinds but says nothing about the class,
so that a colour somewhere in the picture is no proof of the sushi it reminds of.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from visattn.data.generated.pictures import Colour
from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.canvas import dome, mix
from visattn.data.generated.sushi.drawing.noise import Field, fractal_noise, lines, smoothstep
from visattn.data.generated.sushi.drawing.shading import Finish, Planes, linear, shade
from visattn.data.generated.sushi.drawing.shapes import (
    coverage,
    disc,
    leaf,
    lobed_disc,
    oval,
    turned,
)
from visattn.data.generated.sushi.table.plates import soft_shadow
from visattn.data.generated.sushi.table.tables import Ground


@dataclass
class Patch:
    """A small square of the picture in coordinates of the garnish, 1 at its edge."""

    x: Field
    y: Field
    rng: np.random.Generator

    def noise(self, cells: int, octaves: int = 2) -> Field:
        """Fractal noise over the patch."""
        rows, columns = self.x.shape
        return fractal_noise(self.rng, rows, columns, cells=(cells, cells), octaves=octaves)

    def colour(self, rgb: Colour) -> Planes:
        """A colour near the given one, as linear light."""
        near = np.asarray(rgb) + self.rng.normal(0, variety.GARNISH_COLOUR_SPREAD, 3)
        return linear(np.clip(near, 0.02, 1))


@dataclass(frozen=True)
class Piece:
    """A drawn garnish: signed distance, linear colours, height (in radii) and finish."""

    distance: Field
    albedo: Planes
    height: Field
    finish: Finish


def ginger(patch: Patch) -> Piece:
    """Pickled ginger: thin pink petals, folded over one another."""
    petal = patch.colour((0.95, 0.74, 0.66))
    wobble = 0.10 * patch.noise(4)
    distance, height = np.ones_like(patch.x), np.zeros_like(patch.x)
    albedo: Planes = petal * np.ones_like(patch.x)
    for number in range(4):
        angle = patch.rng.uniform(0, math.pi)
        dx, dy = patch.rng.uniform(-0.32, 0.32, 2).astype(np.float32)
        u, v = turned(patch.x - dx, patch.y - dy, angle)
        one = oval(u, v + 0.35 * u * u - 0.1, a=0.62, b=0.36) + wobble
        inside = coverage(one, 8.0)
        folds = np.sin(9 * u + 5 * v)
        tone = petal * (0.80 + 0.10 * number / 3 + 0.08 * folds)
        albedo = mix(albedo, tone, inside)
        height = height * (1 - inside) + inside * (
            0.12 * (number + 1) + 0.10 * dome(one, 0.2) + 0.03 * folds
        )
        distance = np.minimum(distance, one)
    return Piece(distance, albedo, height, Finish(specular=0.18, gloss=26, wrap=0.4))


def wasabi(patch: Patch) -> Piece:
    """A mound of wasabi."""
    rough = patch.noise(5, 3)
    distance = disc(patch.x, patch.y, radius=0.82) + 0.08 * rough
    albedo = patch.colour((0.62, 0.73, 0.38)) * (1 + 0.10 * rough)
    height = 0.75 * dome(distance, 0.8) + 0.05 * rough
    return Piece(distance, albedo, height, Finish(specular=0.04, gloss=12, wrap=0.2))


def radish(patch: Patch) -> Piece:
    """Takuan: half-moons of yellow pickled radish."""
    tone = patch.colour((0.95, 0.80, 0.26))
    back = np.maximum(disc(patch.x + 0.12, patch.y + 0.16, radius=0.78), -patch.y - 0.30)
    front = np.maximum(disc(patch.x - 0.12, patch.y - 0.04, radius=0.78), -patch.y - 0.02)
    rings = 0.5 + 0.5 * np.cos(20 * np.sqrt(patch.x**2 + patch.y**2))
    share = coverage(front, 8.0)
    albedo = tone * (0.86 + 0.06 * rings) * (0.90 + 0.10 * share)
    height = 0.10 * dome(back, 0.1) * (1 - share) + (0.14 + 0.14 * dome(front, 0.12)) * share
    return Piece(np.minimum(back, front), albedo, height, Finish(specular=0.22, gloss=26, wrap=0.3))


def carrot(patch: Patch) -> Piece:
    """A slice of carrot cut as a plum blossom."""
    distance = lobed_disc(patch.x, patch.y, radius=0.92, lobes=5, depth=0.30)
    angle = np.arctan2(patch.y, patch.x)
    groove = lines(angle * np.float32(5 / (2 * math.pi)) + 0.5, 0.14)
    core = smoothstep(0.30, 0.18, np.sqrt(patch.x**2 + patch.y**2))
    albedo = mix(
        patch.colour((0.93, 0.47, 0.17)) * (1 - 0.20 * groove), linear((0.97, 0.66, 0.28)), core
    )
    height = 0.16 * dome(distance, 0.15) - 0.07 * groove
    return Piece(distance, albedo, height, Finish(specular=0.16, gloss=22, wrap=0.2))


def cucumber(patch: Patch) -> Piece:
    """A slice of cucumber."""
    radius = np.sqrt(patch.x**2 + patch.y**2)
    distance = radius - 0.88 + 0.02 * patch.noise(5)
    seeds = smoothstep(0.2, 0.9, np.cos(9 * np.arctan2(patch.y, patch.x)))
    seeds = seeds * np.exp(-(((radius - 0.36) / 0.12) ** 2))
    albedo = mix(patch.colour((0.76, 0.87, 0.56)), linear((0.92, 0.94, 0.78)), np.clip(seeds, 0, 1))
    albedo = mix(albedo, patch.colour((0.16, 0.38, 0.15)), smoothstep(0.74, 0.82, radius))
    height = 0.16 * dome(distance, 0.12)
    return Piece(distance, albedo, height, Finish(specular=0.22, gloss=28, window=0.05, wrap=0.2))


def shiso(patch: Patch) -> Piece:
    """A leaf of shiso, with a jagged edge."""
    jag = 0.05 * np.abs((patch.x * 9) % 2 - 1)
    distance = leaf(patch.x, patch.y, a=0.98, b=0.60) + jag
    veins = np.maximum(
        lines(4.5 * (np.abs(patch.y) - 0.8 * patch.x), 0.16), np.exp(-((patch.y / 0.035) ** 2))
    )
    albedo = mix(
        patch.colour((0.24, 0.44, 0.16)) * (1 + 0.10 * patch.noise(6)),
        linear((0.48, 0.62, 0.30)),
        0.6 * veins,
    )
    height = 0.05 * dome(distance, 0.2) - 0.03 * veins + 0.06 * np.abs(patch.y)
    return Piece(distance, albedo, height, Finish(specular=0.08, gloss=16, wrap=0.2))


def lemon(patch: Patch) -> Piece:
    """A slice of lemon."""
    radius = np.sqrt(patch.x**2 + patch.y**2)
    distance = radius - np.float32(0.90)
    spokes = lines(np.arctan2(patch.y, patch.x) * np.float32(9 / (2 * math.pi)), 0.16)
    pith = np.maximum(spokes * smoothstep(0.05, 0.2, radius), smoothstep(0.68, 0.74, radius))
    albedo = mix(
        patch.colour((0.95, 0.86, 0.38)) * (1 + 0.06 * patch.noise(8)),
        linear((0.97, 0.95, 0.84)),
        np.clip(pith, 0, 1),
    )
    albedo = mix(albedo, patch.colour((0.95, 0.80, 0.16)), smoothstep(0.80, 0.84, radius))
    height = 0.14 * dome(distance, 0.10) + 0.03 * pith
    return Piece(distance, albedo, height, Finish(specular=0.25, gloss=30, window=0.08, wrap=0.3))


def plum(patch: Patch) -> Piece:
    """A pickled plum, red and wrinkled."""
    wrinkles = patch.noise(6)
    distance = disc(patch.x, patch.y, radius=0.82) + 0.03 * wrinkles
    albedo = patch.colour((0.74, 0.18, 0.20)) * (1 + 0.14 * wrinkles)
    height = 0.9 * dome(distance, 0.85) + 0.035 * wrinkles
    return Piece(distance, albedo, height, Finish(specular=0.30, gloss=26, window=0.12, wrap=0.2))


def loose_roe(patch: Patch) -> Piece:
    """A few eggs of salmon."""
    tone = patch.colour((0.92, 0.36, 0.12))
    distance, height = np.ones_like(patch.x), np.zeros_like(patch.x)
    glow = np.zeros_like(patch.x)
    for _ in range(int(patch.rng.integers(3, 8))):
        dx, dy = patch.rng.uniform(-0.55, 0.55, 2).astype(np.float32)
        one = disc(patch.x - dx, patch.y - dy, radius=0.30)
        rise = 0.30 * dome(one, 0.30)
        glow = np.where(rise > height, rise / 0.30, glow)
        height, distance = np.maximum(height, rise), np.minimum(distance, one)
    albedo = tone * (0.60 + 0.60 * glow)
    return Piece(distance, albedo, height, Finish(specular=0.5, gloss=34, window=0.45, wrap=0.5))


GARNISHES: tuple[tuple[Callable[[Patch], Piece], float], ...] = (
    (ginger, 0.085),
    (wasabi, 0.048),
    (radish, 0.066),
    (carrot, 0.058),
    (cucumber, 0.060),
    (shiso, 0.125),
    (lemon, 0.066),
    (plum, 0.045),
    (loose_roe, 0.075),
)
"""Every garnish and its radius in units of the picture's side."""


def lay_garnish(ground: Ground, behind: Planes) -> Planes:
    """Lay some pieces on a plate, with their shadows."""
    rng = ground.rng
    planes = behind.copy()
    count = int(rng.choice(len(variety.GARNISH_COUNTS), p=variety.GARNISH_COUNTS))
    for number in rng.permutation(len(GARNISHES))[:count]:
        draw, radius = GARNISHES[number]
        distance = rng.uniform(*variety.GARNISH_DISTANCE)
        angle = rng.uniform(0, 2 * math.pi)
        where = (0.5 + distance * math.cos(angle), 0.5 + distance * math.sin(angle))
        size = radius * rng.uniform(*variety.GARNISH_SCALE)
        _lay(ground, planes, draw, where, radius=size, turn=rng.uniform(0, 2 * math.pi))
    return planes


def _lay(
    ground: Ground,
    planes: Planes,
    draw: Callable[[Patch], Piece],
    where: tuple[float, float],
    *,
    radius: float,
    turn: float,
) -> None:
    """Draw a garnish into ``planes``, on a patch that has room for its shadow."""
    side = ground.pixels
    reach = 1.45 * radius
    left, right = (int(np.clip((where[0] + d) * side, 0, side)) for d in (-reach, reach))
    top, bottom = (int(np.clip((where[1] + d) * side, 0, side)) for d in (-reach, reach))
    # The generator of a garnish is its own, so what follows doesn't depend on what it drew.
    rng = np.random.default_rng(ground.rng.integers(2**63))
    if bottom - top < 3 or right - left < 3:
        return
    x, y = (
        ((np.arange(low, high, dtype=np.float32) + 0.5) / side - middle) / radius
        for low, high, middle in ((left, right, where[0]), (top, bottom, where[1]))
    )
    piece = draw(Patch(*turned(x[None, :], y[:, None], turn), rng))
    pixels = radius * side
    alpha = coverage(piece.distance, pixels)
    shaded = shade(piece.albedo, piece.height * np.float32(pixels), ground.light, piece.finish)
    far = ground.light.shadow(0.16 * pixels)
    shadow = soft_shadow(alpha, far, blur=0.14 * pixels, shrink=2)
    here = planes[:, top:bottom, left:right]
    here *= 1 - 0.5 * shadow
    here += (shaded - here) * alpha
