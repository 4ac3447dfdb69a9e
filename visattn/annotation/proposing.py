"""Proposals for masks: made for every picture that has none, or held against those that have."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from visattn.annotation.grabcut import grabcut_mask
from visattn.annotation.importing import boxes_in
from visattn.annotation.pictures import (
    PROPOSALS,
    listed,
    made_by,
    many,
    pictures_of,
    place_of,
    splits_of,
    tree_of,
    upright,
    write_mask,
)
from visattn.annotation.shapes import Bitmap, Box, Pixels, bounds
from visattn.basics.terminal_table import terminal_table
from visattn.data.layout import Item
from visattn.data.masks import SOFT, MaskValues, read_mask_file

METHODS = ("model", "onnx", "rembg", "deeplab", "sam")
"""Networks that propose masks, by the options that give them."""
FROM_MASKS = "masks"
"""In the place of a file of boxes: those around the masks that there are."""
_FEW = 0.002


@final
@dataclass(frozen=True)
class Proposer:
    """What proposes masks.

    Args:
        name: For messages, and written into each proposal.
        network: A network's masks; GrabCut where it is None.
    """

    name: str = "grabcut"
    network: Callable[[Pixels, Box | None], npt.NDArray[np.float32]] | None = None

    def __call__(self, picture: Pixels, box: Box | None) -> tuple[Bitmap, bool]:
        """The mask (H, W) of a picture (H, W, 3), and whether anything was found."""
        if self.network is None:
            return grabcut_mask(picture, box=box)
        mask = self.network(picture, box) >= 0.5
        return mask, _FEW < mask.mean() < 1 - _FEW


def open_proposer(**given: str | None) -> Proposer:
    """The one proposer that is asked for; GrabCut where none is.

    Args:
        **given: By method (see `METHODS`), its file or name.

    Raises:
        FileNotFoundError: The file is missing.
        ImportError: The package is missing.
        ValueError: Several are asked for, or the file holds something else.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    if len(asked) > 1:
        raise ValueError(
            f"one of {', '.join(METHODS)} proposes, and several came: {', '.join(asked)}"
        )
    if not asked:
        return Proposer()
    from visattn.annotation import mask_models

    ((method, value),) = asked.items()
    opened = {
        "model": mask_models.open_checkpoint,
        "onnx": mask_models.open_onnx,
        "rembg": mask_models.open_rembg,
        "deeplab": mask_models.open_deeplab,
        "sam": mask_models.open_sam,
    }[method]
    return Proposer(f"{method} {Path(value).name}", opened(value))


