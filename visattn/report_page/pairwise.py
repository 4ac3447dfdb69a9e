"""Pairwise attention in few bytes: rows, queries and keys, or fewer rows."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visattn.attention import PairwiseFunction, dot_weights, relu_sum_weights, softmax_weights
from visattn.recording import AttentionMap, PairwiseMap
from visattn.report_page.coding import COARSE, FINE, Levels, coded_bytes, levels_of
from visattn.report_page.layers import QueryKeyLayer, RowsLayer
from visattn.report_page.packing import Quantised, quantise

ROW_BYTES = 65_536
"""Up to so many bytes a picture every row is kept; 14 x 14 places take 38,416."""
PAGE_BYTES = 3_400_000
"""So many bytes the rows of all layers and pictures of a page share, which are a few each then."""
SOME = 16
"""Weights are kept finely where so many places may ask, coarsely where there is room for fewer."""
LEAST_BYTES = 4_096
"""So many bytes a layer's rows of a picture may have on any page."""
QUERY_KEY_BYTES = 262_144
"""Up to so many bytes a picture queries and keys are kept where the page knows the function."""


_RAW = 2**21
_NUMBERS = 2**22

Known = tuple[str, float]
"""What the page calls a pairwise function that it can compute, and a factor on the scores."""


def known_function(function: PairwiseFunction, *, width: int, keys: int) -> Known | None:
    """What the page has to compute for a pairwise function, None if it does not know it.

    Args:
        function: The function of a recording.
        width: D of its queries.
        keys: S, the number of its keys.

    Example:
        >>> from visattn.attention import scaled_softmax
        >>> known_function(scaled_softmax(0.5), width=8, keys=4)
        ('softmax', 0.5)
    """
    options: dict[str, Any] = {}
    if isinstance(function, partial):
        if function.args or not set(function.keywords) <= {"scale"}:
            return None
        options, function = function.keywords, function.func
    if function is softmax_weights:
        scale = options.get("scale")
        return "softmax", 1 / math.sqrt(width) if scale is None else float(scale)
    for known, name in ((dot_weights, "dot"), (relu_sum_weights, "relu_sum")):
        if function is known and not options:
            return name, 1 / keys
    return None


def row_limit(layers: int, pictures: int) -> int:
    """Bytes for the rows of one layer on one picture, of a page with so many.

    Example:
        >>> row_limit(layers=2, pictures=8), row_limit(layers=12, pictures=24)
        (65536, 11805)
    """
    shared = PAGE_BYTES // max(1, layers * pictures)
    return min(ROW_BYTES, max(LEAST_BYTES, shared))


