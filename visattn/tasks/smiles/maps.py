"""Where the attention of a plate goes: cells of rings and plates, and the right diner's share."""

import torch
import torch.nn.functional as F
from torch import Tensor

from visattn.recording.site_maps import SiteMaps


def disc_cells(middles: Tensor, *, diameter: int, size: int, grid: tuple[int, int]) -> Tensor:
    """How much of each cell of a grid lies on a disc.

    Args:
        middles: (N, K, 2), row and column in pixels.
        diameter: In pixels.
        size: Side of the picture.
        grid: Height and width of the grid.

    Returns:
        (N, K, *grid), in [0, 1].

    Example:
        >>> disc_cells(torch.tensor([[[3.5, 3.5]]]), diameter=4, size=8, grid=(2, 2)).unique()
        tensor([0.1875])
    """
    places = torch.arange(size, device=middles.device, dtype=middles.dtype)
    rows = (places - middles[..., :1]).square()
    columns = (places - middles[..., 1:]).square()
    on = rows[..., :, None] + columns[..., None, :] <= (diameter / 2) ** 2
    return F.adaptive_avg_pool2d(on.to(middles.dtype), grid)


def diner_cells(rings: Tensor, *, diameter: int, size: int, grid: tuple[int, int]) -> Tensor:
    """Which cells are a diner's: those on the ring, each the diner's whose ring covers most of it.

    Args:
        rings: (N, diners, 2), the middles.
        diameter: Of a ring.
        size: Side of the picture.
        grid: Height and width of the grid.

    Returns:
        (N, diners, *grid), boolean; no cell is two diners'.
    """
    cover = disc_cells(rings, diameter=diameter, size=size, grid=grid)
    most = F.one_hot(cover.argmax(1), cover.shape[1]).movedim(-1, 1).bool()
    return most & (cover > 0)


def plate_rows(maps: SiteMaps, middles: Tensor, *, size: int) -> Tensor | None:
    """The attention of the place under the middle of each plate.

    Args:
        maps: What the block computed. A block of one map for all queries, which sums to 1, gives
            this map for any of them.
        middles: (N, sushi, 2), of the plates, in pixels.
        size: Side of the picture.

    Returns:
        (N, sushi, heads, h, w); None if the block has no attention over places.
    """
    if maps.heat_kind == "pairwise":
        pairs = maps.pairwise
        height, width = pairs.query_size
        cells = (middles / size * middles.new_tensor([height, width])).long()
        found = middles.new_zeros(*middles.shape[:2], pairs.heads, *pairs.key_size)
        for y, x in cells.flatten(0, 1).unique(dim=0).tolist():
            rows = torch.stack([pairs.query(y, x, head=h) for h in range(pairs.heads)], 1)
            image, sushi = (cells == cells.new_tensor([y, x])).all(2).nonzero(as_tuple=True)
            found[image, sushi] = rows[image].to(found.dtype)
        return found
    if maps.heat_kind == "spatial":
        row = maps.spatial
        if torch.allclose(row.sum((1, 2)), row.new_ones(len(row)), atol=1e-3):
            return row[:, None, None].expand(-1, middles.shape[1], 1, -1, -1)
    return None


def diner_shares(rows: Tensor, cells: Tensor) -> Tensor:
    """How much of each row falls on each diner.

    Args:
        rows: (N, sushi, heads, h, w), from `plate_rows`.
        cells: (N, diners, h, w), from `diner_cells`.

    Returns:
        (N, sushi, heads, diners); with what falls elsewhere it sums to 1.
    """
    return torch.einsum("nkhyx,ndyx->nkhd", rows, cells.to(rows.dtype))
