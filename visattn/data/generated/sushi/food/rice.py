"""Cooked rice: a tile of grains, drawn once per process, seen on every side of a piece."""

from functools import lru_cache

import numpy as np

from visattn.data.generated.sushi.drawing.canvas import Frame
from visattn.data.generated.sushi.drawing.noise import Field, smoothstep
from visattn.data.generated.sushi.drawing.shading import Finish, Planes
from visattn.data.optional import cv2

TILE = 384
TILE_UNITS = 2.56
"""Side of the tile in half-lengths of a piece; a grain is about 0.2 long."""

GRAIN = (17.0, 7.2)
RICE_TONES = ((0.97, 0.96, 0.93), (0.95, 0.93, 0.87), (0.93, 0.91, 0.88))


@lru_cache(maxsize=1)
def rice_tile() -> Field:
    """Grains as (height, brightness), (TILE, TILE, 2) in [0, 1]; its opposite edges join."""
    rng = np.random.default_rng(20_240_917)
    height = np.zeros((TILE, TILE), np.float32)
    bright = np.full((TILE, TILE), 0.5, np.float32)
    reach = 18
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    for _ in range(1500):
        a, b = GRAIN[0] * rng.uniform(0.8, 1.1), GRAIN[1] * rng.uniform(0.85, 1.1)
        angle, lift = rng.uniform(0, np.pi), rng.uniform(0.0, 0.55)
        u = x * np.cos(angle) + y * np.sin(angle)
        v = -x * np.sin(angle) + y * np.cos(angle) + 0.004 * u * u
        body = 1 - (u / a) ** 2 - (v / b) ** 2
        grain = (lift + 0.45 * np.sqrt(np.maximum(body, 0))) * (body > 0)
        rows = (np.arange(-reach, reach + 1) + rng.integers(TILE)) % TILE
        columns = (np.arange(-reach, reach + 1) + rng.integers(TILE)) % TILE
        here = np.ix_(rows, columns)
        above = grain > height[here]
        height[here] = np.where(above, grain, height[here])
        bright[here] = np.where(above, rng.uniform(), bright[here])
    return np.stack([height, bright], -1).astype(np.float32)


@lru_cache(maxsize=8)
def _shrunken_tile(side: int) -> Field:
    return cv2.resize(rice_tile(), (side, side), interpolation=cv2.INTER_AREA)


def grains(frame: Frame) -> tuple[Field, Field]:
    """Height and brightness of the grains over the canvas, both in [0, 1], at a random cut."""
    turn, du, dv = frame.rng.uniform(0, [2 * np.pi, TILE_UNITS, TILE_UNITS]).tolist()
    # The tile at about the canvas's own resolution, so that sampling it doesn't alias.
    side = int(np.clip(16 * round(frame.unit * TILE_UNITS / 16), 32, TILE))
    scale = side / TILE_UNITS
    c, s = np.float32(np.cos(turn) * scale), np.float32(np.sin(turn) * scale)
    column = frame.u * c + frame.v * s + np.float32((du + 8 * TILE_UNITS) * scale)
    row = frame.v * c - frame.u * s + np.float32((dv + 8 * TILE_UNITS) * scale)
    sampled = cv2.remap(
        _shrunken_tile(side), column % side, row % side, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP
    )
    return sampled[..., 0], sampled[..., 1]


def rice_surface(frame: Frame, body: Field, cut: tuple[Field, Field] | None = None) -> Planes:
    """Shaded rice.

    Args:
        frame: of the piece.
        body: the height it is packed to, in half-lengths.
        cut: what :func:`grains` gave, where its outline follows the same grains.
    """
    height, bright = grains(frame) if cut is None else cut
    tone = frame.tone(RICE_TONES, spread=0.008)
    # Gaps between grains are deep and warm; single grains differ a little.
    gap = smoothstep(0.15, 0.62, height)
    albedo = tone * (0.46 + 0.44 * gap + 0.10 * bright)
    return frame.shade(albedo, body + 0.15 * height, Finish(specular=0.16, gloss=24, wrap=0.35))
