"""Changing pictures and masks alike during training, by albumentations."""

import importlib
import inspect
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from visattn.basics.suggestions import nearest
from visattn.data.decoding import Decoded
from visattn.data.optional import albumentations as A, cv2
from visattn.data.swap_transform import Backgrounds, BackgroundSwap
from visattn.data.warp import Warp


@dataclass(frozen=True)
class Augmentation:
    """What changes during training, in the order in which it is applied. 0 or false: not at all.

    The ranges are moderate, for objects of which the shape, the position and the colours mean
    something. Where rotation, scaling or shifting would show what lies beyond the picture, the
    picture is mirrored at its border, and the mask with it.

    Args:
        swap: How likely a picture with a mask gets another background.
        swap_from: Folder of background pictures; left out, the training pictures that have a
            mask, their foreground filled.
        swap_rim: Pixels on either side of the mask's edge whose colour is not trusted then.
        flip: Whether to mirror left to right, half the time.
        vertical_flip: Whether to mirror upside down, half the time.
        rotate: Largest rotation to either side, in degrees.
        scale: Least and largest magnification.
        shift: Largest shift along each axis, as a share of the side.
        jitter: Largest change of brightness, contrast and saturation, as a share.
        hue: Largest change of the hue, as a share of the colour circle, at most 0.5. It costs as
            much time as all the rest of the jitter.
        extra: Further transforms, each ``{class_path: NAME, init_args: {...}}``, NAME one of
            albumentations or the dotted path of one of your own. Pixels that such a transform
            fills with a constant count as background (its ``fill_mask`` is 0).

    Raises:
        ValueError: An option out of its range.
    """

    swap: float = 0.0
    swap_from: str | None = None
    swap_rim: int = 1
    flip: bool = True
    vertical_flip: bool = False
    rotate: float = 15.0
    scale: tuple[float, float] = (0.9, 1.1)
    shift: float = 0.06
    jitter: float = 0.2
    hue: float = 0.0
    extra: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(self.scale))  # lists from YAML
        object.__setattr__(self, "extra", tuple(self.extra))
        ranges = {"swap": 1.0, "shift": 1.0, "jitter": 1.0, "hue": 0.5, "rotate": 180.0}
        for name, highest in ranges.items():
            value = getattr(self, name)
            if not 0.0 <= value <= highest:
                raise ValueError(f"{name} must lie in [0, {highest:g}], got {value}")
        if len(self.scale) != 2 or not 0.0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale needs 0 < least <= largest, got {self.scale}")
        if self.swap_rim < 0:
            raise ValueError(f"swap_rim is a number of pixels, at least 0, got {self.swap_rim}")
        if self.swap_from is not None and not self.swap:
            raise ValueError(
                f"swap_from={self.swap_from!r} has no effect at swap=0; set swap to how likely a "
                "swap is, such as 0.5"
            )

    def transforms(self, *, backgrounds: Backgrounds | None = None) -> list[Any]:
        """The transforms, for an ``albumentations.Compose`` of one's own.

        Args:
            backgrounds: What to swap in where ``swap_from`` is left out.

        Raises:
            ValueError: Swapping without backgrounds; a transform in ``extra`` that does not
                exist or takes no such argument (the nearest names are given).
        """
        chosen: list[Any] = []
        if self.swap > 0:
            source = self.swap_from if self.swap_from is not None else backgrounds
            if source is None:
                raise ValueError(
                    f"swap={self.swap} needs backgrounds: name a folder of pictures in swap_from"
                )
            chosen.append(BackgroundSwap(source, rim=self.swap_rim, p=self.swap))
        if self.flip:
            chosen.append(A.HorizontalFlip(p=0.5))
        if self.vertical_flip:
            chosen.append(A.VerticalFlip(p=0.5))
        if self.rotate or self.shift or self.scale != (1.0, 1.0):
            chosen.append(Warp(rotate=self.rotate, scale=self.scale, shift=self.shift, p=1.0))
        if self.jitter or self.hue:
            span = (max(0.0, 1 - self.jitter), 1 + self.jitter)
            chosen.append(
                A.ColorJitter(
                    brightness=span,
                    contrast=span,
                    saturation=span,
                    hue=(-self.hue, self.hue),
                    p=1.0,
                )
            )
        return chosen + [_transform(description) for description in self.extra]


