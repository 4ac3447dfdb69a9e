"""Which token of a layer belongs where: heads, windows, prefix tokens and the picture's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from visattn.recording.tokens.places import Places, Unknown
from visattn.recording.tokens.scores import Scores

_DECIMALS = 6


@final
@dataclass(frozen=True, eq=False)
class Side:
    """The tokens that ask, or those that are asked.

    Attributes:
        token: (windows, T), the number under which each of the network's own tokens is known; the
            last number beyond for what has none, such as padding.
        own: (tokens, 2), the other way round: window and number there.
        prefix: Names of the tokens without a place.
        size: Height and width of the grid.
    """

    token: Tensor
    own: Tensor
    prefix: tuple[str, ...]
    size: tuple[int, int]

    @property
    def count(self) -> int:
        """Number of tokens."""
        return len(self.prefix) + self.size[0] * self.size[1]


@final
@dataclass(frozen=True, eq=False)
class Layout:
    """Of one layer.

    Attributes:
        order: (N, heads, windows), the number of each among the leading axes of the weights.
        queries: The tokens that ask.
        keys: The tokens that are asked.
        unplaced: Why the picture's places aren't known; None if they are.
    """

    order: Tensor
    queries: Side
    keys: Side
    unplaced: str | None = None


class NoLayoutError(ValueError):
    """Says why tokens can't be put in their places."""


def layout_of(scores: Scores, *, names: Sequence[str]) -> Layout:
    """The layout of weights (..., T, S).

    Where places are unknown, tokens are known by their own numbers, if heads can be told from
    pictures.

    Args:
        scores: The weights; the last two axes are the tokens'.
        names: Names of the model's parameters, by the numbers that places give them.

    Raises:
        NoLayoutError: It can't be told what is what.
    """
    try:
        return _placed(scores, names)
    except NoLayoutError as error:
        if len(scores.shape) != 4:
            raise
        images, heads, count, keys = scores.shape
        order = torch.arange(images * heads).view(images, heads, 1)
        return Layout(order, _numbered(count), _numbered(keys), str(error))


def _placed(scores: Scores, names: Sequence[str]) -> Layout:
    asking, asked = (_flat(part, scores.shape) for part in (scores.asking, scores.asked))
    order, first = _order(asking, asked)
    queries, keys = (_rows(part, first) for part in (asking, asked))
    found = side_of(keys, names, once=False)
    try:
        side = side_of(queries, names, once=True)
    except NoLayoutError:
        # What asks may be computed elsewhere; what it reads goes back to the keys' places.
        if queries.shape != keys.shape:
            raise
        side = side_of(keys, names, once=True)
    return Layout(order, side, found)


def _flat(places: Places | Unknown, shape: Sequence[int]) -> Places:
    """Places (leading axes as one, tokens) on the CPU."""
    if isinstance(places, Unknown):
        raise NoLayoutError(places.reason)
    lead = torch.Size(shape[:-2]).numel()
    return Places(places.ids.reshape(lead, -1).cpu(), places.table.cpu(), places.pictured)


