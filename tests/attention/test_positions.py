"""Position encodings of any size, odd ones too."""

import math

import pytest
import torch

from visattn.attention import (
    LearnedPositions,
    LearnedPositions2d,
    RelativeBias,
    RelativeBias2d,
    attend,
    sine_positions,
    sine_positions_2d,
)


@pytest.mark.parametrize(("length", "channels"), [(1, 1), (5, 7), (6, 8), (31, 3)])
def test_sine_is_its_formula(length, channels):
    found = sine_positions(length, channels)
    assert found.shape == (length, channels)
    for place in range(length):
        for channel in range(channels):
            wave = math.cos if channel % 2 else math.sin
            even = channel - channel % 2
            expected = wave(place / 10_000 ** (even / channels))
            assert found[place, channel].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("height", "width", "channels"), [(3, 5, 7), (4, 4, 8), (1, 9, 2)])
def test_sine_on_a_grid_tells_row_and_column(height, width, channels):
    found = sine_positions_2d(height, width, channels)
    rows = channels - channels // 2
    for y in range(height):
        for x in range(width):
            expected = torch.cat(
                (sine_positions(height, rows)[y], sine_positions(width, channels - rows)[x])
            )
            assert torch.equal(found[y, x], expected)
    flat = found.flatten(0, 1)
    assert len(torch.unique(flat, dim=0)) == height * width


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="channels must be at least 2, got 1"):
        sine_positions_2d(2, 2, 1)
    with pytest.raises(ValueError, match="length must be at least 1, got 0"):
        sine_positions(0, 4)
    with pytest.raises(ValueError, match="3 places, the input has 4"):
        LearnedPositions(8, length=3)(torch.zeros(1, 4, 8))


def test_learned_positions_are_added_and_learn():
    layer = LearnedPositions(8, length=5)
    x = torch.randn(2, 4, 8)
    assert torch.equal(layer(x) - x, (x + layer.table[:4]) - x)
    layer(x).sum().backward()
    assert (layer.table.grad[:4] == 2).all()
    assert (layer.table.grad[4] == 0).all()


def test_learned_positions_on_a_grid():
    layer = LearnedPositions2d(3, height=4, width=6)
    zeros = torch.zeros(2, 3, 4, 6)
    assert torch.equal(layer(zeros)[1], layer.table[0])
    with torch.no_grad():
        layer.table.fill_(2.0)
    torch.testing.assert_close(layer(torch.zeros(1, 3, 5, 3)), torch.full((1, 3, 5, 3), 2.0))


def test_relative_bias_depends_on_the_distance_alone():
    layer = RelativeBias(2, reach=3)
    bias = layer(5, 9)
    for target in range(5):
        for source in range(9):
            step = max(-3, min(3, source - target))
            assert torch.equal(bias[:, target, source], layer.table[:, step + 3])


def test_relative_bias_on_a_grid_is_a_sum_over_the_axes():
    layer = RelativeBias2d(2, reach=2)
    bias = layer(3, 4)
    rows, columns = layer.rows(3, 3), layer.columns(4, 4)
    for here in range(12):
        for there in range(12):
            (y, x), (v, u) = divmod(here, 4), divmod(there, 4)
            assert torch.equal(bias[:, here, there], rows[:, y, v] + columns[:, x, u])


@pytest.mark.parametrize("how", ["none", "sine", "learned", "relative"])
def test_a_task_that_needs_order(how):
    """Each target must find the source at its own place; without positions it cannot."""
    length, width = 6, 8
    learned, relative = LearnedPositions(width, length=length), RelativeBias(1, reach=length)
    projection = torch.nn.Linear(width, width)
    value = torch.nn.Linear(width, width)
    parts = torch.nn.ModuleList((learned, relative, projection, value))
    optimizer = torch.optim.Adam(parts.parameters(), lr=0.03)

    def read(x):
        placed = {"sine": x + 3 * sine_positions(length, width), "learned": learned(x)}.get(how, x)
        query = placed.mean(0, keepdim=True) if how in ("sine", "learned") else torch.zeros_like(x)
        bias = relative(length, length) if how == "relative" else None
        query = projection(query).expand_as(x)
        return attend(query, placed, value(x), bias=bias).context

    for _ in range(150):
        x = torch.randn(32, length, width)
        loss = (read(x) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # Without positions the best guess is the mean over the places.
    assert (loss < 0.45) == (how != "none"), loss
