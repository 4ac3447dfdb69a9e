"""Attention rows in few bytes: 32 levels a row, each coded by what lies around it.

A level is coded by asymmetric numeral systems (rANS; Duda 2013, arXiv:1311.2540) with the
frequencies of its context: the levels beside and above it on the grid of keys, and the mean level
of the rows before at the same key. `assets/coding.js` reads it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visattn.report_page.packing import packed

FINE, COARSE = 31, 15
"""Level of a row's highest weight; each weight is half a level at most beside the true one."""

_SPAN_STEPS = 2048
_AROUND = np.array([1, 2, 4, 6, 9, 12, 18, 24, 36, 48, 60, 72, 84, 96, 112, 128, 150])
_BEFORE = np.array([1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104])
_CONTEXTS = (len(_AROUND) + 1) * (len(_BEFORE) + 2)
_BITS = 12
_WORD = 16
_LANE = 8192


class Levels(NamedTuple):
    """Rows whose weights are levels between 0, or a lower weight, and each row's highest.

    Attributes:
        bytes: (heads, T, S), 0 to ``top``.
        low: What level 0 is (heads, T): 0, or the row's lowest weight below it.
        span: From there to the row's highest weight, 0 at least (heads, T).
        top: The level of a row's highest weight.
    """

    bytes: NDArray[np.uint8]
    low: NDArray[np.float32]
    span: NDArray[np.float32]
    top: int = FINE

    def restored(self) -> NDArray[np.float64]:
        """The weights, each at most one part in `within` of its row's span beside the true one."""
        low, span = (ends.astype(np.float64)[..., None] for ends in (self.low, self.span))
        return low + self.bytes * (span / self.top)

    @property
    def within(self) -> int:
        """Half a level and what the span is rounded by are less than one part in so many."""
        return 2 * self.top - 1


def levels_of(rows: NDArray[Any], *, top: int = FINE) -> Levels:
    """Round weights to levels.

    A row's span is kept to 1 part in 5,900.

    Args:
        rows: (heads, T, S), finite.
        top: The level of a row's highest weight, 31 at most.

    Example:
        >>> found = levels_of(np.array([[[0.0, 0.1, 0.5]]]))
        >>> found.bytes.tolist(), found.low.tolist(), found.span.tolist()
        ([[[0, 6, 31]]], [[0.0]], [[0.5]])
    """
    low = rows.min(-1, initial=0).astype(np.float32)
    span = rows.max(-1, initial=0) - low.astype(np.float64)
    unit = float(span.max(initial=0)) or 1.0
    kept = unit * 2.0 ** (-_steps_down(span, unit) / _SPAN_STEPS)
    from_low = rows - low[..., None].astype(np.float64)
    shares = np.divide(
        from_low, span[..., None], out=np.zeros(rows.shape), where=span[..., None] > 0
    )
    steps = np.rint(np.clip(shares, 0, 1) * top)
    return Levels(steps.astype(np.uint8), low, kept.astype(np.float32), top)