def pairwise_layer(
    name: str,
    batches: Sequence[AttentionMap],
    *,
    inside: NDArray[np.float64] | None = None,
    row_bytes: int = ROW_BYTES,
    query_key_bytes: int = QUERY_KEY_BYTES,
) -> RowsLayer | QueryKeyLayer:
    """The form of a pairwise layer that fits into few bytes.

    All rows of every head if there is room; if that is too much, queries and keys in half
    precision; if the page does not know the function, that is too much as well, or half precision
    is too coarse for the scores, the rows of a coarser grid of queries, of every head, in `Levels`.
    Tokens without a place, such as the class token, come first.

    Args:
        name: What the page calls it.
        batches: The layer's recordings, one a batch.
        inside: Share of a row's sum on the object, for each picture.
        row_bytes: Limit for rows, a picture.
        query_key_bytes: Limit for queries and keys, a picture.
    """
    first = batches[0]
    places, keys = math.prod(first.query_size), math.prod(first.key_size)
    weights = places * keys
    pairs = [batch for batch in batches if isinstance(batch, PairwiseMap)]
    if pairs and weights > row_bytes:
        width = pairs[0].queries.shape[3]
        half = 2 * first.heads * width * (places + keys)
        known = known_function(pairs[0].function, width=width, keys=keys)
        if known and half < weights * first.heads and half <= query_key_bytes:
            found = _as_queries_and_keys(name, pairs, known=known, inside=inside)
            if _exact_enough(found, pairs):
                return found
    forms = _forms(first)
    share = row_bytes if 0 in first.query_size else row_bytes // 2
    of_tokens = _form(forms, count=len(first.query_prefix), limit=share)
    tokens = min(len(first.query_prefix), max(1, int(share // of_tokens.cost)))
    left = row_bytes - tokens * of_tokens.cost
    form = forms[0] if places * forms[0].cost <= left else None
    form = form or _form(forms[1:], count=min(places, SOME), limit=left)
    most = _RAW // (keys * first.heads)
    kept = _kept(first.query_size, cost=form.cost, limit=min(left, most * form.cost))
    begin, width = len(first.query_prefix), first.query_size[1]
    chosen = [begin + y * width + x for y in kept[0] for x in kept[1]]
    return RowsLayer(
        name,
        _rows(batches, chosen, form=form),
        first.query_size,
        first.key_size,
        kept,
        tokens=first.query_prefix[:tokens],
        token_rows=_rows(batches, range(tokens), form=of_tokens),
        tokens_left=len(first.query_prefix) - tokens,
        inside=inside,
    )


class _Form(NamedTuple):
    """How rows are kept: as levels, or bytes (0); and about how many bytes a token's take."""

    top: int
    cost: float


def _form(forms: Sequence[_Form], *, count: int, limit: float) -> _Form:
    """The finest form in which the rows of so many tokens fit, or the smallest."""
    fits = (form for form in forms if count * form.cost <= limit)
    return next(fits, min(forms, key=lambda form: form.cost))


def _forms(batch: AttentionMap) -> list[_Form]:
    """What a token's rows take, from a few: zeros, as beyond a window, take hardly any bytes."""
    tokens = range(0, batch.tokens, max(1, batch.tokens // 16))
    rows = batch.rows(list(tokens))[:4, ..., len(batch.key_prefix) :].float().cpu()
    read = int((rows[:1, :1] != 0).sum(-1).float().mean().ceil())
    forms = [_Form(0, min(rows.shape[-1], read * 3 // 2 + 8) * batch.heads)]
    for top in (FINE, COARSE):
        levels = np.stack([levels_of(own, top=top).bytes for own in rows.numpy()])
        forms.append(_Form(top, coded_bytes(levels, grid=batch.key_size) * batch.heads))
    return forms


def _as_queries_and_keys(
    name: str, batches: Sequence[PairwiseMap], *, known: Known, inside: NDArray[np.float64] | None
) -> QueryKeyLayer:
    function, scale = known
    queries, keys, factors = [], [], []
    for _, query, key in _pictures(batches):
        (query_half, query_unit), (key_half, key_unit) = _half(query), _half(key)
        queries.append(query_half)
        keys.append(key_half)
        if function == "relu_sum":
            factors.append((query_unit * scale, key_unit * scale))
        else:
            factors.append((query_unit * key_unit * scale, 0.0))
    sizes = batches[0].query_size, batches[0].key_size
    return QueryKeyLayer(name, queries, keys, factors, function, *sizes, inside=inside)


def page_rows(layer: QueryKeyLayer, number: int, places: list[int]) -> NDArray[np.float64]:
    """The rows (heads, len(places), S) that the page computes for a picture."""
    query = layer.queries[number][:, places].astype(np.float64)
    key = layer.keys[number].astype(np.float64)
    first, second = layer.factors[number]
    if layer.function == "relu_sum":
        return np.maximum(0, query * first + key.swapaxes(1, 2) * second)
    scores = query @ key.swapaxes(1, 2) * first
    if layer.function == "dot":
        return scores
    parts = np.exp(scores - scores.max(-1, keepdims=True))
    rows: NDArray[np.float64] = parts / parts.sum(-1, keepdims=True)
    return rows


def _exact_enough(layer: QueryKeyLayer, batches: Sequence[PairwiseMap]) -> bool:
    """Whether rows from half precision are within half of one of 255 steps, for some places."""
    count = batches[0].queries.shape[2]
    places = list(range(0, count, max(1, count // 16)))
    for number, (function, query, key) in enumerate(_pictures(batches)):
        true = function(query[None, :, places], key[None])[0].double().cpu().numpy()
        error = np.abs(page_rows(layer, number, places) - true).max(-1)
        if (error > (true.max(-1) - true.min(-1)) / 510).any():
            return False
    return True


def _pictures(
    batches: Sequence[PairwiseMap],
) -> Iterator[tuple[PairwiseFunction, Tensor, Tensor]]:
    """The function, the queries (heads, T, D) and the keys (heads, S, D) of each picture."""
    for batch in batches:
        for query, key in zip(batch.queries, batch.keys, strict=True):
            yield batch.function, query, key


def _half(values: Tensor) -> tuple[NDArray[np.float16], float]:
    array = values.float().cpu().numpy()
    unit = float(np.abs(array).max()) or 1.0
    return (array / unit).astype(np.float16), unit


def _kept(size: tuple[int, int], *, cost: float, limit: float) -> tuple[list[int], list[int]]:
    """Rows and columns of the query grid, evenly spread, whose attention fits into the limit."""
    counts = list(size)
    while math.prod(counts) * cost > limit and max(counts) > 1:
        counts[counts.index(max(counts))] -= 1
    rows, columns = (
        [int((place + 0.5) * whole / count) for place in range(count)]
        for whole, count in zip(size, counts, strict=True)
    )
    return rows, columns


def _rows(
    batches: Sequence[AttentionMap], tokens: Sequence[int], *, form: _Form
) -> list[Quantised | Levels]:
    """Rows (heads, tokens, S) of each picture, a few computed at a time."""
    found: list[Quantised | Levels] = []
    for batch in batches:
        keys = math.prod(batch.key_size)
        if not tokens:
            found += [quantise(np.zeros((1, 0, keys)), leading=2)] * batch.images
            continue
        step = max(1, _NUMBERS // (batch.images * batch.heads * keys))
        parts: list[list[Quantised | Levels]] = [[] for _ in range(batch.images)]
        for start in range(0, len(tokens), step):
            rows = batch.rows(list(tokens[start : start + step]))
            rows = rows[..., len(batch.key_prefix) :].float()
            for part, weights in zip(parts, rows.cpu().numpy(), strict=True):
                part.append(
                    levels_of(weights, top=form.top) if form.top else quantise(weights, leading=2)
                )
        for part in parts:
            first, low, high = (np.concatenate([own[n] for own in part], 1) for n in range(3))
            whole = Levels(first, low, high, form.top) if form.top else Quantised(first, low, high)
            found.append(whole)
    return found


def row_inside(
    batch: AttentionMap, focus: NDArray[np.float64], masks: Tensor
) -> NDArray[np.float64]:
    """Share of the attention from the object's centre that lies on the object.

    Where no place asks, that of the first token without a place.

    Args:
        batch: A recording of N pictures.
        focus: Where the objects' centres are, shares of height and width (N, 2).
        masks: True masks (N, H, W) in [0, 1], NaN where unknown.

    Returns:
        Shares (N,), NaN for a picture without an object.
    """
    height, width = batch.query_size
    shares = torch.nn.functional.adaptive_avg_pool2d(masks.nan_to_num(0.0)[:, None], batch.key_size)
    found = []
    for number, (y, x) in enumerate(focus):
        if height * width:
            asked = batch.query(min(int(y * height), height - 1), min(int(x * width), width - 1))
        else:
            asked = batch.token(batch.query_prefix[0])
        row = asked[number].flatten().clamp(min=0).cpu()
        share = shares[number].flatten()
        total = float(row.sum())
        known = total > 0 and float(share.max()) > 0
        found.append(float((row * share).sum()) / total if known else math.nan)
    return np.array(found)
