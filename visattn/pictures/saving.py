"""Pictures to files."""

from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = (".png", ".pdf")


def save(picture: Figure | NDArray[Any], path: str | PathLike[str], *, dpi: int = 200) -> Path:
    """Write a figure or a picture to a PNG or PDF file, as the name's suffix says.

    Missing folders are made. An array keeps its pixels exactly in both formats. The same figure
    gives the same bytes: no date is written.

    Args:
        picture: A Matplotlib figure, or an array (H, W, 3) of bytes such as ``overlay`` returns.
        path: The file, ending in ``.png`` or ``.pdf``.
        dpi: Dots an inch of a figure as PNG, and of what is no line or letter in a PDF; an array
            in a PDF is as large as this makes it.

    Returns:
        The path.

    Raises:
        TypeError: If ``picture`` is something else.
        ValueError: If the suffix is another or the array is no picture.
        IsADirectoryError: If the path is a folder.
        NotADirectoryError: If a folder of the path is a file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(np.zeros((8, 8, 3), dtype=np.uint8), f"{folder}/new/black.png").name
        'black.png'
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        near = get_close_matches(suffix, SUFFIXES, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{path}: pictures are saved as .png or .pdf, not {suffix!r}{hint}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; the name of a file was expected")
    if not isinstance(picture, Figure):
        picture = _pixels(picture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{path}: a folder of this path is a file") from error
    if not isinstance(picture, Figure):
        if suffix == ".png":
            Image.fromarray(picture).save(path)
            return path
        figure = Figure(figsize=(picture.shape[1] / dpi, picture.shape[0] / dpi), dpi=dpi)
        figure.figimage(picture, resize=False)
    else:
        figure = picture
    before = figure.canvas
    try:
        if suffix == ".png":
            FigureCanvasAgg(figure).print_figure(path, dpi=dpi, format="png")
        else:
            FigureCanvasPdf(figure).print_figure(
                path, dpi=dpi, format="pdf", metadata={"CreationDate": None}
            )
    finally:
        figure.set_canvas(before)
    return path


def _pixels(picture: Any) -> NDArray[np.uint8]:
    if not isinstance(picture, np.ndarray):
        raise TypeError(
            "a Matplotlib figure or an array (H, W, 3) of bytes was expected, not "
            f"{type(picture).__name__}"
        )
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(
            f"an array (H, W, 3) of bytes (uint8) was expected, not {picture.shape} of "
            f"{picture.dtype}; visattn.overlay makes one"
        )
    return picture
