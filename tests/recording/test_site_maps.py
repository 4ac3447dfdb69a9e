"""What each block of the registry records, and what it says of places."""

import copy
import gc

import pytest
import torch
from each_block import EACH_BLOCK, EACH_COMPILED
from torch import nn

from visattn import block_names, record
from visattn.blocks import (
    CBAM,
    AugmentedConv,
    CoordinateAttention,
    MultiHeadSelfAttention,
    NonLocal,
    block_entry,
)
from visattn.recording.site_maps import PairwiseMap
from visattn.testing import enliven

H, W = 9, 7


def live(name):
    return enliven(block_entry(name).factory(16)).eval()


@pytest.fixture
def x():
    return torch.randn(2, 16, H, W)


def recorded(block, x):
    with torch.no_grad(), record(block) as maps:
        y = block(x)
    return y, maps


@pytest.mark.parametrize("name", block_names())
def test_what_is_recorded_has_the_shape_of_its_kind(name, x):
    """Exactly what each block records is in the block's own test."""
    _, maps = recorded(live(name), x)
    (site,) = maps.values()
    assert site.kinds
    for tap, kind in site.kinds.items():
        (value,) = site.values[tap]
        if kind == "pairwise":
            assert (value.query_size, value.key_size) == ((H, W), (H, W))
            assert value.query(1, 2).shape == (2, H, W)
        elif kind == "class_logits":
            assert (len(value), value.ndim) == (2, 2)
        elif kind == "gate":
            assert torch.broadcast_shapes(value.shape, x.shape) == x.shape
        else:
            assert value.shape == ((2, 16, 1, 1) if kind == "channel" else (2, 1, H, W))


@pytest.mark.parametrize("name", EACH_BLOCK)
def test_recording_changes_nothing_and_leaves_no_hook(name, x):
    block = live(name)
    for mode in (False, True):
        plain, watched = (copy.deepcopy(block).train(mode) for _ in range(2))
        torch.manual_seed(1)
        expected = plain(x)
        torch.manual_seed(1)
        with record(watched):
            found = watched(x)
        assert torch.equal(found, expected)
        for ours, theirs in zip(watched.buffers(), plain.buffers(), strict=True):
            assert torch.equal(ours, theirs)
        failing = nn.Sequential(watched, nn.Unflatten(1, (5, 5)))
        with pytest.raises(RuntimeError, match="unflatten"), record(failing):
            failing(x)
        assert not any(module._forward_hooks for module in watched.modules())


@pytest.mark.parametrize("name", EACH_BLOCK)
def test_inference_mode_and_autocast(name, x):
    block = live(name)
    with torch.inference_mode(), record(block) as maps:
        block(x)
    (plain,) = maps.values()
    with torch.autocast("cpu", dtype=torch.bfloat16), record(block) as maps:
        block(x)
        (half,) = maps.values()
        inside = maps.heats()
    assert half.kinds == plain.kinds
    for name_, heat in inside.items():
        assert heat.dtype is torch.float32
        torch.testing.assert_close(heat, half.heat, msg=name_)
        torch.testing.assert_close(heat, plain.heat, atol=0.05, rtol=0.1)


@pytest.mark.parametrize("name", EACH_COMPILED)
def test_compiled(name, x):
    block = live(name)
    _, expected = recorded(block, x)
    compiled = torch.compile(block, backend="eager")
    with torch.no_grad():
        compiled(x)  # so that compiled code is there that knows of no hook
    _, maps = recorded(compiled, x)
    (ours,), (theirs,) = maps.values(), expected.values()
    assert ours.kinds == theirs.kinds
    assert ours.calls == 1
    for key, heat in expected.heats().items():
        assert torch.equal(maps.heats()[key], heat)


@pytest.mark.parametrize("name", EACH_BLOCK)
def test_heat_is_a_map_of_the_image_or_an_error(name, x):
    if name == "ge":  # of 7 x 7 places it has one gate, which says nothing of them
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    _, maps = recorded(live(name), x)
    (site,) = maps.values()
    if set(site.kinds.values()) <= {"channel", "class_logits"}:
        assert site.heat_kind is None
        assert maps.heats() == {}
        with pytest.raises(AttributeError, match="says nothing of places; it computes channel"):
            _ = site.heat
        return
    assert site.heat.shape == (2, *x.shape[2:])
    assert site.heat.std() > 0
    (heat,) = maps.heats().values()
    assert torch.equal(heat, site.heat)
    if site.heat_kind == "spatial":
        assert torch.equal(site.heat, site.spatial)


@pytest.mark.parametrize("name", ["bam", "coord", "simam"])
def test_heat_of_gates_is_what_multiplies_the_map(name, x):
    block = live(name)
    y, maps = recorded(block, x)
    (site,) = maps.values()
    torch.testing.assert_close(site.heat, (y / x).mean(1), atol=1e-4, rtol=1e-3)


PAIRWISE = {
    **{
        f"nonlocal {function} {subsample}": NonLocal(16, pairwise=function, subsample=subsample)
        for function in ("embedded_gaussian", "gaussian", "dot", "concatenation")
        for subsample in (False, True)
    },
    **{
        f"mhsa {position} {stride}": MultiHeadSelfAttention(
            16, position=position, stride=stride, heads=4, size=(5, 5)
        )
        for position in ("none", "sine", "learned", "relative")
        for stride in (1, 2)
    },
    **{f"aa {stride}": AugmentedConv(16, stride=stride, upsilon=0.5) for stride in (1, 2)},
}


