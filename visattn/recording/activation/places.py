"""How a layer's output is laid out: which of its axes are places, which tokens are patches."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Size = tuple[int, int]
Reshape = Callable[[Tensor], Tensor]
"""From a layer's output to maps (N, C, h, w)."""

_CLOSE = math.log(2)
_EXACT = 1e-9
_PREFIX = 16
_CHANNELS_FIRST = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.GroupNorm)


def arrangement(
    shape: Sequence[int],
    *,
    image: Size,
    grids: Sequence[Size],
    module: nn.Module,
    wider: Callable[[], Sequence[int] | None],
) -> Reshape | None:
    """How to bring a layer's output to maps (N, C, h, w).

    Of four axes those are places whose ratio is the image's; where two readings fit, those that
    grow with the image. Three are tokens (N, T, C), of which the last h x w are patches, as many as
    a map before has places; the ones before them, such as a class token, are left out. Where the
    model takes a wider image, there must be more of them: the queries of a decoder are no places.

    Args:
        shape: The output's shape.
        image: Height and width of the image.
        grids: Sizes of the maps that convolutions gave before, in the order in which they ran.
        module: The layer.
        wider: Gives the output's shape for an image of twice the width, or None.

    Returns:
        None if it is no map, or if nothing tells which of several readings is right.
    """
    if len(shape) == 4:
        return _of_axes(shape, image=image, module=module, wider=wider)
    if len(shape) == 3 and 0 not in shape:
        return _of_tokens(shape, image=image, grids=grids, module=module, wider=wider)
    return None


def channels_last(output: Tensor) -> Tensor:
    """(N, H, W, C) as (N, C, H, W)."""
    return output.movedim(-1, 1)


def channels_first(output: Tensor) -> Tensor:
    """(N, C, H, W) as it is."""
    return output


def _of_axes(
    shape: Sequence[int],
    *,
    image: Size,
    module: nn.Module,
    wider: Callable[[], Sequence[int] | None],
) -> Reshape | None:
    if isinstance(module, _CHANNELS_FIRST):
        return channels_first
    readings: dict[Reshape, Size] = {
        channels_first: (shape[2], shape[3]),
        channels_last: (shape[1], shape[2]),
    }
    possible = {how: _strain(size, image=image) for how, size in readings.items()}
    possible = {how: strain for how, strain in possible.items() if strain < math.inf}
    close = [how for how, strain in possible.items() if strain < _CLOSE]
    if len(close) == 1:
        return close[0]
    other = wider() if possible else None
    grown = [axis for axis in range(1, 4) if other and other[axis] != shape[axis]]
    if grown in ([3], [2]):
        return channels_first if grown == [3] else channels_last
    exact = [how for how in close if possible[how] < _EXACT]
    if len(exact) == 1:
        return exact[0]
    parts = list(module.modules())
    if possible and not any(isinstance(part, (nn.LayerNorm, nn.Linear)) for part in parts):
        return channels_first if any(isinstance(p, _CHANNELS_FIRST) for p in parts) else None
    return None


def _strain(size: Size, *, image: Size) -> float:
    """How far the ratio of a map's sides is from the image's; infinite if it cannot be its map."""
    if 0 in size or any(side > 2 * own for side, own in zip(size, image, strict=True)):
        return math.inf
    return abs(math.log(size[0] / size[1]) - math.log(image[0] / image[1]))


def _of_tokens(
    shape: Sequence[int],
    *,
    image: Size,
    grids: Sequence[Size],
    module: nn.Module,
    wider: Callable[[], Sequence[int] | None],
) -> Reshape | None:
    tokens, channels = shape[1:]
    size = _grid(tokens, image=image, grids=grids)
    if size is None or (_is_grid(channels, grids) and not _of_features(module, channels)):
        return None
    places = size[0] * size[1]
    other = wider()
    if other is not None and other[1] - tokens != places:
        return None  # twice as many patches, but not so many tokens more: they are something else
    return lambda output: output[:, -places:].mT.unflatten(2, size)


def _grid(tokens: int, *, image: Size, grids: Sequence[Size]) -> Size | None:
    """Of the maps before, the largest that leaves few tokens to stand before the patches."""
    fitting = [
        grid
        for grid in grids
        if _strain(grid, image=image) < _CLOSE
        and grid[0] * grid[1] > 1
        and 0 <= tokens - grid[0] * grid[1] <= _PREFIX
    ]
    return max(fitting, key=lambda grid: grid[0] * grid[1], default=None)


def _is_grid(count: int, grids: Sequence[Size]) -> bool:
    return any(height * width == count for height, width in grids)


def _of_features(module: nn.Module, count: int) -> bool:
    """Whether a layer works along a last axis of so many channels, as those of tokens do."""
    return any(
        (isinstance(part, nn.LayerNorm) and part.normalized_shape == (count,))
        or (isinstance(part, nn.Linear) and part.out_features == count)
        for part in module.modules()
    )


def grid_of(module: nn.Module, output: object) -> Size | None:
    """Size of the map that a convolution gave; None of any other layer."""
    if isinstance(module, nn.Conv2d) and isinstance(output, torch.Tensor) and output.ndim == 4:
        return (output.shape[2], output.shape[3])
    return None
