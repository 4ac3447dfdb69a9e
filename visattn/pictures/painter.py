"""How maps are laid over pictures, alike in all figures."""

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from numpy.typing import NDArray

from visattn.pictures.arrays import Statistics, as_image
from visattn.pictures.blending import Picture, blend
from visattn.pictures.scales import Interpolation, Map, Scale, colours, fitting_map, resize


class Style(TypedDict, total=False):
    """What every figure takes by name; ``overlay`` says what it means and what it is by default."""

    cmap: str | Colormap
    alpha: float
    fading: bool
    interpolation: Interpolation
    stretch: bool
    mean: Statistics
    std: Statistics


@dataclass(frozen=True, kw_only=True)
class Painter:
    """Reads pictures and maps in a `Style`, and lays one over the other."""

    cmap: str | Colormap = "viridis"
    alpha: float = 0.5
    fading: bool = False
    interpolation: Interpolation = "bilinear"
    stretch: bool = False
    mean: Statistics = None
    std: Statistics = None

    def scene(self, image: Any) -> NDArray[np.float32]:
        """A picture as colours (H, W, 3) in [0, 1]."""
        return as_image(image, mean=self.mean, std=self.std)

    def map(self, heat: Any, scene: NDArray[np.float32], *, what: str = "map") -> Map:
        """A map (h, w) that fits a scene."""
        return fitting_map(heat, image=scene.shape[:2], what=what, stretch=self.stretch)

    def field(self, values: Map, scene: NDArray[np.float32]) -> Map:
        """A map at the scene's pixels."""
        return resize(values, size=scene.shape[:2], interpolation=self.interpolation)

    def lay(self, values: Map, scale: Scale, scene: NDArray[np.float32]) -> Picture:
        """A scene under the colours of a map."""
        shares = scale(self.field(values, scene), fading=self.fading)
        return blend(scene, shares, cmap=self.cmap, alpha=self.alpha, fading=self.fading)

    @property
    def legend(self) -> Colormap:
        """The colours as they lie over white, for a colour bar."""
        cmap = colours(self.cmap)
        if not self.fading:
            return cmap
        table = cmap(np.linspace(0, 1, 256))
        table[:, 3] = np.linspace(0, 1, 256)
        return ListedColormap(table)