def propose_masks(
    data: str | Path,
    proposer: Proposer,
    *,
    split: str | None = None,
    boxes: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> list[str]:
    """Write a proposal for each picture without a mask to ``SPLIT/proposals/CLASS/ID.png``.

    Masks are never touched. A call that was interrupted goes on where it stopped: proposals that
    are there stay.

    Args:
        data: The folder of pictures.
        proposer: See `open_proposer`.
        split: One split of it; all if None.
        boxes: Annotations that give the box around each object, see
            `visattn.annotation.importing.boxes_in`; pictures without one are left out.
        overwrite: Make proposals anew, and for pictures with a mask too.
        progress: Show a progress bar.

    Returns:
        What was done, a line each.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: A fault in the layout, or a picture that cannot be read.
    """
    root = Path(data)
    items = pictures_of(root, split=split)
    known, notes = ({}, []) if boxes is None else boxes_in(boxes, items)
    todo, counts, others = [], Counter[str](), Counter[str]()
    for item in items:
        place = place_of(item, root=root, folder=PROPOSALS)
        if item.mask_path is not None and not overwrite:
            counts["with a mask already"] += 1
        elif place.is_file() and not overwrite:
            counts["with a proposal from before"] += 1
            others[made_by(place)] += 1
        elif boxes is not None and item.path not in known:
            counts["without a box"] += 1
        else:
            todo.append(item)
    lost: list[str] = []
    for item in _tracked(todo, proposer.name, progress=progress):
        mask, found = proposer(upright(item.path), known.get(item.path))
        write_mask(mask, item, root=root, folder=PROPOSALS, by=proposer.name)
        if not found:
            lost.append(item.path.name)
    where = tree_of(items, root=root, folder=PROPOSALS)
    done = f"{many(len(todo), 'proposal')} by {proposer.name} in {where}"
    lines = [done, *(f"{many(count, 'picture')} {what}" for what, count in counts.items())]
    strange = sum(count for name, count in others.items() if name != proposer.name)
    if strange:
        lines.append(f"{strange} of these by another method; --overwrite makes them anew")
    if lost:
        lines.append(
            f"{many(len(lost), 'picture')} where no object was found, whose proposals say little "
            f"({listed(lost)})"
        )
    return lines + notes


def measure_proposals(
    data: str | Path,
    proposer: Proposer,
    *,
    split: str | None = None,
    boxes: str | Path | None = None,
    mask_values: MaskValues = SOFT,
    progress: bool = True,
) -> Table:
    """Hold proposals against the masks that there are; nothing is written.

    Args:
        data: The folder of pictures.
        proposer: See `open_proposer`.
        split: One split of it; all if None.
        boxes: Annotations with boxes, or ``"masks"`` for the boxes around the masks.
        mask_values: What the values of the mask files mean.
        progress: Show a progress bar.

    Returns:
        IoU by split: mean, median, the share of at least 0.5 and 0.8.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: No picture has a mask.
    """
    root = Path(data)
    splits = {
        item.path: name
        for name, own in splits_of(root, split=split).items()
        for item in own
        if item.mask_path is not None
    }
    items = [item for item in pictures_of(root, split=split) if item.path in splits]
    if not items:
        raise ValueError(f"no picture of {root} has a mask, so there is nothing to measure with")
    known: Mapping[Path, Box] = {}
    if boxes is not None and str(boxes) != FROM_MASKS:
        known, _ = boxes_in(boxes, items)
        items = [item for item in items if item.path in known]
    found: dict[str, list[float]] = {}
    for item in _tracked(items, proposer.name, progress=progress):
        truth = _truth(item, mask_values)
        box = known.get(item.path)
        around = bounds(truth)
        if str(boxes) == FROM_MASKS and around is not None:
            (height, width), (left, top, right, bottom) = truth.shape, around
            box = (left / width, top / height, right / width, bottom / height)
        mask, _ = proposer(upright(item.path), box)
        union = int((mask | truth).sum())
        iou = int((mask & truth).sum()) / union if union else math.nan
        found.setdefault(splits[item.path], []).append(iou)
    start = "no box" if boxes is None else f"boxes of {boxes}"
    return _table(found, title=f"Proposals by {proposer.name} on {root.name}, {start}")


def _truth(item: Item, values: MaskValues) -> Bitmap:
    meaning = item.mask_values or values
    assert item.mask_path is not None
    alpha, unknown = meaning.read(read_mask_file(item.mask_path, channel=meaning.channel))
    return np.asarray((alpha >= 0.5) & ~unknown)


def _table(found: Mapping[str, Sequence[float]], *, title: str) -> Table:
    table = terminal_table(
        title=title,
        words=("split",),
        numbers=("pictures", "mean IoU", "median", "at least .5", "at least .8"),
    )
    for name, values in found.items():
        ious: npt.NDArray[np.float64] = np.asarray(values)
        table.add_row(
            name,
            str(len(ious)),
            f"{np.nanmean(ious):.3f}",
            f"{np.nanmedian(ious):.3f}",
            f"{100 * (ious >= 0.5).mean():.0f} %",
            f"{100 * (ious >= 0.8).mean():.0f} %",
        )
    return table


def _tracked(items: Sequence[Item], name: str, *, progress: bool) -> Iterable[Item]:
    console = Console(stderr=True)
    return track(items, name, console=console, disable=not progress or not console.is_terminal)
