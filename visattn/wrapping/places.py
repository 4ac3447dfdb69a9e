"""The named places of a model, and the sites that a name stands for."""

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from visattn.basics.suggestions import did_you_mean
from visattn.blocks.standing import Layout
from visattn.wrapping.tracing import Like, Map, Trace

PLACES = ("branch", "conv", "block", "stage", "stem", "image")
"""The named places: before a residual block's addition, after the last spatial convolution of a
residual block's branch, after a block, after a stage, after the stem, on the image.

A block is a residual block or, where those are missing, a module that joins branches of its own
(an Inception or Fire module, a dense block). Where there are no blocks, ``"conv"`` is the last
spatial convolution of each stage. A stage is a module that holds blocks, or a run of blocks or
convolutions of one resolution in a flat list.
"""


@dataclass(frozen=True)
class Site:
    """One place for one block.

    Attributes:
        name: What the site is called in plans and recordings, such as ``"layer4.2"``.
        path: The module whose output or input passes through the block.
        where: Whether the block stands ``"after"``, ``"before"``, ``"around"`` or ``"instead"`` of
            that module.
        channels: Of the map there.
        height: Of the map there, for the traced input size.
        width: Of the map there.
        stage: 1 for the first stage, and so on; None outside of the stages.
        layout: The order of the map's axes.
        like: Its device and type; those of the module's parameters if None.
    """

    name: str
    path: str
    where: Literal["after", "before", "around", "instead"]
    channels: int
    height: int
    width: int
    stage: int | None = None
    layout: Layout = "NCHW"
    like: Like | None = None


def named_sites(traced: Trace, name: str) -> list[Site]:
    """The sites of one named place, path or glob."""
    if name in PLACE_RULES:
        if sites := PLACE_RULES[name](traced):
            return sites
        raise ValueError(lacking(traced, name))
    if any(sign in name for sign in "*?["):
        paths = [path for path in traced.outputs if fnmatch.fnmatchcase(path, name)]
        if paths:
            return [site_after(traced, path) for path in paths]
        raise ValueError(
            f"No module that gives a map (N, C, H, W) matches {name!r}. Modules that do:"
            f" {_shortened(traced.outputs)}.{_unseen(traced, name)}"
        )
    if name not in traced.outputs:
        hint = did_you_mean(name, names=[*PLACES, *traced.outputs], cutoff=0.6)
        raise ValueError(
            f"at={name!r} is neither a place ({', '.join(PLACES)}) nor a module that gives a map"
            f" (N, C, H, W).{hint}{_unseen(traced, name)}"
        )
    return [site_after(traced, name)]


def site_after(traced: Trace, path: str) -> Site:
    """The site after a module that gives a map."""
    if path in traced.shared:
        raise ValueError(
            f"The module {path!r} is used at several places, where it gives"
            f" {' and '.join(traced.shared[path])}: one block can't serve them all. Choose a module"
            " that is used once, such as the one before it."
        )
    return _site(path, traced.last_of(path), "after", traced.outputs[path], traced.stage_of(path))


def _shortened(paths: Iterable[str]) -> str:
    shown = list(paths)
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _unseen(traced: Trace, name: str) -> str:
    """A sentence about a module that is there, such as in a detector's neck, but wasn't run."""
    found = next((path for path in traced.modules if fnmatch.fnmatchcase(path, name)), "")
    part, _, rest = found.partition(".")
    if not rest or any(fnmatch.fnmatchcase(path, name) for path in traced.outputs):
        return ""
    return (
        f" {found!r} is there, but gave no map in the pass that was tried; what stands in a part"
        f" that runs alone can be named from there: wrap(model.{part}, ..., at={rest!r})."
    )


def lacking(traced: Trace, place: str) -> str:
    """Why a model has no such place, and what it has."""
    others = [other for other in PLACES if other != place and PLACE_RULES[other](traced)]
    reasons = {
        "branch": "it adds no branch to a shortcut",
        "conv": "no convolution with a kernel larger than 1 lies in its blocks",
        "block": "no module of it joins branches or a shortcut",
        "stage": "its maps come from no convolutions",
        "stem": "nothing stands before its first stage",
        "image": "no module of it takes the image as it comes",
    }
    if traced.sequences and not traced.stages:
        reason = "its features are token sequences (N, T, C), no maps (N, C, H, W)"
    elif any(isinstance(module, nn.Conv3d) for module in traced.modules.values()):
        reason = "its maps have three directions (N, C, D, H, W), and attention takes (N, C, H, W)"
    else:
        reason = reasons[place]
    names = list(traced.outputs)[-3:] if others else []
    can = [f"at={other!r}" for other in others]
    can += [f"a module's name such as {_shortened(names)}"] if names else []
    return f"{traced.model} has no place {place!r}: {reason}." + (
        f" Use {' or '.join(can)}." if can else " No module of it gives a map."
    )


def _branches(traced: Trace) -> list[Site]:
    return [
        _site(block.path, block.branch, "after", block.branch_map, block.stage)
        for block in traced.blocks
        if block.branch and block.branch_map and block.branch not in traced.shared
    ]


def _convolutions(traced: Trace) -> list[Site]:
    found = [(block.path, block.conv, block.stage) for block in traced.blocks]
    if not any(conv for _, conv, _ in found):
        found = [(stage.path, stage.conv, stage.number) for stage in traced.stages]
    convs = {conv: (path, stage) for path, conv, stage in found if conv}
    return [
        _site(path, conv, "after", traced.outputs[conv], stage)
        for conv, (path, stage) in convs.items()
        if conv not in traced.shared
    ]


def _blocks(traced: Trace) -> list[Site]:
    return [
        _site(block.path, traced.last_of(block.giver), "after", block.output, block.stage)
        for block in traced.blocks
        if block.output and block.giver not in traced.shared
    ]


def _stages(traced: Trace) -> list[Site]:
    return [
        _site(stage.path, traced.last_of(stage.last), "after", stage.output, stage.number)
        for stage in traced.stages
    ]


def _stem(traced: Trace) -> list[Site]:
    if traced.stem is None:
        return []
    path, given = traced.stem
    return [_site("stem", traced.last_of(path), "after", given)]


def _image(traced: Trace) -> list[Site]:
    if traced.image is None:
        return []
    path, taken = traced.image
    return [site_before(path, taken, name="image")]


def site_before(path: str, taken: Map, *, name: str) -> Site:
    """The site before a module that takes a map."""
    return _site(name, path, "before", taken)


PLACE_RULES: dict[str, Callable[[Trace], list[Site]]] = {
    "branch": _branches,
    "conv": _convolutions,
    "block": _blocks,
    "stage": _stages,
    "stem": _stem,
    "image": _image,
}


def _site(
    name: str, path: str, where: Literal["after", "before"], at: Map, stage: int | None = None
) -> Site:
    return Site(name, path, where, at.channels, at.height, at.width, stage, at.layout)
