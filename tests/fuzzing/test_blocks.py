"""Blocks on maps of any shape, type and layout in memory."""

import inspect

import pytest
import torch
from each_block import EACH_BLOCK
from hypothesis import given, strategies as st

from visattn.blocks import block_entry

LAYOUTS = ("contiguous", "channels_last", "transposed", "every second", "expanded")


def offers_identity(name):
    return "init" in inspect.signature(block_entry(name).factory).parameters


@st.composite
def maps(draw):
    """(N, C, H, W) with values of many sizes, and how it lies in memory."""
    batch, channels = draw(st.integers(1, 3)), draw(st.integers(1, 20))
    height, width = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    scale = draw(st.sampled_from([1e-3, 1.0, 30.0]))
    layout = draw(st.sampled_from(LAYOUTS))
    torch.manual_seed(draw(st.integers(0, 9)))
    x = scale * torch.randn(batch, channels, height, width, dtype=dtype)
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "transposed":
        x = x.transpose(2, 3).contiguous().transpose(2, 3)
    elif layout == "every second":
        x = x.repeat_interleave(2, 3)[..., ::2]
    elif layout == "expanded":
        x = x[:, :, :1].expand(-1, -1, height, -1)
    return x


@pytest.mark.parametrize("name", EACH_BLOCK)
@given(x=maps(), training=st.booleans())
def test_shape_type_values_and_input_are_right(name, x, training):
    torch.manual_seed(0)
    entry = block_entry(name)
    block = entry.factory(x.shape[1]).to(x.dtype).train(training)
    given_values = x.clone()
    torch.manual_seed(0)
    y = block(x)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.isfinite().all()
    assert torch.equal(x, given_values), "the input was changed"
    if not training:
        torch.manual_seed(0)
        again = block(x.contiguous())
        tolerance = {torch.bfloat16: 0.05, torch.float32: 1e-4, torch.float64: 1e-9}[x.dtype]
        scale = float(again.detach().abs().max()) + 1e-6
        torch.testing.assert_close(y / scale, again / scale, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", [param for param in EACH_BLOCK if offers_identity(*param.values)])
@given(x=maps(), training=st.booleans())
def test_the_identity_returns_any_map_bit_for_bit(name, x, training):
    block = block_entry(name).factory(x.shape[1], init="identity").to(x.dtype).train(training)
    assert torch.equal(block(x), x)
