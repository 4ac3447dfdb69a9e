"""From an annotation file, or a folder of them, to pictures with shapes; the format is seen."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from visattn.annotation.formats.coco import is_coco, read_coco
from visattn.annotation.formats.cvat import is_cvat, read_cvat
from visattn.annotation.formats.darwin import is_darwin, read_darwin
from visattn.annotation.formats.label_studio import is_label_studio, read_label_studio
from visattn.annotation.formats.labelme import is_labelme, read_labelme
from visattn.annotation.formats.voc import is_voc, read_label_maps, read_voc, segmentation_folder
from visattn.annotation.shapes import AnnotatedPicture

_Is = Callable[[Any], bool]
_Read = Callable[[Any], AnnotatedPicture | Iterable[AnnotatedPicture]]
_JSON: dict[str, tuple[_Is, _Read]] = {
    "COCO": (is_coco, read_coco),
    "labelme": (is_labelme, read_labelme),
    "Darwin": (is_darwin, read_darwin),
    "Label Studio": (is_label_studio, read_label_studio),
}
_XML: dict[str, tuple[_Is, _Read]] = {"CVAT": (is_cvat, read_cvat), "VOC": (is_voc, read_voc)}
_KNOWN = (
    "COCO JSON, labelme JSON, CVAT for images 1.1 (XML), Label Studio JSON (not JSON-MIN), Darwin "
    "JSON, VOC XML or a folder SegmentationClass"
)


@dataclass(frozen=True)
class Annotations:
    """What annotation files say.

    Attributes:
        pictures: Every picture that they name.
        formats: How many files there are of each format.
        passed_over: Files of a folder that are no annotations.
    """

    pictures: list[AnnotatedPicture] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    passed_over: list[Path] = field(default_factory=list)


def read_annotations(path: str | Path) -> Annotations:
    """Read a file, or the label maps or all JSON and XML files in a folder.

    Raises:
        FileNotFoundError: There is nothing at ``path``.
        ValueError: It is no known format, or not as that is published; the file is named.
    """
    path = Path(path)
    found = Annotations()
    if path.is_dir():
        maps = segmentation_folder(path)
        if maps is not None:
            found.pictures.extend(read_label_maps(maps))
            found.formats[f"VOC {maps.name}"] = len(found.pictures)
        else:
            files = (f for f in path.rglob("*") if f.suffix.lower() in (".json", ".xml"))
            for file in sorted(files):
                if not _read_file(file, found):
                    found.passed_over.append(file)
    elif not path.is_file():
        raise FileNotFoundError(f"expected annotations at {path}, found nothing")
    elif path.suffix.lower() == ".zip":
        raise ValueError(f"{path} is packed: unpack it, and give the file or folder inside")
    elif not _read_file(path, found):
        raise ValueError(f"{path} is none of the formats that can be read: {_KNOWN}")
    if not found.formats:
        raise ValueError(f"no annotations in {path}; what can be read is {_KNOWN}")
    return found


def _read_file(path: Path, found: Annotations) -> bool:
    """Add what a file says; False where its format is not known."""
    try:
        if path.suffix.lower() == ".xml":
            content: Any = ElementTree.fromstring(path.read_bytes())
        else:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, ElementTree.ParseError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    known = _XML if path.suffix.lower() == ".xml" else _JSON
    for name, (fits, read) in known.items():
        if not fits(content):
            continue
        try:
            pictures = read(content)
            if isinstance(pictures, AnnotatedPicture):
                pictures = [pictures]
            # Names alone may come twice; the file often stands near the pictures.
            found.pictures.extend(
                replace(p, name=f"{path.parent.as_posix()}/{p.name.lstrip('/')}") for p in pictures
            )
        except (KeyError, TypeError, IndexError, AttributeError, ValueError, OSError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path} is not as {name} is published: {what}") from error
        found.formats[name] += 1
        return True
    return False