@pytest.mark.parametrize("name", PAIRWISE)
def test_rows_times_values_are_what_the_fused_path_reads(name, x):
    """Row by row and head by head, by each block's values and its last layers."""
    block = enliven(copy.deepcopy(PAIRWISE[name])).eval()
    y, maps = recorded(block, x)
    pairs = next(iter(maps.values())).pairwise
    rows = [
        torch.stack(
            [
                pairs.query(row, column, head=head).flatten(1)
                for row in range(pairs.query_size[0])
                for column in range(pairs.query_size[1])
            ],
            1,
        )
        for head in range(pairs.heads)
    ]
    weights = torch.stack(rows, 1)  # (N, heads, T, S)
    if "dot" not in name and "concatenation" not in name:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    place = 2 * pairs.query_size[1] + 1
    torch.testing.assert_close(pairs.query(2, 1).flatten(1), weights.mean(1)[:, place])
    with torch.no_grad():
        found = _finish(block, x, weights, pairs.query_size)
    torch.testing.assert_close(found, y, atol=1e-4, rtol=1e-3)
    every = weights.mean((1, 2)).unflatten(1, pairs.key_size)
    torch.testing.assert_close(pairs.received(), every)
    one = weights[:, -1].mean(1).unflatten(1, pairs.key_size)
    torch.testing.assert_close(pairs.received(head=pairs.heads - 1), one)


def _finish(block, x, weights, size):
    """The block's output from all of its weights."""
    if isinstance(block, NonLocal):
        values = block.g(block._pooled(x)).flatten(2)
        read = torch.einsum("nts,ncs->nct", weights[:, 0], values).unflatten(2, size)
        return x + block.bn(block.out(read))
    augmented = isinstance(block, AugmentedConv)
    source = x
    if augmented and block.stride > 1:
        source = nn.AvgPool2d(3, block.stride, 1, count_include_pad=False)(x)
    elif not augmented:
        source = block.absolute(x)
    count = block.values if augmented else block.qkv.out_channels // 3
    values = block.qkv(source)[:, -count:].flatten(2).unflatten(1, (block.heads, -1))
    read = torch.einsum("nhts,nhcs->nhct", weights, values).flatten(1, 2).unflatten(2, size)
    if augmented:
        return torch.cat((block.conv(x), block.out(read)), 1)
    return nn.AvgPool2d(block.stride, ceil_mode=True)(read)


def test_all_rows_are_gone_through_a_few_at_a_time(monkeypatch):
    _, maps = recorded(NonLocal(8).eval(), torch.randn(1, 8, 12, 10))
    pairs = maps["model"].pairwise
    whole = pairs.received()
    held = []
    few = PairwiseMap(
        pairs.queries,
        pairs.keys,
        pairs.query_size,
        pairs.key_size,
        lambda q, k: held.append(q.shape[2] * k.shape[2]) or pairs.function(q, k),
    )
    monkeypatch.setattr("visattn.recording.site_maps._NUMBERS", 1000)
    torch.testing.assert_close(few.received(), whole)
    assert max(held) <= 1000
    assert len(held) == 15


def test_half_precision_rows_are_computed_in_single_precision():
    queries, keys = torch.randn(2, 1, 1, 40, 8).bfloat16() * 4
    block = NonLocal(8, reduction=1)
    pairs = PairwiseMap(queries, keys, (5, 8), (5, 8), block.tap.function)
    exact = (queries.double() @ keys.double().mT * 8**-0.5).softmax(-1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        row = pairs.query(0, 3)
    torch.testing.assert_close(row.flatten().double(), exact[0, 0, 3], atol=1e-6, rtol=1e-5)


def test_repeated_and_stacked_blocks_have_heats_of_their_own(x):
    block = enliven(CBAM(16)).eval()
    twice = nn.Sequential(block, nn.ReLU(), block, enliven(CoordinateAttention(16)).eval())
    with torch.no_grad(), record(twice) as maps:
        twice[0](x)
        twice[2](x + 1)
        twice[3](x)
    heats = maps.heats()
    assert list(heats) == ["0, call 1", "0, call 2", "3"]
    assert torch.equal(heats["0, call 2"], maps["0"].call(1).spatial)
    with pytest.raises(AttributeError, match=r"ran 2 times; choose one: .call\(0\).spatial"):
        _ = maps["0"].heat


def test_several_masks_of_a_site_are_named_by_their_taps(x):
    _, maps = recorded(live("cbam"), x)
    site = maps["model"]
    site.kinds["other"], site.values["other"] = "spatial", [torch.rand(2, 1, H, W)]
    assert list(maps.heats()) == ["model spatial.gate.tap", "model other"]
    with pytest.raises(AttributeError, match=r"several of spatial: .* Choose one: \.values\["):
        _ = site.heat


@pytest.mark.slow
def test_a_thousand_images_leave_nothing_behind():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), enliven(CBAM(8)), enliven(NonLocal(8)), enliven(CoordinateAttention(8))
    ).eval()

    def go_through(batches):
        for _ in range(batches):
            with torch.inference_mode(), record(model) as maps:
                model(torch.rand(20, 3, 10, 10))
            assert len(maps.heats()) == 3
        del maps
        gc.collect()
        kept = [thing for thing in gc.get_objects() if type(thing) is torch.Tensor]
        return len(kept), len(gc.get_objects())

    tensors, things = go_through(3)
    again, more = go_through(50)
    assert again == tensors
    assert more < things + 100
