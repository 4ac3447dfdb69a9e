"""What was found about one map."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from visattn.metrics import Summary, summarise


@dataclass(frozen=True)
class Score:
    """A metric's value over some images.

    Attributes:
        value: NaN where it is undefined for every image.
        images: How many images it was taken over.
        left_out: For how many it was undefined.
        chance: What a map that knows nothing gets; None where no formula says it.
    """

    value: float
    images: int
    left_out: int
    chance: float | None = None

    @classmethod
    def of(cls, found: Summary, *, chance: float | None = None) -> "Score":
        """The score of a summary."""
        return cls(found.mean, found.count, found.left_out, chance)

    @classmethod
    def mean(cls, values: Tensor, *, chance: Tensor | None = None) -> "Score":
        """The mean of one value an image (N,), NaN where undefined, and that of chance's."""
        expected = None if chance is None else summarise(chance).mean
        return cls.of(summarise(values), chance=expected)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined ones are None."""
        return {
            "value": None if math.isnan(self.value) else self.value,
            "chance": None if self.chance is None or math.isnan(self.chance) else self.chance,
            "images": self.images,
            "left_out": self.left_out,
        }


@dataclass(frozen=True)
class MapScores:
    """One map's scores.

    Attributes:
        localisation: Does it lie on the object? ``pointing``, ``mass_inside``, ``iou``, ``pxap``
            and ``max_box_acc``, and on its own image of several, ``grid``; each with its chance
            level.
        faithfulness: Does the prediction depend on what it marks? ``deletion``, ``insertion``,
            ``flipping``, ``drop``, ``increase`` and ``road``.
        randomisation: Rank correlation with the map after a share of the network's layers has been
            randomised from the top down, by that share in (0, 1]. Empty if it wasn't tested.
        seconds: What an image took; NaN if it wasn't measured.
    """

    localisation: Mapping[str, Score]
    faithfulness: Mapping[str, Score]
    randomisation: Mapping[float, Score]
    seconds: float = math.nan

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "localisation": {name: found.as_dict() for name, found in self.localisation.items()},
            "faithfulness": {name: found.as_dict() for name, found in self.faithfulness.items()},
            "randomisation": [
                {"share_of_layers": share, **found.as_dict()}
                for share, found in self.randomisation.items()
            ],
            "seconds": None if math.isnan(self.seconds) else self.seconds,
        }
