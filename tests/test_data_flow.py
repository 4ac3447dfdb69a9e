"""The pictures of the blocks' data flow: whole, legible, and what can be recorded is in them."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest
from each_block import EACH_BLOCK

from visattn.blocks import block_entry
from visattn.recording import find_taps

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from data_flow import MOST, boxes_of, data_flow
from flow_rows import SPACE, arranged

WIDEST = 560
"""Pixels, with which letters are legible on a phone, after some scrolling."""


def drawn(block):
    boxes = boxes_of(block, parts=False)
    return boxes if len(boxes) <= MOST else boxes_of(block, parts=True)


@pytest.mark.parametrize("name", EACH_BLOCK)
def test_every_block_is_drawn(name):
    block = block_entry(name).factory(32).eval()
    boxes = drawn(block)
    assert len(boxes) <= MOST + 6
    assert sum(box.label == "output" for box in boxes) == 1
    assert any(box.label == "input" for box in boxes)
    found = sum(box.times for box in boxes if box.recorded)
    assert found or not list(find_taps(block)), "nothing of it can be recorded"
    rows = arranged(boxes)
    for row in rows:
        for left, right in pairwise(row):
            assert left.x + left.width / 2 + SPACE <= right.x - right.width / 2 + 0.01, row
    assert all(before.row == box.row - 1 for row in rows for box in row for before in box.before)
    width = float(data_flow(block, title=name).split('width="')[1].split('"')[0])
    assert width <= WIDEST


def test_squeeze_and_excitation():
    boxes = boxes_of(block_entry("se").factory(32).eval(), parts=False)
    assert [box.text for box in boxes] == [
        "input",
        "mean over places",
        "conv 1 × 1",
        "relu",
        "conv 1 × 1",
        "sigmoid gate: channel",
        "×",
        "output",
    ]
    assert [box.label for box in boxes[-2].before] == ["input", "sigmoid gate: channel"]


@pytest.mark.parametrize("name", ["sge", "splat"])
def test_an_axis_that_was_cut_in_two_is_not_named(name):
    labels = [box.label for box in boxes_of(block_entry(name).factory(32).eval(), parts=False)]
    assert "sum" in labels
    assert not {"sum over rows", "sum over channels"} & set(labels)


def test_convolutions_side_by_side_are_one_box():
    boxes = boxes_of(block_entry("scsa").factory(32).eval(), parts=False)
    side_by_side = [box for box in boxes if box.label == "conv 3, 5, 7, 9 depthwise"]
    assert sum(box.times for box in side_by_side) == 2  # along the rows, and along the columns
