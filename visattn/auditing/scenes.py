"""What is read for each picture: itself, its mask, and the pictures that lend it a background."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from visattn.auditing.pictures import Pictures, decoder_of
from visattn.auditing.variants import MIXED, MIXED_NEW, MIXED_NEXT, MIXED_RAND, MIXED_SAME, RIM
from visattn.data import Item, PictureDataset, remove_foreground
from visattn.data.background_swap import LEAST_BACKGROUND
from visattn.data.decoding import Bytes, Decoded

_TRIES = 20


@final
@dataclass(frozen=True)
class Lenders:
    """The pictures that can lend a background, by class.

    Args:
        rows: Rows of the data set by label; a data set without classes has the one label -1.
        seed: Of the draws.
    """

    rows: Mapping[int, Sequence[int]]
    seed: int = 0

    @classmethod
    def of(cls, items: Sequence[Item], *, needs_mask: bool, seed: int) -> "Lenders":
        """The lenders among some items: all of them, or those with a mask."""
        rows: dict[int, list[int]] = {}
        for row, item in enumerate(items):
            if item.mask_path is not None or not needs_mask:
                rows.setdefault(item.label, []).append(row)
        return cls({label: rows[label] for label in sorted(rows)}, seed)

    def candidates(self, row: int, label: int, *, variant: str) -> Iterator[int]:
        """Rows to take the background of, the first being the choice and the others its reserves.

        Mixed-same draws another picture of the same class, mixed-next of the next class (the first
        one after the last), mixed-rand of a random class, each class being equally likely. A
        picture never lends to itself.

        Args:
            row: The row that gets a background.
            label: Its class.
            variant: ``"mixed-same"``, ``"mixed-rand"`` or ``"mixed-next"``.

        Example:
            >>> lenders = Lenders({0: [0, 1], 1: [2, 3]})
            >>> set(lenders.candidates(0, 0, variant="mixed-same"))
            {1}
            >>> set(lenders.candidates(0, 0, variant="mixed-next")) <= {2, 3}
            True
        """
        classes = list(self.rows)
        generator = self._generator(row, variant=variant)
        if variant == MIXED_SAME:
            classes = [label] if label in self.rows else []
        elif variant == MIXED_NEXT:
            later = [other for other in classes if other > label]
            classes = (later or classes)[:1]
        elif variant != MIXED_RAND:
            raise ValueError(f"no background is drawn for {variant!r}")
        for _ in range(_TRIES if classes else 0):
            own = self.rows[classes[int(generator.integers(len(classes)))]]
            chosen = own[int(generator.integers(len(own)))]
            if chosen != row:
                yield chosen

    def one_of(self, row: int, *, count: int, variant: str) -> int:
        """A number below ``count`` for a row."""
        return int(self._generator(row, variant=variant).integers(count))

    def spread(self, count: int) -> list[int]:
        """Rows for a fixed set of backgrounds, as evenly over the classes as may be.

        The first ``count`` are the choice, others their reserves; no row comes twice.
        """
        generator = np.random.default_rng([self.seed, len(MIXED)])
        labels = [list(self.rows)[place] for place in generator.permutation(len(self.rows))]
        orders = [generator.permutation(self.rows[label]).tolist() for label in labels]
        found: list[int] = []
        for depth in range(max(map(len, orders), default=0)):
            found.extend(order[depth] for order in orders if depth < len(order))
            if len(found) >= count + _TRIES:
                break
        return found

    def _generator(self, row: int, *, variant: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, MIXED.index(variant), row])


@final
@dataclass(frozen=True, eq=False)
class AuditItems(Dataset[dict[str, Tensor]]):
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
        renders: The variants that are read: by row, the picture of the same foreground.
        backgrounds: Pictures for mixed-new.
        with_masks: Whether lenders must have a mask that leaves enough of the picture.
    """

    pictures: Pictures
    rows: Sequence[int]
    lenders: Lenders
    composites: Sequence[str]
    renders: Mapping[str, Mapping[int, Item]]
    backgrounds: PictureDataset | None
    with_masks: bool

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
            item = renders.get(row)
            found[f"rendered/{variant}"] = torch.tensor(item is not None)
            found[f"render/{variant}"] = (
                torch.zeros_like(found["image"])
                if item is None
                else planes(decoder_of(self.pictures)(item).image)
            )
        return found

    def fixed_backgrounds(self, count: int) -> Tensor:
        """Backgrounds (K, 3, H, W) for every foreground, bytes, as evenly over the classes as may.

        There are fewer than ``count`` where fewer pictures can lend one.
        """
        found = []
        opened = map(self.pictures.decoded, self.lenders.spread(count))
        for decoded in islice(filter(self._lends, opened), count):
            image, mask = planes(decoded.image)[None] / 255, _alpha(decoded)[None] / 255
            filled = remove_foreground(image, mask, rim=RIM)
            found.append(filled.mul_(255).round_().clamp_(0, 255).to(torch.uint8))
        return torch.cat(found)

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
