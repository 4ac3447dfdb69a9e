"""The pictures of a folder, upright, and where masks of theirs belong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from visattn.basics.files import whole_file
from visattn.data.files.forms import mask_place
from visattn.data.files.pictures import load, read_picture
from visattn.data.layout import Item, class_folders, known_split, scan_split, split_names

MASKS, PROPOSALS = "masks", "proposals"
"""Folders beside ``images``: masks that are used, and those that nobody has accepted yet."""

_BY = "visattn:made by"


def splits_of(root: Path, *, split: str | None = None) -> dict[str, list[Item]]:
    """Every picture of a folder by split, or of one split of it, sorted; nothing is opened.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There is no such split, or a fault in the layout.
    """
    splits = split_names(root)
    chosen = splits if split is None else (known_split(split, splits=splits, root=root),)
    return {
        name: list(scan_split(root, name, class_names=class_folders(root, name))) for name in chosen
    }


def pictures_of(root: Path, *, split: str | None = None) -> list[Item]:
    """The pictures of all splits, see `splits_of`."""
    return [item for items in splits_of(root, split=split).values() for item in items]


def place_of(item: Item, *, root: Path, folder: str = MASKS) -> Path:
    """Where a picture's mask belongs.

    Example:
        >>> place_of(Item(Path("d/train/images/a/1.jpg")), root=Path("d")).as_posix()
        'd/train/masks/a/1.png'
    """
    return mask_place(item.path, root=root, tree=folder)


def tree_of(items: Sequence[Item], *, root: Path, folder: str = MASKS) -> str:
    """The folder of some pictures' masks, or ``SPLIT`` in it for those of several splits.

    Example:
        >>> items = [Item(Path(f"d/{split}/images/a/1.jpg")) for split in ("train", "val")]
        >>> root = Path("d")
        >>> tree_of(items[:1], root=root), tree_of(items, root=root)
        ('d/train/masks', 'd/SPLIT/masks')
        >>> tree_of([Item(Path("d/a/1.jpg"))], root=root, folder="proposals")
        'd/proposals'
    """
    trees = {place_of(item, root=root, folder=folder).parents[1] for item in items}
    if len(trees) == 1:
        return trees.pop().as_posix()
    parts = min(trees, default=Path(root, "SPLIT", folder)).relative_to(root).parts
    return Path(root, *(part if part == folder else "SPLIT" for part in parts)).as_posix()


def upright(path: Path) -> npt.NDArray[np.uint8]:
    """A picture (H, W, 3) as it is meant to be seen (EXIF orientation).

    Raises:
        ValueError: It cannot be read; it is named.
    """
    return np.array(read_picture(path).image, dtype=np.uint8)


def write_mask(
    mask: npt.NDArray[Any], item: Item, *, root: Path, folder: str = MASKS, by: str = ""
) -> Path:
    """Write a mask (H, W), boolean or bytes, where it belongs; one under another suffix goes.

    Args:
        mask: The mask.
        item: Whose it is.
        root: The folder of pictures.
        folder: ``"masks"`` or ``"proposals"``.
        by: What made it, to be written into the file.
    """
    place = place_of(item, root=root, folder=folder)
    values = mask.astype(np.uint8) * 255 if mask.dtype == bool else mask
    facts = PngInfo()
    facts.add_text(_BY, by)
    with whole_file(place) as part:
        Image.fromarray(values).save(part, pnginfo=facts)
    if folder == MASKS and item.mask_path is not None and item.mask_path != place:
        item.mask_path.unlink()
    return place


def made_by(place: Path) -> str:
    """What has made a mask or a proposal, as it says; empty where it says nothing."""
    if place.suffix.lower() != ".png":
        return ""
    return str(load(place, what="mask").image.info.get(_BY, ""))


def read_values(place: Path) -> npt.NDArray[np.uint8]:
    """The values (H, W) of a proposal.

    Raises:
        ValueError: It cannot be read; it is named.
    """
    return np.array(load(place, what="proposal").image.convert("L"), dtype=np.uint8)


def many(count: int, thing: str, things: str = "") -> str:
    """A count with its noun.

    Example:
        >>> many(1, "mask"), many(2, "mask")
        ('1 mask', '2 masks')
    """
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def listed(names: Sequence[object], *, count: int = 3) -> str:
    """The first few of some names.

    Example:
        >>> listed(["a", "b", "c", "d"])
        'a, b, c, ...'
    """
    shown = [str(name) for name in names[:count]]
    return ", ".join([*shown, "..."] if len(names) > count else shown)
