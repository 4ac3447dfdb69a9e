import base64
import json
import zlib

import numpy as np
import pytest
import torch

from visattn.report_page.packing import packed, packed_mask, quantise, safe_json


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
def test_quantised_values_are_within_half_a_step(scale):
    values = scale * torch.randn(3, 4, 50).numpy().astype(np.float64)
    found = quantise(values, leading=2)
    half = (values.max(2) - values.min(2)) / 510
    assert found.low.shape == (3, 4)
    assert (np.abs(found.restored() - values) <= half[..., None] * (1 + 1e-3)).all()


def test_a_flat_range_is_restored_as_it_is():
    found = quantise(np.full((2, 5), 0.25), leading=1)
    assert (found.restored() == 0.25).all()


def test_halves_are_little_endian():
    halves = np.array([1.0, -2.5], dtype=np.float16)
    assert zlib.decompress(base64.b64decode(packed(halves))) == halves.astype("<f2").tobytes()


def test_a_mask_keeps_its_side_of_one_half():
    edges = np.array([[0.0, np.nextafter(0.5, 0), 0.5, 1.0, np.nan]])
    steps = np.frombuffer(zlib.decompress(base64.b64decode(packed_mask(edges))), np.uint8)
    assert steps.tolist() == [0, 126, 127, 254, 255]


def test_json_in_a_script_ends_nothing():
    text = safe_json({"name": "</script><!--<script>&\u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"name": "</script><!--<script>&\u2028"}
