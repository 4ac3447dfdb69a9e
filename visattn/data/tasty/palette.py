"""Colours of rings and plates, told apart with any kind of colour vision, and of people."""

from visattn.data.sushi.tables import Colour

COLOURS: dict[str, Colour] = {
    "yellow": (0.94, 0.84, 0.20),
    "sky": (0.34, 0.71, 0.91),
    "green": (0.00, 0.56, 0.40),
    "blue": (0.02, 0.30, 0.62),
    "vermilion": (0.84, 0.32, 0.04),
    "pink": (0.82, 0.46, 0.66),
}
"""Of the palette of Okabe and Ito (2008), made for colour-blind readers; yellow a little deeper.

Its orange lies too near to vermilion in warm light, and its black is the colour of hair.
"""

NAMES = tuple(COLOURS)
"""Names of the colours, in the order of their numbers."""

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
