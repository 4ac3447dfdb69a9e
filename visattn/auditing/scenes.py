"""What is read for each picture: itself, its mask, and the pictures that lend it a background."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from visattn.auditing.lending import Lenders
from visattn.auditing.variants import MIXED_NEW
from visattn.data import Item, PictureDataset
from visattn.data.background_swap import LEAST_BACKGROUND
from visattn.data.decoding import Decoded, Decoder

Bytes = npt.NDArray[np.uint8]


class Pictures(Protocol):
    """What an audit reads: `visattn.data.FolderDataset`, or anything with its like."""

    @property
    def items(self) -> Sequence[Item]:
        """What is known of each picture."""

    @property
    def class_names(self) -> Sequence[str]:
        """The classes in the order of their labels; none where there are no classes."""

    def decoded(self, index: int, /) -> Decoded:
        """The picture and its mask at a row, as bytes."""


@final
class Unlabelled:
    """Pictures of a folder without classes and masks, as `Pictures`."""

    class_names: tuple[str, ...] = ()

    def __init__(self, pictures: PictureDataset) -> None:
        self.root, self.items = pictures.folder, pictures.items
        self.decoder = pictures.decoder

    def decoded(self, index: int) -> Decoded:
        """The picture at a row."""
        return self.decoder(self.items[index])


@dataclass(frozen=True)
class Renders:
    """A variant that stands in files of its own, picture by picture.

    Args:
        split: Its split.
        items: From the row of the original to the picture of the same foreground.
        decoder: Reads them.
        made: How they came about, for the table: ``"rendered"``, or ``"given"`` in a public set.
    """

    split: str
    items: Mapping[int, Item]
    decoder: Decoder
    made: str = "rendered"

    def image(self, row: int) -> Bytes | None:
        """The picture for a row of the original, None where there is none."""
        item = self.items.get(row)
        return None if item is None else self.decoder(replace(item, mask_path=None)).image


@final
class Scenes(Dataset[dict[str, Tensor]]):
    """Everything that is read for a picture, as bytes; made into variants a batch at a time.

    An item has ``row``, ``label``, ``image`` (3, H, W), ``mask`` (1, H, W); for each variant that
    is put together ``lender/VARIANT`` (3, H, W), ``lender_mask/VARIANT`` (1, H, W) and
    ``lender_row/VARIANT``, -1 where nobody lends; for each that is rendered ``render/VARIANT`` and
    ``rendered/VARIANT``, whether there is one.

    Args:
        pictures: What is audited.
        rows: Which of it.
        lenders: Who lends backgrounds.
        composites: The variants ``"mixed-..."`` to put together.
        renders: The variants that are read.
        backgrounds: Pictures for mixed-new.
        with_masks: Whether lenders must have a mask that leaves enough of the picture.
    """

    def __init__(
        self,
        pictures: Pictures,
        *,
        rows: Sequence[int],
        lenders: Lenders,
        composites: Sequence[str],
        renders: Mapping[str, Renders],
        backgrounds: PictureDataset | None,
        with_masks: bool,
    ) -> None:
        self.pictures, self.rows, self.lenders = pictures, rows, lenders
        self.composites, self.renders = tuple(composites), dict(renders)
        self.backgrounds, self.with_masks = backgrounds, with_masks

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        row = self.rows[place]
        label = self.pictures.items[row].label
        decoded = self.pictures.decoded(row)
        found = {
            "row": torch.tensor(row),
            "label": torch.tensor(label),
            "image": planes(decoded.image),
            "mask": _alpha(decoded),
        }
        for variant in self.composites:
            lender, lent = self._lent(row, label, variant=variant)
            found[f"lender_row/{variant}"] = torch.tensor(lender)
            given = lent or Decoded(np.zeros_like(decoded.image))
            found[f"lender/{variant}"] = planes(given.image)
            found[f"lender_mask/{variant}"] = _alpha(given)
        for variant, renders in self.renders.items():
            image = renders.image(row)
            found[f"rendered/{variant}"] = torch.tensor(image is not None)
            found[f"render/{variant}"] = (
                torch.zeros_like(found["image"]) if image is None else planes(image)
            )
        return found

    def background_rows(self, count: int) -> list[int]:
        """Rows whose backgrounds every foreground is put on."""
        chosen: list[int] = []
        for row in self.lenders.spread(count):
            if len(chosen) == count:
                break
            if self._lends(self.pictures.decoded(row)):
                chosen.append(row)
        return chosen

    def opened(self, row: int) -> tuple[Tensor, Tensor]:
        """The picture (3, H, W) and the mask (1, H, W) at a row of the data set, bytes."""
        decoded = self.pictures.decoded(row)
        return planes(decoded.image), _alpha(decoded)

    def _lent(self, row: int, label: int, *, variant: str) -> tuple[int, Decoded | None]:
        """Who lends, and what; -1 and None where nobody does."""
        if variant == MIXED_NEW:
            if self.backgrounds is None:
                raise ValueError("mixed-new needs pictures of backgrounds")
            place = self.lenders.one_of(row, count=len(self.backgrounds), variant=variant)
            return place, self.backgrounds.decoder(self.backgrounds.items[place])
        for lender in self.lenders.candidates(row, label, variant=variant):
            decoded = self.pictures.decoded(lender)
            if self._lends(decoded):
                return lender, decoded
        return -1, None

    def _lends(self, decoded: Decoded) -> bool:
        if not self.with_masks:
            return True
        return decoded.alpha is not None and 1 - decoded.alpha.mean() / 255 >= LEAST_BACKGROUND


def planes(image: Bytes) -> Tensor:
    """Bytes (H, W, 3) to (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def colours(pictures: Tensor, *, device: Any) -> Tensor:
    """Bytes to colours in [0, 1], in single precision, on a device."""
    return pictures.to(device).float().div_(255)


def _alpha(decoded: Decoded) -> Tensor:
    if decoded.alpha is None:
        return torch.zeros(1, *decoded.image.shape[:2], dtype=torch.uint8)
    return torch.from_numpy(np.array(decoded.alpha))[None]
