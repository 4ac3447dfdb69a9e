"""Splits of a folder of classes: drawn once with a seed, group by group, and written down."""

import csv
import io
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from visattn.basics.files import write_whole
from visattn.data.files.forms import (
    MASK_ENDING,
    PICTURE_SUFFIXES,
    folders_of,
    form_of,
    holds_pictures,
)
from visattn.data.files.metadata import text_of
from visattn.data.files.names import shown
from visattn.data.files.split_table import SPLITS_FILE, Picture

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
"""How many of the pictures each split gets."""


def ensure_splits(root: Path, *, seed: int = 0, group: str | None = None) -> str | None:
    """Split a folder of classes, unless it has splits or is no such folder.

    Args:
        root: The folder, ``ROOT/CLASS/ID.*``.
        seed: Of the draw.
        group: What keeps pictures together that show the same or follow each other: a column of
            ``metadata.csv`` (columns class and id beside it), or a regular expression, whose match
            in the picture's name names the group, such as ``"^[^_]+"`` for what comes before the
            first underscore. Each picture for itself if None.

    Returns:
        What was done, to be told; None where nothing was.

    Raises:
        ValueError: A picture without a group, a bad regular expression, or too few groups for every
            class to be in training.
    """
    if not root.is_dir() or form_of(root) is not None:
        return None
    classes = [folder for folder in folders_of(root) if holds_pictures(folder)]
    if not classes:
        return None
    pictures = [(folder.name, stem) for folder in classes for stem in _stems(folder)]
    groups = _groups(root, pictures, group=group)
    of = _drawn(pictures, groups, seed=seed)
    _check_training(of, root=root, together=group is not None)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("split", "class", "id"))
    writer.writerows(sorted((of[picture], *picture) for picture in pictures))
    write_whole(root / SPLITS_FILE, lines.getvalue())
    counts = Counter(of.values())
    shares = ", ".join(f"{name} {counts[name]}" for name in SHARES)
    kept = f"{len(set(groups.values()))} groups by {group!r}" if group else "each by itself"
    told = (
        f"{shown(root)} has no splits: its {len(pictures)} pictures of {len(classes)} classes were "
        f"split with seed {seed} ({shares}; {kept}) and the splits written to {SPLITS_FILE}, which "
        "counts from now on; remove it to split anew."
    )
    if group is None:
        told += (
            " Where photos follow each other or show the same object, keep them together with "
            "data.split_group: a test on near copies of training pictures says too much."
        )
    return told


def _stems(folder: Path) -> list[str]:
    """The names of the pictures of a class without their suffix, without masks beside them."""
    stems = {
        path.stem
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    }
    return sorted(
        stem
        for stem in stems
        if not (stem.endswith(MASK_ENDING) and stem.removesuffix(MASK_ENDING) in stems)
    )


def _groups(
    root: Path, pictures: Sequence[Picture], *, group: str | None
) -> Mapping[Picture, tuple[str, ...]]:
    """The group of each picture."""
    if group is None:
        return {picture: picture for picture in pictures}
    table = root / "metadata.csv"
    if table.is_file():
        rows = list(csv.DictReader(io.StringIO(text_of(table), newline="")))
        if rows and {"class", "id", group} <= rows[0].keys():
            named = {(row["class"], Path(row["id"]).stem): row[group] for row in rows}
            return _all_grouped(pictures, named, source=f"column {group!r} of {shown(table)}")
    try:
        expression = re.compile(group)
    except re.error as error:
        raise ValueError(
            f"split_group={group!r} is no column of {shown(table)} and no regular expression: "
            f"{error}"
        ) from error
    matches = {picture: expression.search(picture[1]) for picture in pictures}
    found = {picture: match[0] for picture, match in matches.items() if match and match[0]}
    return _all_grouped(pictures, found, source=f"the expression {group!r}")


def _all_grouped(
    pictures: Sequence[Picture], named: Mapping[Picture, str], *, source: str
) -> Mapping[Picture, tuple[str, ...]]:
    without = ["/".join(picture) for picture in pictures if not named.get(picture)]
    if without:
        raise ValueError(
            f"split_group: {len(without)} of {len(pictures)} pictures have no group by {source}, "
            f"such as {without[0]}"
        )
    return {picture: (named[picture],) for picture in pictures}


def _drawn(
    pictures: Sequence[Picture], groups: Mapping[Picture, tuple[str, ...]], *, seed: int
) -> dict[Picture, str]:
    """The split of each picture: every group where its classes lack most, large groups first."""
    members: dict[tuple[str, ...], list[Picture]] = defaultdict(list)
    for picture in pictures:
        members[groups[picture]].append(picture)
    order = sorted(members)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda name: -len(members[name]))
    sizes = Counter(kind for kind, _ in pictures)
    have: Counter[tuple[str, str]] = Counter()
    of = {}
    for name in order:
        kinds = Counter(kind for kind, _ in members[name])

        def lack(split: str, kinds: Counter[str] = kinds) -> float:
            return sum(
                count * (SHARES[split] - have[split, kind] / sizes[kind]) / SHARES[split]
                for kind, count in kinds.items()
            )

        split = max(SHARES, key=lack)
        for picture in members[name]:
            of[picture] = split
            have[split, picture[0]] += 1
    return of


def _check_training(of: Mapping[Picture, str], *, root: Path, together: bool) -> None:
    missing = {kind for kind, _ in of} - {kind for (kind, _), s in of.items() if s == "train"}
    absent = [split for split in SHARES if split not in of.values()]
    if missing or absent:
        what = f"no picture of {', '.join(sorted(missing))} for training" if missing else ""
        what = what or f"nothing for {' and '.join(absent)}"
        few = "too few groups" if together else "too few pictures"
        raise ValueError(f"{shown(root)} has {few} to be split: {what}")
