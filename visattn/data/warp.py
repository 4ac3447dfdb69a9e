"""Rotation, magnification and shift of a picture and its mask in one resampling."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from visattn.data.optional import albumentations as A, cv2


class Warp(A.DualTransform):  # type: ignore[misc]  # has no types
    """Rotate, magnify and shift at random; what lies beyond the border is mirrored, mask alike.

    The same as albumentations' ``Affine`` with ``keep_ratio=True``, linear interpolation of picture
    and mask and a mirrored border, at half of its time for small pictures: no checks and no
    preparation of boxes and key points.

    Args:
        rotate: Largest rotation to either side, in degrees.
        scale: Least and largest magnification.
        shift: Largest shift along each axis, as a share of the side.
        p: How likely a picture is changed.

    Raises:
        ValueError: A magnification that is not above 0.

    Example:
        >>> picture = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
        >>> still = Warp(rotate=0, scale=(1.0, 1.0), shift=0, p=1.0)(image=picture)["image"]
        >>> bool((still == picture).all())
        True
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    # The order of arguments and the default of p are those of the base class.
    def __init__(
        self,
        rotate: float = 15.0,
        scale: tuple[float, float] = (0.9, 1.1),
        shift: float = 0.06,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        if len(scale) != 2 or not 0.0 < scale[0] <= scale[1]:
            raise ValueError(f"scale needs 0 < least <= largest, got {tuple(scale)}")
        self.rotate, self.scale, self.shift = rotate, (float(scale[0]), float(scale[1])), shift

    @property
    def targets(self) -> dict[str, Callable[..., Any]]:
        """What this changes, by key."""
        return {"image": self.apply, "mask": self.apply_to_mask}

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the change, as the matrix from places in the result to places in the picture."""
        height, width = params["shape"][:2]
        angle = math.radians(self.py_random.uniform(-self.rotate, self.rotate))
        scale = self.py_random.uniform(*self.scale)
        across = self.py_random.uniform(-self.shift, self.shift) * width
        down = self.py_random.uniform(-self.shift, self.shift) * height
        cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        from_x, from_y = middle_x + across, middle_y + down
        matrix = np.array(
            [
                [cosine, sine, middle_x - cosine * from_x - sine * from_y],
                [-sine, cosine, middle_y + sine * from_x - cosine * from_y],
            ]
        )
        return {"matrix": matrix}

    def apply(
        self, img: npt.NDArray[Any], matrix: npt.NDArray[np.float64], **params: Any
    ) -> npt.NDArray[Any]:
        """The changed picture."""
        return cv2.warpAffine(
            img,
            matrix,
            (img.shape[1], img.shape[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )

    def apply_to_mask(
        self, mask: npt.NDArray[Any], matrix: npt.NDArray[np.float64], **params: Any
    ) -> npt.NDArray[Any]:
        """The mask, changed alike."""
        return self.apply(mask, matrix)