def _order(asking: Places, asked: Places) -> tuple[Tensor, Tensor]:
    """(N, heads, windows), and which entry of the leading axes is the first head of each window."""
    both = torch.cat([_codes(asking), _codes(asked)], 1)
    factors = torch.randint(1, 2**40, both.shape[1:], generator=torch.Generator().manual_seed(0))
    _, group = (both * factors).sum(1).unique(return_inverse=True)  # a window of a picture each
    groups = int(group.max()) + 1
    picture = _pictures(asked.table[asked.ids.long()][..., 0])
    members = [torch.nonzero(group == number).flatten() for number in range(groups)]
    members.sort(key=lambda lines: (int(picture[lines[0]]), int(lines[0])))
    heads, images = {len(lines) for lines in members}, picture.unique()
    if len(heads) > 1 or groups % len(images):
        raise NoLayoutError("its pictures have different numbers of windows or heads")
    order = torch.stack(members).view(len(images), groups // len(images), -1).transpose(1, 2)
    return order, order[:, 0]


def _codes(places: Places) -> Tensor:
    """Equal numbers for equal places."""
    whole = places.table.nan_to_num(-2).mul(10**_DECIMALS).round().long()
    factors = torch.randint(1, 2**40, (3,), generator=torch.Generator().manual_seed(1))
    return (whole * factors).sum(1)[places.ids.long()]


def _pictures(image: Tensor) -> Tensor:
    """To which picture each entry (entries, S) belongs."""
    known = image.masked_fill(image < 0, torch.nan)
    low = known.nan_to_num(torch.inf).amin(1)
    high = known.nan_to_num(-torch.inf).amax(1)
    if bool((low != high).any()):
        raise NoLayoutError("tokens of several pictures, or of none, attend to each other")
    return low


def _rows(places: Places, first: Tensor) -> Tensor:
    """The table's rows (windows, T, 3), which must be the same for all pictures."""
    rows = places.table[places.ids[first].long()]
    rows[..., 0] = rows[..., 0].clamp(max=0)
    if not torch.allclose(rows, rows[:1].expand_as(rows), atol=1e-6, equal_nan=True):
        raise NoLayoutError("the pictures keep different tokens: record one picture at a time")
    return rows[0]


def side_of(rows: Tensor, names: Sequence[str], *, once: bool) -> Side:
    """Numbers for tokens with the table's rows (windows, T, 3).

    Raises:
        NoLayoutError: They fill no grid; with ``once``, if a token stands there several times.
    """
    image, y, x = rows.unbind(-1)
    placed, learned = image >= 0, image < 0
    lines, line = y[placed].mul(10**_DECIMALS).round().unique(return_inverse=True)
    columns, column = x[placed].mul(10**_DECIMALS).round().unique(return_inverse=True)
    size = (len(lines), len(columns))
    place = line * size[1] + column
    counts = torch.bincount(place, minlength=size[0] * size[1])
    if bool((counts == 0).any()):
        raise NoLayoutError("its tokens fill no grid")
    if once and bool((counts > 1).any()):
        raise NoLayoutError("a place asks several times")
    tokens, which = _prefix(rows[learned])
    if once and len(tokens) != len(which):
        raise NoLayoutError("a token without a place asks several times")
    count = len(tokens) + len(counts)
    token = torch.full(image.shape, count)
    token[learned] = which
    token[placed] = place + len(tokens)
    own = torch.zeros(count + 1, 2, dtype=torch.long)
    own[token.flatten()] = torch.nonzero(torch.ones_like(token))
    return Side(token, own[:-1], _names(tokens, names), size)


def _prefix(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct learned tokens in the order in which they come, and which of them each is."""
    found, which = rows.unique(dim=0, return_inverse=True)
    first = torch.full((len(found),), len(which)).scatter_reduce(
        0, which, torch.arange(len(which)), "amin"
    )
    order = first.argsort()
    return found[order], order.argsort()[which]


def _names(tokens: Tensor, names: Sequence[str]) -> tuple[str, ...]:
    """What the learned tokens are called: their parameter, with a number if it has several."""
    paths = [names[int(number)] for number in tokens[:, 1]]
    short = [path.removesuffix(".weight").rpartition(".")[2] for path in paths]
    found = [
        name if len({p for p, s in zip(paths, short, strict=True) if s == name}) == 1 else path
        for path, name in zip(paths, short, strict=True)
    ]
    return tuple(
        f"{name}.{int(number)}" if found.count(name) > 1 else name
        for name, number in zip(found, tokens[:, 2], strict=True)
    )


def _numbered(count: int) -> Side:
    """Tokens by their own numbers."""
    token = torch.arange(count)
    own = torch.stack([torch.zeros_like(token), token], 1)
    return Side(token[None], own, tuple(f"token {number}" for number in range(count)), (0, 0))
