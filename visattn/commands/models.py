"""Commands about blocks and models."""

from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

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


def list_blocks(name: str | None = None, *, channels: int = 256) -> None:
    """List the attention blocks: family, own place, parameters, what they do; or say all of one.

    Args:
        name: A block, to print its formula, options, what it records, and its source.
        channels: Width of the map that parameters are counted for.
    """
    import inspect

    import torch

    from visattn.blocks import block_entry, block_names

    if name is not None:
        entry = block_entry(name)
        kind = getattr(entry.factory, "func", entry.factory)
        print(f"{name}: {entry.summary}\nGoes to {entry.at!r}, stands {entry.stands}.\n")
        print(inspect.getdoc(kind))
        return
    entries = [block_entry(known) for known in block_names()]
    for family in sorted({entry.family for entry in entries}):
        table = Table("block", "place", title=family)
        table.add_column(f"parameters at C = {channels}", justify="right")
        table.add_column("what it does")
        for entry in entries:
            if entry.family == family:
                with torch.device("meta"):
                    parameters = sum(p.numel() for p in entry.factory(channels).parameters())
                table.add_row(entry.name, entry.at, f"{parameters:,}", entry.summary)
        Console().print(table)


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
        pretrained: With timm's weights for ImageNet.
        masks: All masks and gates as further outputs.
        sites: Only those of these sites, such as '[layer4.1]', or single ones, such as
            '[layer4.1.spatial]'.
        size: Side of the example images; that of the training if not given.
        dynamic: What may differ from the example: all (batch, height and width), batch or none.
        opset: Of ONNX; PyTorch's default if not given.
    """
    from visattn.networks.loading import load_classifier

    network, known = load_classifier(model, pretrained=pretrained)
    settings = getattr(network, "pretrained_cfg", None) or {}
    facts = {name: settings[name] for name in ("mean", "std") if settings.get(name)}
    names = {"class_names": "classes", "mean": "mean", "std": "std", "size": "size", "fit": "fit"}
    facts |= {new: known[old] for old, new in names.items() if old in known}
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
