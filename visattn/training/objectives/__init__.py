"""What a classifier is trained on: one objective a file."""

from visattn.training.objectives.area_focus import AreaFocus
from visattn.training.objectives.base import Objective
from visattn.training.objectives.box_focus import BoxFocus
from visattn.training.objectives.branch_cross_entropy import BranchCrossEntropy
from visattn.training.objectives.cross_entropy import CrossEntropy
from visattn.training.objectives.debiasing.afr import AFR
from visattn.training.objectives.debiasing.clad import CLAD
from visattn.training.objectives.debiasing.fg_ccdb import FGCCDB
from visattn.training.objectives.debiasing.jtt import JTT
from visattn.training.objectives.debiasing.lff import LfF
from visattn.training.objectives.energy_inside import EnergyInside
from visattn.training.objectives.group_dro import GroupDRO
from visattn.training.objectives.label_focus import LabelFocus
from visattn.training.objectives.last_layer import LastLayerRefit
from visattn.training.objectives.masked_focus import MaskedFocus
from visattn.training.objectives.right_reasons import RightReasons
from visattn.training.objectives.weighted_sum import WeightedSum

__all__ = [
    "AFR",
    "CLAD",
    "FGCCDB",
    "JTT",
    "AreaFocus",
    "BoxFocus",
    "BranchCrossEntropy",
    "CrossEntropy",
    "EnergyInside",
    "GroupDRO",
    "LabelFocus",
    "LastLayerRefit",
    "LfF",
    "MaskedFocus",
    "Objective",
    "RightReasons",
    "WeightedSum",
]
