"""A piece of sushi in front of a background, with its shadow, and its matte."""

from collections.abc import Iterator, Sequence
from functools import cache, partial

import numpy as np

from visattn.data.generated.pictures import Picture, to_bytes
from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.noise import Field
from visattn.data.generated.sushi.drawing.shading import Light, sample_light
from visattn.data.generated.sushi.food.pieces import foreground
from visattn.data.generated.sushi.plan import Scene
from visattn.data.generated.sushi.table.plates import soft_shadow
from visattn.data.generated.sushi.table.styles import background

GREY = 0.5
SHADOW_LENGTH = 0.055


def compose(
    rgb: Field,
    alpha: Field,
    behind: Field,
    *,
    light: Light | None = None,
    noise_seed: int | None = None,
) -> tuple[Picture, Picture]:
    """Lay a piece over a background, in display values: ``alpha * rgb + (1 - alpha) * behind``.

    Args:
        rgb: the piece's colours (H, W, 3) in [0, 1].
        alpha: its matte (H, W) in [0, 1].
        behind: the background (H, W, 3) in [0, 1].
        light: if given, the piece casts a shadow. The shadow is no part of the matte.
        noise_seed: if given, the camera's noise is added; the same seed gives the same noise.

    Returns:
        The picture (H, W, 3) and its matte (H, W), both uint8.
    """
    if light is not None:
        behind = behind * cast_shadow(alpha, light)[..., None]
    share = alpha[..., None]
    picture = rgb * share + behind * (1 - share)
    if noise_seed is not None:
        picture = picture + camera_noise(noise_seed, picture.shape)
    return to_bytes(picture), to_bytes(alpha)


def camera_noise(seed: int, shape: tuple[int, ...]) -> Field:
    """Gaussian noise of a strength drawn from the seed."""
    rng = np.random.default_rng([seed, 0x4015E])
    strength = np.float32(rng.uniform(*variety.SENSOR_NOISE))
    return rng.standard_normal(shape, np.float32) * strength


def cast_shadow(alpha: Field, light: Light) -> Field:
    """Factor on the background: the piece's shadow away from the lamp, and where it stands."""
    size = alpha.shape[0]
    x, y = light.shadow(SHADOW_LENGTH * size)
    # What is seen of a piece rises above its foot, so the shadow starts a little lower.
    far = soft_shadow(alpha, (x, y + 0.014 * size), blur=0.020 * size * light.softness)
    near = soft_shadow(alpha, (0.0, 0.012 * size), blur=0.012 * size)
    return (1 - 0.46 * far) * (1 - 0.42 * near)


def render_scene(scene: Scene, *, size: int = 96, noise: bool = True) -> tuple[Picture, Picture]:
    """Render a scene.

    Args:
        scene: what to render.
        size: side of the picture in pixels.
        noise: whether to add the camera's noise; the data sets have it.

    Returns:
        The picture (size, size, 3) in RGB and the matte of the sushi (size, size), both uint8.
        The matte is all 0 where a scene has no sushi ("only_bg"); for "no_fg" it says where the
        hole is.

    >>> image, matte = render_scene(Scene("salmon", "blue_glaze", 1, 2), size=64)
    >>> image.shape, matte.shape, int(matte.max())
    ((64, 64, 3), (64, 64), 255)
    """
    (rendered,) = render_together([scene], size=size, noise=noise)
    return rendered


def render_together(
    scenes: Sequence[Scene], *, size: int, noise: bool = True
) -> Iterator[tuple[Picture, Picture]]:
    """Render scenes of one foreground; a background that several show is rendered once."""
    first = scenes[0]
    light = sample_light(first.foreground_seed)
    rgb, alpha = foreground(first.kind, first.foreground_seed, size=size, light=light)
    drawn = cache(partial(background, size=size, light=light))
    seed = first.foreground_seed if noise else None
    for scene in scenes:
        if (scene.kind, scene.foreground_seed) != (first.kind, first.foreground_seed):
            raise ValueError("scenes rendered together must share one foreground")
        if not scene.has_background:
            tone = GREY if scene.shows == "only_fg_grey" else 0.0
            yield compose(rgb, alpha, np.full_like(rgb, tone), noise_seed=seed)
            continue
        behind = drawn(scene.style, scene.background_seed)
        if scene.shows == "only_bg":
            yield compose(rgb, np.zeros_like(alpha), behind, noise_seed=seed)
            continue
        picture, matte = compose(rgb, alpha, behind, light=light, noise_seed=seed)
        if scene.shows == "no_fg":
            picture = to_bytes(picture * (1 - alpha[..., None]) / 255)
        yield picture, matte
