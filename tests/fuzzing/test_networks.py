"""Attention goes into networks that nobody has seen, where it is said to go."""

import copy

import pytest
import torch
from fuzzing.random_networks import Network, plans
from hypothesis import assume, given, strategies as st

from visattn import plan, record, unwrap, wrap
from visattn.blocks.attended import attended
from visattn.testing import enliven

SIZE = (3, 32, 24)
PLACES = ("branch", "conv", "block", "stage", "stem", "image")
LACKING = {"plain": ("branch", "block"), "joining": ("branch",)}
RESIDUAL = ("basic", "bottleneck", "inverted", "preactivated")


@given(
    plans(),
    st.sampled_from(["se", "cbam", "eca", "nonlocal", "spatial_mask", "gc"]),
    st.sampled_from(PLACES),
    st.booleans(),
)
def test_any_block_at_any_place_is_the_identity_and_is_called(drawn, block, place, training):
    plain = enliven(Network(drawn)).train(training)
    images = torch.randn(2, *SIZE)
    assume(drawn.kind != "plain" or place != "stem")  # the first convolution may be a stage, too
    if place in LACKING.get(drawn.kind, ()):
        with pytest.raises(ValueError, match=f"has no place '{place}'"):
            wrap(plain, block, at=place, input_size=SIZE)
        return
    model = wrap(copy.deepcopy(plain), block, at=place, input_size=SIZE)
    expected = copy.deepcopy(plain)(images)
    with torch.no_grad(), record(model) as maps:
        assert torch.equal(model(images), expected)
    assert len(maps) == len(list(attended(model)))
    assert {entry.calls for entry in maps.values()} == {1}
    assert list(unwrap(model).state_dict()) == list(plain.state_dict())


@pytest.mark.slow
@given(plans(RESIDUAL))
def test_residual_blocks_and_stages_are_counted_rightly(drawn):
    model = Network(drawn)
    blocks = sum(count for count, _, _ in drawn.stages)
    widths = [wide for count, wide, _ in drawn.stages for _ in range(count)]
    # an inverted or pre-activated block that changes its size is a residual block here, too
    for place, count in {"branch": blocks, "block": blocks, "stage": len(drawn.stages)}.items():
        sites = plan(model, "se", at=place, input_size=SIZE).sites
        assert len(sites) == count, f"{place}: {[site.path for site in sites]}"
        if place != "stage":
            assert [site.channels for site in sites] == widths
    assert [s.stage for s in plan(model, "se", at="block", input_size=SIZE).sites] == [
        number for number, (count, _, _) in enumerate(drawn.stages, 1) for _ in range(count)
    ]
