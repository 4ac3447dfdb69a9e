"""Which picture of a folder an annotation file means by a name."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import final
from urllib.parse import unquote

from visattn.data.files.names import same_form
from visattn.data.layout import PICTURE_SUFFIXES, Item


@final
class PictureNames:
    """The pictures of a folder by what annotation files may call them.

    A picture is found by its name without the suffix, and among several by how many folders above
    it are the same, from the inner to the outer.

    Args:
        items: The pictures.

    Example:
        >>> names = PictureNames([Item(Path("train/images/a/1.jpg")), Item(Path("val/b/1.jpg"))])
        >>> [item.path.as_posix() for item in names.find("upload/b/1.png")]
        ['val/b/1.jpg']
        >>> len(names.find("1.jpg")), len(names.find("2.jpg"))
        (2, 0)
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._by_stem: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            self._by_stem[same_form(item.path.stem)].append(item)

    def find(self, name: str) -> list[Item]:
        """The pictures that are meant: one, none, or several that fit equally well."""
        path = PurePosixPath(name.replace("\\", "/"))
        found = self._named(path)
        if not found:  # some tools write names as in addresses
            found = self._named(PurePosixPath(unquote(path.as_posix())))
        if len(found) < 2:
            return list(found)
        alike = [(_alike(item.path, path), item) for item in found]
        best = max(count for count, _ in alike)
        return [item for count, item in alike if count == best]

    def _named(self, path: PurePosixPath) -> list[Item]:
        known = path.suffix.lower() in PICTURE_SUFFIXES
        return self._by_stem.get(same_form(path.stem if known else path.name), [])


def _alike(path: Path, name: PurePosixPath) -> int:
    """How many folders above a picture are called the same, from the inner to the outer."""
    count = 0
    for own, other in zip(reversed(path.parts[:-1]), reversed(name.parts[:-1]), strict=False):
        if own != other:
            break
        count += 1
    return count
