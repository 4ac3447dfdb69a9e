"""The whole contract, for every block in small backbones at every place that they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import timm
import torch
import torchvision

from matrix.page import MADE, table_head, table_row
from matrix.survey import site_counts
from visattn.blocks import block_names
from visattn.testing import MODEL_PROMISES, check_wrapped
from visattn.wrapping.planning import plan
from visattn.wrapping.tracing import trace

BACKBONES = {
    "resnet": partial(timm.create_model, "test_resnet", num_classes=5),
    "convnext": partial(timm.create_model, "test_convnext", num_classes=5),
    "efficientnet": partial(timm.create_model, "test_efficientnet", num_classes=5),
    "nfnet": partial(timm.create_model, "test_nfnet", num_classes=5),
    "byobnet": partial(timm.create_model, "test_byobnet", num_classes=5),
    "densenet": partial(
        torchvision.models.DenseNet, 8, (2, 2, 2, 2), num_init_features=16, num_classes=5
    ),
    "shufflenet": partial(torchvision.models.shufflenet_v2_x0_5, num_classes=5),
}
"""Small models of different families, by name."""


@dataclass(frozen=True)
class Pair:
    """A block and a backbone, by their names."""

    block: str
    backbone: str


@dataclass(frozen=True)
class Kept:
    """At which places the model keeps all promises; where it can't stand; and a broken promise."""

    pair: Pair
    places: tuple[str, ...]
    impossible: tuple[str, ...] = ()
    fault: str = ""


def pairs() -> list[Pair]:
    """Every block with every backbone."""
    return [Pair(block, backbone) for block in block_names() for backbone in BACKBONES]


def keep(pair: Pair) -> Kept:
    """Check all promises of a model with the block at each place of the backbone."""
    build = BACKBONES[pair.backbone]
    held: list[str] = []
    impossible: list[str] = []
    for place in site_counts(trace(build())):
        try:
            plan(build(), pair.block, at=place)
        except ValueError:
            impossible.append(place)
            continue
        torch.manual_seed(0)
        try:
            check_wrapped(build, pair.block, at=place, image_size=(64, 72))
        except Exception as error:
            fault = f"{place}: {type(error).__name__}: {error}".replace("\n", " ")[:200]
            return Kept(pair, tuple(held), tuple(impossible), fault)
        held.append(place)
    return Kept(pair, tuple(held), tuple(impossible))


def contract_page(kept: Sequence[Kept]) -> str:
    """The page about the contract: a summary, and a row for each block."""
    cells = {entry.pair: entry for entry in kept}
    backbones = list(dict.fromkeys(entry.pair.backbone for entry in kept))
    blocks = sorted({entry.pair.block for entry in kept})
    held = sum(len(entry.places) for entry in kept)
    faults = sum(bool(entry.fault) for entry in kept)
    lines = [
        "# Which promises hold where",
        "",
        f"{MADE} Every block is put into small models of different"
        f" families at every place that they have, and must keep the {len(MODEL_PROMISES)} promises"
        f" of `visattn.testing.check_wrapped`: {held} of {held + faults} do. A place missing in a"
        " cell is one that the model lacks or where the block can't stand: what takes the place of"
        " a convolution stands nowhere else.",
        "",
        *table_head("block", *backbones),
    ]
    for block in blocks:
        row = [cells[Pair(block, backbone)] for backbone in backbones]
        found = [entry.fault or ", ".join(entry.places) or "none" for entry in row]
        lines.append(table_row([block, *found]))
    return "\n".join(lines) + "\n"
