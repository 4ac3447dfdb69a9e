"""How pictures are to be read for the weights that a training begins with."""

from collections.abc import Mapping
from typing import Any

from visattn.data.folders import IMAGENET_MEAN, IMAGENET_STD
from visattn.networks.weights_reading import reading_of_weights, twin_note
from visattn.training.command_line.told import Told

_USUAL = (list(IMAGENET_MEAN), list(IMAGENET_STD), "bilinear")


def wanted_by_weights(
    model: Mapping[str, Any], data: Mapping[str, Any], *, told: Told
) -> tuple[dict[str, Any], list[str]]:
    """Options of the data that the weights want otherwise, unless somebody said them.

    Args:
        model: The model's options.
        data: Those of the data.
        told: What was said.

    Returns:
        The options, and lines for the user.
    """
    backbone, path = model.get("backbone"), model.get("weights") or model.get("init_from")
    wanted: dict[str, Any] = {}
    lines = []
    for name, value in reading_of_weights(backbone, path).items():
        now = data.get(name) or value
        now = list(now) if isinstance(value, list) else now
        if now != value and told.anywhere(f"data.{name}"):
            lines.append(f"the weights were trained with {name} {value}, data.{name} is {now}")
        elif now in _USUAL and now != value:
            wanted[name] = value
    if wanted:
        lines.append("as the weights want it: " + ", ".join(f"{n} {v}" for n, v in wanted.items()))
    if path and (note := twin_note(backbone, path)):
        lines.append(note)
    return wanted, lines
