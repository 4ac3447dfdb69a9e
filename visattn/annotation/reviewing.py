"""The page on which a person looks at proposals, and the file that it saves."""

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from visattn.annotation.pictures import (
    PROPOSALS,
    listed,
    made_by,
    many,
    pictures_of,
    place_of,
    read_values,
    splits_of,
    upright,
    write_mask,
)
from visattn.basics.files import write_whole
from visattn.data.layout import Item
from visattn.report_page.joining import join_page
from visattn.report_page.packing import picture_address

FORMAT = "visattn reviewed masks 1"
SAVED = "masks.json"
"""The name of the file that the page saves."""
UNSEEN = "unseen"
"""What a mask says of itself that was put into the folder without being looked at."""
_SIDE = 1024
_SCRIPTS = ("masks", "canvas", "review")


def write_review(
    data: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    limit: int = 200,
) -> list[str]:
    """Write the page of all proposals that nobody has decided on: one HTML file, offline.

    Those of ``train`` come first, then those of ``val``: a training needs their masks.

    Args:
        data: The folder of pictures, with proposals, see
            `visattn.annotation.proposing.propose_masks`.
        out: The file to write.
        split: One split of the folder; all if None.
        limit: How many pictures a page has, 0 for all; the others are for the next one, when the
            masks of the first are in the folder.

    Returns:
        What is on the page and what is not, a line each.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There are no proposals, or a limit below 0.
    """
    if limit < 0:
        raise ValueError(f"limit must be a number of pictures, or 0 for all, got {limit}")
    root = Path(data)
    splits = splits_of(root, split=split)
    open_ones = [
        item
        for name in sorted(splits, key=lambda name: (name != "train", name != "val"))
        for item in splits[name]
        if place_of(item, root=root, folder=PROPOSALS).is_file() and not _of_a_person(item)
    ]
    if not open_ones:
        raise ValueError(
            f"no proposals to look at in {root}: visattn masks propose {root} makes them for "
            "pictures without a mask"
        )
    shown = open_ones[: limit or None]
    content = {
        "format": FORMAT,
        "folder": str(root),
        "saved": SAVED,
        "pictures": [_picture(item, root=root) for item in shown],
    }
    html = join_page(
        "visattn.annotation",
        scripts=_SCRIPTS,
        template="review.html",
        style="review.css",
        title=f"Masks of {root.name}",
        data=content,
    )
    path = write_whole(out, html)
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    lines = [f"{path}: {many(len(shown), 'proposal')}, {size}; open it in a browser"]
    if len(open_ones) > len(shown):
        lines.append(f"{len(open_ones) - len(shown)} more for the next page (--limit)")
    return lines


def apply_review(data: str | Path, file: str | Path, *, overwrite: bool = False) -> list[str]:
    """Put the masks that were accepted on the page into the folder.

    Args:
        data: The folder of pictures.
        file: What the page has saved.
        overwrite: Replace masks that a person made.

    Returns:
        What was done, a line each.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is no such file, or does not fit the folder; nothing is written then.
    """
    root, counts = Path(data), dict.fromkeys(("accepted", "rejected", "open"), 0)
    items = {_name(item, root=root): item for item in pictures_of(root)}
    ready: list[tuple[Item, npt.NDArray[np.uint8], str]] = []
    kept: list[str] = []
    for entry in _entries(file):
        item = items.get(entry.picture)
        if item is None:
            raise ValueError(f"{file} names {entry.picture}, which is not in {root}")
        counts[entry.decision] += 1
        if entry.decision != "accepted":
            continue
        if _of_a_person(item) and not overwrite:
            kept.append(item.path.name)
            continue
        mask, by = _accepted(entry, item, root=root)
        ready.append((item, mask, by))
    for item, mask, by in ready:
        write_mask(mask, item, root=root, by=by)
    lines = [f"{many(len(ready), 'mask')} put into {root}"]
    lines.extend(
        f"{many(counts[name], 'picture')} {what}"
        for name, what in (("rejected", "rejected, without a mask"), ("open", "not decided on"))
        if counts[name]
    )
    if kept:
        lines.append(
            f"{many(len(kept), 'picture')} with a mask already, which stays; --overwrite replaces "
            f"it ({listed(kept)})"
        )
    return lines


