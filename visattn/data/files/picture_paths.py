"""Pictures as a shell gives them: files, folders and globs, one or many."""

import glob
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path

from visattn.basics.suggestions import nearest
from visattn.data.layout import PICTURE_SUFFIXES, Item, scan_pictures

Pictures = str | Path | Sequence[str | Path]
"""A picture, a folder, a glob, or several of these."""


def pictures_at(where: Pictures) -> tuple[Item, ...]:
    """The pictures that are meant, each once: those of a folder or a glob are sorted.

    Raises:
        FileNotFoundError: There is none for one of the words.
    """
    if isinstance(where, (str, Path)):
        return _at(where)
    found: dict[Path, Item] = {}
    for word in where:
        for item in _at(word):
            found.setdefault(item.path.resolve(), item)
    if not found:
        raise FileNotFoundError("expected pictures, folders or globs, got none")
    return tuple(found.values())


def several(where: Pictures) -> bool:
    """Whether pictures are named one by one or by a glob, and not a file or folder alone.

    Example:
        >>> several(["a.jpg", "b.jpg"]), several("photos/*.jpg"), several("photos")
        (True, True, False)
    """
    if isinstance(where, (str, Path)):
        return glob.has_magic(str(where)) and not Path(where).exists()
    return all(isinstance(word, (str, Path)) for word in where)


def folder_of(where: Pictures, items: Sequence[Item]) -> Path:
    """The folder, or file, that is meant; of several pictures the one that they are all in."""
    if isinstance(where, (str, Path)) and not several(where):
        return Path(where)
    return Path(commonpath([item.path.parent for item in items]))


def _at(where: str | Path) -> tuple[Item, ...]:
    path = Path(where)
    if path.is_file():
        return (Item(path),)
    if path.is_dir():
        return scan_pictures(path)
    if not glob.has_magic(str(where)):
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FileNotFoundError(f"no picture at {path}{nearest(path.name, names=beside)}")
    matches = sorted(Path(name) for name in glob.glob(str(where), recursive=True))
    pictures = [p for p in matches if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
    if not pictures:
        raise FileNotFoundError(
            f"no picture fits {where}: {len(matches)} files and folders do, none with one of the "
            f"suffixes {', '.join(PICTURE_SUFFIXES)}"
        )
    return tuple(Item(picture) for picture in pictures)
