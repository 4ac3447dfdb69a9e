"""The table of the splits of a folder of classes: which picture belongs to which."""

import csv
import io
from collections import defaultdict
from pathlib import Path

from visattn.data.files.metadata import text_of
from visattn.data.files.names import same_form, shown

SPLITS_FILE = "splits.csv"
"""Where the splits of a folder of classes are written down: columns split, class and id."""

Picture = tuple[str, str]
"""A class, and a name without its suffix."""


def read_splits(root: Path) -> dict[str, set[Picture]]:
    """The pictures of each split, as `SPLITS_FILE` says them.

    Raises:
        ValueError: It is no such table, or gives one picture to two splits.
    """
    path = root / SPLITS_FILE
    reader = csv.DictReader(io.StringIO(text_of(path), newline=""))
    if not {"split", "class", "id"} <= set(reader.fieldnames or ()):
        raise ValueError(
            f"{shown(path)}: expected the columns split, class and id, found "
            f"{', '.join(reader.fieldnames or ['none'])}; correct it, or remove it to split anew"
        )
    found: dict[str, set[Picture]] = defaultdict(set)
    of: dict[Picture, str] = {}
    for row in reader:
        picture = (same_form(row["class"] or ""), same_form(row["id"] or ""))
        if of.setdefault(picture, row["split"]) != row["split"]:
            raise ValueError(f"{shown(path)}: {'/'.join(picture)} is in two splits")
        found[row["split"]].add(picture)
    if not found:
        raise ValueError(f"{shown(path)} names no picture; remove it to split anew")
    return dict(found)
