"""Looking at the files of an audit before it begins, so that none ends it in the middle."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from visattn.auditing.scenes import Scenes, Unlabelled
from visattn.auditing.variants import MIXED_NEW
from visattn.data import FolderDataset, Item
from visattn.data.checking import check_items
from visattn.data.layout import raise_problems


def check_files(scenes: Scenes, *, adversarial: Mapping[int, Sequence[Item]], count: int) -> None:
    """Look at every file that the audit may open: headers and ends, not whole pictures.

    These are the chosen pictures, those that may lend them a background, and those that are
    rendered. A data set of another kind than visattn's reads its files in its own way, and only
    what is not its own is looked at.

    Args:
        scenes: What is read.
        adversarial: Rendered pictures on many backgrounds, by row.
        count: How many backgrounds every foreground is put on.

    Raises:
        ValueError: Files that cannot be read, masks of another size than their picture; up to ten
            are listed with their path.
    """
    pictures = scenes.pictures
    found: list[Item] = []
    if isinstance(pictures, (FolderDataset, Unlabelled)):
        rows = {*scenes.rows, *_lending(scenes, count=count)}
        found.extend(pictures.items[row] for row in sorted(rows))
    if scenes.backgrounds is not None:
        behind, drawn = scenes.backgrounds.items, scenes.lenders.one_of
        places = {drawn(row, count=len(behind), variant=MIXED_NEW) for row in scenes.rows}
        found.extend(behind[place] for place in sorted(places))
    chosen = set(scenes.rows)
    for renders in scenes.renders.values():
        found.extend(_bare(item for row, item in renders.items.items() if row in chosen))
    for items in adversarial.values():
        found.extend(_bare(items))
    where = getattr(pictures, "root", None) or type(pictures).__name__
    raise_problems(check_items(found), where=str(where))


def _lending(scenes: Scenes, *, count: int) -> Iterable[int]:
    """Rows that may lend a background."""
    lenders = {row for rows in scenes.lenders.rows.values() for row in rows}
    if lenders <= set(scenes.rows):
        return  # each of them is looked at in any case
    if count:
        yield from scenes.lenders.spread(count)
    for row in scenes.rows:
        label = scenes.pictures.items[row].label
        for variant in scenes.composites:
            if variant != MIXED_NEW:
                yield from scenes.lenders.candidates(row, label, variant=variant)


def _bare(items: Iterable[Item]) -> Iterable[Item]:
    """Without masks, which nobody opens."""
    return (replace(item, mask_path=None) for item in items)
