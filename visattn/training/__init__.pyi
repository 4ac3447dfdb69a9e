import typing

from .averaged_weights import AveragedWeights as AveragedWeights
from .classifier import ImageClassifier as ImageClassifier
from .command_line.command import (
    TaskCLI as TaskCLI,
    run_command as run_command,
)
from .objectives import (
    AFR as AFR,
    CLAD as CLAD,
    FGCCDB as FGCCDB,
    JTT as JTT,
    AreaFocus as AreaFocus,
    BoxFocus as BoxFocus,
    BranchCrossEntropy as BranchCrossEntropy,
    CrossEntropy as CrossEntropy,
    EnergyInside as EnergyInside,
    GroupDRO as GroupDRO,
    LabelFocus as LabelFocus,
    LastLayerRefit as LastLayerRefit,
    LfF as LfF,
    MaskedFocus as MaskedFocus,
    Objective as Objective,
    RightReasons as RightReasons,
    WeightedSum as WeightedSum,
)
from .overlay_logger import OverlayLogger as OverlayLogger
from .results import (
    Outcomes as Outcomes,
    Results as Results,
)

def __getattr__(name: str) -> typing.Any: ...
