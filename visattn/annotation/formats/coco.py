"""COCO: one JSON file with pictures, categories and annotations."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from visattn.annotation.run_lengths import bitmap_of, coco_runs
from visattn.annotation.shapes import AnnotatedPicture, Shape, box_path


def is_coco(data: Any) -> bool:
    """Whether this JSON is COCO's."""
    return isinstance(data, dict) and {"images", "annotations"} <= data.keys()


def read_coco(data: dict[str, Any]) -> Iterator[AnnotatedPicture]:
    """The pictures of a file, with polygons, run lengths or boxes.

    An annotation without a segmentation counts as its box. Numbers may be written as text, and one
    polygon as a list of numbers, as other tools' exports have them.
    """
    names = {str(entry["id"]): str(entry["name"]) for entry in data.get("categories", ())}
    by_picture = defaultdict(list)
    for entry in data["annotations"]:
        by_picture[str(entry["image_id"])].append(entry)
    for picture in data["images"]:
        size = (int(picture["width"]), int(picture["height"])) if "width" in picture else None
        shapes = [
            shape
            for entry in by_picture[str(picture["id"])]
            for shape in _shapes(entry, label=names.get(str(entry.get("category_id")), ""))
        ]
        yield AnnotatedPicture(str(picture["file_name"]), size, shapes)


def _shapes(entry: dict[str, Any], *, label: str) -> Iterator[Shape]:
    found = entry.get("segmentation")
    if isinstance(found, dict):
        height, width = found["size"]
        counts = found["counts"]
        runs = coco_runs(counts) if isinstance(counts, str) else counts
        bitmap = bitmap_of(runs, size=(width, height), by_columns=True)
        yield Shape(label, bitmap=bitmap, kind="run lengths")
    elif found:
        for flat in found if isinstance(found[0], list) else [found]:
            corners = list(zip(flat[::2], flat[1::2], strict=True))
            yield Shape(label, paths=[corners])
    elif entry.get("bbox"):
        left, top, width, height = entry["bbox"]
        path = box_path(left, top, left + width, top + height)
        yield Shape(label, paths=[path], box=True, kind="box")
    else:
        yield Shape(label, kind="annotation without a segmentation")
