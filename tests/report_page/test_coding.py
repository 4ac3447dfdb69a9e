"""Rows as coded levels, read back as the page's script reads them."""

import zlib
from base64 import b64decode

import numpy as np
import pytest

from visattn.report_page.coding import COARSE, FINE, coded, coded_bytes, levels_of

AROUND = [1, 2, 4, 6, 9, 12, 18, 24, 36, 48, 60, 72, 84, 96, 112, 128, 150]
BEFORE = [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104]


def unpacked(text, kind=np.uint16):
    return np.frombuffer(zlib.decompress(b64decode(text)), kind)


def read(found, picture, *, heads, count, grid):
    """The levels (heads, T, S), sign by sign: decoding as Duda 2013, section 2.3, has it."""
    words, table = unpacked(found["streams"][picture]), unpacked(found["table"]).reshape(-1, 32)
    runs = -(-count // found["lane"])
    lengths = words[: 2 * heads * runs].view(np.uint32).tolist()
    at, levels = 2 * heads * runs, np.zeros((heads, count, *grid), int)
    for lane, length in enumerate(lengths):
        own = iter(words[at : at + length].tolist())
        at += length
        first = lane % runs * found["lane"]
        rows = levels[lane // runs, first : first + found["lane"]]
        state = (next(own) << 16) + next(own)
        for place in np.ndindex(rows.shape):
            number, y, x = place
            wide = np.pad(rows[number], ((1, 0), (1, 1)))
            around = 2 * (wide[y + 1, x] + wide[y, x + 1]) + wide[y, x] + wide[y, x + 2]
            mean = 4 * rows[:number, y, x].sum() // max(1, number)
            context = sum(around >= edge for edge in AROUND) * (len(BEFORE) + 2)
            context += 1 + sum(mean >= edge for edge in BEFORE) if number else 0
            ends = table[context].astype(int).cumsum()
            slot = state % 4096
            rows[place] = level = int((ends <= slot).sum())
            state = int(table[context, level]) * (state // 4096) + slot
            state -= int(ends[level]) - int(table[context, level])
            if state < 2**15:
                state = (state << 16) + next(own)
        assert state == 2**15  # where the encoder began
        assert next(own, None) is None
    return levels.reshape(heads, count, -1)


@pytest.mark.parametrize(
    ("shape", "grid", "top"),
    [
        ((2, 3, 7, 20), (4, 5), FINE),
        ((1, 1, 3, 4200), (60, 70), COARSE),
        ((2, 2, 1, 6), (2, 3), 31),
    ],
)
def test_what_was_coded_is_read_back(shape, grid, top):
    rows = np.random.default_rng(0).random(shape) ** 6
    rows[:, :, :1] = 0
    parts = [levels_of(own, top=top) for own in rows]
    found = coded(parts, grid=grid)
    for number, part in enumerate(parts):
        read_back = read(found, number, heads=shape[1], count=shape[2], grid=grid)
        assert (read_back == part.bytes).all()
        steps = unpacked(found["spans"][number]).astype(float)
        spans = found["units"][number] * 2.0 ** (-steps / 2048)
        assert spans.reshape(part.span.shape) == pytest.approx(part.span, rel=1e-6)
        assert found["lows"][number] is None


@pytest.mark.parametrize("top", [FINE, COARSE])
def test_each_weight_is_within_the_bound(top):
    generator = np.random.default_rng(1)
    rows = generator.random((4, 50, 196)) ** generator.integers(1, 40, (4, 50, 1))
    rows *= 10.0 ** generator.integers(-6, 3, (4, 50, 1))
    rows[0] -= rows[0].mean()
    found = levels_of(rows, top=top)
    span = rows.max(-1, initial=0) - rows.min(-1, initial=0)
    error = np.abs(found.restored() - rows).max(-1) / span
    assert 0.9 / (2 * top) < error.max() < 1 / found.within
    assert (found.low[1:] == 0).all()


def test_how_many_bytes_are_foretold():
    rows = np.random.default_rng(2).random((6, 8, 30, 100)) ** 8
    parts = [levels_of(own) for own in rows]
    found = coded(parts, grid=(10, 10))
    taken = sum(len(b64decode(text)) for text in found["streams"] + found["spans"])
    foretold = coded_bytes(np.stack([part.bytes for part in parts]), grid=(10, 10))
    assert taken / (6 * 8 * 30) == pytest.approx(foretold, rel=0.08)
