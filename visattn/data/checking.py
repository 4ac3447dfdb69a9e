"""Looking at the files of a data set before anything is trained on them."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from visattn.data.layout import Item

_EXIF_ORIENTATION = 0x0112


def check_items(items: Iterable[Item]) -> list[str]:
    """Problems of pictures and masks, one line each, naming the file.

    Reads headers and the files' ends only, so that it takes a fraction of a millisecond a file; a
    file whose end looks wrong is decoded to make sure. Finds files that are no pictures, truncated
    ones, and masks of another size than their picture.

    Args:
        items: What to check.

    Returns:
        The problems, in the order of the items; empty if there are none.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        return [problem for found in pool.map(_check_item, items) for problem in found]


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height of an opened picture as it is meant to be seen (EXIF orientation)."""
    width, height = picture.size
    turned = picture.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def _check_item(item: Item) -> list[str]:
    problems: list[str] = []
    size = _checked_size(item.path, "picture", problems)
    if item.mask_path is not None:
        mask_size = _checked_size(item.mask_path, "mask", problems)
        if size and mask_size and size != mask_size:
            problems.append(
                f"{item.mask_path}: the mask is {mask_size[0]} x {mask_size[1]} pixels, its "
                f"picture {item.path} is {size[0]} x {size[1]} (width x height)"
            )
    return problems


def _checked_size(path: Path, kind: str, problems: list[str]) -> tuple[int, int] | None:
    try:
        if path.suffix == ".npy":
            height, width = np.load(path, mmap_mode="r").shape
            return (width, height)
        with Image.open(path) as picture:
            size = upright_size(picture)
            if not _ends_well(path, picture.format):
                picture.load()
        return size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).replace(repr(str(path)), "").replace(str(path), "").strip()
        problems.append(f"{path}: a {kind} that cannot be read ({reason})")
        return None


def _ends_well(path: Path, format_name: str | None) -> bool:
    """Whether the file ends as a complete one of its format does; False where unsure."""
    marks = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
    if format_name not in marks:
        return False
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 16))
        return marks[format_name] in file.read()
