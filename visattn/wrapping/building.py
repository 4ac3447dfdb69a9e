"""One block for one site: made with what the site knows, and tried before anything is changed."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.suggestions import did_you_mean
from visattn.blocks import BlockEntry
from visattn.blocks.attended import ZeroStart, strip
from visattn.blocks.gates import Init
from visattn.blocks.loading import plain_value
from visattn.wrapping.encoders import encoder_facts
from visattn.wrapping.passes import Inputs, count_multiply_adds, reference_tensor
from visattn.wrapping.placement import Site, base_input, following_stage
from visattn.wrapping.tracing import Trace

_TRIED: dict[Any, int] = {}
NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Placed:
    """One block at one site, as planned.

    Attributes:
        site: Where.
        block: The registered name, or the factory's own.
        parameters: Number of parameters that the block adds, less those that it displaces.
        multiply_adds: Of its convolutions, linear layers and matrix products for one image, less
            those that it displaces.
        init: As for `wrap`.
        options: The block's, as plain values.
    """

    site: Site
    block: str
    parameters: int
    multiply_adds: int
    init: str = "identity"
    options: Mapping[str, Any] = field(default_factory=dict)


def builds(
    model: nn.Module,
    traced: Trace,
    entry: BlockEntry,
    site: Site,
    init: Init,
    options: Mapping[str, Any],
    tried: dict[Any, int] | None = None,
) -> list[tuple[Placed, nn.Module]]:
    """The block for a site; with it, what takes the place of a normalisation that it brings.

    Args:
        model: Where it will stand.
        traced: What was seen of the model.
        entry: The block.
        site: Where.
        init: See `wrap`.
        options: For the block.
        tried: The multiply-adds of blocks that were tried already; equal ones aren't again. Those
            of visattn's own are remembered anyway.

    Raises:
        ValueError: Unknown option; the block can't stand there, can't run or changes the shape.
        TypeError: The factory gives no module.
    """
    known = inspect.signature(entry.factory).parameters
    _check_options(entry, known, options)
    base = model.get_submodule(site.path)
    displaces = entry.stands == "instead" and init == "paper"
    if site.where == "before" and entry.stands == "instead":
        raise ValueError(
            f"The block {entry.name!r} takes the place of a convolution, and {site.name!r} is a"
            " place before one. Use at='conv' or the name of an nn.Conv2d."
        )
    if site.where != "before" and entry.stands != "after":
        site = replace(site, where="instead" if displaces else "around")
    facts = _facts(model, traced, entry, site, base, known, options)
    offers = "init" in known
    like = _like(model, base, site)
    with torch.inference_mode(False), torch.device(like.device):
        module = entry.factory(
            site.channels, **({"init": init} if offers else {}), **facts, **options
        )
    if not isinstance(module, nn.Module):
        raise TypeError(f"The block {entry.name!r} gave {type(module).__name__}, not a module.")
    shapes = _shapes(traced, site)
    both = entry.stands == "around" and site.where == "around"
    module.to(device=like.device, dtype=like.dtype)
    alike = (entry, shapes, both, like.device, like.dtype, repr({**facts, **options}))
    ours = str(getattr(entry.factory, "__module__", "")).startswith("visattn.blocks.")
    tried = _TRIED if ours else {} if tried is None else tried
    if alike not in tried:
        tried[alike] = _multiply_adds(module, entry, site, shapes, like, both=both)
    multiply_adds = tried[alike]
    if init == "identity" and not offers:
        with torch.inference_mode(False), torch.device(like.device):
            module = ZeroStart(module)
    module.to(device=like.device, dtype=like.dtype).train(base.training)
    parameters = sum(p.numel() for p in module.parameters())
    if displaces:
        multiply_adds -= _multiply_adds(base, entry, site, shapes, like)
        parameters -= sum(p.numel() for p in base.parameters())
    plain = {name: plain_value(value) for name, value in sorted(options.items())}
    made = [(Placed(site, entry.name, parameters, multiply_adds, init, plain), module)]
    norm = _norm_after(model, traced, site.path) if displaces and entry.brings_norm else None
    if norm is not None:
        path, module = norm
        less = sum(p.numel() for p in module.parameters())
        passing = replace(site, name=f"{site.name}:norm", path=path)
        made.append((Placed(passing, "no normalisation", -less, 0), nn.Identity()))
    return made


def _like(model: nn.Module, base: nn.Module, site: Site) -> Tensor:
    """A tensor of the device and type of the map at a site, or else of the module's parameters."""
    own = any(p.is_floating_point() for p in base.parameters())
    reference = reference_tensor(base if own else model)
    if site.like is None or not site.like[1].is_floating_point:
        return reference
    device, dtype = site.like
    device = reference.device if device.type == "meta" else device
    return torch.empty(0, device=device, dtype=dtype)


