"""What planning shows of an architecture, without memory for its weights."""

import gc
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import nn

from matrix.architectures import Architecture
from visattn.blocks import block_entry
from visattn.wrapping.building import builds
from visattn.wrapping.placement import PLACES, find_sites, own_place
from visattn.wrapping.tracing import Trace, trace


@dataclass(frozen=True)
class Surveyed:
    """What planning showed of one architecture.

    Attributes:
        architecture: Which.
        parameters: Their number.
        resolutions: Of the maps that its convolutions give.
        stages: Their number.
        sites: Number of sites of each place.
        own: The place that attention goes to by itself; None if there is none.
        reason: Why there is none.
    """

    architecture: Architecture
    parameters: int
    resolutions: int
    stages: int
    sites: dict[str, int]
    own: str | None
    reason: str = ""

    @property
    def convolutional(self) -> bool:
        """Whether convolutions give maps of two or more resolutions."""
        return self.resolutions > 1


def survey(architecture: Architecture) -> Surveyed:
    """Trace and plan one architecture without memory for its weights."""
    gc.collect()
    model = architecture.build_without_memory()
    parameters = sum(p.numel() for p in model.parameters())
    traced = trace(model)
    sites = site_counts(traced)
    own, reason = None, ""
    try:
        own = own_place(traced, "branch")
        for site in find_sites(traced, own):
            builds(model, traced, block_entry("se"), site, "identity", {})
    except ValueError as error:
        own, reason = None, str(error)
    count = len(traced.stages)
    return Surveyed(architecture, parameters, resolutions(model, traced), count, sites, own, reason)


def resolutions(model: nn.Module, traced: Trace) -> int:
    """Number of the sizes of the maps that convolutions give."""
    modules = dict(model.named_modules())
    return len(
        {
            given.size
            for path, given in traced.outputs.items()
            if isinstance(modules[path], nn.Conv2d) and given.size != (1, 1)
        }
    )


def site_counts(traced: Trace) -> dict[str, int]:
    """The places that a model has, and the number of sites of each."""
    counts = {}
    for place in PLACES:
        with suppress(ValueError):
            counts[place] = len(find_sites(traced, place))
    return counts


def examples(surveyed: Iterable[Surveyed]) -> list[Surveyed]:
    """The smallest architecture of each structure in each family, of those that take attention."""
    smallest: dict[Any, Surveyed] = {}
    for entry in sorted(surveyed, key=lambda entry: (entry.parameters, entry.architecture.name)):
        if entry.own:
            smallest.setdefault((entry.architecture.family, entry.own, entry.stages), entry)
    return sorted(smallest.values(), key=lambda entry: entry.architecture)
