"""Attention blocks: plain modules from (N, C, H, W) to (N, C, H, W), and their registry."""

from typing import Any

from visattn.blocks.registry import (
    BlockEntry,
    block_entry,
    block_names,
    block_of_class,
    register_block,
    unregister_block,
)
from visattn.blocks.taps import PairwiseTap, Tap

__all__ = [
    "BlockEntry",
    "PairwiseTap",
    "Tap",
    "block_entry",
    "block_names",
    "register_block",
    "unregister_block",
]


def __getattr__(name: str) -> Any:
    """The class of a block that comes with visattn, such as ``visattn.blocks.SE``."""
    found = block_of_class(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
