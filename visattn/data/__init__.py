"""Data: folders of pictures with masks, public sets, sushi scenes, augmentation, swapping.

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
    from visattn.data.folder_data import FolderData
    from visattn.data.folders import (
        IMAGENET_MEAN,
        IMAGENET_STD,
        FolderDataset,
        PictureDataset,
    )
    from visattn.data.generated.sushi.module import SushiData
    from visattn.data.generated.tasty.module import TastyData
    from visattn.data.layout import Item, split_names
    from visattn.data.mask_share import keep_masks
    from visattn.data.masks import MaskValues
    from visattn.data.public.imagenet9 import ImageNet9Data
    from visattn.data.public.pets import PetData
    from visattn.data.public.uecfoodpix import FoodPixData
    from visattn.data.public.waterbirds import WaterbirdsData
    from visattn.data.swap_transform import (
        BackgroundSwap,
        PictureBackgrounds,
        RemovedForegrounds,
    )

_HOMES = {
    "Augmentation": "augmentation",
    "Augmenter": "augmentation",
    "BackgroundSwap": "swap_transform",
    "FolderData": "folder_data",
    "FolderDataset": "folders",
    "FoodPixData": "public.uecfoodpix",
    "IMAGENET_MEAN": "folders",
    "IMAGENET_STD": "folders",
    "ImageNet9Data": "public.imagenet9",
    "Item": "layout",
    "MaskValues": "masks",
    "PetData": "public.pets",
    "PictureBackgrounds": "swap_transform",
    "PictureDataset": "folders",
    "RemovedForegrounds": "swap_transform",
    "SushiData": "generated.sushi.module",
    "TastyData": "generated.tasty.module",
    "WaterbirdsData": "public.waterbirds",
    "composite": "background_swap",
    "fill": "background_swap",
    "foreground_colours": "background_swap",
    "keep_masks": "mask_share",
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
    "FoodPixData",
    "ImageNet9Data",
    "Item",
    "MaskValues",
    "PetData",
    "PictureBackgrounds",
    "PictureDataset",
    "RemovedForegrounds",
    "SushiData",
    "TastyData",
    "WaterbirdsData",
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
