"""All blocks, for what is tried with each: one of each kind in the quick tests, the rest in all."""

import pytest

from visattn.blocks import block_names

QUICK = {
    "aa", "abn", "axial", "cbam", "coord", "cot", "fca", "gc", "local", "mhsa", "mlca", "nonlocal",
    "residual_attention", "se", "simam", "sk", "spatial_mask",
}  # fmt: skip
"""Gates of each shape, both ways to be added, each standing, each family, with and without init."""


def marks(name):
    """The marks of a test with this block."""
    return () if name in QUICK else (pytest.mark.slow,)


EACH_BLOCK = [pytest.param(name, marks=marks(name)) for name in block_names()]
