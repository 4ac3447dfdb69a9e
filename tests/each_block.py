"""All blocks, for what is tried with each: one of each kind in the quick tests, the rest in all."""

from quick import slow_but

from visattn.blocks import block_names

QUICK = {
    "aa", "abn", "axial", "cbam", "coord", "cot", "fca", "gc", "local", "mhsa", "mlca", "nonlocal",
    "residual_attention", "se", "simam", "sk", "spatial_mask",
}  # fmt: skip
"""Gates of each shape, both ways to be added, each standing, each family, with and without init."""

EACH_BLOCK = slow_but(block_names(), QUICK)
EACH_COMPILED = slow_but(block_names(), {"cbam", "cot", "nonlocal", "simam", "spatial_mask"})
"""For what takes half a second a block: compilers and tracers."""
