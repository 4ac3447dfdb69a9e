"""All that a page shows, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visattn.pictures.letters import romanised
from visattn.report_page.layers import Layer
from visattn.report_page.packing import packed_mask, picture_address

LARGEST_SIDE = 384
"""Pictures are brought to at most so many pixels a side."""


@final
@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        name: Its name.
        pixels: (H, W, 3), bytes.
        mask: True mask (H, W) in [0, 1], NaN on pixels that nothing is known about; None where
            there is none.
        focus: Where the first query is, as shares of height and width.
        label: Number of the true class, or None.
        background: The picture without its object (H, W, 3), or None.
    """

    name: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.float32] | None = None
    focus: tuple[float, float] = (0.5, 0.5)
    label: int | None = None
    background: NDArray[np.uint8] | None = None

    def as_json(self) -> dict[str, Any]:
        """Addresses that carry the pixels, and the mask in few bytes."""
        return {
            "name": self.name,
            "src": picture_address(self.pixels),
            "size": list(self.pixels.shape[:2]),
            "mask": None if self.mask is None else packed_mask(self.mask),
            "focus": [round(place, 4) for place in self.focus],
            "label": self.label,
            "background": None if self.background is None else _thumbnail(self.background),
        }


@final
@dataclass(frozen=True)
class Answer:
    """What a model says to one picture and to its two halves.

    Attributes:
        classes: The classes that the page lists, the likeliest first.
        whole: Their probabilities on the picture.
        thing: The same on the object alone, None without a mask.
        background: The same on the background alone, None without a mask.
    """

    classes: Sequence[int]
    whole: Sequence[float]
    thing: Sequence[float] | None = None
    background: Sequence[float] | None = None

    def as_json(self) -> dict[str, Any]:
        """Four digits of each."""
        rows = {"whole": self.whole, "object": self.thing, "background": self.background}
        return {
            "classes": list(self.classes),
            **{
                name: None if row is None else [round(share, 4) for share in row]
                for name, row in rows.items()
            },
        }


@final
@dataclass(frozen=True)
class ModelView:
    """One model of the page.

    Attributes:
        name: What the page calls it.
        layers: What its layers computed.
        answers: What it says, one a picture; none of a segmentation or detector.
        asked: What a segmentation or detector was asked about, words for each picture.
    """

    name: str
    layers: Sequence[Layer]
    answers: Sequence[Answer]
    asked: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "layers": [layer.as_json() for layer in self.layers],
            "answers": [answer.as_json() for answer in self.answers],
            "asked": list(self.asked),
        }


@final
@dataclass(frozen=True)
class Contents:
    """A whole page.

    Attributes:
        title: Its heading.
        note: Where the pictures come from, in a few words; may be empty.
        pictures: The pictures.
        models: The models.
        classes: Names of the classes; numbers where None.
        opening: The picture at the start.
        layers: The layer of each model at the start.
    """

    title: str
    note: str
    pictures: Sequence[Picture]
    models: Sequence[ModelView]
    classes: Sequence[str] | None = None
    opening: int = 0
    layers: Sequence[int] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """Plain values for the page's script."""
        classes = None if self.classes is None else [str(name) for name in self.classes]
        texts = [self.title, self.note, *(classes or ())]
        texts += [picture.name for picture in self.pictures]
        texts += [text for model in self.models for text in (model.name, *model.asked)]
        return {
            "title": self.title,
            "note": self.note,
            "classes": classes,
            "romanised": {text: romanised(text) for text in texts if _beyond_latin(text)},
            "pictures": [picture.as_json() for picture in self.pictures],
            "models": [model.as_json() for model in self.models],
            "opening": {"picture": self.opening, "layers": list(self.layers)},
        }


def _beyond_latin(text: str) -> bool:
    """Whether there are letters that a browser may have no font for."""
    return any(letter.isalpha() and letter > "\u024f" for letter in text)


def shrunk(height: int, width: int, *, side: int) -> tuple[int, int]:
    """Height and width of which neither is above ``side``, in the same proportion.

    Example:
        >>> shrunk(400, 600, side=384), shrunk(20, 30, side=384)
        ((256, 384), (20, 30))
    """
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _thumbnail(pixels: NDArray[np.uint8]) -> str:
    height, width = shrunk(*pixels.shape[:2], side=128)
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return picture_address(np.asarray(small), quality=75)
