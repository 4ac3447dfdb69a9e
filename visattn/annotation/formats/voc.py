"""Pascal VOC: an XML file a picture with boxes, and label maps as PNG in SegmentationClass."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
from PIL import Image

from visattn.annotation.shapes import AnnotatedPicture, Bitmap, Shape, box_path
from visattn.data.files.pictures import load

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
"""What the values 0 to 20 of the label maps mean where no file says it."""
SEGMENTATION = ("SegmentationClass", "SegmentationClassPNG", "SegmentationObject")
_VOID = 255
_BACKGROUND = ("background", "_background_", "__background__", "bg")


def is_voc(root: Element) -> bool:
    """Whether this XML is VOC's."""
    return root.tag == "annotation"


def read_voc(root: Element) -> AnnotatedPicture:
    """The picture of a file, with its boxes, and polygons where an object has one.

    Coordinates count from 1, and the last row and column are inside the box.
    """
    name = root.findtext("filename") or ""
    width, height = (int(float(root.findtext(f"size/{n}") or 0)) for n in ("width", "height"))
    shapes = []
    for entry in root.iter("object"):
        label, polygon, box = (
            entry.findtext("name") or "",
            entry.find("polygon"),
            entry.find("bndbox"),
        )
        if polygon is not None and len(polygon) >= 6:
            values = {child.tag: float(child.text or 0) for child in polygon}
            count = sum(tag.startswith("x") for tag in values)
            corners = [(values[f"x{n}"], values[f"y{n}"]) for n in range(1, count + 1)]
            shapes.append(Shape(label, paths=[corners]))
        elif box is not None:
            left, top, right, bottom = (
                float(box.findtext(n) or 0) for n in ("xmin", "ymin", "xmax", "ymax")
            )
            path = box_path(left - 1, top - 1, right, bottom)
            shapes.append(Shape(label, paths=[path], box=True, kind="box"))
        else:
            shapes.append(Shape(label, kind="object without a box"))
    return AnnotatedPicture(name, (width, height) if width and height else None, shapes)


def segmentation_folder(folder: Path) -> Path | None:
    """The folder of label maps in a VOC data set, or this one if it is such a folder."""
    if folder.name in SEGMENTATION:
        return folder
    return next((folder / name for name in SEGMENTATION if (folder / name).is_dir()), None)


def read_label_maps(folder: Path) -> Iterator[AnnotatedPicture]:
    """The pictures of a folder of label maps; value 255 (void) is unknown.

    In ``SegmentationObject`` the values number the objects, whose labels are not known. What they
    mean otherwise is said by ``labelmap.txt`` (``name:r,g,b::``, as CVAT writes it) or
    ``class_names.txt`` (as labelme writes it) beside the folder, or else by VOC's own twenty.
    """
    numbered = folder.name == "SegmentationObject"
    names, colours = _meanings(folder.parent)
    for path in sorted(folder.glob("*.png")):
        values, unknown = _values(path, colours={} if numbered else colours)
        present = [int(v) for v in np.unique(values) if v != 0]
        shapes = [
            Shape(
                "" if numbered else names.get(value, f"value {value}"),
                bitmap=values == value,
                kind="label map",
            )
            for value in present
            if numbered or names.get(value, "") not in _BACKGROUND
        ]
        height, width = values.shape
        yield AnnotatedPicture(path.name, (width, height), shapes, unknown)


def _values(
    path: Path, *, colours: Mapping[tuple[int, int, int], int]
) -> tuple[npt.NDArray[np.int64], Bitmap]:
    """The values of a label map, 0 where it is void, and where that is."""
    unknown = None  # the void of a palette is its last index, of colours a colour of its own
    with load(path, what="label map").image as file:
        if file.mode in ("P", "L"):
            values = np.asarray(file).astype(np.int64)
            unknown = values == _VOID
            if not colours or file.mode == "L" or not _is_coloured(file, colours):
                return np.where(unknown, 0, values), unknown
        pixels = np.asarray(file.convert("RGB")).astype(np.int64)
    codes = pixels @ (65536, 256, 1)
    known = {(r << 16) + (g << 8) + b: value for (r, g, b), value in colours.items()}
    void = (224 << 16) + (224 << 8) + 192
    seen = codes if unknown is None else codes[~unknown]
    strange = [int(c) for c in np.unique(seen) if c not in known and c not in (0, void)]
    if strange:
        raise ValueError(
            f"the label map {path} has colours that no labelmap.txt beside its folder names, such "
            f"as {tuple(strange[0].to_bytes(3, 'big'))}"
        )
    values = np.zeros(codes.shape, dtype=np.int64)
    for code, value in known.items():
        values[codes == code] = value
    if unknown is not None:
        return np.where(unknown, 0, values), unknown
    return values, codes == void


def _is_coloured(file: Image.Image, colours: Mapping[tuple[int, int, int], int]) -> bool:
    """Whether the colours of a palette, and not its indices, are those that labelmap.txt names."""
    shades = np.asarray(file.convert("RGB"))[np.asarray(file) != _VOID]
    used = {(int(r), int(g), int(b)) for r, g, b in np.unique(shades, axis=0)}
    return used <= {(0, 0, 0), *colours}


def _meanings(root: Path) -> tuple[dict[int, str], dict[tuple[int, int, int], int]]:
    """Names by value, and values by colour where colours are named."""
    if (root / "labelmap.txt").is_file():
        names, colours = {}, {}
        lines = (root / "labelmap.txt").read_text(encoding="utf-8-sig").splitlines()
        rows = [line.split(":") for line in lines if line.strip() and not line.startswith("#")]
        rows.sort(key=lambda row: row[0] not in _BACKGROUND)  # the background is 0
        first = 0 if rows and rows[0][0] in _BACKGROUND else 1
        for value, (name, colour, *_) in enumerate(rows, start=first):
            names[value] = name
            if colour:
                red, green, blue = (int(part) for part in colour.split(","))
                colours[red, green, blue] = value
        return names, colours
    if (root / "class_names.txt").is_file():
        listed = (root / "class_names.txt").read_text(encoding="utf-8-sig").split("\n")
        wanted = [name.strip() for name in listed if name.strip() not in ("", "__ignore__")]
        return dict(enumerate(wanted)), {}
    return dict(enumerate(VOC_CLASSES)), {}
