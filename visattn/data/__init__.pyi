from .augmentation import (
    Augmentation as Augmentation,
    Augmenter as Augmenter,
)
from .background_swap import (
    composite as composite,
    fill as fill,
    foreground_colours as foreground_colours,
    remove_foreground as remove_foreground,
    swap_backgrounds as swap_backgrounds,
)
from .folder_data import FolderData as FolderData
from .folders import (
    IMAGENET_MEAN as IMAGENET_MEAN,
    IMAGENET_STD as IMAGENET_STD,
    FolderDataset as FolderDataset,
    PictureDataset as PictureDataset,
)
from .generated.sushi.module import SushiData as SushiData
from .generated.tasty.module import TastyData as TastyData
from .layout import (
    Item as Item,
    split_names as split_names,
)
from .mask_share import keep_masks as keep_masks
from .masks import MaskValues as MaskValues
from .public.imagenet9 import ImageNet9Data as ImageNet9Data
from .public.metashift import MetaShiftData as MetaShiftData
from .public.pets import PetData as PetData
from .public.spawrious import SpawriousData as SpawriousData
from .public.uecfoodpix import FoodPixData as FoodPixData
from .public.waterbirds import WaterbirdsData as WaterbirdsData
from .shards.module import ShardData as ShardData
from .shards.packing import pack_folder as pack_folder
from .swap_transform import (
    BackgroundSwap as BackgroundSwap,
    PictureBackgrounds as PictureBackgrounds,
    RemovedForegrounds as RemovedForegrounds,
)
