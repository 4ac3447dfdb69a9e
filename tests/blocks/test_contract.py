import pytest

from visattn.blocks import block_entry, block_names
from visattn.testing import check_block

VARIANTS = {
    "se": [{"bias": False}, {"rd_divisor": 8}],
    "cbam": [{"variant": "timm"}],
    "nonlocal": [{"pairwise": p} for p in ("gaussian", "dot", "concatenation")]
    + [{"subsample": True}, {"norm": False}],
    "spatial_mask": [{"form": "residual"}, {"form": "annealed"}, {"hard": True}],
}
CASES = [(name, {}) for name in block_names()] + [
    (name, options) for name, variants in VARIANTS.items() for options in variants
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_contract(name, options):
    at_once = options.get("form") != "annealed"  # a schedule brings that mask in
    check_block(block_entry(name).factory, learns_at_once=at_once, **options)
