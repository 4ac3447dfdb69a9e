"""Commands about blocks and models."""

from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console

import visattn


def show_plan(
    model: str,
    block: str,
    *,
    at: str | None = None,
    stages: list[int] | None = None,
    every: int | None = None,
    init: Literal["identity", "paper"] = "identity",
    input_size: tuple[int, int, int] | None = None,
    options: dict[str, Any] | None = None,
) -> None:
    """Show where a block would go in a model and what it would cost; nothing is changed.

    Args:
        model: Name of a timm model.
        block: Name of a block, see visattn blocks.
        at: Place: branch, block, stage, stem, image, or a module's name or glob.
        stages: The stages to put it into, 1 being the first.
        every: Into every n-th place of each stage.
        init: identity or paper.
        input_size: Channels, height and width of the images.
        options: For the block, such as '{"reduction": 8}'.
    """
    given = locals()
    of_block = given.pop("options") or {}
    print(visattn.plan(given.pop("model"), given.pop("block"), **given, **of_block))


def list_blocks(name: str | None = None, *, channels: int = 256, size: int = 14) -> None:
    """List the attention blocks by family, with their papers and costs; or say all of one.

    Args:
        name: A block, to print its formula, options, what it records, its costs and its source.
        channels: Width of the map that costs are counted for.
        size: Side of that map.
    """
    import inspect

    from visattn.basics.checks import check_numbers
    from visattn.basics.terminal_table import terminal_table
    from visattn.blocks import block_entry, block_names
    from visattn.blocks.registry import FAMILIES
    from visattn.commands.block_facts import block_facts, short

    check_numbers("visattn blocks", channels=channels, size=size)
    entries = [block_entry(known) for known in block_names()]
    on = f"on a map of {channels} x {size} x {size}"
    console = Console(highlight=False)
    if name is not None:
        entry = block_entry(name)
        facts = block_facts(entry, channels=channels, side=size)
        given = getattr(entry.factory, "keywords", {})
        options = "".join(f", {option}={value!r}" for option, value in given.items())
        others = [e.name for e in entries if e.kind is entry.kind and e.name != name]
        lines = [
            f"{name}: {entry.title}{options}",
            f"Goes to {entry.at!r}, stands {entry.stands}.",
            f"{facts.parameters:,} parameters; {on} {facts.multiply_adds:,} multiply-adds, and"
            f" {facts.kept:.3g} maps of that size kept for the backward pass.",
            f"Paper: {entry.source or 'none'}",
            *([f"The same class under other names: {', '.join(others)}."] if others else []),
            "",
            _flowing(inspect.getdoc(entry.kind) or ""),
        ]
        console.print("\n".join(lines), markup=False)
        return
    for family, title in {**FAMILIES, "other": "Others"}.items():
        members = [entry for entry in entries if entry.family == family]
        if not members:
            continue
        costs = ("params", "mult-adds", "kept")
        table = terminal_table(
            title=title, words=["block", "what it is", "year", "paper"], numbers=costs
        )
        for entry in members:
            facts = block_facts(entry, channels=channels, side=size)
            counts = (short(facts.parameters), short(facts.multiply_adds), f"{facts.kept:.1f}")
            table.add_row(entry.name, entry.title, entry.year, entry.paper, *counts)
        console.print(table)
        console.print()
    console.print(
        f"Costs {on}; kept: for the backward pass, in maps of that size, by the block's plain"
        " form. visattn blocks NAME says where it goes, its formula and what it records."
    )


def _flowing(text: str) -> str:
    """A docstring whose paragraphs are lines of any length; lists, tables and code stay."""
    import re

    parts = text.split("\n\n")
    plain = (not re.search(r"^(\s|[=*-])", part, re.MULTILINE) for part in parts)
    flows = zip(parts, plain, strict=True)
    return "\n\n".join(part.replace("\n", " ") if flow else part for part, flow in flows)


def gather_blocks(words: Sequence[str]) -> list[str]:
    """The words of ``blocks`` as its parser takes them: a first one without dashes is a name.

    Example:
        >>> gather_blocks(["se"])
        ['--name=se']
    """
    named = bool(words) and not words[0].startswith("-")
    return [f"--name={words[0]}", *words[1:]] if named else list(words)


def write_model(
    model: str,
    *,
    out: str,
    block: str | None = None,
    weights: str | None = None,
    pretrained: bool = False,
    masks: bool = False,
    sites: list[str] | None = None,
    size: int | None = None,
    dynamic: Literal["all", "batch", "none"] = "all",
    opset: int | None = None,
) -> None:
    """Write a network as ONNX or for torch.export, run the file, and compare the outputs.

    Args:
        model: A checkpoint that visattn fit wrote, or the name of a timm model.
        out: The file to write: .onnx, or .pt2 for torch.export.
        block: Attention to put in first, at its own place.
        weights: For the name of a timm model, a file of your own weights: a state dict, as .pth or
            .safetensors.
        pretrained: Load timm's weights for the name of a model; without, they are random.
        masks: All masks and gates as further outputs.
        sites: Only those of these sites, such as '[layer4.1]', or single ones, such as
            '[layer4.1.spatial]'.
        size: Side of the example images; that of the training if not given.
        dynamic: What may differ from the example: all (batch, height and width), batch or none.
        opset: Of ONNX; PyTorch's default if not given.
    """
    from visattn.basics.squares import reading_of_config
    from visattn.data.preparation import preparation
    from visattn.networks.loading import load_classifier

    network, known = load_classifier(model, pretrained=pretrained, weights=weights)
    settings = getattr(network, "pretrained_cfg", None) or {}
    facts = reading_of_config(settings)
    facts |= {name: known[name] for name in preparation(known) if name in known}
    facts |= {"classes": known["class_names"]} if "class_names" in known else {}
    if block is not None:
        visattn.wrap(network, block)
    print(
        visattn.export_model(
            network,
            out,
            size=size or facts.get("size"),
            masks=sites or masks,
            dynamic=dynamic,
            opset=opset,
            facts=facts,
        )
    )