DEFAULT_AUGMENTATION = Augmentation()
ONLY_SWAP = Augmentation(swap=1, flip=False, rotate=0, scale=(1, 1), shift=0, jitter=0)


@final
class Augmenter:
    """Applies transforms to a picture and its mask, by a seed for each call.

    The mask is alpha, not a label map, so it is resampled linearly (``mask_interpolation``). What
    is known about single pixels goes through the geometry too: a pixel to which half or more was
    unknown is unknown afterwards. New pixels at the border, where a transform makes any, are
    background. A picture without a mask stays without.

    Args:
        transforms: Transforms of albumentations, applied in this order.

    Example:
        >>> augmenter = Augmenter(Augmentation(rotate=0, shift=0, scale=(1, 1)).transforms())
        >>> picture = Decoded(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
        >>> first = augmenter(picture, seed=(0, 3))
        >>> bool((first.image == augmenter(picture, seed=(0, 3)).image).all())
        True
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self._generator = np.random.Generator(np.random.PCG64(0))
        self._python_generator = random.Random(0)
        self._compose = A.Compose(
            list(transforms),
            additional_targets={"unknown": "mask"},
            mask_interpolation=cv2.INTER_LINEAR,
        )
        self._share_generators()

    def _share_generators(self) -> None:
        """One generator of each kind for all transforms, so that one seed sets them all."""
        self._compose.set_random_state(self._generator, self._python_generator)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._share_generators()

    def __call__(self, decoded: Decoded, *, seed: Sequence[int]) -> Decoded:
        """The changed picture and mask; the same for the same seed.

        Args:
            decoded: What to change; it is left as it is.
            seed: Non-negative integers.
        """
        fresh = np.random.PCG64(list(seed))
        self._python_generator.seed(int(fresh.random_raw()))
        self._generator.bit_generator.state = fresh.state
        data: dict[str, Any] = {"image": decoded.image}
        if decoded.alpha is not None:
            data["mask"] = decoded.alpha
        if decoded.unknown is not None:
            data["unknown"] = decoded.unknown
        changed = self._compose(**data)
        unknown = changed.get("unknown")
        if unknown is not None:
            unknown = np.where(unknown >= 128, np.uint8(255), np.uint8(0))
        return Decoded(changed["image"], changed.get("mask"), unknown)


def _transform(description: Mapping[str, Any]) -> Any:
    """The transform that ``{class_path: ..., init_args: {...}}`` describes."""
    strange = set(description) - {"class_path", "init_args"}
    path = description.get("class_path")
    if strange or not isinstance(path, str):
        raise ValueError(
            "an extra transform is written {class_path: NAME, init_args: {...}}, such as "
            f"{{class_path: GaussianBlur, init_args: {{p: 0.2}}}}; got {dict(description)}"
        )
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name) if module_name else A
    except ImportError as error:
        raise ValueError(f"cannot import the module of the transform {path!r}: {error}") from error
    kind = getattr(module, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, A.BasicTransform | A.BaseCompose)):
        names = [key for key, value in vars(module).items() if inspect.isclass(value)]
        raise ValueError(f"no transform {name!r} in {module.__name__}{nearest(name, names=names)}")
    arguments = dict(description.get("init_args") or {})
    known = [key for key in inspect.signature(kind).parameters if key != "self"]
    for argument in arguments:
        if argument not in known:
            hint = nearest(argument, names=known, cutoff=0.5) or ";"
            raise ValueError(f"{name} has no argument {argument!r}{hint} It has {known}")
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot make the transform {name} with {arguments}: {error}") from error
