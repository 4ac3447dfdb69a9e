"""How attention gets into a model and out again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from visattn.blocks.attended import (
    Attended,
    attended,
    attended_units,
    base_of,
    block_of,
    replace_module,
    strip,
)
from visattn.blocks.folding import guard_folding
from visattn.blocks.fused.choice import spare_inputs
from visattn.blocks.gates import Init
from visattn.blocks.standing import free_name
from visattn.wrapping.building import Placed
from visattn.wrapping.passes import Example, Inputs, run_twin
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
    example_inputs: Example | None = None,
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
        example_inputs: What the model is called with, if that is no image (N, C, H, W): a tensor, a
            tuple of arguments, or a mapping (of named arguments, or the one argument).
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
    traced, prepared = prepare(
        built, block, at, stages, every, init, input_size, example_inputs, block_options
    )
    paths = [placed.site.path for placed, _ in prepared]
    taken = [
        path
        for path in paths
        if isinstance(built.get_submodule(path), Attended) or paths.count(path) > 1
    ]
    if taken and not stack:
        raise ValueError(
            f"There is attention at {taken[0]!r} already (and {len(taken) - 1} more places)."
            " Call unwrap first, choose other places, or pass stack=True."
        )
    names = {unit.visattn.site for unit in attended(built)}
    units = []
    for placed, module in prepared:
        name = placed.site.name
        if name in names:
            name = free_name(f"{name}:{placed.block}", names)
        names.add(name)
        units.append(_attach(built, placed, module, name))
    _guard(built)
    try:
        if traced is not None:
            _check_runs(built.get_submodule(traced.part), traced.called_with, units)
    except Exception:
        _take_out(built, units)
        raise
    return built


def _check_runs(model: nn.Module, inputs: Inputs, units: Sequence[Attended]) -> None:
    """Raise a ValueError if the model can't run any more, or passes a unit by."""

    def called(double: nn.Module, taken: Inputs) -> set[str]:
        found: set[str] = set()
        for unit in attended(double):
            unit.register_forward_hook(lambda *_, site=unit.visattn.site: found.add(site))
        double(*taken.args, **taken.kwargs)
        return found

    try:
        found = run_twin(model, inputs, called)
    except Exception as error:
        raise ValueError(
            f"With attention in it {type(model).__name__} could not be run:"
            f" {type(error).__name__}: {error}. Choose another place; the model is as it was."
        ) from error
    sites = [unit.visattn.site for unit in attended(model) if unit in units]
    missed = [site for site in sites if site not in found]
    if missed:
        raise ValueError(
            f"The model never calls the module at {missed[0]!r} itself (it may use its parts one by"
            " one), so attention there would do nothing. Choose a part of it; the model is as it"
            " was."
        )


def _take_out(model: nn.Module, units: Sequence[Attended]) -> None:
    """Put the bases of some units back in their places."""
    for unit in reversed(units):
        replace_module(model, unit, base_of(unit))
    _guard(model)


def _guard(model: nn.Module) -> None:
    guard_folding(model, [p for p, m in model.named_modules() if isinstance(m, Attended)])
    spare_inputs(model)


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

    Example:
        >>> import torchvision
        >>> model = wrap(torchvision.models.resnet18(), "se")
        >>> len(backbone_parameters(model)) + len(attention_parameters(model))
        94
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


def _attach(model: nn.Module, placed: Placed, module: nn.Module, name: str) -> Attended:
    """Put a built block at its site."""
    site, options = placed.site, dict(placed.options)
    base = model.get_submodule(site.path)
    origin = {"block": placed.block, "path": site.path, "init": placed.init, "options": options}
    unit = Attended(base, module, where=site.where, site=name, layout=site.layout, origin=origin)
    replace_module(model, base, unit)
    return unit
