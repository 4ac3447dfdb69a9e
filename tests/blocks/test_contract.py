import pytest
import torch
from each_block import EACH_COMPILED
from quick import slow_but

from visattn.blocks import block_entry, block_names
from visattn.testing import check_block, check_compiles, check_onnx, enliven


@pytest.mark.parametrize("name", block_names())
def test_contract(name):
    sizes = ((2, 8, 8), (1, 9, 5), (3, 1, 7), (1, 1, 1))
    check_block(block_entry(name).factory, channels=(1, 3, 16), sizes=sizes)


@pytest.fixture
def live(name):
    return enliven(block_entry(name).factory(16)).eval()


@pytest.fixture
def x():
    return torch.randn(2, 16, 20, 18)


@pytest.mark.parametrize("name", EACH_COMPILED)
def test_compile(live, x):
    check_compiles(live, x[:, :, :9, :7])


@pytest.mark.parametrize("name", slow_but(block_names(), ["cbam", "nonlocal"]))
def test_export_and_onnx_with_free_batch_and_size(live, x):
    pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    check_onnx(live, x)
