"""Attention between places, of which any row can be had without the others."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

from torch import Tensor


class AttentionMap(ABC):
    """Attention of one pass, from tokens that ask to tokens that are asked.

    First come the tokens that have no place in the picture (class token, registers; none in a
    convolutional network), then the places of the grid, row by row.

    Attributes:
        query_size: (height, width) of the query grid; (0, 0) if no token that asks has a place.
        key_size: (height, width) of the key grid.
        query_prefix: Names of the tokens without a place among the queries, as ``"cls_token"``.
        key_prefix: Names of the tokens without a place among the keys.

    Example:
        >>> import timm, torch, visattn
        >>> model = timm.create_model("test_vit", num_classes=3).eval()
        >>> with visattn.record(model) as maps, torch.no_grad():
        ...     _ = model(torch.randn(1, 3, 160, 160))
        >>> found: AttentionMap = maps["blocks.0.attn"].pairwise
        >>> found.key_prefix, found.key_size
        (('cls_token',), (10, 10))
    """

    query_size: tuple[int, int]
    key_size: tuple[int, int]
    query_prefix: tuple[str, ...] = ()
    key_prefix: tuple[str, ...] = ()

    @property
    @abstractmethod
    def heads(self) -> int:
        """Number of heads."""

    @property
    @abstractmethod
    def images(self) -> int:
        """Number of pictures."""

    @abstractmethod
    def rows(self, tokens: int | Sequence[int], *, head: int | None = None) -> Tensor:
        """The attention of some tokens to all others.

        Args:
            tokens: Their numbers, one or several: prefix first, then the places row by row.
            head: One head; all of them if None.

        Returns:
            (N, heads, tokens, keys), in single precision at least. Nothing larger is held.

        Raises:
            IndexError: There is no such token or head.
        """

    @abstractmethod
    def received(self, *, head: int | None = None) -> Tensor:
        """The attention that each key place gets from all queries, on average.

        Args:
            head: One head; the mean over the heads if None.

        Returns:
            (N, height, width) of the key grid: the mean of all rows. They are computed a few at a
            time, so that the weights of a large map are never held.

        Raises:
            IndexError: There is no such head.
        """

    def query(self, y: int, x: int, *, head: int | None = None) -> Tensor:
        """The attention of one query place to all key places.

        Args:
            y: Row of the place in the query grid.
            x: Column of the place in the query grid.
            head: One head; the mean over the heads if None.

        Returns:
            (N, height, width) of the key grid, in single precision at least. Nothing larger is
            held. What goes to class token and registers is left out, so that less than 1 may
            remain.

        Raises:
            IndexError: The place is outside of the query grid, or there is no such head.
        """
        height, width = self.query_size
        if not (0 <= y < height and 0 <= x < width):
            raise IndexError(
                f"The query grid has rows 0 to {height - 1} and columns 0 to {width - 1};"
                f" got y={y}, x={x}."
                if height * width
                else f"No place asks here; the tokens that ask are {', '.join(self.query_prefix)}."
            )
        return self._from(len(self.query_prefix) + y * width + x, head=head)

    def token(self, name: str, *, head: int | None = None) -> Tensor:
        """The attention of a token without a place, such as the class token, to all key places.

        Args:
            name: One of `query_prefix`.
            head: One head; the mean over the heads if None.

        Returns:
            As `query` does.

        Raises:
            KeyError: There is no such token.
            IndexError: There is no such head.
        """
        if name not in self.query_prefix:
            there = ", ".join(self.query_prefix) or "none without a place"
            raise KeyError(f"No token {name!r} asks here; there is {there}.")
        return self._from(self.query_prefix.index(name), head=head)

    @property
    def tokens(self) -> int:
        """Number of tokens that ask."""
        return len(self.query_prefix) + prod(self.query_size)

    def _from(self, token: int, *, head: int | None) -> Tensor:
        return self.on_places(self.rows(token, head=head).squeeze(2).mean(1))

    def on_places(self, shares: Tensor) -> Tensor:
        """What of a number for each key token (N, S) lies on places, (N, height, width)."""
        return shares[:, len(self.key_prefix) :].unflatten(1, self.key_size)

    def _checked(self, tokens: int | Sequence[int], *, head: int | None) -> list[int]:
        """The tokens as a list, if all of them and the head exist."""
        if head is not None and not 0 <= head < self.heads:
            raise IndexError(f"There are heads 0 to {self.heads - 1}; got head={head}.")
        chosen = [tokens] if isinstance(tokens, int) else [int(token) for token in tokens]
        if any(not 0 <= token < self.tokens for token in chosen):
            raise IndexError(f"There are tokens 0 to {self.tokens - 1}; got {tokens}.")
        return chosen
