import pytest
from torch import nn

from visattn.blocks import block_entry, block_names, register_block, unregister_block


def test_built_in_blocks():
    assert {"se", "cbam", "nonlocal", "spatial_mask"} <= set(block_names())
    for name in block_names():
        assert block_entry(name).summary


def test_a_block_of_ones_own():
    factory = register_block("mine", lambda channels: nn.Identity(), at="stage", stages=(1, 2))
    try:
        entry = block_entry("mine")
        assert (entry.factory, entry.at, entry.stages, entry.every) == (factory, "stage", (1, 2), 1)
        with pytest.raises(ValueError, match="'mine' is taken"):
            register_block("mine", nn.Identity)
    finally:
        unregister_block("mine")
    assert "mine" not in block_names()


def test_near_misses():
    with pytest.raises(KeyError, match="Did you mean 'nonlocal'"):
        block_entry("non_local")


def test_no_block():
    with pytest.raises(TypeError, match="a class or a function of channels"):
        register_block("thing", 3)
