"""What a block costs on a map, counted."""

from dataclasses import dataclass

import torch

from visattn.bench.steps import kept_bytes
from visattn.blocks import BlockEntry
from visattn.wrapping.passes import Inputs, count_multiply_adds


@dataclass(frozen=True)
class BlockFacts:
    """What a block costs on one map.

    Attributes:
        parameters: Their number.
        multiply_adds: Of its convolutions, linear layers and matrix products.
        kept: What its plain form keeps for the backward pass, in maps of that size. Behind a BN,
            gates keep less, see `visattn.fused`.
    """

    parameters: int
    multiply_adds: int
    kept: float


def block_facts(entry: BlockEntry, *, channels: int, side: int) -> BlockFacts:
    """Count on a map (1, channels, side, side).

    Example:
        >>> from visattn.blocks import block_entry
        >>> block_facts(block_entry("se"), channels=256, side=14).parameters
        8464
    """
    block = entry.factory(channels)
    x = torch.randn(1, channels, side, side)
    given = (x, x.clone()) if entry.stands == "around" else (x,)
    _, multiply_adds = count_multiply_adds(block.eval(), Inputs(given))
    block.train()(*(t.requires_grad_() for t in given))
    kept = kept_bytes(lambda: block(*(t.clone() for t in given)), device=x.device)
    parameters = sum(parameter.numel() for parameter in block.parameters())
    return BlockFacts(parameters, multiply_adds, kept / x.nbytes)


def short(number: float) -> str:
    """Three digits of a count, such as ``8.46k``.

    Example:
        >>> short(7), short(8464), short(321_376_320), short(999_999)
        ('7', '8.46k', '321M', '1M')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if float(f"{number:.3g}") >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"
