"""Masks from the files of annotation tools into a folder of pictures."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from visattn.annotation.formats.reading import Annotations, read_annotations
from visattn.annotation.matching import PictureNames
from visattn.annotation.pictures import listed, many, pictures_of, tree_of, write_mask
from visattn.annotation.shapes import AnnotatedPicture, Bitmap, Shape, bounds, drawn
from visattn.data.files.pictures import load
from visattn.data.layout import Item

Turned = Literal["refuse", "upright", "stored"]
_HALF = 128
_ORIENTATION, _SIDEWAYS = 0x0112, 5


@dataclass
class Selection:
    """The shapes that count, by picture, and what was left out and why.

    Attributes:
        shapes: By path of the picture.
        notes: What to tell, a line each.
        labels: How often each label came that does not count.
    """

    shapes: dict[Path, list[AnnotatedPicture]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)


def import_masks(
    file: str | Path,
    data: str | Path,
    *,
    labels: Sequence[str] | None = None,
    split: str | None = None,
    boxes: bool = True,
    turned: Turned = "refuse",
    overwrite: bool = False,
) -> list[str]:
    """Turn the shapes of annotation files into masks of the pictures that they name.

    The masks are 255 on the object, 0 elsewhere, and 128 (half) where a label map says void.

    Args:
        file: The file, or a folder of such files, see
            `visattn.annotation.formats.reading.read_annotations`.
        data: The folder of pictures.
        labels: The labels that mean the object; ``["*"]`` for all. If None, a picture's object is
            what has the label of its class; shapes without a label count too.
        split: One split of the folder; all if None.
        boxes: Whether boxes count, as masks that are full inside the box.
        turned: Of pictures that the camera's orientation (EXIF) turns, where the file gives the
            size before turning: whether its coordinates are of the picture as it is seen
            (``"upright"``) or as it is stored.
        overwrite: Replace masks that are there.

    Returns:
        What was done and what was not, a line each.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: No known format, no picture is found, or no shape counts.
    """
    root = Path(data)
    items = pictures_of(root, split=split)
    found = read_annotations(file)
    chosen = select(found, items, labels=labels, boxes=boxes)
    problems: dict[str, list[str]] = defaultdict(list)
    written = boxed = 0
    for item in items:
        named = chosen.shapes.get(item.path)
        if named is None:
            continue
        if item.mask_path is not None and not overwrite:
            problems["with a mask already, which stays; --overwrite replaces it"].append(
                item.path.name
            )
            continue
        mask = _mask(named, item, turned=turned)
        if isinstance(mask, str):
            problems[mask].append(item.path.name)
            continue
        write_mask(mask, item, root=root)
        written += 1
        boxed += all(shape.box for picture in named for shape in picture.shapes)
    lines = [f"{many(written, 'mask')} written to {tree_of(items, root=root)}"]
    if boxed:
        lines.append(
            f"{boxed} of them from boxes alone, full inside: train with mask_form: box, or find "
            f"the outlines with visattn masks propose {root} --boxes {file}"
        )
    lines.extend(
        f"{many(len(names), 'picture')} {why} ({listed(names)})" for why, names in problems.items()
    )
    without = sum(item.path not in chosen.shapes and item.mask_path is None for item in items)
    if without:
        lines.append(f"{many(without, 'picture')} of the folder without a mask, as before")
    return lines + chosen.notes


def select(
    found: Annotations,
    items: Sequence[Item],
    *,
    labels: Sequence[str] | None = None,
    boxes: bool = True,
) -> Selection:
    """Of all shapes those that mark the object of a picture of the folder.

    Raises:
        ValueError: No picture is found, or no shape counts.
    """
    names, chosen = PictureNames(items), Selection()
    classes = {item.class_name.casefold() for item in items}
    missing: list[str] = []
    unclear: list[str] = []
    empty: list[str] = []
    useless: Counter[str] = Counter()
    others: Counter[str] = Counter()
    unlabelled = left_boxes = 0
    for picture in found.pictures:
        meant = names.find(picture.name)
        if len(meant) != 1:
            (unclear if meant else missing).append(picture.name)
            continue
        own: list[Shape] = []
        for shape in picture.shapes:
            if not _counts(shape.label, meant[0].class_name, labels=labels):
                known = labels is None and shape.label.casefold() in classes
                (others if known else chosen.labels)[shape.label] += 1
            elif not shape.has_area:
                useless[shape.kind] += 1
            elif shape.box and not boxes:
                left_boxes += 1
            else:
                own.append(shape)
                unlabelled += not shape.label and labels is None
        if own:
            kept = AnnotatedPicture(picture.name, picture.size, own, picture.unknown)
            chosen.shapes.setdefault(meant[0].path, []).append(kept)
        else:
            empty.append(picture.name)
    if missing and len(missing) == len(found.pictures):
        raise ValueError(
            f"none of the {len(missing)} pictures that the annotations name is in the folder: they "
            f"name {_short(missing)}; the folder has {listed([item.path.name for item in items])}"
        )
    if not chosen.shapes:
        say = f"; say with --labels which mean the object: {_told(chosen.labels)}"
        raise ValueError(
            f"no shape marks an object: {many(len(found.pictures), 'picture')} named, "
            f"{many(len(empty), 'picture')} without a shape that counts"
            + (say if chosen.labels else f"; without an area: {_told(useless)}" if useless else "")
        )
    notes = {
        f"pictures named that are not in the folder ({_short(missing)})": len(missing),
        f"names that fit several pictures, taken for none ({_short(unclear)})": len(unclear),
        f"pictures without a shape that counts, no mask written ({_short(empty)})": len(empty),
        f"shapes of another class of the folder than their picture's ({_told(others)})": sum(
            others.values()
        ),
        f"shapes with labels that do not count; --labels names those that do "
        f"({_told(chosen.labels)})": sum(chosen.labels.values()),
        f"shapes without an area ({_told(useless)})": sum(useless.values()),
        "boxes left out": left_boxes,
        "shapes without a label, taken for the object": unlabelled,
        f"files that are no annotations ({listed(found.passed_over)})": len(found.passed_over),
        "pictures named several times, their shapes taken together": sum(
            len(named) > 1 for named in chosen.shapes.values()
        ),
    }
    chosen.notes.extend(f"{count} {what}" for what, count in notes.items() if count)
    return chosen


def boxes_in(
    file: str | Path, items: Sequence[Item], *, labels: Sequence[str] | None = None
) -> tuple[dict[Path, tuple[float, float, float, float]], list[str]]:
    """The box around the object of each picture, as shares of width and height, and what to tell.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: See `select`.
    """
    chosen = select(read_annotations(file), items, labels=labels)
    found = {}
    for item in items:
        if item.path not in chosen.shapes:
            continue
        mask = _mask(chosen.shapes[item.path], item, turned="refuse")
        around = None if isinstance(mask, str) else bounds(mask >= _HALF)
        if isinstance(mask, str) or around is None:
            chosen.notes.append(f"{item.path.name} {mask if isinstance(mask, str) else 'has none'}")
            continue
        height, width = mask.shape
        left, top, right, bottom = around
        found[item.path] = (left / width, top / height, right / width, bottom / height)
    return found, chosen.notes


def _counts(label: str, class_name: str, *, labels: Sequence[str] | None) -> bool:
    if labels is None:
        return not label or label.casefold() == class_name.casefold()
    return "*" in labels or label in labels


def _mask(
    named: Sequence[AnnotatedPicture], item: Item, *, turned: Turned
) -> np.ndarray[Any, np.dtype[np.uint8]] | str:
    """The mask of a picture, upright; or why there is none."""
    opened = load(item.path, what="picture")
    seen, orientation = opened.size, opened.orientation
    stored = seen[::-1] if orientation >= _SIDEWAYS else seen
    whole = np.zeros((seen[1], seen[0]), dtype=np.uint8)
    for picture in named:
        size, as_stored = picture.size or seen, False
        if size != seen and size == stored:
            if turned == "refuse":
                return (
                    "that the camera's orientation (EXIF) turns and whose size the file gives "
                    "before turning: see whether its shapes lie right with --turned upright, or "
                    "with --turned stored"
                )
            as_stored = turned == "stored"
        elif size != seen:
            return (
                "of another size than the file says, so that its shapes would lie wrong, such as "
                f"{size[0]} x {size[1]} in the file, {seen[0]} x {seen[1]} of the picture"
            )
        canvas = stored if as_stored else seen
        inside = drawn(picture.shapes, size=canvas)
        if not inside.any():
            return "whose shapes lie outside of it, or cover less than a pixel"
        values = np.where(inside, np.uint8(255), np.uint8(0))
        values[_void(picture.unknown, inside)] = _HALF
        if as_stored:
            turning = Image.fromarray(values)
            turning.getexif()[_ORIENTATION] = orientation
            values = np.asarray(ImageOps.exif_transpose(turning))
        whole = np.maximum(whole, values)
    return whole


def _void(unknown: Bitmap | None, inside: Bitmap) -> Bitmap:
    """What is unknown and not known to be the object; nothing where the sizes differ."""
    if unknown is None or unknown.shape != inside.shape:
        return np.zeros_like(inside)
    return unknown & ~inside


def _short(names: Sequence[str]) -> str:
    """The first few of some paths, of each the end, which says which picture is meant."""
    return listed(["/".join(name.split("/")[-2:]) for name in names])


def _told(counts: Counter[str]) -> str:
    shown = [f"{name or 'no label'} {count}" for name, count in counts.most_common(6)]
    return ", ".join([*shown, "..."] if len(counts) > 6 else shown)
