"""The forms in which people keep classes of pictures, told apart by their folders.

    ROOT/SPLIT/images/CLASS/ID.jpg    masks in ROOT/SPLIT/masks/CLASS/ID.png
    ROOT/SPLIT/CLASS/ID.jpg           masks in ROOT/masks/SPLIT/CLASS/ID.png
    ROOT/CLASS/ID.jpg                 masks in ROOT/masks/CLASS/ID.png

In each of them the mask may lie beside the picture too, as ID_mask.png. The last one has no
splits: `visattn.data.files.splits` draws them once and writes them down.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from visattn.data.files.split_table import SPLITS_FILE, read_splits

PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes, in lower case, of the files that count as pictures."""
MASK_ENDING = "_mask"
"""How the name of a mask ends that lies beside its picture."""

_MASK_TREES = ("masks", "proposals")
_KNOWN_SPLITS = ("train", "val", "valid", "validation", "test")


@final
@dataclass(frozen=True)
class Form:
    """How the pictures of a folder with splits are kept.

    Args:
        root: The folder.
        splits: The names of its splits, sorted.
        below: Between a split's name and the classes: ``"images"`` or nothing.
        drawn: Whether the splits are those of `SPLITS_FILE`, and no folders.
    """

    root: Path
    splits: tuple[str, ...]
    below: str = ""
    drawn: bool = False

    def pictures(self, split: str) -> Path:
        """The folder that holds a split's class folders."""
        return self.root if self.drawn else self.root / split / self.below

    def masks(self, split: str) -> Path:
        """The folder that holds its masks in one folder a class, which need not exist."""
        if self.below:
            return self.root / split / "masks"
        return self.root / "masks" if self.drawn else self.root / "masks" / split

    def is_class(self, folder: Path) -> bool:
        """Whether a folder beside the class folders is one of them, and no tree of masks."""
        return not (self.drawn and folder.name in _MASK_TREES)


def form_of(root: Path) -> Form | None:
    """The form of a folder; None where it has no splits, or is no folder."""
    if not root.is_dir():
        return None
    names = sorted(path.parent.name for path in root.glob("*/images") if path.is_dir())
    if names:
        return Form(root, tuple(names), below="images")
    if (root / SPLITS_FILE).is_file():
        return Form(root, tuple(sorted(read_splits(root))), drawn=True)
    found = [path for path in folders_of(root) if any(map(holds_pictures, folders_of(path)))]
    if any(path.name.startswith(_KNOWN_SPLITS) for path in found):
        return Form(root, tuple(path.name for path in found))
    return None


def folders_of(root: Path) -> list[Path]:
    """The folders in a folder, sorted, but for hidden ones and trees of masks."""
    return [
        path
        for path in sorted(root.iterdir())
        if path.is_dir() and path.name not in _MASK_TREES and not path.name.startswith(".")
    ]


def holds_pictures(folder: Path) -> bool:
    """Whether a picture lies in a folder itself."""
    return any(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.iterdir())


def mask_place(picture: Path, *, root: Path, tree: str = "masks") -> Path:
    """Where the mask of a picture belongs in the tree of masks, or in another one like it.

    Example:
        >>> for name in ("train/images/cat/1.jpg", "train/cat/1.jpg", "cat/1.jpg"):
        ...     print(mask_place(Path("d", name), root=Path("d")).as_posix())
        d/train/masks/cat/1.png
        d/masks/train/cat/1.png
        d/masks/cat/1.png
    """
    parts = picture.relative_to(root).parts
    if len(parts) == 4 and parts[1] == "images":
        return Path(root, parts[0], tree, *parts[2:]).with_suffix(".png")
    return Path(root, tree, *parts).with_suffix(".png")
