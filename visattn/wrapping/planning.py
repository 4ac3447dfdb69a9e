"""What wrap would do: the blocks, built and tried, for the sites of a model."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from visattn.blocks import BlockEntry, block_entry
from visattn.blocks.attended import Attended
from visattn.blocks.gates import Init, check_init
from visattn.wrapping.building import Placed, builds
from visattn.wrapping.parts import is_named, trace_parts
from visattn.wrapping.passes import Example, count_multiply_adds
from visattn.wrapping.placement import Rule, Site, find_sites, own_place
from visattn.wrapping.tracing import Trace, default_input_size, model_from_name, trace

Block = str | type[nn.Module] | Callable[..., nn.Module]
Model = nn.Module | str | Callable[[], nn.Module]


@dataclass(frozen=True)
class Plan:
    """What `wrap` would do; printing it gives a table.

    Attributes:
        placed: One entry a site, in the order of the forward pass.
        parameters: Of the model before.
        multiply_adds: Of the model before, for one image: its convolutions, linear layers and
            matrix products; 0 where the model can't be run alone.
        input_size: (C, H, W) that sizes and multiply-adds are for.
    """

    placed: tuple[Placed, ...]
    parameters: int
    multiply_adds: int
    input_size: tuple[int, int, int]

    @property
    def sites(self) -> list[Site]:
        """The sites alone."""
        return [entry.site for entry in self.placed]

    @property
    def added_parameters(self) -> int:
        """Parameters of all blocks together."""
        return sum(entry.parameters for entry in self.placed)

    @property
    def added_multiply_adds(self) -> int:
        """Multiply-adds of all blocks together, for one image."""
        return sum(entry.multiply_adds for entry in self.placed)

    def rows(self) -> Sequence[tuple[str, ...]]:
        """The table's cells as text, the header first."""
        header = ("site", "block", "where", "stage", "channels", "size", "parameters", "mult-adds")
        cells = [
            (
                entry.site.name,
                entry.block,
                f"{entry.site.where} {entry.site.path}",
                "" if entry.site.stage is None else str(entry.site.stage),
                str(entry.site.channels),
                f"{entry.site.height} x {entry.site.width}",
                f"{entry.parameters:,}",
                f"{entry.multiply_adds:,}",
            )
            for entry in self.placed
        ]
        return [header, *cells]

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.append(f"{len(self.placed)} blocks at {' x '.join(map(str, self.input_size))}:")
        for what, before, added in (
            ("parameters", self.parameters, self.added_parameters),
            ("multiply-adds", self.multiply_adds, self.added_multiply_adds),
        ):
            lines.append(f"  {what}: {before:,} {added:+,} = {before + added:,}")
        return "\n".join(lines)


def plan(
    model: Model,
    block: Block | Mapping[str, Block],
    *,
    at: str | Sequence[str] | Rule | None = None,
    stages: Sequence[int] | None = None,
    every: int | None = None,
    init: Init = "identity",
    input_size: tuple[int, int, int] | None = None,
    example_inputs: Example | None = None,
    **block_options: Any,
) -> Plan:
    """What `wrap` with the same arguments would do; nothing is changed.

    Returns:
        A table of sites with channels, size, parameters and multiply-adds.

    Raises:
        ValueError: As `wrap`.

    Example:
        >>> import torchvision
        >>> plan(torchvision.models.resnet18(), "se").added_parameters
        89080
    """
    built = build_model(model)
    with torch.random.fork_rng(devices=[]):
        traced, prepared = prepare(
            built, block, at, stages, every, init, input_size, example_inputs, block_options
        )
    multiply_adds, size = 0, input_size or default_input_size(built)
    if traced is not None:
        part = built.get_submodule(traced.part)
        _, multiply_adds = count_multiply_adds(part, traced.called_with)
        image = next((t for t in traced.called_with.tensors() if t.ndim == 4), None)
        size = size if image is None else (image.shape[1], image.shape[2], image.shape[3])
    return Plan(
        placed=tuple(placed for placed, _ in prepared),
        parameters=sum(p.numel() for p in built.parameters()),
        multiply_adds=multiply_adds,
        input_size=size,
    )


