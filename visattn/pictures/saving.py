"""Pictures to files."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from visattn.basics.files import whole_file
from visattn.basics.suggestions import nearest
from visattn.pictures.animations import frames

SUFFIXES = (".png", ".pdf", ".gif")


def save(
    picture: Figure | NDArray[Any],
    path: str | PathLike[str],
    *,
    dpi: int = 200,
    seconds: float | Sequence[float] = 0.5,
) -> Path:
    """Write a figure, a picture or frames to a PNG, PDF or GIF file, as the name's suffix says.

    Missing folders are made. An array keeps its pixels exactly as PNG and PDF; a GIF has 256
    colours a frame. The same figure gives the same bytes: no date is written.

    Args:
        picture: A Matplotlib figure; an array (H, W, 3) of bytes such as ``overlay`` returns; or,
            for a GIF, frames (T, H, W, 3) such as ``training_frames`` returns.
        path: The file, ending in ``.png``, ``.pdf`` or ``.gif``.
        dpi: Dots an inch of a figure as PNG or GIF, and of what is no line or letter in a PDF; an
            array in a PDF is as large as this makes it.
        seconds: How long each frame of a GIF stays, or one number a frame. It runs in a loop.

    Returns:
        The path.

    Raises:
        TypeError: If ``picture`` is something else.
        ValueError: If the suffix is another, the array is no picture, frames are not saved as a
            GIF, or ``seconds`` does not fit.
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
        hint = nearest(suffix, names=SUFFIXES, count=1, cutoff=0.5, quoted=True)
        raise ValueError(f"{path}: pictures are saved as .png, .pdf or .gif, not {suffix!r}{hint}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; the name of a file was expected")
    durations: list[int] = []
    if suffix == ".gif":
        moving = _frames(picture, dpi=dpi)
        durations = _durations(seconds, count=len(moving))
    elif not isinstance(picture, Figure):
        picture = _pixels(picture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{path}: a folder of this path is a file") from error
    with whole_file(path) as part:
        if suffix == ".gif":
            _write_gif(moving, part, durations=durations)
        elif isinstance(picture, Figure):
            _print(picture, part, dpi=dpi)
        elif suffix == ".png":
            Image.fromarray(picture).save(part)
        else:
            figure = Figure(figsize=(picture.shape[1] / dpi, picture.shape[0] / dpi), dpi=dpi)
            figure.figimage(picture, resize=False)
            _print(figure, part, dpi=dpi)
    return path


def _print(figure: Figure, path: Path, *, dpi: int) -> None:
    before = figure.canvas
    try:
        if path.suffix.lower() == ".png":
            FigureCanvasAgg(figure).print_figure(path, dpi=dpi, format="png")
        else:
            undated = {"CreationDate": None}
            FigureCanvasPdf(figure).print_figure(path, dpi=dpi, format="pdf", metadata=undated)
    finally:
        figure.set_canvas(before)


def _pixels(picture: Any) -> NDArray[np.uint8]:
    if not isinstance(picture, np.ndarray):
        raise TypeError(
            "a Matplotlib figure or an array (H, W, 3) of bytes was expected, not "
            f"{type(picture).__name__}"
        )
    if picture.ndim == 4:
        raise ValueError(
            f"frames of shape {picture.shape} are saved as .gif; one of them, [0], as .png or .pdf"
        )
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(
            f"an array (H, W, 3) of bytes (uint8) was expected, not {picture.shape} of "
            f"{picture.dtype}; visattn.overlay makes one"
        )
    return picture


def _frames(picture: Any, *, dpi: int) -> NDArray[np.uint8]:
    """Frames (T, H, W, 3) of what was given; a figure or a picture is one."""
    if isinstance(picture, Figure):
        return frames([picture], dpi=dpi)
    if isinstance(picture, np.ndarray) and picture.ndim == 4 and len(picture):
        return np.stack([_pixels(frame) for frame in picture])
    return _pixels(picture)[None]


def _durations(seconds: float | Sequence[float], *, count: int) -> list[int]:
    """Milliseconds of each frame, whole hundredths of a second as the format has them."""
    given = [seconds] * count if isinstance(seconds, (int, float)) else list(seconds)
    if len(given) != count or not all(0.02 <= value <= 600 for value in given):
        raise ValueError(
            f"seconds must be one number, or one a frame ({count}), each from 0.02 to 600, not"
            f" {seconds}"
        )
    return [round(100 * value) * 10 for value in given]


def _write_gif(moving: NDArray[np.uint8], path: Path, *, durations: list[int]) -> None:
    """Write frames, each in 256 colours of its own, spread so that colour bars stay smooth."""
    first, *rest = [_in_few_colours(Image.fromarray(frame)) for frame in moving]
    options: dict[str, Any] = {"append_images": rest, "duration": durations, "loop": 0}
    first.save(path, save_all=True, **(options if rest else {}))


def _in_few_colours(frame: Image.Image) -> Image.Image:
    palette = frame.quantize(256, method=Image.Quantize.FASTOCTREE)
    return frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
