"""What one attention layer computed for every picture, in the form in which the page reads it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from visattn.report_page.coding import Levels, coded
from visattn.report_page.packing import Quantised, packed, quantise

Kind = Literal["spatial", "gate", "cam", "asked"]


@dataclass(frozen=True)
class Layer(ABC):
    """One layer of the page.

    Attributes:
        name: What the page calls it.
        inside: Share of each picture's map, or of its row at the object's centre, that lies on the
            true mask (N,), NaN where undefined; None where nothing lies anywhere.
    """

    name: str
    inside: NDArray[np.float64] | None = field(default=None, kw_only=True)

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Plain values."""


@final
@dataclass(frozen=True)
class MapLayer(Layer):
    """A map for each picture.

    Attributes:
        maps: (N, h, w), finite.
        kind: ``"spatial"``, a gate or mask of the network's; ``"gate"``, the mean over the channels
            of a gate that differs over channels and places; ``"cam"``, computed from outside;
            ``"asked"``, where that is which the network was asked about.
        curves: Deletion and insertion by name, see `visattn.report_page.model_views`.
    """

    maps: NDArray[np.float32]
    kind: Kind = "spatial"
    curves: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The maps as bytes over each one's range."""
        return {
            "kind": self.kind,
            "name": self.name,
            "size": list(self.maps.shape[1:]),
            "inside": plain(self.inside),
            "curves": self.curves,
            **_each(self.maps),
        }


@final
@dataclass(frozen=True)
class ChannelLayer(Layer):
    """A gate for each channel.

    Attributes:
        gates: (N, C), finite.
    """

    gates: NDArray[np.float32]

    def as_json(self) -> dict[str, Any]:
        """The gates as bytes over each picture's range, and their mean over the pictures."""
        return {
            "kind": "channel",
            "name": self.name,
            "size": [self.gates.shape[1]],
            "mean": _each(self.gates.mean(0, keepdims=True)),
            **_each(self.gates),
        }


@final
@dataclass(frozen=True)
class RowsLayer(Layer):
    """Attention rows of a pairwise layer, as bytes over each row's own range or in fewer levels.

    Attributes:
        rows: For each picture (heads, T, S), T the kept places of the query grid, row-major.
        query_size: Height and width of the query grid.
        key_size: Height and width of the key grid, S places.
        kept: The rows and the columns of the query grid that were kept.
        tokens: Names of tokens without a place that ask, such as the class token.
        token_rows: Their rows, as those of places.
        tokens_left: How many such tokens were left out.
    """

    rows: Sequence[Quantised | Levels]
    query_size: tuple[int, int]
    key_size: tuple[int, int]
    kept: tuple[list[int], list[int]]
    tokens: Sequence[str] = field(default=(), kw_only=True)
    token_rows: Sequence[Quantised | Levels] = field(default=(), kw_only=True)
    tokens_left: int = field(default=0, kw_only=True)

    @property
    def remark(self) -> str:
        """What was left out to keep the page small; empty if nothing was."""
        parts = []
        rows, columns = map(len, self.kept)
        if (rows, columns) != tuple(self.query_size):
            height, width = self.query_size
            parts.append(f"the nearest of {rows} × {columns} of the {height} × {width} places")
        if self.tokens_left:
            parts.append(f"without {self.tokens_left} further tokens")
        both = {"places": self.rows, "tokens": self.token_rows}
        found = {whose: [row for row in own if row.bytes.size] for whose, own in both.items()}
        found = {whose: own for whose, own in found.items() if own}
        levels = {
            whose: [row for row in own if isinstance(row, Levels)] for whose, own in found.items()
        }
        rounded = [whose for whose, own in levels.items() if own]
        if rounded:
            signed = any(row.low.any() for own in levels.values() for row in own)
            whose = f" from {rounded[0]}" if len(rounded) < len(found) else ""
            of_row = "range" if signed else "highest"
            within = next(row.within for own in levels.values() for row in own)
            parts.append(f"weights{whose} within 1/{within} of each row's {of_row}")
        said = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
        return f"Kept small: {said}; fewer pictures keep more." if parts else ""

    def as_json(self) -> dict[str, Any]:
        """The rows of places and tokens, each with how it is to be read."""
        of_tokens = {}
        if self.tokens:
            read = _rows_json(self.token_rows, grid=self.key_size)
            of_tokens = {"tokens": list(self.tokens), "tokenRows": read}
        return {
            "kind": "pairwise",
            "encoding": "rows",
            "name": self.name,
            "heads": int(self.rows[0].bytes.shape[0]),
            "size": list(self.query_size),
            "keys": list(self.key_size),
            "kept": [list(places) for places in self.kept],
            "remark": self.remark,
            "rows": _rows_json(self.rows, grid=self.key_size),
            "inside": plain(self.inside),
            **of_tokens,
        }


@final
@dataclass(frozen=True)
class QueryKeyLayer(Layer):
    """Queries and keys of a pairwise layer in half precision; the page computes the rows.

    Attributes:
        queries: For each picture (heads, T, D), scaled to a largest absolute value of 1.
        keys: For each picture (heads, S, D), scaled likewise.
        factors: What a product of the two is multiplied by, for each picture; for ``"relu_sum"``
            the two factors of query and key.
        function: ``"softmax"``, ``"dot"`` or ``"relu_sum"``, see `visattn.attention`.
        query_size: Height and width of the query grid.
        key_size: Height and width of the key grid.
    """

    queries: Sequence[NDArray[np.float16]]
    keys: Sequence[NDArray[np.float16]]
    factors: Sequence[tuple[float, float]]
    function: str
    query_size: tuple[int, int]
    key_size: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """Half-precision numbers, and the factors."""
        height, width = self.query_size
        return {
            "kind": "pairwise",
            "encoding": "qk",
            "function": self.function,
            "name": self.name,
            "heads": int(self.queries[0].shape[0]),
            "width": int(self.queries[0].shape[2]),
            "size": list(self.query_size),
            "keys": list(self.key_size),
            "kept": [list(range(height)), list(range(width))],
            "q": [packed(query) for query in self.queries],
            "k": [packed(key) for key in self.keys],
            "factors": [list(pair) for pair in self.factors],
            "inside": plain(self.inside),
        }


def plain(values: NDArray[np.float64] | None) -> list[float | None] | None:
    """Numbers for JSON in four digits after the point; None where one is undefined.

    Example:
        >>> plain(np.array([0.12345, np.nan]))
        [0.1235, None]
    """
    if values is None:
        return None
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def _rows_json(rows: Sequence[Quantised | Levels], *, grid: tuple[int, int]) -> dict[str, Any]:
    """Bytes and the two ends of each row's range in single precision, or coded levels."""
    heads = int(rows[0].bytes.shape[0])
    levels = [row for row in rows if isinstance(row, Levels)]
    if levels:
        return {"heads": heads, **coded(levels, grid=grid)}
    ends = [np.stack([row.low, row.high], -1) for row in rows if isinstance(row, Quantised)]
    return {
        "heads": heads,
        "values": [packed(row.bytes) for row in rows],
        "ends": [packed(both) for both in ends],
    }


def _each(values: NDArray[np.float32]) -> dict[str, Any]:
    """Bytes and range of each picture."""
    found = quantise(values, leading=1)
    return {
        "values": [packed(entry) for entry in found.bytes],
        "low": found.low.tolist(),
        "high": found.high.tolist(),
    }
