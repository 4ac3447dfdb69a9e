"""Random fields that look the same at every picture size.

Every field is drawn on a grid whose size doesn't depend on the picture, then enlarged. So one seed
gives one scene, whether it is rendered with 64 or with 512 pixels a side.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visattn.data.optional import cv2

Field = NDArray[np.floating[Any]]


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    cells: tuple[int, int] = (4, 4),
    octaves: int = 4,
    gain: float = 0.5,
) -> Field:
    """Sum of smooth random fields, each twice as fine and ``gain`` times as strong as the last.

    The octaves are added on their own small grids, coarse to fine, so that only the last
    enlargement costs a full picture.

    Args:
        rng: where the randomness comes from; the number of draws doesn't depend on the picture.
        height: rows of the field.
        width: columns of the field.
        cells: rows and columns of the coarsest grid; unequal numbers stretch the noise.
        octaves: number of grids.
        gain: strength of an octave over the one before.

    Returns:
        (height, width), mean about 0 and standard deviation about 1.
    """
    rows, columns = max(2, cells[0]), max(2, cells[1])
    field = rng.standard_normal((rows, columns), np.float32)
    strength, variance = 1.0, 1.0
    for _ in range(octaves - 1):
        rows, columns = 2 * rows, 2 * columns
        strength *= gain
        variance += strength * strength
        field = cv2.resize(field, (columns, rows), interpolation=cv2.INTER_CUBIC)
        field += np.float32(strength) * rng.standard_normal((rows, columns), np.float32)
    # Enlarging smooths; 1.35 brings the standard deviation back to about 1.
    scale = np.float32(1.35 / np.sqrt(variance))
    field = field * scale
    shrinks = field.shape[0] > height or field.shape[1] > width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    if not shrinks and height * width > 4 * field.size > 4096:
        how = cv2.INTER_LINEAR
    return cv2.resize(field, (width, height), interpolation=how)


def stretched_noise(
    rng: np.random.Generator, x: Field, y: Field, *, cells: tuple[int, int]
) -> Field:
    """Random fibres along ``x``, at any turned coordinates.

    Args:
        rng: where the randomness comes from.
        x: coordinate along the fibres.
        y: coordinate across them.
        cells: fibres per unit of ``y`` and changes per unit of ``x``.

    Returns:
        Noise of the coordinates' shape, mean about 0 and standard deviation about 0.7.
    """
    tile = rng.standard_normal((2 * cells[0], 8 * cells[1]), np.float32)
    rows, columns = tile.shape
    column = (x * np.float32(cells[1]) + 64 * columns) % columns
    row = (y * np.float32(cells[0]) + 64 * rows) % rows
    return cv2.remap(
        tile,
        column.astype(np.float32, copy=False),
        row.astype(np.float32, copy=False),
        cv2.INTER_LINEAR,
        None,
        cv2.BORDER_WRAP,
    )


def smoothstep(low: float, high: float, field: Field) -> Field:
    """Rise smoothly from 0 at ``low`` to 1 at ``high`` (falls if ``high`` is below ``low``)."""
    t = np.clip((field - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


def lines(phase: Field, width: float) -> Field:
    """Thin soft lines where ``phase`` passes a whole number; ``width`` is a share of the period."""
    distance = np.abs(phase - np.rint(phase))
    return np.clip(np.float32(1.0) - distance * np.float32(2.0 / width), 0.0, 1.0)
