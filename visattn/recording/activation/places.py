"""How a layer's output is laid out: which of its axes are places, which tokens are patches."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

Size = tuple[int, int]
Reshape = Callable[[Tensor], Tensor]
"""From a layer's output to maps (N, C, h, w)."""

_CLOSE = math.log(2)
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
    grow with the image. Three are tokens (N, T, C), of which the last h x w are patches; the ones
    before them, such as a class token, are left out.

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
        return _of_tokens(shape, image=image, grids=grids, module=module)
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
    for fitting in (close, list(possible)):
        if len(fitting) == 1:
            return fitting[0]
    other = wider() if possible else None
    grown = [axis for axis in range(1, 4) if other and other[axis] != shape[axis]]
    if grown in ([3], [2]):
        return channels_first if grown == [3] else channels_last
    return None


def _strain(size: Size, *, image: Size) -> float:
    """How far the ratio of a map's sides is from the image's; infinite if it cannot be its map."""
    if 0 in size or any(side > 2 * own for side, own in zip(size, image, strict=True)):
        return math.inf
    return abs(math.log(size[0] / size[1]) - math.log(image[0] / image[1]))


def _of_tokens(
    shape: Sequence[int], *, image: Size, grids: Sequence[Size], module: nn.Module
) -> Reshape | None:
    last = _grid(shape[1], image=image, grids=grids)
    first = next((g for g in reversed(grids) if g[0] * g[1] == shape[2]), None)
    if last is not None and first is not None and not _of_features(module, shape[2]):
        return None
    if last is not None:
        height, width = last
        return lambda output: output[:, -height * width :].mT.unflatten(2, (height, width))
    if first is not None:
        return lambda output: output.unflatten(2, first)
    return None


def _grid(tokens: int, *, image: Size, grids: Sequence[Size]) -> Size | None:
    """Rows and columns of the patches among some tokens; None if there are none.

    A grid of a map before, of which every place is a token; or one with the fewest tokens that
    stand before the patches; without such a map, one of square patches of the image.
    """
    candidates: Iterable[Size] = reversed(grids)
    known = [grid for grid in candidates if 0 <= tokens - grid[0] * grid[1] <= _PREFIX]
    known = [grid for grid in known if _strain(grid, image=image) < _CLOSE]
    if not known:
        height, width = image
        sides = [s for s in range(1, math.gcd(height, width) + 1) if height % s == width % s == 0]
        squares = [(height // side, width // side) for side in sides]
        known = [grid for grid in squares if 0 <= tokens - grid[0] * grid[1] <= _PREFIX]
    known = [grid for grid in known if grid[0] * grid[1] > 1]
    return max(known, key=lambda grid: grid[0] * grid[1], default=None)


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
