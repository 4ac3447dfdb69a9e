"""The index of packed pictures: which stand in which shard, and where in it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

INDEX_FILE = "shards.json"
"""Beside the shards; it is written last."""

_FORMAT = 1


@dataclass(frozen=True)
class Member:
    """A file in a shard.

    Args:
        name: Its name there, such as ``"cat/001.jpg"``.
        offset: Of its first byte.
        size: How many bytes it has.
    """

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Row:
    """A picture.

    Args:
        shard: The number of its shard within the split.
        label: The number of its class.
        picture: Its file.
        mask: The file of its mask, if it has one.
        metadata: As of `visattn.data.Item`.
    """

    shard: int
    label: int
    picture: Member
    mask: Member | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """A part of the data.

    Args:
        shards: The shards' file names and sizes in bytes.
        rows: The pictures, in the order of the folder.
    """

    shards: tuple[tuple[str, int], ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Index:
    """All that is known without a look into the shards.

    Args:
        classes: Their names in the order of the labels.
        splits: By name.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Split]


def as_text(index: Index) -> str:
    """The index as it is written."""
    return json.dumps({"format": _FORMAT, **asdict(index)}, ensure_ascii=False)


def read_index(text: str, *, where: str) -> Index:
    """The index that a file holds.

    Raises:
        ValueError: The file is no index, of another format, or names a file outside of its folder.
    """
    try:
        found = json.loads(text)
        if found["format"] != _FORMAT:
            raise ValueError(f"its format is {found['format']}, expected {_FORMAT}")
        splits = {name: _split(split) for name, split in found["splits"].items()}
        index = Index(tuple(map(str, found["classes"])), splits)
        for split in splits.values():
            _check(split, classes=len(index.classes))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{where}: no index of packed pictures ({type(error).__name__}: {error}); pack the "
            "folder anew: visattn pack FOLDER OUT"
        ) from error
    return index


def _split(found: Mapping[str, Any]) -> Split:
    rows = (
        Row(
            shard=int(row["shard"]),
            label=int(row["label"]),
            picture=Member(**row["picture"]),
            mask=None if row["mask"] is None else Member(**row["mask"]),
            metadata=row["metadata"],
        )
        for row in found["rows"]
    )
    return Split(tuple((str(name), int(size)) for name, size in found["shards"]), tuple(rows))


def _check(split: Split, *, classes: int) -> None:
    for name, _ in split.shards:
        if PurePosixPath(name).name != name or "\\" in name:
            raise ValueError(f"{name!r} is no plain file name")
    for row in split.rows:
        if not (0 <= row.shard < len(split.shards) and 0 <= row.label < classes):
            raise ValueError(f"{row.picture.name!r} is of an unknown shard or class")
        for member in (row.picture, row.mask):
            if member and not 0 <= member.offset <= split.shards[row.shard][1] - member.size:
                raise ValueError(f"{member.name!r} lies outside of its shard")
