"""Plates and boards: a shape, a profile of its height, and a glaze."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate

import numpy as np

from visattn.data.generated.pictures import Colour
from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.canvas import mix
from visattn.data.generated.sushi.drawing.noise import Field, lines, smoothstep, stretched_noise
from visattn.data.generated.sushi.drawing.shading import Finish, Planes
from visattn.data.generated.sushi.drawing.shapes import turned
from visattn.data.generated.sushi.table.tables import Ground, Options
from visattn.data.optional import cv2

Shape = Callable[[Field, Field], Field]
Glaze = Callable[[Ground, "Place"], Planes]


@dataclass(frozen=True)
class Place:
    """Where a plate lies: coordinates in its own frame and the depth inside its edge.

    Args:
        x: along the plate.
        y: across it.
        depth: distance inside the edge, negative outside, in units of the picture's side.
    """

    x: Field
    y: Field
    depth: Field


def glaze(draw: Callable[Concatenate[Ground, Place, Options], Planes]) -> Callable[Options, Glaze]:
    """From a function that draws a glaze with options to one of the options that gives a glaze."""

    @wraps(draw)
    def with_options(*args: Options.args, **kwargs: Options.kwargs) -> Glaze:
        return lambda ground, place: draw(ground, place, *args, **kwargs)

    return with_options


@dataclass(frozen=True)
class Plate:
    """A plate.

    Args:
        shape: signed distance from (x, y), in units of the picture's side.
        profile: points (depth inside the edge, height), both in units of the picture's side.
        glaze: its colours.
        finish: how it answers light.
        thickness: of its shadow, in units of the picture's side.
        turn: largest turn, in degrees.
        relief: unevenness of its surface, in units of the picture's side.
    """

    shape: Shape
    profile: tuple[tuple[float, float], ...]
    glaze: Glaze
    finish: Finish
    thickness: float = 0.03
    turn: float = 180.0
    relief: float = 0.0


DISH = ((0.0, 0.0), (0.006, 0.008), (0.014, 0.010), (0.085, -0.014), (0.10, -0.016), (1.0, -0.016))
DEEP = ((0.0, 0.0), (0.008, 0.010), (0.018, 0.011), (0.05, -0.020), (0.075, -0.026), (1.0, -0.028))
TRAY = ((0.0, 0.0), (0.006, 0.010), (0.022, 0.011), (0.034, -0.004), (1.0, -0.004))
SLAB = ((0.0, 0.0), (0.008, 0.006), (0.020, 0.008), (1.0, 0.008))


def lay(ground: Ground, table: Planes, plate: Plate) -> Planes:
    """Put a plate on a table: linear light of both, with the plate's shadow."""
    rng = ground.rng
    angle = np.deg2rad(rng.uniform(-plate.turn, plate.turn))
    scale = rng.uniform(*variety.PLATE_SCALE)
    dx, dy = rng.uniform(-variety.PLATE_OFFSET, variety.PLATE_OFFSET, 2).tolist()
    x, y = turned(ground.x - np.float32(dx), ground.y - np.float32(dy), angle, unit=scale)
    distance = plate.shape(x, y) * np.float32(scale)
    alpha = np.clip(0.5 - distance * ground.pixels, 0, 1)
    place = Place(x, y, -distance)

    points = np.asarray(plate.profile, np.float32)
    height = _profile(place.depth, points[:, 0], points[:, 1])
    height = cv2.GaussianBlur(height, (0, 0), max(0.0035 * ground.pixels, 0.5))
    albedo = plate.glaze(ground, place)
    if plate.relief:
        height = height + plate.relief * ground.noise(cells=(6, 6), octaves=4)
    planes = ground.shade(albedo, height, plate.finish)

    far = ground.light.shadow(plate.thickness * ground.pixels)
    shadow = soft_shadow(alpha, far, blur=0.016 * ground.pixels * ground.light.softness)
    contact = soft_shadow(alpha, (0.0, 0.0), blur=0.010 * ground.pixels)
    shaded = table * ((1 - 0.62 * shadow) * (1 - 0.35 * contact))
    return mix(shaded, planes, alpha)


def _profile(depth: Field, positions: Field, heights: Field) -> Field:
    """Heights over depth, joined by smooth steps."""
    out = np.full_like(depth, heights[0])
    for i in range(len(positions) - 1):
        rise = float(heights[i + 1] - heights[i])
        if rise:
            out += np.float32(rise) * smoothstep(
                float(positions[i]), float(positions[i + 1]), depth
            )
    return out


