"""From a map's values to the range of its colours, and from its grid to the image's pixels."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.colors import Colormap
from numpy.typing import NDArray
from PIL import Image

from visattn.basics.suggestions import nearest
from visattn.pictures.arrays import as_map

Interpolation = Literal["bilinear", "nearest"]
Limits = tuple[float, float]
Map = NDArray[np.float64]

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Scale:
    """The range of values over which the colours run.

    Attributes:
        low: Value of the first colour.
        high: Value of the last colour.
    """

    low: float
    high: float

    def __call__(self, values: Map, *, fading: bool = False) -> Map:
        """Bring values to [0, 1]; what lies outside the range is clipped, NaN stays.

        Where the range is a single value, everything is in the middle: no value stands out. Where
        that is zero and colours fade, it is at the bottom: nothing is marked.
        """
        if self.high == self.low:
            nothing = fading and self.high == 0
            return np.where(np.isnan(values), np.nan, 0.0 if nothing else 0.5)
        # Halves, for the difference of two huge numbers may be infinite.
        return np.clip((values / 2 - self.low / 2) / (self.high / 2 - self.low / 2), 0, 1)


def scale_over(maps: Iterable[Map]) -> Scale:
    """The scale from the smallest to the largest value of some maps.

    Values that differ by less than single precision rounds to are one value: rounding must not
    look like a decision. Each map has a defined value; NaN is passed over.

    Example:
        >>> scale_over([np.array([[1.0, 1.0000001]])])
        Scale(low=1.0, high=1.0)
    """
    ranges = [(float(np.nanmin(values)), float(np.nanmax(values))) for values in maps]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    # Halves, for the difference of two huge numbers may be infinite.
    same = high / 2 - low / 2 <= _ROUNDING / 2 * max(abs(low), abs(high))
    return Scale(low, low if same else high)


def scale_as_is(maps: Iterable[Map]) -> Scale:
    """The scale from 0 to 1 for maps that are gates or masks, and in [0, 1], already."""
    found = scale_over(maps)
    if found.low < -1e-6 or found.high > 1 + 1e-6:
        raise ValueError(
            f"normalise='none' draws values in [0, 1] as they are, but the map's run from "
            f"{found.low:.3g} to {found.high:.3g}; use normalise='image' (each map's own range) or "
            "give the range, normalise=(low, high)"
        )
    return Scale(0.0, 1.0)


def scale_between(limits: object, *, words: Iterable[str]) -> Scale:
    """The scale between two given values, a rising pair; ``words`` could have been given, too."""
    words = list(words)
    try:
        if isinstance(limits, str):
            raise TypeError
        low, high = (float(value) for value in limits)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        near = isinstance(limits, str)
        hint = nearest(limits, names=words, count=1, quoted=True) if near else ""
        raise ValueError(
            f"normalise must be one of {', '.join(map(repr, words))} or a pair (low, high), "
            f"not {limits!r}{hint}"
        ) from None
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"normalise=(low, high) needs finite low < high, not ({low}, {high})")
    return Scale(low, high)


def colours(cmap: str | Colormap) -> Colormap:
    """A Matplotlib colour map, by its name or as it is.

    Example:
        >>> colours("viridi")
        Traceback (most recent call last):
        ValueError: no colour map is called 'viridi'; did you mean 'viridis'? Perceptually uniform
        ones are viridis, cividis, plasma, inferno and magma
    """
    if isinstance(cmap, Colormap):
        return cmap
    if cmap in matplotlib.colormaps:
        return matplotlib.colormaps[cmap]
    hint = nearest(cmap, names=matplotlib.colormaps, count=1, quoted=True) or "."
    raise ValueError(
        f"no colour map is called {cmap!r}{hint} Perceptually uniform ones are viridis, cividis, "
        "plasma, inferno and magma"
    )


def fitting_map(heat: Any, *, image: tuple[int, int], what: str, stretch: bool) -> Map:
    """Read a map (`as_map`) and check that it fits an image (`check_fit`), unless stretched."""
    values = as_map(heat, what=what)
    if not stretch:
        check_fit(values.shape, image=image, what=what)
    return values


def check_fit(shape: tuple[int, int], *, image: tuple[int, int], what: str) -> None:
    """Refuse a map whose height and width cannot come from those of this image.

    A map covers the whole image. With one stride for both axes its height and width are those of
    the image over the stride, rounded up or down; a map for which no stride fits comes from a crop,
    from another image, or has its axes exchanged.

    Example:
        >>> check_fit((4, 7), image=(100, 224), what="heat")
        >>> check_fit((7, 4), image=(100, 224), what="heat")
        Traceback (most recent call last):
        ValueError: heat is 7 x 4 and the image 100 x 224 pixels (height x width): no stride leads
        from one to the other...
    """
    smallest = max(pixels / (cells + 1) for pixels, cells in zip(image, shape, strict=True))
    largest = min(
        pixels / (cells - 1) if cells > 1 else np.inf
        for pixels, cells in zip(image, shape, strict=True)
    )
    if smallest > largest:
        raise ValueError(
            f"{what} is {shape[0]} x {shape[1]} and the image {image[0]} x {image[1]} pixels "
            "(height x width): no stride leads from one to the other. Give the image as the model "
            "saw it (same crop, axes in the same order), or pass stretch=True if the model saw "
            "the whole image squeezed to another shape"
        )


def resize(values: Map, *, size: tuple[int, int], interpolation: Interpolation) -> Map:
    """Bring a map to the image's pixels (height, width), cell centres at half-pixel positions.

    The same as PyTorch's ``interpolate`` with ``align_corners=False`` (and anti-aliasing where it
    shrinks), or ``nearest-exact``. A pixel is NaN where NaN has more than half of the weight.

    Example:
        >>> resize(np.array([[0.0, 1.0]]), size=(1, 4), interpolation="bilinear")
        array([[0.  , 0.25, 0.75, 1.  ]])
    """
    filters = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST}
    if interpolation not in filters:
        raise ValueError(f"interpolation must be 'bilinear' or 'nearest', not {interpolation!r}")

    def resized(plane: Map) -> Map:
        picture = Image.fromarray(plane.astype(np.float32))
        return np.asarray(picture.resize(size[::-1], filters[interpolation]), dtype=np.float64)

    if values.shape == size:
        return values
    # Pillow counts in single precision: values are brought to the order of 1 first.
    unit = float(np.nanmax(np.abs(values))) or 1.0
    known = ~np.isnan(values)
    sums = resized(np.where(known, values / unit, 0.0)) * unit
    if known.all():
        return sums
    weights = resized(known.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weights >= 0.5, sums / weights, np.nan)
