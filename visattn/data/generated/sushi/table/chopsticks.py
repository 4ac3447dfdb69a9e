"""A pair of chopsticks near the picture's edge: clutter that says nothing about the class."""

import math

import numpy as np

from visattn.data.generated.sushi.drawing.canvas import mix
from visattn.data.generated.sushi.drawing.noise import Field, smoothstep
from visattn.data.generated.sushi.drawing.shading import Finish, Planes
from visattn.data.generated.sushi.drawing.shapes import coverage, turned
from visattn.data.generated.sushi.table.plates import soft_shadow
from visattn.data.generated.sushi.table.tables import Ground

WOODS = ((0.62, 0.44, 0.27), (0.16, 0.12, 0.11), (0.45, 0.12, 0.09), (0.80, 0.66, 0.45))
GOLD = (0.78, 0.62, 0.30)
THICK, THIN = 0.0120, 0.0065
LENGTH = 0.84


def lay_chopsticks(ground: Ground, behind: Planes) -> Planes:
    """Lay a pair over a background, with their shadow, clear of the middle."""
    rng = ground.rng
    wood = WOODS[int(rng.integers(len(WOODS)))]
    place, turn = rng.uniform(0, 2 * math.pi), rng.uniform(-0.30, 0.30)
    away, spread, slip = rng.uniform(0.42, 0.46), rng.uniform(0.034, 0.046), rng.uniform(-0.2, 0.2)
    distance, height, along = _rods(ground, place, turn, away=away, spread=spread, slip=slip)
    alpha = coverage(distance, ground.pixels)
    far = ground.light.shadow(0.016 * ground.pixels)
    shadow = soft_shadow(alpha, far, blur=0.007 * ground.pixels)
    albedo: Planes = ground.colour(wood) * np.ones_like(distance)
    ring = smoothstep(0.014, 0.008, np.abs(along - np.float32(0.30 * LENGTH)))
    albedo = mix(albedo, ground.colour(GOLD), 0.8 * ring)
    planes = ground.shade(albedo, height, Finish(specular=0.22, gloss=26))
    shaded = behind * (1 - 0.5 * shadow)
    return mix(shaded, planes, alpha)


def _rods(
    ground: Ground, place: float, turn: float, *, away: float, spread: float, slip: float
) -> tuple[Field, Field, Field]:
    """Signed distance, height and coordinate along two thin cones."""
    rods = []
    for side in (-0.5, 0.5):
        angle = place + math.pi / 2 + turn + 0.05 * side
        x = ground.x - np.float32(math.cos(place) * (away + side * spread))
        y = ground.y - np.float32(math.sin(place) * (away + side * spread))
        u, v = turned(x, y, angle)
        u = u - np.float32(slip)
        radius = THIN + (THICK - THIN) * np.clip(u / LENGTH + 0.5, 0, 1)
        distance = np.maximum(np.abs(v) - radius, np.abs(u) - np.float32(LENGTH / 2))
        rods.append((distance, 0.9 * np.sqrt(np.maximum(radius * radius - v * v, 0)), u))
    (one, rise, along), (other, other_rise, other_along) = rods
    return (
        np.minimum(one, other),
        np.maximum(rise, other_rise),
        np.where(one < other, along, other_along),
    )
