"""Label Studio's JSON export: a list of tasks, regions in percent of the picture."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from visattn.annotation.run_lengths import brush_values
from visattn.annotation.shapes import AnnotatedPicture, Shape, box_path, ellipse_path, turned

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""
_NO_SHAPES = ("choices", "textarea", "rating", "taxonomy", "number", "datetime", "pairwise")


def is_label_studio(data: Any) -> bool:
    """Whether this JSON is Label Studio's."""
    task = data[0] if isinstance(data, list) and data else data
    return (
        isinstance(task, dict)
        and "data" in task
        and bool({"annotations", "completions", "predictions"} & task.keys())
    )


def read_label_studio(data: Any) -> Iterator[AnnotatedPicture]:
    """The pictures of all tasks, with brushes, polygons, rectangles and ellipses.

    Of a task with several annotations the last one counts that was not cancelled; predictions
    count for nothing.
    """
    for task in data if isinstance(data, list) else [data]:
        done = task.get("annotations") or task.get("completions") or []
        kept = [entry for entry in done if not entry.get("was_cancelled")]
        regions = kept[-1]["result"] if kept else []
        drawn = [r for r in regions if "value" in r and r.get("type") not in _NO_SHAPES]
        sized = [r for r in drawn if "original_width" in r]
        size = None
        if sized:
            size = (int(sized[0]["original_width"]), int(sized[0]["original_height"]))
        yield AnnotatedPicture(_name(task["data"]), size, [_shape(region) for region in drawn])


def _name(data: Mapping[str, Any]) -> str:
    """The picture's path in a task: of an upload, of local storage (``?d=PATH``) or an address."""
    values = [value for value in data.values() if isinstance(value, str)]
    address = data.get("image") or next(
        (v for v in values if re.search(r"\.\w{3,4}$", urlsplit(v).path) or "?d=" in v), ""
    )
    parts = urlsplit(str(address))
    local = parse_qs(parts.query).get("d")
    path = local[0] if local else unquote(parts.path)
    folder, slash, name = path.replace("\\", "/").rpartition("/")
    return folder + slash + (_UPLOADED.sub("", name) if "/upload/" in path else name)


def _shape(region: Mapping[str, Any]) -> Shape:
    value, kind = region["value"], str(region.get("type", ""))
    named = (value[key] for key in (kind, *value) if key.endswith("labels") and key in value)
    labels: list[object] = next(named, [])
    label = str(labels[0]) if labels else ""
    if "original_width" not in region:
        return Shape(label, kind="region without original_width")
    width, height = int(region["original_width"]), int(region["original_height"])

    def pixels(x: float, y: float) -> tuple[float, float]:
        return x / 100 * width, y / 100 * height

    angle = float(value.get("rotation") or 0)
    if value.get("format") == "rle" and not value.get("rle"):
        return Shape(label, kind="empty brush")
    if value.get("format") == "rle":
        alpha = brush_values(value["rle"])[3::4]
        if len(alpha) != width * height:
            raise ValueError(
                f"a brush of {len(alpha)} pixels in a picture of {width} x {height} (width x "
                "height)"
            )
        return Shape(label, bitmap=alpha.reshape(height, width) >= 128, kind="brush")
    if "points" in value:
        return Shape(label, paths=[[pixels(x, y) for x, y in value["points"]]])
    if "radiusX" in value:
        x, y = pixels(value["x"], value["y"])
        radius_x, radius_y = pixels(value["radiusX"], value["radiusY"])
        path = ellipse_path(x, y, radius_x, radius_y, angle=angle)
        return Shape(label, paths=[path], kind="ellipse")
    if {"x", "y", "width", "height"} <= value.keys() and not kind.startswith("keypoint"):
        left, top = pixels(value["x"], value["y"])
        right, bottom = pixels(value["x"] + value["width"], value["y"] + value["height"])
        # A rectangle turns about its upper left corner here.
        path = turned(box_path(left, top, right, bottom), about=(left, top), angle=angle)
        return Shape(label, paths=[path], box=True, kind="rectangle")
    return Shape(label, kind=kind or "region")