def soft_shadow(alpha: Field, shift: tuple[float, float], *, blur: float, shrink: int = 4) -> Field:
    """A shape's alpha moved by (x, y) pixels and blurred, at a lower resolution."""
    rows, columns = alpha.shape
    small_rows, small_columns = max(rows // shrink, 8), max(columns // shrink, 8)
    small = cv2.resize(alpha, (small_columns, small_rows), interpolation=cv2.INTER_AREA)
    move = np.array(
        [[1, 0, shift[0] * small_columns / columns], [0, 1, shift[1] * small_rows / rows]],
        np.float32,
    )
    small = cv2.warpAffine(
        small, move, (small_columns, small_rows), borderMode=cv2.BORDER_REPLICATE
    )
    small = cv2.GaussianBlur(small, (0, 0), max(blur * small_rows / rows, 0.35))
    return cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR)


@glaze
def plain(
    ground: Ground,
    place: Place,
    tone: Colour,
    *,
    edge: Colour | None = None,
    edge_width: float = 0.012,
) -> Planes:
    """One colour, with a line of another along the edge if given."""
    cloud = ground.noise(cells=(3, 3), octaves=3)
    albedo = ground.colour(tone) * (1 + 0.025 * cloud)
    if edge is not None:
        band = smoothstep(edge_width * 1.3, edge_width * 0.7, place.depth)
        albedo = mix(albedo, ground.colour(edge), band)
    return albedo


@glaze
def pooled(
    ground: Ground, place: Place, tone: Colour, pool: Colour, *, speckles: float = 0.0
) -> Planes:
    """A glaze that runs: thin and pale on the rim, deep in the well, with iron speckles."""
    cloud = ground.noise(cells=(4, 4), octaves=4)
    deep = smoothstep(0.02, 0.16, place.depth + 0.012 * cloud)
    albedo = mix(ground.colour(tone), ground.colour(pool), deep)
    albedo = albedo * np.clip(1 + 0.07 * cloud, 0.5, 1.5)
    if speckles:
        albedo = albedo * (1 - np.float32(speckles) * _dots(ground))
    return albedo


def _dots(ground: Ground) -> Field:
    """Small round spots, scattered."""
    spots = np.zeros((ground.pixels, ground.pixels), np.float32)
    places = ground.rng.uniform(0, ground.pixels, (110, 2))
    radii = ground.pixels * (0.002 + 0.005 * ground.rng.uniform(size=110) ** 3)
    fraction = 4  # bits of a pixel's fraction that OpenCV is given
    for (x, y), radius in zip(places.tolist(), radii.tolist(), strict=True):
        where = (round(x * 2**fraction), round(y * 2**fraction))
        cv2.circle(spots, where, round(radius * 2**fraction), 1.0, -1, cv2.LINE_8, fraction)
    return cv2.GaussianBlur(spots, (0, 0), 0.7)


@glaze
def grained(ground: Ground, place: Place, tone: Colour, dark: Colour) -> Planes:
    """Bare wood, its grain along x."""
    fibre = stretched_noise(ground.rng, place.x, place.y, cells=(110, 3))
    rings = np.sin(2 * np.pi * (8 * place.y + 0.35 * np.sin(3 * place.x) + 0.35 * fibre))
    share = np.clip(0.30 + 0.22 * rings + 0.18 * fibre, 0, 1)
    return mix(ground.colour(tone), ground.colour(dark), share)


@glaze
def rough(ground: Ground, place: Place, tone: Colour) -> Planes:
    """Stone or clay without glaze."""
    cloud = ground.noise(cells=(5, 5), octaves=5)
    return ground.colour(tone) * np.clip(1 + 0.13 * cloud, 0.4, 1.7)


@glaze
def veined(ground: Ground, place: Place, tone: Colour, vein: Colour) -> Planes:
    """A leaf: one rib along it and veins that leave it at a slant."""
    cloud = ground.noise(cells=(5, 5), octaves=4)
    fine = lines(34 * (np.abs(place.y) - 0.55 * place.x), 0.5)
    rib = np.exp(-((place.y / 0.007) ** 2))
    albedo = ground.colour(tone) * np.clip(1 + 0.09 * cloud, 0.5, 1.5)
    return mix(albedo, ground.colour(vein), np.clip(0.28 * fine + 0.8 * rib, 0, 1))


@glaze
def mended(ground: Ground, place: Place, tone: Colour, gold: Colour) -> Planes:
    """Kintsugi: a white plate, broken and mended with gold."""
    cloud = ground.noise(cells=(3, 3), octaves=4)
    jag = ground.noise(cells=(5, 5), octaves=3)
    width = 0.0075 * (1 + 0.35 * cloud)
    albedo = ground.colour(tone) * (1 + 0.02 * cloud)
    for _ in range(3):
        along, off = turned(place.x, place.y, ground.rng.uniform(0, 2 * np.pi))
        crack = np.abs(off + 0.030 * jag + np.float32(ground.rng.uniform(-0.08, 0.08)) * along)
        seam = smoothstep(1.0, 0.5, crack / np.maximum(width, 0.004)) * (along > -0.03)
        albedo = mix(albedo, ground.colour(gold), seam)
    return albedo
