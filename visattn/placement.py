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

from visattn.tracing import Residual, Trace, trace

PLACES = ("branch", "block", "stage", "stem", "image")
"""The named places: before a residual block's addition, after a residual block, after a stage,
after the stem, on the image."""


@dataclass(frozen=True)
class Site:
    """One place for one block.

    Attributes:
        name: What the site is called in plans and recordings, such as ``"layer4.2"``.
        path: The module whose output or input passes through the block.
        where: Whether the block stands ``"after"`` or ``"before"`` that module.
        channels: Of the map there.
        height: Of the map there, for the traced input size.
        width: Of the map there.
        stage: 1 for the first stage, and so on; None outside of the stages.
    """

    name: str
    path: str
    where: Literal["after", "before"]
    channels: int
    height: int
    width: int
    stage: int | None = None


Rule = Callable[[Trace], Iterable[Site]]
"""A placement rule of one's own: from the trace of a model to sites."""


def find_sites(
    model: nn.Module,
    at: str | Sequence[str] | Rule = "branch",
    *,
    stages: Sequence[int] | None = None,
    every: int = 1,
    input_size: tuple[int, int, int] | None = None,
) -> list[Site]:
    """The sites of a rule in a model, in the order of the forward pass.

    Args:
        model: Any module from images to anything.
        at: A named place (`PLACES`), a module path, a glob over module paths such as
            ``"layer[34].*.conv2"``, several of these, or a rule of one's own.
        stages: Keep the sites of these stages alone, 1 being the first.
        every: Keep every n-th site of each stage, counted from the n-th; the last site of a stage
            that has fewer.
        input_size: (C, H, W) of the image; timm's own if the model names one, or (3, 224, 224).

    Raises:
        ValueError: The model has no such place, no module matches, or the filter leaves nothing.

    Example:
        >>> import torchvision
        >>> sites = find_sites(torchvision.models.resnet18(), "branch", stages=[4])
        >>> [(site.name, site.path, site.channels, site.height) for site in sites]
        [('layer4.0', 'layer4.0.bn2', 512, 7), ('layer4.1', 'layer4.1.bn2', 512, 7)]
    """
    traced = trace(model, input_size=input_size)
    if callable(at):
        sites = list(at(traced))
    else:
        names = [at] if isinstance(at, str) else list(at)
        sites = [site for name in names for site in _named_sites(traced, name)]
    sites = list(_filtered(sites, stages, every))
    if not sites:
        found = sorted({residual.stage for residual in traced.residuals})
        raise ValueError(
            f"Nothing is left of at={at!r} with stages={stages} and every={every} in"
            f" {type(model).__name__}, whose stages are {found}. Choose other stages or places."
        )
    doubled = {site.path for site in sites if [s.path for s in sites].count(site.path) > 1}
    if doubled:
        raise ValueError(
            f"at={at!r} names the same place twice: {', '.join(sorted(doubled))}. Name each once."
        )
    return sites


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
        return _PLACE_RULES[name](traced)
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
    stage = traced.stage_of(path)
    return _site(path, traced.last_of(path), "after", traced.outputs[path], stage)


def _shortened(paths: Iterable[str]) -> str:
    shown = list(paths)
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _residuals(traced: Trace, place: str) -> list[Residual]:
    if not traced.residuals:
        raise ValueError(
            f"This model adds no branch to a shortcut, so it has no place {place!r}. Give module"
            f" names or globs instead, such as {_shortened(list(traced.outputs)[-3:])}."
        )
    return traced.residuals


def _branches(traced: Trace) -> list[Site]:
    return [
        _site(block.path, block.branch, "after", block.branch_shape, block.stage)
        for block in _residuals(traced, "branch")
    ]


def _blocks(traced: Trace) -> list[Site]:
    return [
        _site(block.path, block.path, "after", block.shape, block.stage)
        for block in _residuals(traced, "block")
    ]


def _stages(traced: Trace) -> list[Site]:
    last = {block.stage: block for block in _residuals(traced, "stage")}
    return [
        _site(block.path.rpartition(".")[0] or block.path, block.path, "after", block.shape, stage)
        for stage, block in last.items()
    ]


def _stem(traced: Trace) -> list[Site]:
    _residuals(traced, "stem")
    if traced.stem is None:
        raise ValueError("Nothing stands before this model's first residual block: no stem.")
    path, shape = traced.stem
    return [_site("stem", traced.last_of(path), "after", shape)]


def _image(traced: Trace) -> list[Site]:
    if traced.image is None:
        raise ValueError(
            "No module of this model takes the image as it comes, so nothing can be put before"
            " it. Use at='stem', or nn.Sequential(block, model)."
        )
    path, shape = traced.image
    return [_site("image", path, "before", shape)]


_PLACE_RULES: dict[str, Callable[[Trace], list[Site]]] = {
    "branch": _branches,
    "block": _blocks,
    "stage": _stages,
    "stem": _stem,
    "image": _image,
}


def _site(
    name: str,
    path: str,
    where: Literal["after", "before"],
    shape: Sequence[int],
    stage: int | None = None,
) -> Site:
    _, channels, height, width = shape
    return Site(name, path, where, channels, height, width, stage)