def _check_options(
    entry: BlockEntry, known: Mapping[str, inspect.Parameter], options: Mapping[str, Any]
) -> None:
    """Raise a ValueError that names an option which the block doesn't have."""
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    unknown = [name for name in options if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], names=known, count=1, cutoff=0.6)
        raise ValueError(
            f"The block {entry.name!r} has no option {unknown[0]!r}.{hint}"
            f" Options: {', '.join(name for name in list(known)[1:] if name != 'init')}."
        )


def _facts(
    model: nn.Module,
    traced: Trace,
    entry: BlockEntry,
    site: Site,
    base: nn.Module,
    known: Mapping[str, inspect.Parameter],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What the site knows, for the arguments of the block that ask for it."""
    facts: dict[str, Any] = {"size": (site.height, site.width)}
    if entry.stands == "instead":
        facts |= _convolution_facts(entry, site, base)
    if site.where == "around" and entry.stands == "around":
        facts["in_channels"] = _shapes(traced, site)[0][1]
    if "num_classes" in known:
        facts["num_classes"] = _num_classes(model)
    if "next_stage" in known:
        path = following_stage(traced, site)
        facts["next_stage"] = strip(copy.deepcopy(model.get_submodule(path))) if path else None
    if "encoder" in known and "encoder" not in options and options.get("branch") == "features":
        facts |= encoder_facts(model, traced, site)
    return {
        name: value
        for name, value in facts.items()
        if name in known and name not in options and value is not None
    }


def _convolution_facts(entry: BlockEntry, site: Site, base: nn.Module) -> dict[str, Any]:
    """How the convolution is made that a block stands in for."""
    if not isinstance(base, nn.Conv2d):
        raise ValueError(
            f"The block {entry.name!r} takes the place of a convolution, and {site.path!r} is a"
            f" {type(base).__name__}. Use at='conv' or the name of an nn.Conv2d."
        )
    if base.stride[0] != base.stride[1] or base.dilation[0] != base.dilation[1]:
        raise ValueError(
            f"The block {entry.name!r} has the same stride and dilation in both directions;"
            f" {site.path!r} has stride {base.stride} and dilation {base.dilation}."
        )
    return {
        "in_channels": base.in_channels,
        "out_channels": base.out_channels,
        "stride": base.stride[0],
        "dilation": base.dilation[0],
        "groups": base.groups,
    }


def _num_classes(model: nn.Module) -> int | None:
    """Width of the model's answers: as it says, or that of its last linear layer."""
    said = getattr(model, "num_classes", None)
    if isinstance(said, int) and said > 0:
        return said
    widths = [m.out_features for m in model.modules() if isinstance(m, nn.Linear)]
    return widths[-1] if widths else None


def _norm_after(model: nn.Module, traced: Trace, path: str) -> tuple[str, nn.Module] | None:
    """The normalisation that runs right after a module, with its path."""
    order = list(traced.outputs)
    following = order[order.index(path) + 1 :][:1]
    for name in following:
        module = model.get_submodule(name)
        if isinstance(module, NORMALISATIONS):
            return name, module
    return None


def _shapes(traced: Trace, site: Site) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The maps (N, C, H, W) that the site's module takes and gives."""
    given = (1, site.channels, site.height, site.width)
    if site.where in ("after", "before"):
        return given, given
    taken = base_input(traced, site.path)
    if taken is None:
        raise ValueError(
            f"{site.path!r} takes no map (N, C, H, W), so nothing can stand around it or instead"
            " of it. Choose a place whose module takes a map."
        )
    return tuple(taken), given


def _multiply_adds(
    module: nn.Module,
    entry: BlockEntry,
    site: Site,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    reference: Tensor,
    *,
    both: bool = False,
) -> int:
    """Run a block on fake maps; its multiply-adds, or a ValueError if it can't stand there."""
    taken, given = shapes
    try:
        maps = (
            torch.ones(shape, device=reference.device, dtype=reference.dtype)
            for shape in (shapes if both else shapes[:1])
        )
        y, multiply_adds = count_multiply_adds(module, Inputs(tuple(maps)))
    except Exception as error:
        raise ValueError(
            f"The block {entry.name!r} cannot run at {site.name!r} on a map {taken}: {error}"
        ) from error
    if not isinstance(y, Tensor) or tuple(y.shape) != given:
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(
            f"The block {entry.name!r} must give a map {given} at {site.name!r}: it got {taken} and"
            f" gave {got}."
        )
    return multiply_adds
