"""What is measured: a model with and without attention, or blocks alone, and timm's beside them."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import yaml
from timm.layers import create_attn
from torch import Tensor, nn

import visattn
from visattn.blocks import block_entry, block_names
from visattn.blocks.attended import strip
from visattn.blocks.fused.choice import is_fusable
from visattn.networks.backbone import constructor_at, imported
from visattn.networks.loading import load_classifier
from visattn.wrapping.passes import Inputs, count_multiply_adds

PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ("se", "ese", "eca", "cbam", "gc", "coord")},
    "nonlocal": ("nl", {"rd_ratio": 0.5, "rd_divisor": 1}),  # as wide as ours
}
"""Blocks that timm has too, their names there, and their options."""

WEIGHT_FILES = (".ckpt", ".pt", ".pth", ".safetensors")
PLACING = ("at", "stages", "every")
Block = str | Callable[..., nn.Module]


@dataclass(frozen=True)
class Subject:
    """One thing that is timed.

    Attributes:
        name: For the table; the first subject of several is what the others are compared with.
        module: What runs.
        peer: The name of timm's counterpart, itself a subject; empty if there is none.
        sites: How many places of the model have the block.
        parameters: That the block adds, at all sites.
        multiply_adds: The same, for one image or map.
        context: Within which it runs.
    """

    name: str
    module: nn.Module
    peer: str = ""
    sites: int = 0
    parameters: int = 0
    multiply_adds: int = 0
    context: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass(frozen=True)
class _Form:
    """A block as it is put in: see `Subject` for the rest."""

    words: str
    title: str
    block: Block
    options: dict[str, Any]
    peer: str = ""
    context: Callable[[], AbstractContextManager[Any]] = nullcontext


class Copy(nn.Module):
    """A copy of a tensor: what reading and writing a map costs."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) as it is, elsewhere."""
        return x.clone()


def models_with(
    name: str, blocks: Sequence[str], *, size: tuple[int, int, int]
) -> tuple[Subject, ...]:
    """A model without attention, and with each block and timm's counterpart at the same places.

    Args:
        name: A timm model, a checkpoint that ``visattn fit`` wrote, or the import path of a
            function that builds a model.
        blocks: ``NAME`` or ``NAME:OPTION=VALUE,...``; a name is a registered one, or the import
            path of a block. Options are the block's, and ``at``, ``stages``, ``every`` and
            ``init`` of `visattn.wrap`; blocks begin as their papers say unless told otherwise.
        size: Channels, height and width of the images.

    Raises:
        ValueError: A name is unknown or its nearest are named, or the block can't stand there.
    """
    plain = _network(name)
    subjects = [Subject("plain", plain)]
    for form in (form for words in blocks for form in _forms(words)):
        options: dict[str, Any] = {"init": "paper", "input_size": size, **form.options}
        planned = visattn.plan(plain, form.block, **options)
        wrapped = visattn.wrap(copy.deepcopy(plain), form.block, **options)
        added = len(planned.placed), planned.added_parameters, planned.added_multiply_adds
        subjects.append(Subject(form.title, wrapped, form.peer, *added, form.context))
    return _distinct(subjects)


def blocks_alone(blocks: Sequence[str], *, shape: tuple[int, int, int, int]) -> tuple[Subject, ...]:
    """A copy of a map, and each block with timm's counterpart.

    Args:
        blocks: As for `models_with`, but for the options of `visattn.wrap`.
        shape: N, C, H and W of the map.

    Raises:
        ValueError: A name is unknown, or the block can't run alone on such a map.
    """
    subjects = [Subject("copy", Copy())]
    for form in (form for words in blocks for form in _forms(words)):
        make = block_entry(form.block).factory if isinstance(form.block, str) else form.block
        try:
            module = make(shape[1], **form.options)
            y, multiply_adds = count_multiply_adds(module, Inputs((torch.ones(1, *shape[1:]),)))
            if not isinstance(y, Tensor):
                raise ValueError(f"it gives no map but {type(y).__name__}")
        except Exception as error:
            raise ValueError(
                f"the block {form.title} can't run alone on a map {shape}: {error}\n"
                f"Measure it in a model: visattn bench resnet50 {form.words}"
            ) from error
        parameters = sum(p.numel() for p in module.parameters())
        facts = 1, parameters, multiply_adds
        subjects.append(Subject(form.title, module, form.peer, *facts, form.context))
    return _distinct(subjects)


def _network(name: str) -> nn.Module:
    """A network without attention, from its name."""
    if timm.is_model(name) or "." not in name or Path(name).suffix in WEIGHT_FILES:
        return strip(load_classifier(name)[0])
    built = constructor_at(name)()
    if not isinstance(built, nn.Module):
        raise ValueError(f"{name}() must give a torch.nn.Module, it gave {type(built).__name__}")
    return built


def _parsed(words: str) -> tuple[Block, dict[str, Any]]:
    """The block and its options."""
    name, _, text = words.partition(":")
    try:
        options = yaml.safe_load("{" + text.replace("=", ": ") + "}")
    except yaml.YAMLError as error:
        raise ValueError(f"expected {name}:OPTION=VALUE,OPTION=VALUE, got {words!r}") from error
    if isinstance(options.get("at"), int):
        options["at"] = str(options["at"])  # the name of a module in an nn.Sequential
    if "." in name and name not in block_names():
        blocks = ", ".join(block_names())
        unknown = f"no block {name!r}: expected an import path such as timm.layers.EcaModule, or"
        return imported(name, unknown=f"{unknown} one of {blocks}"), options
    block_entry(name)  # refuses an unknown one
    return name, options


def _forms(words: str) -> Iterator[_Form]:
    """A block, its plain form where it has another, and timm's counterpart."""
    block, options = _parsed(words)
    name, colon, told = words.partition(":")
    title = name.rpartition(".")[2] + colon + told
    theirs = PEERS.get(block) if isinstance(block, str) else None
    peer = f"{block} of timm" if theirs else ""
    yield _Form(words, title, block, options, peer)
    if isinstance(block, str) and is_fusable(block_entry(block).factory):
        plain = partial(visattn.fused, False)
        yield _Form(words, f"{title}, plain form", block, options, peer, plain)
    if isinstance(block, str) and theirs:
        place = {name: value for name, value in options.items() if name in PLACING}
        yield _Form(words, peer, _of_timm(*theirs, beside=block_entry(block).factory), place)


def _of_timm(
    name: str, options: dict[str, Any], *, beside: Callable[..., nn.Module]
) -> Callable[[int], nn.Module]:
    """A factory of timm's block whose own place is that of another block."""

    def factory(channels: int) -> nn.Module:
        made: nn.Module = create_attn(name, channels, **options)
        return made

    for fact in ("default_at", "default_stages", "default_every"):
        if hasattr(beside, fact):
            setattr(factory, fact, getattr(beside, fact))
    return factory


def _distinct(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Each name once: timm's counterpart of two forms of a block is the same."""
    return tuple({subject.name: subject for subject in reversed(subjects)}.values())[::-1]
