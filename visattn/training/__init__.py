"""Training with Lightning: a classifier, its objectives, the command line, the demo.

Names are imported when they are first used. Needs the extra ``visattn[train]``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visattn.commands.look import draw_maps
    from visattn.commands.report_run import report_on
    from visattn.evaluation.map_scores import measure_maps
    from visattn.experiments.demo import run_demo
    from visattn.tasks.translation.data import ClauseData
    from visattn.tasks.translation.module import Translator
    from visattn.training.classifier import ImageClassifier
    from visattn.training.command_line.command import TaskCLI, run_command
    from visattn.training.objectives import (
        AreaFocus,
        BoxFocus,
        BranchCrossEntropy,
        CrossEntropy,
        EnergyInside,
        GroupDRO,
        LabelFocus,
        LastLayerRefit,
        MaskedFocus,
        Objective,
        RightReasons,
        WeightedSum,
    )
    from visattn.training.outcomes import Outcomes, Results
    from visattn.training.overlay_logger import OverlayLogger

_HOMES = {
    "AreaFocus": "visattn.training.objectives",
    "BoxFocus": "visattn.training.objectives",
    "BranchCrossEntropy": "visattn.training.objectives",
    "ClauseData": "visattn.tasks.translation.data",
    "CrossEntropy": "visattn.training.objectives",
    "EnergyInside": "visattn.training.objectives",
    "GroupDRO": "visattn.training.objectives",
    "ImageClassifier": "visattn.training.classifier",
    "LabelFocus": "visattn.training.objectives",
    "LastLayerRefit": "visattn.training.objectives",
    "MaskedFocus": "visattn.training.objectives",
    "Objective": "visattn.training.objectives",
    "Outcomes": "visattn.training.outcomes",
    "OverlayLogger": "visattn.training.overlay_logger",
    "Results": "visattn.training.outcomes",
    "RightReasons": "visattn.training.objectives",
    "TaskCLI": "visattn.training.command_line.command",
    "Translator": "visattn.tasks.translation.module",
    "WeightedSum": "visattn.training.objectives",
    "draw_maps": "visattn.commands.look",
    "measure_maps": "visattn.evaluation.map_scores",
    "report_on": "visattn.commands.report_run",
    "run_command": "visattn.training.command_line.command",
    "run_demo": "visattn.experiments.demo",
}
_EXTRA = ("albumentations", "cv2", "lightning", "lightning_utilities", "torchmetrics")

__all__ = [
    "AreaFocus",
    "BoxFocus",
    "BranchCrossEntropy",
    "ClauseData",
    "CrossEntropy",
    "EnergyInside",
    "GroupDRO",
    "ImageClassifier",
    "LabelFocus",
    "LastLayerRefit",
    "MaskedFocus",
    "Objective",
    "Outcomes",
    "OverlayLogger",
    "Results",
    "RightReasons",
    "TaskCLI",
    "Translator",
    "WeightedSum",
    "draw_maps",
    "measure_maps",
    "report_on",
    "run_command",
    "run_demo",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ImportError(
            f"visattn.training needs the package {error.name!r}, which is not installed. "
            "Install the training extra: pip install 'visattn[train]'"
        ) from error


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