def build_model(model: Model) -> nn.Module:
    """The model itself, or the one that a timm name or a function without arguments gives.

    Raises:
        TypeError: It is neither.
        ValueError: timm has no model of that name; the message has the nearest names.
    """
    if isinstance(model, str):
        return model_from_name(model)
    built = model if isinstance(model, nn.Module) else model() if callable(model) else None
    if not isinstance(built, nn.Module):
        raise TypeError(
            "Expected a module, the name of a timm model, or a function that builds a module;"
            f" got {model!r}" + ("." if built is None else f", which gave {built!r}.")
        )
    return built


def prepare(
    model: nn.Module,
    block: Block | Mapping[str, Block],
    at: str | Sequence[str] | Rule | None,
    stages: Sequence[int] | None,
    every: int | None,
    init: Init,
    input_size: tuple[int, int, int] | None,
    example_inputs: Example | None,
    options: dict[str, Any],
) -> tuple[Trace | None, list[tuple[Placed, nn.Module]]]:
    """Find the sites, build and try the blocks; the model is left alone.

    What was seen of the model comes with them; None where it can't be run, and the sites are named.
    """
    check_init(init)
    if isinstance(block, Mapping) and at is not None:
        raise ValueError(
            f"A mapping says where each block goes; leave at={at!r} out or give a single block."
        )
    wanted = list(block.items()) if isinstance(block, Mapping) else [(at, block)]
    whole = True
    try:
        traced = trace(model, input_size=input_size, example_inputs=example_inputs)
    except ValueError:
        named = [place for place, _ in wanted if is_named(place)]
        if stages is not None or len(named) < len(wanted):
            raise
        whole, traced = False, trace_parts(model, named)
    prepared: list[tuple[Placed, nn.Module]] = []
    tried: dict[Any, int] = {}
    for place, choice in wanted:
        entry = _entry(choice)
        for found in _sites(traced, entry, place, stages, every):
            near = "before" if found.where == "before" else "after"
            like = found.like or traced.likes.get((found.path, near))
            site = replace(found, name=_natural(model, found.name), like=like)
            prepared += builds(model, traced, entry, site, init, options, tried)
    return traced if whole else None, prepared


def _sites(
    traced: Trace,
    entry: BlockEntry,
    place: str | Sequence[str] | Rule | None,
    stages: Sequence[int] | None,
    every: int | None,
) -> list[Site]:
    """The sites asked for, or those of the block's own place or the one nearest to it."""
    own = place is None or place == entry.at
    if place is None:
        place = own_place(traced, entry.at)
    every = every or (entry.every if place == entry.at else 1)
    if own and stages is None and entry.stages is not None:
        with suppress(ValueError):  # a model without such stages
            return find_sites(traced, place, stages=entry.stages, every=every)
    return find_sites(traced, place, stages=stages, every=every)


def _natural(model: nn.Module, name: str) -> str:
    """The name that a place in a wrapped model would have without the attention around it."""
    module: nn.Module | None = model
    parts = []
    for part in name.split("."):
        if not (isinstance(module, Attended) and part == module.visattn.inner):
            parts.append(part)
        module = dict(module.named_children()).get(part) if module is not None else None
    return ".".join(parts)


def _entry(block: Block) -> BlockEntry:
    """The registry's entry, or one made for a class or function."""
    if isinstance(block, str):
        return block_entry(block)
    if not callable(block) or isinstance(block, nn.Module):
        raise TypeError(
            "A block must be a registered name, a block class or a function of channels, got"
            f" {block!r}. A finished module serves one place only: pass a function that makes one."
        )
    return BlockEntry.of(getattr(block, "__name__", "block"), block)
