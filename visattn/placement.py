"""Where attention can go: a model and a rule give a list of sites.

A rule is a pure function from what was seen of a model (`visattn.tracing.Trace`) to sites; nothing
is changed.
"""

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from visattn.tracing import Layout, Map, Trace, trace

PLACES = ("branch", "conv", "block", "stage", "stem", "image")
"""The named places: before a residual block's addition, after the last spatial convolution of a
residual block's branch, after a block, after a stage, after the stem, on the image.

A block is a residual block or, where those are missing, a module that joins branches of its own
(an Inception or Fire module, a dense block). Where there are no blocks, ``"conv"`` is the last
spatial convolution of each stage. A stage is a module that holds blocks, or a run of blocks or
convolutions of one resolution in a flat list.
"""

_NEXT = {
    "conv": ("conv", "branch", "block", "stage"),
    "branch": ("branch", "block", "stage"),
    "block": ("block", "stage"),
    "stage": ("stage",),
    "stem": ("stem", "image", "stage"),
    "image": ("image", "stem", "stage"),
}


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
    """

    name: str
    path: str
    where: Literal["after", "before", "around", "instead"]
    channels: int
    height: int
    width: int
    stage: int | None = None
    layout: Layout = "NCHW"


Rule = Callable[[Trace], Iterable[Site]]
"""A placement rule of one's own: from the trace of a model to sites."""


def find_sites(
    model: nn.Module | Trace,
    at: str | Sequence[str] | Rule = "branch",
    *,
    stages: Sequence[int] | None = None,
    every: int = 1,
    input_size: tuple[int, int, int] | None = None,
) -> list[Site]:
    """The sites of a rule in a model, in the order of the forward pass.

    Args:
        model: Any module from images to anything, or its trace.
        at: A named place (`PLACES`), a module path, a glob over module paths such as
            ``"layer[34].*.conv2"``, several of these, or a rule of one's own.
        stages: Keep the sites of these stages alone, 1 being the first and -1 the last.
        every: Keep every n-th site of each stage, counted from the n-th; the last site of a stage
            that has fewer.
        input_size: (C, H, W) of the image; timm's own if the model names one, or (3, 224, 224).

    Raises:
        ValueError: The model has no such place, no module matches, or the filter leaves nothing.

    Example:
        >>> import torchvision
        >>> sites = find_sites(torchvision.models.resnet18(), "branch", stages=[-1])
        >>> [(site.name, site.path, site.channels, site.height) for site in sites]
        [('layer4.0', 'layer4.0.bn2', 512, 7), ('layer4.1', 'layer4.1.bn2', 512, 7)]
    """
    traced = model if isinstance(model, Trace) else trace(model, input_size=input_size)
    if callable(at):
        sites = list(at(traced))
    else:
        names = [at] if isinstance(at, str) else list(at)
        sites = [site for name in names for site in _named_sites(traced, name)]
    wanted = None if stages is None else _numbers(traced, stages)
    sites = list(_filtered(sites, wanted, every))
    if not sites:
        raise ValueError(
            f"Nothing is left of at={at!r} with stages={stages} and every={every} in"
            f" {traced.model}, whose stages are {[stage.number for stage in traced.stages]}."
            " Choose other stages or places."
        )
    doubled = {site.path for site in sites if [s.path for s in sites].count(site.path) > 1}
    if doubled:
        raise ValueError(
            f"at={at!r} names the same place twice: {', '.join(sorted(doubled))}. Name each once."
        )
    return sites


def own_place(traced: Trace, at: str) -> str:
    """A named place if the model has it, or else the next that it has.

    From the finest to the coarsest: ``"conv"``, ``"branch"``, ``"block"``, ``"stage"``; a stem for
    the image and the other way round. A place that less than half of the stages have counts as
    none. Names of modules are given back as they are.

    Raises:
        ValueError: The model has none of them, with the reason and what can be done.

    Example:
        >>> import torchvision
        >>> from visattn.tracing import trace
        >>> own_place(trace(torchvision.models.squeezenet1_1()), "branch")
        'block'
    """
    if at not in _NEXT:
        return at
    for place in _NEXT[at]:
        sites = _PLACE_RULES[place](traced)
        reached = {site.stage for site in sites if site.stage}
        if sites and (not reached or 2 * len(reached) >= len(traced.stages)):
            return place
    raise ValueError(_lacking(traced, at))


