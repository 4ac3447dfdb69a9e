"""The kinds of sushi, the styles of plate and table; names and sizes checked."""

from collections.abc import Sequence

import numpy as np

from visattn.basics.suggestions import did_you_mean

KINDS = ("buri", "maguro", "salmon", "tamago", "ebi", "ika", "ikura", "kappa_maki")
"""Kinds of sushi, in the order of their labels."""

STYLES = (
    "black_lacquer",
    "white_porcelain",
    "blue_glaze",
    "geta_board",
    "celadon",
    "terracotta",
    "stone_slab",
    "red_lacquer",
)
"""Training styles of plate and table; the style at a kind's index is that kind's own."""

HELD_OUT_STYLES = ("leaf", "kintsugi", "mustard_glaze", "octagon")
"""Styles that no training or validation picture ever has."""

SMALLEST_SIZE = 32
"""Side of the smallest pictures, in pixels."""


def own_style(kind: str) -> str:
    """The style that goes with a kind in biased splits.

    >>> own_style("maguro")
    'white_porcelain'
    """
    return STYLES[KINDS.index(check_name(kind, KINDS, what="kind of sushi"))]


def check_name(name: str, known: Sequence[str], *, what: str) -> str:
    """Return ``name`` if it is known.

    Raises:
        ValueError: if not, with the nearest known names.

    >>> check_name("salmn", KINDS, what="kind of sushi")
    Traceback (most recent call last):
    ValueError: Unknown kind of sushi 'salmn'. Did you mean 'salmon'? Known: buri, ...
    """
    if name in known:
        return name
    hint = did_you_mean(name, names=known)
    raise ValueError(f"Unknown {what} {name!r}.{hint} Known: {', '.join(known)}.")


def check_size(size: int) -> int:
    """Return ``size`` if a scene can be rendered so small.

    Raises:
        TypeError: if it is no whole number.
        ValueError: if it is below 32.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise TypeError(f"size must be a whole number of pixels, got {size!r}")
    if size < SMALLEST_SIZE:
        raise ValueError(
            f"size must be at least {SMALLEST_SIZE} pixels, got {size}: on fewer, "
            "the kinds of sushi can't be told apart"
        )
    return int(size)