def apply_unseen(
    data: str | Path, *, split: str | None = None, overwrite: bool = False
) -> list[str]:
    """Put all proposals into the folder as they are; each mask says of itself that it is unseen.

    Masks that a person made stay, whatever ``overwrite`` is; masks that are unseen are replaced
    with it.

    Args:
        data: The folder of pictures.
        split: One split of it; all if None.
        overwrite: Replace masks that were put there unseen.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There are no proposals.
    """
    root, written, stayed = Path(data), 0, 0
    items = pictures_of(root, split=split)
    places = [(item, place_of(item, root=root, folder=PROPOSALS)) for item in items]
    found = [(item, place) for item, place in places if place.is_file()]
    if not found:
        raise ValueError(f"no proposals in {root}: visattn masks propose {root} makes them")
    for item, place in found:
        if item.mask_path is not None and (_of_a_person(item) or not overwrite):
            stayed += 1
            continue
        write_mask(read_values(place), item, root=root, by=f"{made_by(place)}, {UNSEEN}")
        written += 1
    lines = [f"{many(written, 'mask')} put into {root}, which nobody has looked at"]
    if stayed:
        lines.append(f"{many(stayed, 'picture')} with a mask already, which stays")
    return lines


@dataclass(frozen=True)
class Reviewed:
    """What a person decided on one proposal.

    Args:
        picture: Its path in the folder.
        decision: ``"accepted"``, ``"rejected"`` or ``"open"``.
        proposal: The digest of the proposal that was looked at.
        mask: The mask as PNG where it was changed by hand, else None.
    """

    picture: str
    decision: str
    proposal: str
    mask: bytes | None = None


def _entries(file: str | Path) -> list[Reviewed]:
    if not Path(file).is_file():
        raise FileNotFoundError(
            f"expected the file that the page has saved at {file}, found nothing"
        )
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise KeyError("format")
        return [_entry(entry) for entry in content["masks"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} is not what the page of visattn masks review saves ({SAVED}): {error}"
        ) from error


def _entry(entry: Mapping[str, Any]) -> Reviewed:
    decision = entry["decision"]
    if decision not in ("accepted", "rejected", "open"):
        raise ValueError(f"no decision {decision!r}")
    drawn = entry.get("mask")
    mask = None if drawn is None else base64.b64decode(drawn.partition(",")[2], validate=True)
    return Reviewed(str(entry["picture"]), decision, str(entry["proposal"]), mask)


def _accepted(entry: Reviewed, item: Item, *, root: Path) -> tuple[npt.NDArray[np.uint8], str]:
    """The mask at the picture's size, and what made it."""
    place = place_of(item, root=root, folder=PROPOSALS)
    if entry.mask is None:
        if not place.is_file() or _digest(place) != entry.proposal:
            raise ValueError(
                f"the proposal {place} is not the one that was accepted: write the page anew with "
                "visattn masks review"
            )
        return read_values(place), f"{made_by(place)}, accepted"
    height, width = upright(item.path).shape[:2]
    try:
        with Image.open(io.BytesIO(entry.mask)) as file:
            plane = file.convert("L").resize((width, height), Image.Resampling.BILINEAR)
    except OSError as error:
        raise ValueError(f"the mask of {entry.picture} cannot be read: {error}") from error
    values = np.asarray(plane, dtype=np.uint8)
    return np.where(values >= 128, np.uint8(255), np.uint8(0)), "drawn by hand"


def _picture(item: Item, *, root: Path) -> dict[str, Any]:
    place = place_of(item, root=root, folder=PROPOSALS)
    pixels, mask = upright(item.path), read_values(place)
    if mask.shape != pixels.shape[:2]:
        raise ValueError(
            f"the proposal {place} is {mask.shape[1]} x {mask.shape[0]}, its picture {item.path} "
            f"{pixels.shape[1]} x {pixels.shape[0]} (width x height)"
        )
    image, plane = Image.fromarray(pixels), Image.fromarray(mask)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    plane.resize(image.size, Image.Resampling.BILINEAR).save(stream, "PNG", optimize=True)
    return {
        "name": _name(item, root=root),
        "class": item.class_name,
        "by": made_by(place),
        "width": image.width,
        "height": image.height,
        "image": picture_address(np.asarray(image), quality=85),
        "mask": f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}",
        "proposal": _digest(place),
    }


def _name(item: Item, *, root: Path) -> str:
    return item.path.relative_to(root).as_posix()


def _digest(place: Path) -> str:
    return hashlib.sha256(place.read_bytes()).hexdigest()


def _of_a_person(item: Item) -> bool:
    """Whether a picture has a mask, and not one that was put there unseen."""
    return item.mask_path is not None and not made_by(item.mask_path).endswith(UNSEEN)
