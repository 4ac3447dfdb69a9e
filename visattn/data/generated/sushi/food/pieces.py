"""A piece of sushi alone: its colours and its exact alpha."""

import math

import numpy as np

from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.canvas import Frame
from visattn.data.generated.sushi.drawing.noise import Field
from visattn.data.generated.sushi.drawing.shading import Light, sample_light
from visattn.data.generated.sushi.food.nigiri import draw_nigiri
from visattn.data.generated.sushi.food.rolls import draw_ikura, draw_kappa_maki
from visattn.data.generated.sushi.names import KINDS, check_name, check_size

SUPERSAMPLING = 2
REACH, REACH_UP, REACH_TAIL = 1.30, 1.56, 1.60
"""Half-lengths from a piece's centre that its canvas covers: around, upwards, with a tail."""


def foreground(
    kind: str, seed: int, *, size: int = 96, light: Light | None = None
) -> tuple[Field, Field]:
    """Render a piece of sushi on nothing.

    Shape, place, turn, colours and freshness come from ``seed`` alone, so the same seed over
    another background, in another light or at another size is the same piece.

    Args:
        kind: one of :data:`~visattn.data.generated.sushi.KINDS`.
        seed: of the piece.
        size: side of the picture in pixels.
        light: of the scene; ``sample_light(seed)`` if not given.

    Returns:
        Colours (size, size, 3) and alpha (size, size), float32 in [0, 1]. Colours are display
        values, not multiplied by alpha, and 0 where alpha is 0.

    Raises:
        ValueError: for an unknown kind or a size below 32.

    >>> rgb, alpha = foreground("buri", 7, size=64)
    >>> rgb.shape, alpha.shape, bool(0.03 < alpha.mean() < 0.2)
    ((64, 64, 3), (64, 64), True)
    """
    check_name(kind, KINDS, what="kind of sushi")
    size = check_size(size)
    light = sample_light(seed) if light is None else light
    rng = np.random.default_rng([seed, 0xF06E])
    angle = rng.uniform(0, 2 * np.pi)
    half_length = rng.uniform(*variety.HALF_LENGTH)
    distance = variety.PLACEMENT_RADIUS * rng.uniform() ** 0.5
    direction = rng.uniform(0, 2 * np.pi)
    x = 0.5 + distance * math.cos(direction)
    # Height shows upwards, so the foot stands a little below the middle of what is seen.
    y = 0.5 + distance * math.sin(direction) + 0.15 * half_length

    left, right, top, bottom = _window(kind, x, y, half_length, size)
    fine = size * SUPERSAMPLING
    frame = Frame(
        rows=(bottom - top) * SUPERSAMPLING,
        columns=(right - left) * SUPERSAMPLING,
        unit=half_length * fine,
        angle=angle,
        centre=(x * fine - left * SUPERSAMPLING, y * fine - top * SUPERSAMPLING),
        light=light,
        rng=rng,
    )
    if kind == "ikura":
        canvas = draw_ikura(frame)
    elif kind == "kappa_maki":
        canvas = draw_kappa_maki(frame)
    else:
        canvas = draw_nigiri(frame, kind)

    rgb = np.zeros((size, size, 3), np.float32)
    alpha = np.zeros((size, size), np.float32)
    here = slice(top, bottom), slice(left, right)
    rgb[here], alpha[here], _ = canvas.developed(light, shape=(bottom - top, right - left))
    # What rounds to 0 or 255 is 0 or 255: then a full pixel shows nothing of the background.
    alpha[alpha < 0.5 / 255] = 0
    alpha[alpha > 254.5 / 255] = 1
    rgb[alpha == 0] = 0
    return np.clip(rgb, 0, 1), alpha


def cut_piece(
    kind: str, seed: int, *, size: int, light: Light | None = None
) -> tuple[Field, Field]:
    """The smallest box around a piece: its colours and its alpha, see `foreground`."""
    rgb, alpha = foreground(kind, seed, size=size, light=light)
    rows, columns = (np.flatnonzero((alpha > 0).any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return rgb[box], alpha[box]


def _window(
    kind: str, x: float, y: float, half_length: float, size: int
) -> tuple[int, int, int, int]:
    """Left, right, top and bottom of the part of the picture that a piece at (x, y) needs."""
    reach = (REACH_TAIL if kind == "ebi" else REACH) * half_length
    up = max(reach, REACH_UP * half_length)
    left, top = (max(math.floor(edge * size) - 1, 0) for edge in (x - reach, y - up))
    right, bottom = (min(math.ceil(edge * size) + 1, size) for edge in (x + reach, y + reach))
    return left, right, top, bottom
