"""Where in the picture each number of a tensor comes from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F


@final
@dataclass(frozen=True, eq=False)
class Places:
    """A place for each number of a tensor.

    Attributes:
        ids: Rows of the table, of the tensor's shape; 0 is nowhere, such as padding.
        table: (K, 3): image, y and x, with y and x in (0, 1) the middle of that part of the picture
            for which a number stands. A token that the network learned has -1, the number of its
            parameter, and its own number in it. Row 0 is NaN.
        pictured: Whether anything in it comes from a picture.
    """

    ids: Tensor
    table: Tensor
    pictured: bool

    def moved(self, ids: Tensor) -> "Places":
        """Other numbers of the same table."""
        return Places(ids, self.table, self.pictured)

    def broadcast(self, shape: Sequence[int]) -> "Places":
        """The same for a tensor of a larger shape."""
        return self.moved(self.ids.expand(*shape))


@final
@dataclass(frozen=True)
class Unknown:
    """Places or weights that were lost on the way.

    Attributes:
        reason: Where, and why.
    """

    reason: str


def raster(shape: torch.Size, device: torch.device) -> Places:
    """Places of maps (N, C, H, W), each of a whole picture."""
    images, _, height, width = shape
    axes = [
        _counted(images, device),
        (_counted(height, device) + 0.5) / height,
        (_counted(width, device) + 0.5) / width,
    ]
    rows = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    return numbered(rows.unsqueeze(1)).broadcast(shape)


def learned(tensor: Tensor, *, number: int) -> Places:
    """Places of a parameter whose last axis is the channels, the one before it the tokens."""
    count = tensor.shape[-2] if tensor.ndim > 1 else 1
    token = _counted(count, tensor.device)
    rows = torch.stack([torch.full_like(token, -1), torch.full_like(token, number), token], -1)
    ids = numbered(rows, pictured=False)
    return ids.moved(ids.ids.unsqueeze(-1) if tensor.ndim > 1 else ids.ids).broadcast(tensor.shape)


def numbered(rows: Tensor, *, pictured: bool = True) -> Places:
    """Places of a tensor whose every number has a row (..., 3) of its own; NaN is nowhere."""
    ids = torch.arange(1, rows[..., 0].numel() + 1, dtype=torch.int32, device=rows.device)
    ids = ids.view(rows.shape[:-1]).masked_fill(rows[..., 0].isnan(), 0)
    nowhere = rows.new_full((1, 3), torch.nan)
    return Places(ids, torch.cat([nowhere, rows.reshape(-1, 3)]), pictured)


def nowhere(tensor: Tensor) -> Tensor:
    """Numbers for a tensor of which no place is known."""
    return torch.zeros((), dtype=torch.int32, device=home(tensor.device)).expand(tensor.shape)


def one_table(parts: Sequence[Places]) -> tuple[list[Tensor], Tensor]:
    """The numbers of several, brought to one table."""
    tables: list[Tensor] = []
    starts: list[int] = []
    for part in parts:
        seen = next((n for n, table in enumerate(tables) if table is part.table), None)
        if seen is None:
            starts.append(sum(len(table) for table in tables))
            tables.append(part.table)
        else:
            starts.append(sum(len(table) for table in tables[:seen]))
    ids = [
        part.ids if not start else torch.where(part.ids > 0, part.ids + start, part.ids)
        for part, start in zip(parts, starts, strict=True)
    ]
    return ids, tables[0] if len(tables) == 1 else torch.cat(tables)


def is_even(ids: Tensor, axis: int) -> bool:
    """Whether all numbers along an axis are from one place."""
    if ids.shape[axis] <= 1 or ids.stride(axis) == 0:
        return True
    return bool((ids.narrow(axis, 0, 1) == ids).all())


def mixed(places: Places, shape: Sequence[int], *, axis: int) -> Places | Unknown:
    """Places after channels were mixed along an axis: of several places the middle of them."""
    if is_even(places.ids, axis):
        return places.moved(places.ids.narrow(axis, 0, 1)).broadcast(shape)
    found = averaged(places, lambda part: part.nanmean(axis, keepdim=True))
    return found if isinstance(found, Unknown) else found.broadcast(shape)


def averaged(places: Places, mean: Callable[[Tensor], Tensor]) -> Places | Unknown:
    """Places of means over several: the middle of those that lie in the picture."""
    rows = places.table[places.ids.long()]
    if places.pictured:
        rows = rows.masked_fill(rows[..., :1] < 0, torch.nan)
    found = torch.stack([mean(part) for part in rows.unbind(-1)], -1)
    image = found[..., 0]
    if bool(((image - image.round()).abs() > 1e-6).any()):
        return Unknown("several pictures, or the picture and learned tokens, are mixed")
    found[..., 0] = image.round()
    return numbered(found, pictured=places.pictured)


def resampled(places: Places, shape: torch.Size) -> Places | Unknown:
    """Places of maps (N, C, h, w) brought to another size, such as by a strided convolution."""
    found = mixed(places, (len(places.ids), 1, *places.ids.shape[2:]), axis=1)
    if isinstance(found, Unknown):
        return found
    height, width = shape[2:]
    if found.ids.shape[2:] == shape[2:]:
        return found.broadcast(shape)
    rows = found.table[found.ids.long()]
    image, y, x = rows.unbind(-1)
    lines = _evenly(y[..., :1], axis=2, count=height), _evenly(x[:, :, :1], axis=3, count=width)
    even = (
        (image == image[:, :, :1, :1]).all()
        and (y == y[..., :1]).all()
        and (x == x[:, :, :1]).all()
    )
    if bool(even) and lines[0] is not None and lines[1] is not None:
        parts = torch.broadcast_tensors(image[:, :, :1, :1], lines[0], lines[1])
        return numbered(torch.stack(parts, -1)).broadcast(shape)
    if height > rows.shape[2] or width > rows.shape[3]:
        return Unknown("a map that is no evenly spaced part of the picture is enlarged")
    pooled = averaged(found, lambda part: F.adaptive_avg_pool2d(part, (height, width)))
    return pooled if isinstance(pooled, Unknown) else pooled.broadcast(shape)


def _evenly(line: Tensor, *, axis: int, count: int) -> Tensor | None:
    """The middles of ``count`` equal parts of what a line of middles covers; None if uneven."""
    size = line.shape[axis]
    first, last = line.narrow(axis, 0, 1), line.narrow(axis, size - 1, 1)
    if size == 1:
        return line if count == 1 else None
    step = (last - first) / (size - 1)
    view = [1] * line.ndim
    view[axis] = -1
    place = _counted(size, line.device).view(view)
    if not bool(((first + place * step - line).abs() < 1e-6).all()):
        return None
    middle = (_counted(count, line.device).view(view) + 0.5) / count
    return first - step / 2 + middle * step * size


def _counted(count: int, device: torch.device) -> Tensor:
    """Numbers from 0, in double precision where the device has it."""
    wide = torch.float32 if device.type == "mps" else torch.float64
    return torch.arange(count, dtype=wide, device=home(device))


def home(device: torch.device) -> torch.device:
    """Where numbers lie: beside the tensors; on the CPU if these have no memory."""
    return torch.device("cpu") if device.type == "meta" else device
