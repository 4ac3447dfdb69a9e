"""Where attention can go: a model and a rule give a list of sites.

A rule is a pure function from what was seen of a model (`visattn.wrapping.tracing.Trace`) to sites;
nothing is changed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from torch import nn

from visattn.wrapping.places import (
    PLACE_RULES,
    PLACES as PLACES,
    Site as Site,
    lacking,
    named_sites,
)
from visattn.wrapping.tracing import Map, Trace, trace

Rule = Callable[[Trace], Iterable[Site]]
"""A placement rule of one's own: from the trace of a model to sites."""

_NEXT = {
    "conv": ("conv", "branch", "block", "stage"),
    "branch": ("branch", "block", "stage"),
    "block": ("block", "stage"),
    "stage": ("stage",),
    "stem": ("stem", "image", "stage"),
    "image": ("image", "stem", "stage"),
}


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
        sites = [site for name in names for site in named_sites(traced, name)]
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
        >>> from visattn.wrapping.tracing import trace
        >>> own_place(trace(torchvision.models.squeezenet1_1()), "branch")
        'block'
    """
    if at not in _NEXT:
        return at
    for place in _NEXT[at]:
        sites = PLACE_RULES[place](traced)
        reached = {site.stage for site in sites if site.stage}
        # HGNetV2: a branch in one of four stages; CaFormer: convolutions in two of four
        if sites and (not reached or 2 * len(reached) >= len(traced.stages)):
            return place
    raise ValueError(lacking(traced, at))


def following_stage(traced: Trace, site: Site) -> str | None:
    """The module that makes the next stage's output of the map at a site; None if none does.

    Example:
        >>> import torchvision
        >>> from visattn.wrapping.tracing import trace
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
    """(1, C, H, W) of the first map that a module takes, whatever its layout; None without one.

    Example:
        >>> import torchvision
        >>> from visattn.wrapping.tracing import trace
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
