"""One light, a height field and its colours give a picture: Lambert, Blinn-Phong, a window."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.noise import Field, smoothstep
from visattn.data.optional import cv2

Planes = NDArray[np.floating[Any]]
"""Colours as (3, height, width): planes, since NumPy broadcasts (height, width) over them fast."""


@dataclass(frozen=True)
class Light:
    """The light and the camera of one scene.

    Args:
        direction: unit vector (right, down, towards the viewer) that points to the lamp.
        exposure: factor on all light.
        white_balance: factors on red, green and blue.
        softness: how wide shadows blur, 1 is usual.
    """

    direction: tuple[float, float, float]
    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    softness: float = 1.0

    def shadow(self, height: float) -> tuple[float, float]:
        """How far, (right, down), the shadow of something so high falls from its foot."""
        x, y, z = self.direction
        reach = height / z
        return -x * reach, -y * reach


def sample_light(seed: int) -> Light:
    """Draw the light of a scene, within the ranges of :mod:`visattn.data.generated.sushi.variety`.

    >>> sample_light(3) == sample_light(3)
    True
    """
    rng = np.random.default_rng([seed, 0x11647])
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = np.deg2rad(rng.uniform(*variety.LIGHT_ELEVATION_DEGREES))
    warmth = rng.normal(0, variety.WARMTH)
    tint = rng.normal(0, variety.TINT)
    return Light(
        direction=(
            float(np.cos(elevation) * np.cos(azimuth)),
            float(np.cos(elevation) * np.sin(azimuth)),
            float(np.sin(elevation)),
        ),
        exposure=float(np.exp(np.clip(rng.normal(), -2, 2) * variety.EXPOSURE)),
        white_balance=(float(np.exp(warmth)), float(np.exp(tint)), float(np.exp(-warmth))),
        softness=float(rng.uniform(*variety.SHADOW_SOFTNESS)),
    )


def linear(rgb: ArrayLike) -> Planes:
    """A colour as the eye names it, in [0, 1], as linear light (3, 1, 1); gamma 2."""
    return np.square(np.asarray(rgb, np.float32)).reshape(3, 1, 1)


def develop(light_planes: Planes, light: Light) -> Planes:
    """Linear light to display values in [0, 1]: exposure, white balance, soft shoulder, gamma 2."""
    factors = np.asarray(light.white_balance, np.float32).reshape(3, 1, 1) * light.exposure
    x = light_planes * factors.astype(np.float32)
    x = x * (np.float32(1.26) / (np.float32(1.0) + np.float32(0.36) * x))
    return np.sqrt(np.clip(x, 0.0, 1.0))


@dataclass(frozen=True)
class Finish:
    """How a surface answers light.

    Args:
        specular: strength of the Blinn-Phong highlight.
        gloss: its exponent; large is sharp.
        window: strength of the reflection of a bright window, which makes things look wet.
        wrap: how far light creeps round into the shade, as in flesh and rice.
    """

    specular: float = 0.1
    gloss: float = 20.0
    window: float = 0.0
    wrap: float = 0.0


def shade(
    albedo: Planes,
    height: Field,
    light: Light,
    finish: Finish,
    *,
    tilt: tuple[Field, Field] | None = None,
) -> Planes:
    """Light a height field seen from above.

    Args:
        albedo: linear colours, (3, height, width) or (3, 1, 1).
        height: in pixels, (height, width).
        light: the lamp.
        finish: how the surface answers.
        tilt: what to add to the normal's (right, down) where it mirrors. On a wide surface the eye
            sees each place at another angle, so that even a flat plate has a sheen that fades.

    Returns:
        Linear light, (3, height, width).
    """
    gx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    gy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    nz = 1.0 / np.sqrt(gx * gx + gy * gy + 1.0)
    nx, ny = -gx * nz, -gy * nz
    lx, ly, lz = (np.float32(value) for value in light.direction)
    cosine = nx * lx + ny * ly + nz * lz
    wrap = np.float32(finish.wrap)
    diffuse = np.maximum((cosine + wrap) / (1 + wrap), 0)
    # A sky above and a bright table below: ambient light grows with the normal's rise.
    illumination = np.float32(0.30) + np.float32(0.16) * nz + np.float32(0.86) * diffuse
    planes = albedo * illumination
    if finish.specular > 0 or finish.window > 0:
        if tilt is not None:
            nx, ny = nx + tilt[0], ny + tilt[1]
        planes = planes + gleam(nx, ny, nz, cosine, light, finish)
    return planes.astype(np.float32, copy=False)


def gleam(nx: Field, ny: Field, nz: Field, cosine: Field, light: Light, finish: Finish) -> Planes:
    """What a surface mirrors: the lamp (Blinn-Phong) and, if wet, a window beside it."""
    lx, ly, lz = light.direction
    half = np.array([lx, ly, lz + 1.0])
    half /= np.linalg.norm(half)
    hx, hy, hz = half.astype(np.float32)
    towards = nx * hx + ny * hy + nz * hz
    # x ** gloss, for x near 1, is exp(gloss * (x - 1)), which is several times faster.
    out: Planes = np.float32(finish.specular) * np.exp(np.float32(finish.gloss) * (towards - 1))
    if finish.window > 0:
        # The direction mirrored by the surface, in the lamp's own frame; a window is a box there.
        rx, ry = 2 * nz * nx, 2 * nz * ny
        norm = max(float(np.hypot(lx, ly)), 1e-3)
        ax, ay = np.float32(lx / norm), np.float32(ly / norm)
        along = rx * ax + ry * ay - np.float32(norm)
        across = ry * ax - rx * ay
        box = smoothstep(0.34, 0.16, np.abs(along)) * smoothstep(0.52, 0.34, np.abs(across))
        out = out + np.float32(finish.window) * box * (cosine > 0)
    return out
