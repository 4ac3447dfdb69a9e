"""How a picture becomes what a network takes: words that options are written in."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

Fit = Literal["crop", "stretch"]
Interpolation = Literal["bilinear", "bicubic"]


def reading_of_config(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What timm's configuration of weights, or a file's facts, say of reading pictures.

    Example:
        >>> reading_of_config({"mean": (0.5, 0.5, 0.5), "interpolation": "bicubic"})
        {'mean': [0.5, 0.5, 0.5], 'interpolation': 'bicubic'}
    """
    found: dict[str, Any] = {name: list(facts[name]) for name in ("mean", "std") if facts.get(name)}
    if facts.get("interpolation") in get_args(Interpolation):
        found["interpolation"] = facts["interpolation"]
    return found
