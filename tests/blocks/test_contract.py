import pytest
import torch

from visattn.blocks import block_entry, block_names
from visattn.testing import check_block, check_compiles, check_onnx, enliven

VARIANTS = {
    "se": [{"bias": False}, {"rd_divisor": 8}],
    "eca": [{"padding": "circular"}],
    "bam": [{"variant": "official"}],
    "cbam": [{"variant": "timm"}],
    "coord": [{"reduction": 24, "rd_divisor": 8, "bias": False}],
    "triplet": [{"spatial": False}],
    "scse": [{"combine": "max"}],
    "sk": [{"rd_divisor": 8}],
    "axial": [{"position": "learned"}, {"norm": False}],
    "criss_cross": [{"loops": 1}],
    "latents": [{"depth": 0, "position": "sine"}],
    "linear": [{"features": "elu"}],
    "local": [{"kernel_size": 3}],
    "mhsa": [{"position": p} for p in ("none", "sine", "learned")],
    "aa": [{"upsilon": 1.0}, {"relative": False}],
    "residual_attention": [{"depth": 1}, {"depth": 3}]
    + [{"attention": a} for a in ("channel", "spatial")],
    "gc": [{"fuse": "scale"}, {"fuse": "both"}],
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


@pytest.fixture
def live(name):
    return enliven(block_entry(name).factory(16)).eval()


@pytest.fixture
def x():
    return torch.randn(2, 16, 20, 18)


@pytest.mark.parametrize("name", block_names())
def test_compile(live, x):
    check_compiles(live, x[:, :, :9, :7])


@pytest.mark.parametrize("name", block_names())
def test_export_and_onnx_with_free_batch_and_size(live, x):
    check_onnx(live, x)
