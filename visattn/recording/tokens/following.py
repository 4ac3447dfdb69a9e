"""What an operation of PyTorch does to the places of what goes through it."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from visattn.recording.tokens.operations import MAKING, MOVING, POINTWISE, REDUCING, SPATIAL
from visattn.recording.tokens.places import (
    Places,
    Unknown,
    averaged,
    home,
    is_even,
    mixed,
    nowhere,
    one_table,
    raster,
    resampled,
)

Lookup = Callable[[Tensor], Places | Unknown | None]
"""Gives the places of a tensor; None of one in which no picture is."""


def followed(
    name: str,
    function: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    out: Any,
    find: Lookup,
    pictures: Container[Tensor] = (),
) -> Any:
    """Places of an operation's output: None, one, or a tuple of them for several outputs.

    Args:
        name: The operation's, as `name_of` gives it.
        function: The operation.
        args: Its arguments.
        kwargs: More of them.
        out: What it gave.
        find: Gives the places of its inputs.
        pictures: What the model was given; else only three channels are known to be a picture.
    """
    tensors = [x for x in tree_flatten((args, dict(kwargs)))[0] if isinstance(x, Tensor)]
    known = [(tensor, found) for tensor in tensors if (found := find(tensor)) is not None]
    if name in SPATIAL and isinstance(out, Tensor) and out.ndim == 4:
        return _spatial(args, kwargs, out, find)
    if name in MOVING and not known and tensors and _is_picture(tensors[0], pictures):
        picture = raster(tensors[0].shape, tensors[0].device)

        def place(tensor: Tensor) -> Places | Unknown | None:
            return picture if tensor is tensors[0] else find(tensor)

        return _moved(name, function, args, kwargs, out, place)
    if not known or name in MAKING:
        return None
    if name in MOVING:
        return _moved(name, function, args, kwargs, out, find)
    if name in POINTWISE:
        return _kept(known, out) if isinstance(out, Tensor) else None
    if not isinstance(out, Tensor):
        return None
    first = next((places for tensor, places in known if tensor is tensors[0]), None)
    if first is None or isinstance(first, Unknown):
        weights = all(isinstance(p, Places) and not p.pictured for _, p in known)
        return None if first is None and weights else first or _lost(name, known, out)
    if name in ("linear", "matmul", "mm", "bmm") and first.ids.shape[:-1] == out.shape[:-1]:
        return mixed(first, out.shape, axis=-1)
    if name in REDUCING:
        return _reduced(first, args, kwargs, out)
    if name in ("conv1d", "avg_pool1d", "max_pool1d", "glu") and out.ndim == 3:
        if out.shape[-1] == first.ids.shape[-1]:
            return mixed(first, out.shape, axis=1)
        if name == "glu":
            return mixed(first, out.shape, axis=-1)
    return _lost(name, known, out)


def _lost(name: str, known: Sequence[tuple[Tensor, Any]], out: Tensor) -> Unknown:
    reasons = [places.reason for _, places in known if isinstance(places, Unknown)]
    shapes = " and ".join(str(tuple(tensor.shape)) for tensor, _ in known)
    own = f"places are lost where {name} makes {tuple(out.shape)} of {shapes}"
    return Unknown(reasons[0] if reasons else own)


def _is_picture(tensor: Tensor, pictures: Container[Tensor]) -> bool:
    """Whether a tensor of which nothing is known is pictures (N, C, H, W), or can be, of 3."""
    fits = tensor.ndim == 4 and tensor.is_floating_point()
    return fits and (tensor.shape[1] == 3 or tensor in pictures)


def _moved(
    name: str, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, find: Lookup
) -> Any:
    """The same operation on the numbers of the places."""
    flat = [x for x in tree_flatten((args, dict(kwargs)))[0] if isinstance(x, Tensor)]
    known = [(tensor, places) for tensor in flat if (places := find(tensor)) is not None]
    for _, places in known:
        if isinstance(places, Unknown):
            return places
    parts = [places for _, places in known if isinstance(places, Places)]
    ids, table = one_table(parts)
    own = {id(tensor): number for (tensor, _), number in zip(known, ids, strict=True)}

    def exchange(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) in own:
            return own[id(value)]
        return nowhere(value) if value.is_floating_point() else value

    given, named = tree_map(exchange, tuple(args)), tree_map(exchange, dict(kwargs))
    if name == "pad":
        given, named = given[:3], {**named, "value": 0}
    if name in ("view", "view_as"):
        function = {"view": Tensor.reshape, "view_as": Tensor.reshape_as}[name]
    if name in ("unfold", "im2col", "pad") and not isinstance(function, type(Tensor.unfold)):
        given = (given[0].double(), *given[1:])
    found = getattr(given[0], name) if name in ("T", "mT") else function(*given, **named)
    pictured = any(part.pictured for part in parts)

    def placed(number: Tensor, real: Tensor) -> Places | Unknown:
        if number.shape != real.shape:
            return Unknown(f"{name} gives {tuple(real.shape)} where {tuple(number.shape)} was due")
        return Places(number.to(torch.int32), table, pictured)

    if isinstance(out, Tensor):
        return placed(found, out)
    return tuple(placed(*pair) for pair in zip(found, out, strict=True))


def _kept(known: Sequence[tuple[Tensor, Places | Unknown]], out: Tensor) -> Places | Unknown | None:
    """Of several inputs that of the output's size, and a picture before learned tokens."""

    def rank(entry: tuple[Tensor, Places | Unknown]) -> tuple[bool, bool]:
        tensor, places = entry
        return tensor.shape == out.shape, isinstance(places, Places) and places.pictured

    places = max(known, key=rank)[1]
    if isinstance(places, Unknown):
        return places
    device = home(out.device)
    if places.ids.device != device:
        places = Places(places.ids.to(device), places.table.to(device), places.pictured)
    return places if places.ids.shape == out.shape else places.broadcast(out.shape)


def _spatial(
    args: Sequence[Any], kwargs: Mapping[str, Any], out: Tensor, find: Lookup
) -> Places | Unknown | None:
    image = args[0] if args else kwargs.get("input")
    if not isinstance(image, Tensor) or image.ndim != 4:
        return None
    places = find(image)
    if places is None:
        return raster(out.shape, out.device)
    if isinstance(places, Unknown):
        return places
    if not places.pictured:
        return Unknown("a map of learned values is convolved")
    return resampled(places, out.shape)


def _reduced(
    places: Places, args: Sequence[Any], kwargs: Mapping[str, Any], out: Tensor
) -> Places | Unknown | None:
    """The middle of what is reduced."""
    axes = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if axes is None or not places.pictured:
        return None
    several = [axes] if isinstance(axes, int) else list(axes)
    axes = sorted({axis % places.ids.ndim for axis in several}, reverse=True)

    def mean(part: Tensor) -> Tensor:
        return part.nanmean(tuple(axes), keepdim=True)

    thin = places.ids
    for axis in set(range(thin.ndim)) - set(axes):
        thin = thin.narrow(axis, 0, 1) if is_even(thin, axis) else thin
    found = averaged(places.moved(thin), mean)
    if isinstance(found, Unknown):
        return found
    ids = found.ids.expand([1 if n in axes else size for n, size in enumerate(places.ids.shape)])
    if ids.ndim != out.ndim:
        for axis in axes:
            ids = ids.squeeze(axis)
    return found.moved(ids) if ids.shape == out.shape else None
