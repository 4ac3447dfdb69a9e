"""How attention stands to a module of the backbone, and what a unit of both is made of."""

from collections.abc import Container
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from torch import nn

Where = Literal["after", "before", "around", "instead"]
Layout = Literal["NCHW", "NHWC"]


@dataclass
class Standing:
    """How attention stands to the module that it was put to.

    Attributes:
        where: As in `Attended`.
        site: The name of the place, for plans and recordings.
        layout: Of the base's maps.
        inner: The base's name among the unit's children.
        child: The attention's name there.
        origin: How the attention was made, for saving it: plain values only.
        enabled: Whether the attention runs.
    """

    where: Where
    site: str
    layout: Layout
    inner: str
    child: str
    origin: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True


class Unit(nn.Module):
    """What has a base and attention among its parts; see `visattn.blocks.attended.Attended`."""

    visattn: Standing


def base_of(unit: Unit) -> nn.Module:
    """The base of a unit, kept aside or not."""
    how = unit.visattn
    aside = how.where == "instead"
    found: nn.Module = vars(unit)["_aside"][0] if aside else unit.get_submodule(how.inner)
    return found


def block_of(unit: Unit) -> nn.Module:
    """The attention of a unit."""
    return unit.get_submodule(unit.visattn.child)


def free_name(name: str, taken: Container[str]) -> str:
    """The name, or the name with the first number from 2 that is free."""
    names = (name if number == 1 else f"{name}_{number}" for number in count(1))
    return next(other for other in names if other not in taken)
