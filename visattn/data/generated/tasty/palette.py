"""Colours of rings and plates, and of people."""

import math

import numpy as np

from visattn.data.generated.pictures import Colour


def _oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """Display values of a colour in OKLCH (Ottosson 2020), the hue in degrees."""
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    to_cones = np.array(
        [
            (1, 0.39633778, 0.21580376),
            (1, -0.10556135, -0.06385417),
            (1, -0.08948418, -1.29148555),
        ]
    )
    to_linear = np.array(
        [
            (4.07674166, -3.30771159, 0.23096993),
            (-1.26843800, 2.60975740, -0.34131940),
            (-0.00419609, -0.70341861, 1.70761470),
        ]
    )
    linear = to_linear @ (to_cones @ (lightness, a, b)) ** 3
    linear = linear.clip(0, 1)
    red, green, blue = np.where(
        linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear
    )
    return float(red), float(green), float(blue)


COLOURS: dict[str, Colour] = {
    "yellow": (0.94, 0.84, 0.20),
    "sky": (0.34, 0.71, 0.91),
    "green": (0.00, 0.56, 0.40),
    "blue": (0.02, 0.30, 0.62),
    "vermilion": (0.84, 0.32, 0.04),
    "pink": (0.82, 0.46, 0.66),
}
"""Six of the palette of Okabe and Ito (2008), told apart with any kind of colour vision; yellow a
little deeper.

Its orange lies too near to vermilion in warm light, and its black is the colour of hair.
"""

CIRCLE: dict[str, Colour] = {
    f"hue {hue}": _oklch((0.72, 0.52)[hue % 2], 0.13, hue) for hue in range(0, 360, 15)
}
"""Twenty-four colours round the circle of hues, light and dark by turns."""

APART = 3
"""Steps of `CIRCLE` between any two colours of a scene, at least."""

NAMES = (*COLOURS, *CIRCLE)
"""Names of the colours, in the order of their numbers: the six, then the circle."""

RGB = (*COLOURS.values(), *CIRCLE.values())
"""The colours, in the same order."""


def check_colours(colours: int) -> None:
    """Raise ValueError if there is no palette of that many colours."""
    if colours not in (len(COLOURS), len(CIRCLE)):
        raise ValueError(f"colours must be {len(COLOURS)} or {len(CIRCLE)}, got {colours}")


def draw_colours(rng: np.random.Generator, *, count: int, colours: int) -> tuple[int, ...]:
    """Draw different colours for a scene, their numbers in `NAMES`.

    Args:
        rng: of the draw.
        count: how many.
        colours: 6, the palette that everybody can tell apart; or 24, the circle, of which no two
            of a scene are neighbours.

    >>> draw_colours(np.random.default_rng(0), count=4, colours=24)
    (24, 10, 27, 16)
    """
    if colours == len(COLOURS):
        return tuple(int(c) for c in rng.permutation(len(COLOURS))[:count])
    around = len(CIRCLE)
    while True:
        drawn = rng.permutation(around)[:count]
        steps = np.diff(np.sort(drawn), append=np.sort(drawn)[0] + around)
        if steps.min() >= APART:
            return tuple(len(COLOURS) + int(c) for c in drawn)


SKINS: tuple[Colour, ...] = (
    (0.94, 0.79, 0.67),
    (0.92, 0.74, 0.58),
    (0.88, 0.68, 0.51),
    (0.76, 0.56, 0.41),
    (0.64, 0.45, 0.32),
)
"""None so dark that a frown is lost on it."""

HAIRS: tuple[Colour, ...] = (
    (0.12, 0.10, 0.10),
    (0.24, 0.16, 0.12),
    (0.40, 0.25, 0.15),
    (0.62, 0.60, 0.58),
    (0.55, 0.30, 0.16),
)

CLOTHES: tuple[Colour, ...] = (
    (0.30, 0.31, 0.34),
    (0.62, 0.59, 0.55),
    (0.45, 0.38, 0.34),
    (0.20, 0.21, 0.24),
)

CUSHION: Colour = (0.88, 0.87, 0.84)
