"""Training with Lightning: a classifier, its objectives, the command line, the demo.

Names are imported when they are first used. Needs the extra ``visattn[train]``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visattn.training.classifier import ImageClassifier
    from visattn.training.clause_data import ClauseData
    from visattn.training.command import TaskCLI, run_command
    from visattn.training.demo import run_demo
    from visattn.training.look import draw_maps
    from visattn.training.map_scores import measure_maps
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
    from visattn.training.report_run import report_on
    from visattn.training.translation import Translator

_HOMES = {
    "AreaFocus": "objectives",
    "BoxFocus": "objectives",
    "BranchCrossEntropy": "objectives",
    "ClauseData": "clause_data",
    "CrossEntropy": "objectives",
    "EnergyInside": "objectives",
    "GroupDRO": "objectives",
    "ImageClassifier": "classifier",
    "LabelFocus": "objectives",
    "LastLayerRefit": "objectives",
    "MaskedFocus": "objectives",
    "Objective": "objectives",
    "Outcomes": "outcomes",
    "OverlayLogger": "overlay_logger",
    "Results": "outcomes",
    "RightReasons": "objectives",
    "TaskCLI": "command",
    "Translator": "translation",
    "WeightedSum": "objectives",
    "draw_maps": "look",
    "measure_maps": "map_scores",
    "report_on": "report_run",
    "run_command": "command",
    "run_demo": "demo",
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
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ImportError(
            f"visattn.training needs the package {error.name!r}, which is not installed. "
            "Install the training extra: pip install 'visattn[train]'"
        ) from error


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
