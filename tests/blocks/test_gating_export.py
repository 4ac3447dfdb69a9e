"""Blocks that gate or add a context survive compilation and export with a dynamic size."""

from functools import partial

import pytest
import torch

from visattn.blocks import (
    BAM,
    ECA,
    SCSE,
    CoordinateAttention,
    EffectiveSE,
    GlobalContext,
    SimAM,
    TripletAttention,
)
from visattn.testing import enliven

BLOCKS = [
    BAM,
    CoordinateAttention,
    ECA,
    EffectiveSE,
    partial(GlobalContext, fuse="scale"),
    SCSE,
    SimAM,
    TripletAttention,
]


@pytest.mark.parametrize("factory", BLOCKS)
def test_export_with_dynamic_batch_and_size(factory):
    block = enliven(factory(24)).eval()
    dynamic = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    program = torch.export.export(block, (torch.randn(2, 24, 9, 7),), dynamic_shapes=(dynamic,))
    for shape in [(5, 24, 13, 6), (1, 24, 1, 1), (1, 24, 1, 4)]:
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x), block(x))


@pytest.mark.parametrize("factory", BLOCKS)
def test_compiles_without_a_graph_break_in_training(factory):
    block, x = enliven(factory(24)).train(), torch.randn(2, 24, 9, 7)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), block(x))