def coded(parts: Sequence[Levels], *, grid: tuple[int, int]) -> dict[str, Any]:
    """Rows of a layer for the page's script, one entry a picture.

    Args:
        parts: Rows of each picture, alike in shape.
        grid: Height and width of the grid of keys.

    Returns:
        ``streams``, for each picture the lengths of its lanes and their words; ``spans`` and
        ``units``, from which the rows' spans follow, and ``lows``; ``table``, the frequencies of
        levels in each context; ``lane``, so many rows of a head share a lane; ``top``.
    """
    heads, count, keys = parts[0].bytes.shape
    lane = max(1, _LANE // max(1, keys))
    whole = np.stack([part.bytes for part in parts])
    runs = [slice(start, min(start + lane, count)) for start in range(0, count, lane)]
    contexts = np.zeros(whole.shape, dtype=np.uint16)
    counts = np.zeros((_CONTEXTS, FINE + 1))
    for levels, around in zip(whole, contexts, strict=True):  # a picture at a time: little memory
        for run in runs:
            around[:, run] = _contexts(levels[:, run].astype(np.int32), grid=grid)
        counts += _counts(levels, around)
    frequencies = _frequencies(counts)
    lanes: list[list[list[NDArray[np.uint16]]]] = [[[] for _ in range(heads)] for _ in parts]
    for run in runs:
        symbols = whole[:, :, run].reshape(len(parts) * heads, -1)
        words = _encoded(symbols, contexts[:, :, run].reshape(symbols.shape), frequencies)
        for number, found in enumerate(words):
            lanes[number // heads][number % heads].append(found)
    streams = []
    for picture in lanes:
        ordered = [words for head in picture for words in head]
        lengths = np.array([divmod(len(words), 1 << _WORD)[::-1] for words in ordered])
        streams.append(packed(np.concatenate([lengths.ravel().astype(np.uint16), *ordered])))
    units = [float(part.span.max(initial=0)) or 1.0 for part in parts]
    spans = [
        _steps_down(part.span.astype(np.float64), unit).astype(np.uint16)
        for part, unit in zip(parts, units, strict=True)
    ]
    return {
        "streams": streams,
        "spans": [packed(span) for span in spans],
        "units": units,
        "lows": [packed(part.low) if part.low.any() else None for part in parts],
        "table": packed(frequencies.astype(np.uint16)),
        "lane": lane,
        "top": parts[0].top,
    }


def coded_bytes(levels: NDArray[np.uint8], *, grid: tuple[int, int]) -> float:
    """About how many bytes a row takes, from a few rows (..., T, S) of a layer."""
    symbols = levels.astype(np.int32)
    counts = _counts(symbols, _contexts(symbols, grid=grid))
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    bits = -(counts * np.log2(np.where(shares > 0, shares, 1))).sum()
    rows = max(1, symbols.size // max(1, symbols.shape[-1]))
    return float(bits) / rows / 8 * 1.05 + 3


def _steps_down(span: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """How far each row's span is below the unit, in steps of 2 ** (-1 / 2048)."""
    least = unit * 2.0 ** (-65535 / _SPAN_STEPS)
    found: NDArray[np.float64] = np.rint(-np.log2(np.maximum(span, least) / unit) * _SPAN_STEPS)
    return found.clip(0, 65535)


def _contexts(levels: NDArray[np.int32], *, grid: tuple[int, int]) -> NDArray[np.int64]:
    """The context of each level of rows (..., T, S), from those that are read before it."""
    maps = levels.reshape(*levels.shape[:-1], *grid)
    beside = [(0, 0)] * (maps.ndim - 2)
    wide = np.pad(maps, [*beside, (1, 0), (1, 1)])
    left, above = wide[..., 1:, :-2], wide[..., :-1, 1:-1]
    around = 2 * (left + above) + wide[..., :-1, :-2] + wide[..., :-1, 2:]
    before = np.cumsum(levels, -2) - levels
    number = np.arange(levels.shape[-2]).reshape(-1, 1)
    mean = np.digitize(4 * before // np.maximum(number, 1), _BEFORE) + 1
    mean = np.where(number > 0, mean, 0)
    of_around: NDArray[np.int64] = np.digitize(around, _AROUND).reshape(levels.shape)
    return of_around * (len(_BEFORE) + 2) + mean


def _counts(symbols: NDArray[Any], contexts: NDArray[Any]) -> NDArray[np.float64]:
    """How often each level is in each context (contexts, levels)."""
    cells = (contexts.astype(np.int64) * (FINE + 1) + symbols).ravel()
    counts = np.bincount(cells, minlength=_CONTEXTS * (FINE + 1))
    return counts.reshape(_CONTEXTS, FINE + 1).astype(np.float64)


def _frequencies(counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Frequencies (contexts, levels) that sum to 4096 where a context occurs; 1 at least."""
    full = 2**_BITS
    totals = np.maximum(counts.sum(1, keepdims=True), 1)
    found = np.where(counts > 0, np.maximum(1, np.floor(counts / totals * full)), 0)
    largest = counts.argmax(1)
    used = counts.sum(1) > 0
    rows = np.arange(_CONTEXTS)[used]
    found[rows, largest[used]] += full - found[used].sum(1)
    return found.astype(np.int64)


def _encoded(
    symbols: NDArray[np.uint8], contexts: NDArray[np.uint16], frequencies: NDArray[np.int64]
) -> list[NDArray[np.uint16]]:
    """Words of each lane (lanes, n) in the order in which they are read, the state first."""
    starts = np.cumsum(frequencies, 1) - frequencies
    width = np.ascontiguousarray(frequencies[contexts, symbols].T)
    begin = np.ascontiguousarray(starts[contexts, symbols].T)
    state = np.full(len(symbols), 1 << (_WORD - 1), dtype=np.int64)
    words = np.zeros((len(symbols), symbols.shape[1]), dtype=np.uint16)
    used = np.zeros(len(symbols), dtype=np.int64)
    for size, start in zip(width[::-1], begin[::-1], strict=True):
        over = np.flatnonzero(state >= size << (2 * _WORD - 1 - _BITS))
        if len(over):
            words[over, used[over]] = state[over] & 0xFFFF
            used[over] += 1
            state[over] >>= _WORD
        whole, rest = np.divmod(state, size)
        state = (whole << _BITS) + rest + start
    found = []
    for last, own, length in zip(state, words, used, strict=True):
        first = np.array([last >> _WORD, last & 0xFFFF], dtype=np.uint16)
        found.append(np.concatenate([first, own[:length][::-1]]))
    return found