def following_stage(traced: Trace, site: Site) -> str | None:
    """The module that makes the next stage's output of the map at a site; None if none does.

    Example:
        >>> import torchvision
        >>> from visattn.tracing import trace
        >>> traced = trace(torchvision.models.resnet18())
        >>> following_stage(traced, find_sites(traced, "stage", stages=[3])[0])
        'layer4'
    """
    number = 0 if site.name == "stem" else site.stage
    following = [stage for stage in traced.stages if number is not None and stage.number > number]
    if not following or len(following[0].members) > 1:
        return None
    path = following[0].path
    here = Map(site.channels, site.height, site.width, site.layout)
    return path if traced.inputs.get(path) == here and path in traced.outputs else None


def base_input(traced: Trace, path: str) -> tuple[int, int, int, int] | None:
    """(1, C, H, W) of the first map that a module takes, whatever its layout; None if it takes none.

    Example:
        >>> import torchvision
        >>> from visattn.tracing import trace
        >>> base_input(trace(torchvision.models.resnet18()), "layer4")
        (1, 256, 14, 14)
    """
    taken = traced.inputs.get(path)
    return None if taken is None else (1, taken.channels, taken.height, taken.width)


def _numbers(traced: Trace, stages: Sequence[int]) -> list[int]:
    """Stage numbers from 1, those from the end turned."""
    return [len(traced.stages) + 1 + n if n < 0 else n for n in stages]


def _filtered(sites: list[Site], stages: Sequence[int] | None, every: int) -> Iterator[Site]:
    """The sites of the wanted stages, every n-th of each, or the last of a shorter one."""
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}.")
    stage_sites: dict[int | None, list[Site]] = {}
    for site in sites:
        if stages is None or site.stage in stages:
            stage_sites.setdefault(site.stage, []).append(site)
    for inside in stage_sites.values():
        yield from inside[every - 1 :: every] or inside[-1:]


def _named_sites(traced: Trace, name: str) -> list[Site]:
    """The sites of one named place, path or glob."""
    if name in _PLACE_RULES:
        if sites := _PLACE_RULES[name](traced):
            return sites
        raise ValueError(_lacking(traced, name))
    if any(sign in name for sign in "*?["):
        paths = [path for path in traced.outputs if fnmatch.fnmatchcase(path, name)]
        if paths:
            return [_after(traced, path) for path in paths]
        raise ValueError(
            f"No module that gives a map (N, C, H, W) matches {name!r}. Modules that do:"
            f" {_shortened(traced.outputs)}."
        )
    if name not in traced.outputs:
        near = difflib.get_close_matches(name, [*PLACES, *traced.outputs], n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"at={name!r} is neither a place ({', '.join(PLACES)}) nor a module that gives a map"
            f" (N, C, H, W).{hint}"
        )
    return [_after(traced, name)]


def _after(traced: Trace, path: str) -> Site:
    """The site after a module that gives a map."""
    if path in traced.widths:
        raise ValueError(
            f"The module {path!r} is used at several places, with maps of"
            f" {' and '.join(map(str, traced.widths[path]))} channels: one block can't serve them"
            " all. Choose a module that is used once, such as the one before it."
        )
    return _site(path, traced.last_of(path), "after", traced.outputs[path], traced.stage_of(path))


def _shortened(paths: Iterable[str]) -> str:
    shown = list(paths)
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _lacking(traced: Trace, place: str) -> str:
    """Why a model has no such place, and what it has."""
    others = [other for other in PLACES if other != place and _PLACE_RULES[other](traced)]
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
        if block.branch and block.branch_map and block.branch not in traced.widths
    ]


def _convolutions(traced: Trace) -> list[Site]:
    found = [(block.path, block.conv, block.stage) for block in traced.blocks]
    if not any(conv for _, conv, _ in found):
        found = [(stage.path, stage.conv, stage.number) for stage in traced.stages]
    convs = {conv: (path, stage) for path, conv, stage in found if conv}
    return [
        _site(path, conv, "after", traced.outputs[conv], stage)
        for conv, (path, stage) in convs.items()
        if conv not in traced.widths
    ]


def _blocks(traced: Trace) -> list[Site]:
    return [
        _site(block.path, traced.last_of(block.giver), "after", block.output, block.stage)
        for block in traced.blocks
        if block.output and block.giver not in traced.widths
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
    return [_site("image", path, "before", taken)]


_PLACE_RULES: dict[str, Callable[[Trace], list[Site]]] = {
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
