"""The layout of a data set on disk: which pictures, masks, classes and metadata there are.

    ROOT/SPLIT/images/CLASS/ID.png       any picture suffix
    ROOT/SPLIT/masks/CLASS/ID.png        where there is one; any picture suffix
    ROOT/metadata.csv                    optional: columns split, class, id and any others

Nothing here opens a picture.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from visattn.basics.suggestions import nearest
from visattn.data.masks import MaskValues

PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes, in lower case, of the files that count as pictures."""

_LISTED_PROBLEMS = 10


@dataclass(frozen=True)
class Item:
    """One picture of a data set and what is known about it.

    Args:
        path: The picture.
        mask_path: Its mask, or None where it has none (unlabelled).
        label: Its class as a number, -1 where it has none.
        class_name: Its class by name, empty where it has none.
        metadata: The other columns of its row in ``metadata.csv``, by column.
        mask_values: What the values of its own mask mean, where that differs between pictures.
    """

    path: Path
    mask_path: Path | None = None
    label: int = -1
    class_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    mask_values: MaskValues | None = None


def split_names(root: Path) -> tuple[str, ...]:
    """The names of the splits under ``root``, sorted: its folders that hold ``images``.

    Raises:
        FileNotFoundError: ``root`` is missing, or is no folder, or has no split.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise FileNotFoundError(
            f"expected a data set's folder at {root}, found {found}; it should hold "
            "SPLIT/images/CLASS/ID.png, such as train/images/cat/001.png"
        )
    names = tuple(sorted(p.parent.name for p in root.glob("*/images") if p.is_dir()))
    if not names:
        inside = sorted(p.name for p in root.iterdir())[:8]
        raise FileNotFoundError(
            f"no split in {root}: expected folders such as train/images/CLASS/ID.png, "
            f"found {inside if inside else 'an empty folder'}"
        )
    return names


def known_split(split: str, *, splits: Sequence[str], root: Path) -> str:
    """The split, if there is one of that name.

    Raises:
        ValueError: There is none; the nearest names are given.

    Example:
        >>> known_split("val", splits=("train", "val"), root=Path("birds"))
        'val'
    """
    if split in splits:
        return split
    hint = nearest(repr(split), names=map(repr, splits)) or ";"
    raise ValueError(f"no split {split!r} in {root}{hint} There are {', '.join(splits)}")


def class_folders(root: Path, split: str) -> tuple[str, ...]:
    """The class folders of a split, sorted by name.

    Raises:
        ValueError: There is no such split (the nearest names are given), or it has no class.
    """
    folder = root / known_split(split, splits=split_names(root), root=root) / "images"
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and _visible(p)))
    if not names:
        raise ValueError(
            f"no class folder in {folder}: pictures stand in one folder a class, such as "
            f"{folder / 'cat' / '001.png'}"
        )
    return names


def scan_split(root: Path, split: str, *, class_names: Sequence[str]) -> tuple[Item, ...]:
    """Every picture of a split, sorted by class and file name; pictures are not opened.

    Args:
        root: The data set's folder.
        split: Which part of it.
        class_names: The classes in the order of their labels, those of the training split.

    Raises:
        ValueError: An empty class folder, a class that is not among ``class_names``, a mask
            without a picture, two files for one picture. All that is found (up to ten) is listed.
    """
    labels = {name: label for label, name in enumerate(class_names)}
    metadata = _read_metadata(root)
    items: list[Item] = []
    problems: list[str] = []
    for name in class_folders(root, split):
        folder = root / split / "images" / name
        if name not in labels:
            problems.append(
                f"{folder}: the class {name!r} is not among the classes of training "
                f"({_some(class_names)}); add it to training, or remove it here"
            )
            continue
        pictures = _by_stem(folder, problems)
        mask_folder = root / split / "masks" / name
        masks = _by_stem(mask_folder, problems) if mask_folder.is_dir() else {}
        if not pictures:
            problems.append(_why_empty(folder))
            continue
        problems.extend(
            f"{masks[stem]}: a mask without a picture; expected {folder / stem}.*"
            for stem in sorted(masks.keys() - pictures.keys())
        )
        items.extend(
            Item(
                path=path,
                mask_path=masks.get(stem),
                label=labels[name],
                class_name=name,
                metadata=metadata.get((split, name, stem), {}),
            )
            for stem, path in sorted(pictures.items())
        )
    mask_root = root / split / "masks"
    if mask_root.is_dir():
        for folder in sorted(mask_root.iterdir()):
            if folder.is_dir() and not (root / split / "images" / folder.name).is_dir():
                if _by_stem(folder, problems):
                    problems.append(f"{folder}: masks of a class that has no pictures")
            elif folder.suffix.lower() in PICTURE_SUFFIXES and _visible(folder):
                problems.append(f"{folder}: masks stand in one folder a class, as pictures do")
    raise_problems(problems, where=f"the split {split!r} of {root}")
    return tuple(items)


def scan_pictures(folder: Path) -> tuple[Item, ...]:
    """Every picture under a folder, in sub-folders too, sorted by path; no classes, no masks.

    Raises:
        FileNotFoundError: The folder is missing or holds no picture.
    """
    if folder.is_file() and folder.suffix.lower() in PICTURE_SUFFIXES:
        return (Item(path=folder),)
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder of pictures at {folder}, found nothing")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES and _visible(path) and path.is_file()
    )
    if not paths:
        raise FileNotFoundError(
            f"no pictures under {folder}: expected files with one of the suffixes "
            f"{', '.join(PICTURE_SUFFIXES)}"
        )
    return tuple(Item(path=path) for path in paths)


def raise_problems(problems: Sequence[str], *, where: str) -> None:
    """Raise one error that lists the problems (up to ten), or return if there are none.

    Args:
        problems: One line each.
        where: What has them, for the first line.

    Raises:
        ValueError: There are problems.
    """
    if not problems:
        return
    shown = list(problems[:_LISTED_PROBLEMS])
    if len(problems) > len(shown):
        shown.append(f"... and {len(problems) - len(shown)} more")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise ValueError(f"{count} in {where}:\n  " + "\n  ".join(shown))


def _by_stem(folder: Path, problems: list[str]) -> dict[str, Path]:
    """The pictures of one folder by file name without suffix; doubles become problems."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PICTURE_SUFFIXES or not _visible(path):
            continue
        if path.stem in found:
            problems.append(
                f"{path}: a second file for {found[path.stem].name}; names without their suffix "
                "must differ within a class, since a mask is found by them"
            )
            continue
        found[path.stem] = path
    return found


def _why_empty(folder: Path) -> str:
    others = sorted({p.suffix.lower() for p in folder.iterdir() if p.is_file() and _visible(p)})
    if others:
        return (
            f"{folder}: no pictures in this class folder, only files with the suffixes "
            f"{', '.join(map(repr, others))}; readable ones are {', '.join(PICTURE_SUFFIXES)}"
        )
    return f"{folder}: an empty class folder; add pictures, or remove it"


def _read_metadata(root: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    """The rows of ``metadata.csv`` by split, class and id; empty where there is no file."""
    path = root / "metadata.csv"
    if not path.is_file():
        return {}
    keys = ("split", "class", "id")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [key for key in keys if key not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(
                f"{path}: expected the columns split, class and id (and any others), missing "
                f"{', '.join(missing)}; found {', '.join(reader.fieldnames or ['none'])}"
            )
        return {
            (row["split"], row["class"], row["id"]): {
                key: value
                for key, value in row.items()
                if key is not None and key not in keys and value is not None
            }
            for row in reader
        }


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
