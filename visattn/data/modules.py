"""All data modules of images: what ``--data NAME`` can choose from."""

from visattn.data.folder_data import FolderData
from visattn.data.generated.sushi.module import SushiData
from visattn.data.generated.tasty.module import TastyData
from visattn.data.image_data import ImageData
from visattn.data.public.imagenet9 import ImageNet9Data
from visattn.data.public.metashift import MetaShiftData
from visattn.data.public.pets import PetData
from visattn.data.public.spawrious import SpawriousData
from visattn.data.public.uecfoodpix import FoodPixData
from visattn.data.public.waterbirds import WaterbirdsData
from visattn.data.shards.module import ShardData

__all__ = [
    "FolderData",
    "FoodPixData",
    "ImageData",
    "ImageNet9Data",
    "MetaShiftData",
    "PetData",
    "ShardData",
    "SpawriousData",
    "SushiData",
    "TastyData",
    "WaterbirdsData",
]
