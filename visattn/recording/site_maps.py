"""What a block computed at its site: gates, masks, rows of attention, and what they say of places.

The classes are those of a recording; `visattn.record` fills them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor

from visattn.attention import PairwiseFunction
from visattn.recording.attention_map import AttentionMap

_NUMBERS = 2**22
"""So many attention weights are held at a time while all rows are gone through."""

_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class PairwiseMap(AttentionMap):
    """Queries and keys of one pass of a pairwise attention; its rows are computed on demand.

    Attributes:
        queries: (N, heads, T, D), T = height * width of the query grid, row-major.
        keys: (N, heads, S, D), S = height * width of the key grid.
        query_size: (height, width) of the query grid.
        key_size: (height, width) of the key grid.
        function: Maps queries and keys to weights (N, heads, T, S).

    Example:
        >>> tokens = torch.zeros(1, 1, 6, 4)
        >>> found = PairwiseMap(tokens, tokens, (2, 3), (2, 3), lambda q, k: (q @ k.mT).softmax(-1))
        >>> found.query(0, 2)[0]
        tensor([[0.1667, 0.1667, 0.1667],
                [0.1667, 0.1667, 0.1667]])
    """

    queries: Tensor
    keys: Tensor
    query_size: tuple[int, int]
    key_size: tuple[int, int]
    function: PairwiseFunction

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.queries.shape[1]

    @property
    def images(self) -> int:
        """Number of pictures."""
        return len(self.queries)

    def rows(self, tokens: int | Sequence[int], *, head: int | None = None) -> Tensor:
        """See `AttentionMap.rows`."""
        return self._weights(self._checked(tokens, head=head), head=head)

    def received(self, *, head: int | None = None) -> Tensor:
        """See `AttentionMap.received`."""
        self._checked((), head=head)
        queries, keys = prod(self.query_size), prod(self.key_size)
        heads = self.heads if head is None else 1
        step = max(1, _NUMBERS // max(1, len(self.queries) * heads * keys))
        total: Tensor | None = None
        for start in range(0, queries, step):
            part = self._weights(slice(start, start + step), head=head).sum((1, 2))
            total = part if total is None else total + part
        if total is None:
            raise ValueError(f"There is no query: the query grid is {self.query_size}.")
        return (total / (heads * queries)).unflatten(1, self.key_size)

    def _weights(self, places: slice | list[int], *, head: int | None) -> Tensor:
        """Rows (N, heads, places, S); what half precision recorded is multiplied in single."""
        chosen = slice(None) if head is None else slice(head, head + 1)
        queries, keys = self.queries[:, chosen, places], self.keys[:, chosen]
        with torch.autocast(queries.device.type, enabled=False):
            if queries.dtype in _HALF:
                return self.function(queries.float(), keys.float())
            return self.function(queries, keys.to(queries.dtype))


@dataclass
class SiteMaps:
    """What the block at one site computed.

    Attributes:
        name: The site's.
        values: For each tap of the block, by its path inside of the block, what passed it, one
            entry a call.
        kinds: Each tap's kind.

    Example:
        >>> import timm, visattn
        >>> model = visattn.wrap(timm.create_model("test_resnet"), "cbam").eval()
        >>> with visattn.record(model) as maps, torch.no_grad():
        ...     _ = model(torch.randn(1, 3, 64, 64))
        >>> site: SiteMaps = maps["layer1.0"]
        >>> site.channel.shape, site.spatial.shape
        (torch.Size([1, 32]), torch.Size([1, 16, 16]))
    """

    name: str
    values: dict[str, list[Any]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """How often the block ran."""
        return max((len(values) for values in self.values.values()), default=0)

    def call(self, index: int) -> "SiteMaps":
        """The maps of one call of a block that ran several times."""
        if not -self.calls <= index < self.calls:
            raise IndexError(f"{self.name} ran {self.calls} times; got call({index}).")
        values = {tap: [entries[index]] for tap, entries in self.values.items()}
        return SiteMaps(self.name, values, self.kinds)

    @property
    def channel(self) -> Tensor:
        """The channel gate, (N, C)."""
        return self._only("channel").flatten(1)

    @property
    def spatial(self) -> Tensor:
        """The spatial gate or mask, (N, H, W)."""
        return self._only("spatial").squeeze(1)

    @property
    def gate(self) -> Tensor:
        """A gate that differs over channels and places, (N, C, H, W) or broadcastable to that."""
        return self._only("gate")

    @property
    def spatial_logits(self) -> Tensor:
        """The spatial mask before its sigmoid, (N, H, W)."""
        return self._only("spatial_logits").squeeze(1)

    @property
    def class_logits(self) -> Tensor:
        """Answers of a branch of the block's own, (N, K)."""
        return self._only("class_logits")

    @property
    def pairwise(self) -> AttentionMap:
        """Queries and keys, from which any attention row follows."""
        return self._only("tokens" if "tokens" in self.kinds.values() else "pairwise")

    def query(self, y: int, x: int, *, head: int | None = None) -> Tensor:
        """The attention of one query place, (N, H, W) over the key grid; see `AttentionMap`."""
        return self.pairwise.query(y, x, head=head)

    def token(self, name: str, *, head: int | None = None) -> Tensor:
        """The attention of a class token or register, (N, H, W); see `AttentionMap`."""
        return self.pairwise.token(name, head=head)

    @property
    def heat_kind(self) -> str | None:
        """From what `heat` comes: the first of the kinds below that there is, or None.

        ``"spatial"``, ``"gate"``, ``"spatial_logits"``, ``"pairwise"``.
        """
        kinds = set(self.kinds.values())
        return next((kind for kind in _HEAT_KINDS if kind in kinds), None)

    @property
    def heat(self) -> Tensor:
        """What the block says of places, one map an image (N, H, W), whatever block it is.

        It is the spatial gate or mask where there is one; else the product of the gates that
        differ over channels and places, averaged over the channels; else the sigmoid of a mask's
        logits; else the attention that each place gets from all queries (`PairwiseMap.received`).

        Raises:
            AttributeError: The block says nothing of places, has several spatial gates, or ran
                several times.
        """
        kind = self.heat_kind
        if kind is None:
            raise AttributeError(
                f"The block at {self.name!r} says nothing of places; it computes"
                f" {kind_names(self)} only."
            )
        if kind == "pairwise":
            return self.pairwise.received()
        if kind != "gate":
            return over_places(self._only(kind), kind=kind)
        self._one_call("heat")
        gates = [entries[0] for tap, entries in self.values.items() if self.kinds[tap] == "gate"]
        product = gates[0].float()
        for gate in gates[1:]:
            product = product * gate
        return over_places(product, kind="gate")

    def _only(self, kind: str) -> Any:
        """The one value of a kind, or an error that says what there is."""
        taps = [tap for tap in self.values if self.kinds[tap] == kind]
        if not taps:
            raise AttributeError(
                f"The block at {self.name!r} computes no {kind}; it has {kind_names(self)}."
            )
        if len(taps) > 1:
            raise AttributeError(
                f"The block at {self.name!r} computes several of {kind}: {', '.join(taps)}."
                f" Choose one: .values[{taps[0]!r}]."
            )
        self._one_call(kind)
        return self.values[taps[0]][0]

    def _one_call(self, what: str) -> None:
        if self.calls != 1:
            raise AttributeError(
                f"The block at {self.name!r} ran {self.calls} times; choose one: .call(0).{what}."
            )


_HEAT_KINDS = ("spatial", "gate", "spatial_logits", "pairwise")


def kind_names(maps: SiteMaps) -> str:
    """The kinds of a site's maps, in words."""
    return ", ".join(sorted(set(maps.kinds.values())))


def over_places(value: Tensor, *, kind: str) -> Tensor:
    """One tap's value as a map over places: logits as probabilities, the mean over the channels.

    Args:
        value: (N, C, H, W), single precision at least in the result.
        kind: The tap's: ``"spatial"``, ``"gate"`` or ``"spatial_logits"``.

    Returns:
        (N, H, W).

    Example:
        >>> over_places(torch.zeros(1, 1, 2, 3), kind="spatial_logits").unique()
        tensor([0.5000])
    """
    if value.dtype in _HALF:
        value = value.float()
    return (value.sigmoid() if kind == "spatial_logits" else value).mean(1)
