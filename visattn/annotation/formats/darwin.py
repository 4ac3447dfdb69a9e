"""Darwin JSON of V7, 1.0 and 2.0: a file a picture."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from visattn.annotation.run_lengths import darwin_values
from visattn.annotation.shapes import AnnotatedPicture, Path2D, Shape, box_path, ellipse_path

_FACTS = {
    *("annotators", "attributes", "directional_vector", "id", "inference", "instance_id", "name"),
    *("properties", "reviewers", "slot_names", "tag", "text"),
}
"""What an annotation says beside its shape."""


def is_darwin(data: Any) -> bool:
    """Whether this JSON is Darwin's."""
    return (
        isinstance(data, dict)
        and "annotations" in data
        and (
            "slots" in (data.get("item") or ())
            or "name" in (data.get("item") or ())
            or "filename" in (data.get("image") or ())
        )
    )


def read_darwin(data: Mapping[str, Any]) -> AnnotatedPicture:
    """The picture of a file, with polygons, masks, boxes and ellipses.

    Raises:
        ValueError: It is of a video.
    """
    item = data.get("item") or data["image"]
    where = (item.get("slots") or [item])[0]
    folder, name = str(item.get("path") or ""), str(item.get("name") or item.get("filename"))
    size = None
    if where.get("width") and where.get("height"):
        size = (int(where["width"]), int(where["height"]))
    if any("frames" in entry for entry in data["annotations"]):
        raise ValueError(
            "the file is of a video, whose shapes belong to frames and not to pictures"
        )
    shapes = list(_shapes(data["annotations"], size=size))
    return AnnotatedPicture(f"{folder.rstrip('/')}/{name}".lstrip("/"), size, shapes)


def _shapes(
    entries: Sequence[Mapping[str, Any]], *, size: tuple[int, int] | None
) -> Iterator[Shape]:
    names = {entry.get("id"): str(entry.get("name", "")) for entry in entries}
    for entry in entries:
        label = str(entry.get("name", ""))
        layer = entry.get("raster_layer")
        if layer and size is not None:
            values = darwin_values(layer["dense_rle"], size=size)
            for own, number in layer["mask_annotation_ids_mapping"].items():
                bitmap = np.equal(values, number)
                yield Shape(names.get(own, ""), bitmap=bitmap, kind="mask")
        elif "polygon" in entry or "complex_polygon" in entry:
            yield Shape(label, paths=_paths(entry.get("polygon") or entry["complex_polygon"]))
        elif "ellipse" in entry:
            found = entry["ellipse"]
            path = ellipse_path(
                found["center"]["x"],
                found["center"]["y"],
                found["radius"]["x"],
                found["radius"]["y"],
                angle=np.rad2deg(found.get("angle", 0.0)),
            )
            yield Shape(label, paths=[path], kind="ellipse")
        elif "bounding_box" in entry:
            box = entry["bounding_box"]
            path = box_path(box["x"], box["y"], box["x"] + box["w"], box["y"] + box["h"])
            yield Shape(label, paths=[path], box=True, kind="bounding box")
        elif "mask" not in entry:  # whose pixels are in the raster layer
            kinds = sorted(entry.keys() - _FACTS)
            if kinds:
                yield Shape(label, kind=kinds[0])


def _paths(polygon: Mapping[str, Any]) -> list[Path2D]:
    """The outlines, holes among them, under the names that the two versions have."""
    found = polygon.get("paths") or polygon.get("path") or []
    paths = list(found) if found and isinstance(found[0], list) else [found]
    paths.extend(polygon.get("additional_paths") or ())
    return [[(float(point["x"]), float(point["y"])) for point in path] for path in paths]
