"""CVAT for images 1.1: one XML file."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from visattn.annotation.run_lengths import bitmap_of
from visattn.annotation.shapes import AnnotatedPicture, Shape, box_path, ellipse_path, turned

_NO_SHAPES = ("tag", "attribute")


def is_cvat(root: Element) -> bool:
    """Whether this XML is CVAT's."""
    return root.tag == "annotations"


def read_cvat(root: Element) -> Iterator[AnnotatedPicture]:
    """The pictures of a file, with polygons, masks, boxes and ellipses.

    Raises:
        ValueError: It is of a video: its tracks belong to frames, not to pictures.
    """
    if root.find("track") is not None:
        raise ValueError(
            "the file is CVAT for video, whose tracks belong to frames and not to pictures; "
            "export the task as 'CVAT for images 1.1'"
        )
    for picture in root.iter("image"):
        size = (int(picture.attrib["width"]), int(picture.attrib["height"]))
        shapes = [_shape(entry) for entry in picture if entry.tag not in _NO_SHAPES]
        yield AnnotatedPicture(picture.attrib["name"], size, shapes)


def _shape(entry: Element) -> Shape:
    label, kind = entry.get("label", ""), entry.tag

    def number(name: str) -> float:
        return float(entry.attrib[name])

    angle = float(entry.get("rotation", 0))
    if kind == "polygon":
        corners = [tuple(map(float, pair.split(","))) for pair in entry.attrib["points"].split(";")]
        return Shape(label, paths=[[(x, y) for x, y in corners]])
    if kind == "box":
        left, top, right, bottom = map(number, ("xtl", "ytl", "xbr", "ybr"))
        centre = ((left + right) / 2, (top + bottom) / 2)
        path = turned(box_path(left, top, right, bottom), about=centre, angle=angle)
        return Shape(label, paths=[path], box=True, kind=kind)
    if kind == "ellipse":
        x, y, radius_x, radius_y = map(number, ("cx", "cy", "rx", "ry"))
        return Shape(label, paths=[ellipse_path(x, y, radius_x, radius_y, angle=angle)], kind=kind)
    if kind == "mask":
        left, top, width, height = (int(number(n)) for n in ("left", "top", "width", "height"))
        runs = [int(run) for run in entry.attrib["rle"].split(",")]
        bitmap = bitmap_of(runs, size=(width, height))
        return Shape(label, bitmap=bitmap, left=left, top=top, kind=kind)
    return Shape(label, kind=kind)
