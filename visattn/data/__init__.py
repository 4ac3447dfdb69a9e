"""Data: folders of pictures with masks, sushi scenes, augmentation, background swapping.

Names are imported when they are first used, so that importing this package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visattn.data.augmentation import Augmentation, Augmenter
    from visattn.data.background_swap import (
        composite,
        fill,
        foreground_colours,
        remove_foreground,
        swap_backgrounds,
    )
    from visattn.data.folders import (
        IMAGENET_MEAN,
        IMAGENET_STD,
        FolderDataset,
        PictureDataset,
        keep_masks,
    )
    from visattn.data.layout import Item, split_names
    from visattn.data.masks import MaskValues
    from visattn.data.modules import FolderData, SushiData
    from visattn.data.swap_transform import (
        BackgroundSwap,
        PictureBackgrounds,
        RemovedForegrounds,
    )
    from visattn.data.tasty.module import TastyData

_HOMES = {
    "Augmentation": "augmentation",
    "Augmenter": "augmentation",
    "BackgroundSwap": "swap_transform",
    "FolderData": "modules",
    "FolderDataset": "folders",
    "IMAGENET_MEAN": "folders",
    "IMAGENET_STD": "folders",
    "Item": "layout",
    "MaskValues": "masks",
    "PictureBackgrounds": "swap_transform",
    "PictureDataset": "folders",
    "RemovedForegrounds": "swap_transform",
    "SushiData": "modules",
    "TastyData": "tasty.module",
    "composite": "background_swap",
    "fill": "background_swap",
    "foreground_colours": "background_swap",
    "keep_masks": "folders",
    "remove_foreground": "background_swap",
    "split_names": "layout",
    "swap_backgrounds": "background_swap",
}

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Augmentation",
    "Augmenter",
    "BackgroundSwap",
    "FolderData",
    "FolderDataset",
    "Item",
    "MaskValues",
    "PictureBackgrounds",
    "PictureDataset",
    "RemovedForegrounds",
    "SushiData",
    "TastyData",
    "composite",
    "fill",
    "foreground_colours",
    "keep_masks",
    "remove_foreground",
    "split_names",
    "swap_backgrounds",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
