"""The formulas of class activation: from maps and slopes (N, C, h, w) to what each place says."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

_NOISE = 1e-5


def grad_cam_map(maps: Tensor, slopes: Tensor) -> Tensor:
    """Channels weighed by their mean slope. Selvaraju et al., 2017, arXiv:1610.02391."""
    return (slopes.mean((2, 3), keepdim=True) * maps).sum(1)


def grad_cam_plus_plus_map(maps: Tensor, slopes: Tensor) -> Tensor:
    r"""Channels weighed by their rising slopes, each by its share of them.

    .. math:: w_k = \sum_{y, x} \alpha_k(y, x) \, \mathrm{ReLU}(g_k(y, x)), \quad
        \alpha_k = \frac{g_k^2}{2 g_k^2 + g_k^3 \sum A_k} = \frac{1}{2 + g_k \sum A_k}

    Chattopadhay et al., 2018, arXiv:1710.11063, equation 19. Others add an epsilon below the
    fraction bar, which outweighs small slopes; cancelled down, none is needed.
    """
    share = 1 / (2 + slopes * maps.sum((2, 3), keepdim=True))
    rising = torch.where(slopes > 0, slopes * share, 0.0)
    return (rising.sum((2, 3), keepdim=True) * maps).sum(1)


def layer_cam_map(maps: Tensor, slopes: Tensor) -> Tensor:
    """Each place of each channel weighed by its own rising slope.

    Jiang et al., "LayerCAM", 2021, doi:10.1109/TIP.2021.3089943.
    """
    return (slopes.relu() * maps).sum(1)


def hires_cam_map(maps: Tensor, slopes: Tensor) -> Tensor:
    """Each place of each channel weighed by its own slope.

    Draelos & Carin, "Use HiResCAM instead of Grad-CAM", 2020, arXiv:2011.08891.

    Raises:
        ValueError: If the channels cancel out everywhere, so that nothing but rounding is left.
    """
    said = slopes * maps
    found = said.sum(1)
    if bool(said.any()) and bool((found.abs() <= _NOISE * said.abs().sum(1)).all()):
        raise ValueError(
            "HiResCAM is zero at this layer by construction: its maps are read through a"
            " normalisation, to whose input the slopes are perpendicular. Name the normalisation,"
            " such as a ViT's last norm1, or take another method"
        )
    return found


def eigen_cam_map(maps: Tensor) -> Tensor:
    """The maps' first principal component over places, of no class.

    Muhammad & Yeasin, "Eigen-CAM", 2020, arXiv:2008.00299; centred, as pytorch-grad-cam does. A
    component has no sign of its own: the place furthest from the mean gets a positive one (Chung &
    Ying, "Seg-Eigen-CAM", 2025, doi:10.3390/app15137562).
    """
    places = maps.flatten(2).mT
    centred = places - places.mean(1, keepdim=True)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    found = (centred @ directions[:, 0, :, None])[..., 0]
    turned = -found.amin(1, keepdim=True) > found.amax(1, keepdim=True)
    return torch.where(turned, -found, found).unflatten(1, maps.shape[2:])


BY_SLOPES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "gradcam": grad_cam_map,
        "gradcam++": grad_cam_plus_plus_map,
        "layercam": layer_cam_map,
        "hirescam": hires_cam_map,
    }
)
"""The methods that weigh by slopes."""

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "gradcam": "Grad-CAM",
        "gradcam++": "Grad-CAM++",
        "layercam": "LayerCAM",
        "hirescam": "HiResCAM",
        "eigencam": "Eigen-CAM",
        "scorecam": "Score-CAM",
    }
)
"""All methods, and how figures call them."""
