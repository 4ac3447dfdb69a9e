"""labelme: a JSON file a picture."""

import base64
import io
import math
from pathlib import PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from visattn.annotation.shapes import AnnotatedPicture, Shape, box_path, ellipse_path


def is_labelme(data: Any) -> bool:
    """Whether this JSON is labelme's."""
    return isinstance(data, dict) and {"shapes", "imagePath"} <= data.keys()


def read_labelme(data: dict[str, Any]) -> AnnotatedPicture:
    """The picture of a file, with its polygons, rectangles, circles and masks."""
    width, height = data.get("imageWidth"), data.get("imageHeight")
    size = (int(width), int(height)) if width and height else None
    # Files that were written on Windows have backslashes; this reads either.
    name = PureWindowsPath(data["imagePath"]).as_posix()
    return AnnotatedPicture(name, size, [_shape(entry) for entry in data["shapes"]])


def _shape(entry: dict[str, Any]) -> Shape:
    label, kind = str(entry.get("label") or ""), entry.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in entry["points"]]
    if kind == "polygon":
        return Shape(label, paths=[points])
    if len(points) == 2 and kind in ("rectangle", "mask"):
        (x1, y1), (x2, y2) = points
        left, top, right, bottom = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
        if kind == "mask" and entry.get("mask"):
            with Image.open(io.BytesIO(base64.b64decode(entry["mask"]))) as file:
                bitmap = np.asarray(file.convert("L")) > 0
            return Shape(label, bitmap=bitmap, left=round(left), top=round(top), kind="mask")
        return Shape(label, paths=[box_path(left, top, right, bottom)], box=True, kind="rectangle")
    if kind == "rectangle" and len(points) == 4:
        return Shape(label, paths=[points], box=True, kind=kind)
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return Shape(label, paths=[ellipse_path(x, y, radius, radius)], kind=kind)
    return Shape(label, kind=kind)
