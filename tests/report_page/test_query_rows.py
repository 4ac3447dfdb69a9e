from base64 import b64decode
from functools import partial

import numpy as np
import pytest
import torch

from visattn.attention import dot_weights, relu_sum_weights, scaled_softmax, softmax_weights
from visattn.recording import PairwiseMap
from visattn.report_page.layers import QueryKeyLayer, RowsLayer
from visattn.report_page.pairwise import known_function, page_rows, pairwise_layer, row_inside

HALF = scaled_softmax(0.5)


def recorded(*, side, heads=1, width=8, function=HALF, count=2, keys=None):
    keys = keys or side
    return PairwiseMap(
        torch.randn(count, heads, side * side, width),
        torch.randn(count, heads, keys * keys, width),
        (side, side),
        (keys, keys),
        function,
    )


@pytest.mark.parametrize(
    ("function", "name", "scale"),
    [
        (softmax_weights, "softmax", 0.25),
        (scaled_softmax(0.3), "softmax", 0.3),
        (dot_weights, "dot", 0.125),
        (relu_sum_weights, "relu_sum", 0.125),
    ],
)
def test_known_functions(function, name, scale):
    assert known_function(function, width=16, keys=8) == (name, scale)


@pytest.mark.parametrize(
    "function",
    [
        lambda q, k: q @ k.mT,
        partial(softmax_weights, mask=torch.ones(4, 4)),
        partial(dot_weights, torch.ones(1)),
    ],
)
def test_other_functions_are_not_guessed(function):
    assert known_function(function, width=16, keys=8) is None


def test_small_maps_keep_every_row_of_every_head():
    maps = recorded(side=6, heads=3)
    layer = pairwise_layer("x", [maps])
    assert isinstance(layer, RowsLayer)
    rows = layer.rows[1].restored()
    expected = maps.function(maps.queries, maps.keys)[1].double().numpy()
    half = (expected.max(2) - expected.min(2)) / 510
    assert rows.shape == (3, 36, 36)
    assert layer.as_json()["remark"] == ""
    assert (np.abs(rows - expected) <= half[..., None] * (1 + 1e-3)).all()


@pytest.mark.parametrize("signed", [False, True])
def test_every_head_of_fewer_places_where_there_is_no_room(signed):
    def function(queries, keys):
        weights = (queries @ keys.mT).softmax(-1)
        return weights - 0.01 if signed else weights

    maps = recorded(side=6, heads=3, function=function)
    layer = pairwise_layer("x", [maps], row_bytes=900)
    ys, xs = layer.kept
    assert layer.rows[0].bytes.shape == (3, len(ys) * len(xs), 36)
    assert 16 <= len(ys) * len(xs) < 36
    highest = "range" if signed else "highest"
    assert layer.as_json()["remark"] == (
        f"Kept small: the nearest of {len(ys)} × {len(xs)} of the 6 × 6 places and weights within"
        f" 1/61 of each row's {highest}; fewer pictures keep more."
    )
    found = layer.rows[1].restored().reshape(3, len(ys), len(xs), 36)
    for head in range(3):
        expected = maps.query(ys[1], xs[2], head=head)[1].flatten().double().numpy()
        span = expected.max() - min(0, expected.min())
        assert 0 < np.abs(found[head, 1, 2] - expected).max() <= span / 61


@pytest.mark.parametrize("name", ["softmax", "dot", "relu_sum"])
def test_large_maps_keep_queries_and_keys(name):
    functions = {"softmax": scaled_softmax(0.5), "dot": dot_weights, "relu_sum": relu_sum_weights}
    width = 1 if name == "relu_sum" else 4
    maps = recorded(side=20, width=width, function=functions[name])
    layer = pairwise_layer("x", [maps])
    assert isinstance(layer, QueryKeyLayer)
    assert layer.function == name
    found = page_rows(layer, 1, [7, 211])
    expected = maps.function(maps.queries, maps.keys)[1, :, [7, 211]].double().numpy()
    span = expected.max(-1, keepdims=True) - expected.min(-1, keepdims=True)
    assert found.shape == expected.shape == (1, 2, 400)
    assert (np.abs(found - expected) <= span / 510).all()


def test_queries_and_keys_are_kept_only_where_half_precision_is_enough():
    maps = recorded(side=20)
    maps.queries.mul_(40)
    layer = pairwise_layer("x", [maps])
    assert isinstance(layer, RowsLayer)


def test_unknown_functions_keep_rows_of_a_coarser_grid():
    maps = recorded(side=28, function=lambda q, k: (q @ k.mT).softmax(-1))
    layer = pairwise_layer("x", [maps], row_bytes=20_000)
    assert isinstance(layer, RowsLayer)
    ys, xs = layer.kept
    assert 12 <= len(ys) <= len(xs) < 28
    said = f"the nearest of {len(ys)} × {len(xs)} of the 28 × 28 places"
    assert layer.as_json()["remark"].startswith(f"Kept small: {said} and weights within 1/61")
    assert len(b64decode(layer.as_json()["rows"]["streams"][0])) <= 20_000
    expected = maps.query(ys[3], xs[5])[1].flatten().double().numpy()
    found = layer.rows[1].restored()[0, 3 * len(xs) + 5]
    assert np.abs(found - expected).max() <= expected.max() / 61


def test_row_inside_is_the_share_on_the_object():
    maps = recorded(side=4, count=2)
    masks = torch.zeros(2, 8, 8)
    masks[0, :4, :4] = 1
    masks[1] = torch.nan
    found = row_inside(maps, np.array([[0.3, 0.1], [0.5, 0.5]]), masks)
    row = maps.query(1, 0)[0]
    assert found[0] == pytest.approx(float(row[:2, :2].sum() / row.sum()), rel=1e-5)
    assert np.isnan(found[1])
