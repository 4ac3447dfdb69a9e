"""The grid pointing game: several images in one, and the map of each one's class.

Böhle et al., "Convolutional dynamic alignment networks for interpretable classifications", 2021,
arXiv:2104.00032.
"""

import torch
from torch import Tensor

from visattn.metrics.inputs import read_maps


def grid_rows(classes: Tensor, confidence: Tensor, *, side: int = 2) -> Tensor:
    """Which images stand in which grid, no class twice in one, the surest images first.

    Args:
        classes: Classes of the images (N,).
        confidence: How sure they are (N,).
        side: Images a side of a grid.

    Returns:
        Numbers of images (grids, side * side), each once; as many grids as there are images for.

    Example:
        >>> grid_rows(torch.tensor([0, 0, 1, 2, 3]), torch.tensor([0.5, 0.9, 0.8, 0.7, 0.6]))
        tensor([[1, 2, 3, 4]])
    """
    left = confidence.argsort(descending=True, stable=True).tolist()
    grids: list[list[int]] = []
    while True:
        grid: dict[int, int] = {}
        for row in left:
            if len(grid) < side * side:
                grid.setdefault(int(classes[row]), row)
        if len(grid) < side * side:
            return torch.tensor(grids, dtype=torch.long).view(-1, side * side)
        grids.append(list(grid.values()))
        left = [row for row in left if row not in grid.values()]


def image_grids(images: Tensor, rows: Tensor) -> Tensor:
    """Images (N, C, H, W) beside and below each other, (grids, C, side * H, side * W).

    Example:
        >>> image_grids(torch.zeros(4, 3, 8, 8), torch.tensor([[0, 1, 2, 3]])).shape
        torch.Size([1, 3, 16, 16])
    """
    side = round(rows.shape[1] ** 0.5)
    parts = images[rows].unflatten(1, (side, side))  # grids, down, along, C, H, W
    return parts.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def cell_share(maps: Tensor, cells: Tensor, *, side: int = 2) -> Tensor:
    """Share of what is positive in a map of a grid that lies in a cell, by chance 1 / side^2.

    Args:
        maps: Maps of grids (G, H, W), whose sides are multiples of ``side``.
        cells: Each one's cell (G,), counted row by row.
        side: Cells a side.

    Returns:
        (G,); NaN of a map that is nowhere positive.

    Raises:
        ValueError: The sides are no multiples of ``side``, or there is no such cell.

    Example:
        >>> cell_share(torch.tensor([[[1.0, 3.0], [-5.0, 0.0]]]), torch.tensor([1]))
        tensor([0.7500], dtype=torch.float64)
    """
    positive = read_maps(maps, what="maps").double().clamp(min=0)
    height, width = positive.shape[1:]
    if height % side or width % side:
        raise ValueError(f"maps of {height} x {width} have no {side} x {side} equal cells")
    sums = positive.unflatten(2, (side, -1)).unflatten(1, (side, -1)).sum((2, 4)).flatten(1)
    own = sums.gather(1, torch.as_tensor(cells, device=sums.device)[:, None])[:, 0]
    return own / sums.sum(1)
