"""How attention gets into a model and out again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from visattn.blocks.attended import (
    Attended,
    attended,
    attended_units,
    block_of,
    free_name,
    replace_module,
    strip,
)
from visattn.blocks.folding import guard_folding
from visattn.blocks.gates import Init
from visattn.wrapping.building import Placed
from visattn.wrapping.placement import Rule
from visattn.wrapping.planning import Block, Model, build_model, prepare


def wrap(
    model: Model,
    block: Block | Mapping[str, Block],
    *,
    at: str | Sequence[str] | Rule | None = None,
    stages: Sequence[int] | None = None,
    every: int | None = None,
    init: Init = "identity",
    input_size: tuple[int, int, int] | None = None,
    stack: bool = False,
    **block_options: Any,
) -> nn.Module:
    """Put attention into a model, in place.

    Args:
        model: Any module, the name of a timm model, or a function that builds one.
        block: A registered name, a block class, or a function of channels; or a mapping from
            place to block.
        at: The block's own place if None; ``"branch"`` (in each residual block, before the
            addition), ``"block"`` (after it), ``"stage"`` (after each stage), ``"stem"``,
            ``"image"``; module names or globs; or a rule of one's own
            (`visattn.wrapping.placement.Trace` to sites).
        stages: The stages to put it into, 1 being the first; the block's own if None.
        every: Into every n-th place of each stage; the block's own if None.
        init: ``"identity"``: the model predicts exactly what it did until it is trained.
            ``"paper"``: each block as published.
        input_size: (C, H, W) of the images; timm's own if the model names one, or (3, 224, 224).
            It serves to find the sites and isn't fixed by them.
        stack: Allow a block at a site that has one.
        **block_options: For the block.

    Returns:
        ``model`` itself, or the model that was built.

    Raises:
        ValueError: Unknown place, option or ``init``; no site left; a site that has attention;
            a block that changes the shape of the map. The model is as it was.
        KeyError: Unknown block, with the nearest names.

    Example:
        >>> import torch, torchvision
        >>> model = torchvision.models.resnet18().eval()
        >>> images = torch.randn(2, 3, 64, 64)
        >>> before = model(images)
        >>> torch.equal(wrap(model, "cbam")(images), before)
        True
    """
    built = build_model(model)
    prepared = prepare(built, block, at, stages, every, init, input_size, block_options)
    taken = [p.site.path for p, _ in prepared if _has_attention(built, p.site.path)]
    if taken and not stack:
        raise ValueError(
            f"There is attention at {taken[0]!r} already (and {len(taken) - 1} more places)."
            " Call unwrap first, choose other places, or pass stack=True."
        )
    names = {unit.visattn.site for unit in attended(built)}
    for placed, module in prepared:
        name = placed.site.name
        if name in names:
            name = free_name(f"{name}:{placed.block}", names)
        names.add(name)
        _attach(built, placed, module, name)
    return built


def unwrap(model: nn.Module) -> nn.Module:
    """Take all attention out again, in place.

    Returns:
        ``model``, with the modules, keys and outputs that it had without attention (and with
        whatever training changed in them).

    Raises:
        ValueError: There is none.
    """
    attended_units(model)
    return strip(model)


def attention_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that `wrap` added, for optimiser groups and freezing.

    Raises:
        ValueError: The model has no attention that `wrap` put in.
    """
    added = {id(p): p for unit in attended_units(model) for p in block_of(unit).parameters()}
    return list(added.values())


def backbone_parameters(model: nn.Module) -> list[nn.Parameter]:
    """All parameters but those that `wrap` added.

    Raises:
        ValueError: The model has no attention that `wrap` put in.
    """
    added = {id(p) for p in attention_parameters(model)}
    return [p for p in model.parameters() if id(p) not in added]


@contextmanager
def disabled(model: nn.Module) -> Iterator[nn.Module]:
    """A context in which the model runs without its attention.

    Example:
        >>> import torchvision
        >>> model = wrap(torchvision.models.resnet18(), "se")
        >>> with disabled(model):
        ...     next(attended(model)).visattn.enabled
        False
    """
    units = [(unit, unit.visattn.enabled) for unit in attended_units(model)]
    try:
        for unit, _ in units:
            unit.visattn.enabled = False
        yield model
    finally:
        for unit, before in units:
            unit.visattn.enabled = before


def _has_attention(model: nn.Module, path: str) -> bool:
    return isinstance(model.get_submodule(path), Attended)


def _attach(model: nn.Module, placed: Placed, module: nn.Module, name: str) -> None:
    """Put a built block at its site."""
    base = model.get_submodule(placed.site.path)
    origin = {"block": placed.block, "path": placed.site.path}
    unit = Attended(
        base,
        module,
        where=placed.site.where,
        site=name,
        layout=placed.site.layout,
        origin=origin,
    )
    replace_module(model, base, unit)
    guard_folding(model, placed.site.path)
