"""Signed distances of flat shapes: negative inside, positive outside, 0 on the edge."""

import numpy as np

from visattn.data.generated.sushi.drawing.noise import Field


def turned(x: Field, y: Field, angle: float, *, unit: float = 1.0) -> tuple[Field, Field]:
    """Coordinates in a frame turned by an angle, in lengths of ``unit``."""
    c, s = np.float32(np.cos(angle) / unit), np.float32(np.sin(angle) / unit)
    return x * c + y * s, y * c - x * s


def disc(x: Field, y: Field, *, radius: float) -> Field:
    """Circle around the origin."""
    return np.sqrt(x * x + y * y) - np.float32(radius)


def lobed_disc(x: Field, y: Field, *, radius: float, lobes: int, depth: float) -> Field:
    """Circle whose radius waves ``lobes`` times by a share ``depth``, like a flower."""
    angle = np.arctan2(y, x)
    wave = np.abs(np.cos(angle * np.float32(lobes / 2.0)))
    return np.sqrt(x * x + y * y) - np.float32(radius) * (1.0 - depth + depth * np.sqrt(wave))


def oval(x: Field, y: Field, *, a: float, b: float) -> Field:
    """Ellipse with half-axes ``a`` and ``b`` (distance to first order, exact on the edge)."""
    k0 = np.sqrt((x / a) ** 2 + (y / b) ** 2)
    k1 = np.sqrt((x / (a * a)) ** 2 + (y / (b * b)) ** 2)
    return k0 * (k0 - 1.0) / np.maximum(k1, np.float32(1e-4))


def rounded_box(x: Field, y: Field, *, a: float, b: float, radius: float) -> Field:
    """Rectangle with half-sides ``a`` and ``b`` and corners of the given radius."""
    qx = np.abs(x) - np.float32(a - radius)
    qy = np.abs(y) - np.float32(b - radius)
    px, py = np.maximum(qx, 0), np.maximum(qy, 0)
    return np.sqrt(px * px + py * py) + np.minimum(np.maximum(qx, qy), 0) - np.float32(radius)


def octagon(x: Field, y: Field, *, radius: float) -> Field:
    """Regular octagon around a circle of the given radius."""
    ax, ay = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(ax, ay), (ax + ay) * np.float32(0.70711)) - np.float32(radius)


def leaf(x: Field, y: Field, *, a: float, b: float) -> Field:
    """Two arcs that meet in points at x = -a and x = a, with half-height ``b``."""
    offset = (a * a - b * b) / (2.0 * b)
    radius = b + offset
    below = np.sqrt(x * x + (y + offset) ** 2) - np.float32(radius)
    above = np.sqrt(x * x + (y - offset) ** 2) - np.float32(radius)
    return np.maximum(below, above)


def coverage(distance: Field, pixels_per_unit: float) -> Field:
    """Share of each pixel inside the shape, from its signed distance in shape units."""
    return np.clip(np.float32(0.5) - distance * np.float32(pixels_per_unit), 0.0, 1.0)
