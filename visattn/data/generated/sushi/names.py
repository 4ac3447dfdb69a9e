"""The kinds of sushi, the styles of plate and table, and names checked with a helpful error."""

import difflib
from collections.abc import Sequence

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
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    raise ValueError(f"Unknown {what} {name!r}.{hint} Known: {', '.join(known)}.")
