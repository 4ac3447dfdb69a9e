"""Is a public data set where it should be? If not, what is missing, and where it is from."""

import difflib
from collections.abc import Sequence
from pathlib import Path


def require(root: Path, *, names: Sequence[str], data_set: str, page: str) -> None:
    """Make sure that all files and folders are there.

    Args:
        root: The folder.
        names: Paths under it.
        data_set: What it should be, for the message.
        page: Where the data set is published.

    Raises:
        FileNotFoundError: One of them is missing.
    """
    missing = [name for name in names if not (root / name).exists()]
    if not missing:
        return
    if root.is_dir():
        inside = sorted(path.name for path in root.iterdir())
        found = f"a folder with {', '.join(inside[:8])}" if inside else "an empty folder"
        found += f" and {len(inside) - 8} more" if len(inside) > 8 else ""
    else:
        found = "a file" if root.exists() else "nothing"
    raise FileNotFoundError(
        f"expected {data_set} at {root}: missing {', '.join(missing)}; found {found}. "
        f"Get it from {page} and unpack it as it is"
    )


def choose_split(split: str, *, splits: Sequence[str], root: Path) -> str:
    """The split, if there is one of that name.

    Raises:
        ValueError: There is none; the nearest names are given.

    Example:
        >>> choose_split("val", splits=("train", "val"), root=Path("birds"))
        'val'
    """
    if split in splits:
        return split
    near = difflib.get_close_matches(split, splits, n=2)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise ValueError(f"no split {split!r} in {root}: {hint}There are {', '.join(splits)}")
