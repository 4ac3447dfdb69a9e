"""What one place of the image attends to."""

from typing import Any, Literal, Unpack

import numpy as np

from visattn.pictures.arrays import as_map
from visattn.pictures.blending import CONTOUR_COLOUR, Picture, draw_lines, overlay
from visattn.pictures.painter import Style
from visattn.pictures.scales import Limits


def query_map(
    image: Any,
    row: Any,
    *,
    y: int,
    x: int,
    query_grid: tuple[int, int] | None = None,
    normalise: Literal["image", "none"] | Limits = "image",
    **style: Unpack[Style],
) -> Picture:
    """Lay the attention of one query over the image, with the query's cell framed in red.

    ``row`` is what the query attends to, over the grid of keys (h, w), such as
    ``maps[site].query(y, x)[0]``; ``y`` and ``x`` are row and column of its cell, from 0 at the top
    left; ``query_grid`` is height and width of the grid of queries, where it is not that of the
    keys (keys may be sub-sampled). ``normalise`` and ``style`` (``cmap``, ``alpha``,
    ``interpolation``, ``stretch``, ``mean`` and ``std``) are as for ``overlay``.

    Returns:
        The picture (H, W, 3), bytes.

    Raises:
        TypeError: As ``overlay``.
        ValueError: As ``overlay``, or if the query lies outside its grid.

    Example:
        >>> image = np.zeros((8, 8, 3), dtype=np.uint8)
        >>> query_map(image, np.eye(4), y=0, x=3).shape
        (8, 8, 3)
    """
    values = as_map(row, what="row")
    height, width = query_grid if query_grid is not None else values.shape
    if not (0 <= y < height and 0 <= x < width):
        raise ValueError(
            f"the query (y={y}, x={x}) lies outside its grid of {height} x {width} cells"
            + ("" if query_grid else "; if queries have a grid of their own, pass query_grid")
        )
    picture = overlay(image, values, normalise=normalise, **style)
    rows, columns = picture.shape[:2]
    # Edges of the cell between pixels, kept half a pixel inside the image.
    edges_y = np.clip([y * rows / height, (y + 1) * rows / height], 0.5, rows - 0.5) - 0.5
    edges_x = np.clip([x * columns / width, (x + 1) * columns / width], 0.5, columns - 0.5) - 0.5
    (top, bottom), (left, right) = edges_y, edges_x
    frame = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return draw_lines(picture, [frame], colour=CONTOUR_COLOUR)
