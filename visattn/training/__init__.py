"""Training with Lightning: a classifier, its losses and objectives, the command line.

Names are imported when they are first used. Needs the extra ``visattn[train]``.
"""

import importlib
from typing import Any

import lazy_loader

_of_this_room, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_MOVED = {
    "ClauseData": "visattn.tasks.translation.data",
    "Translator": "visattn.tasks.translation.module",
    "draw_maps": "visattn.commands.overlays",
    "measure_maps": "visattn.evaluation.map_scores",
    "report_on": "visattn.commands.report",
    "run_demo": "visattn.experiments.demo",
}
"""Names that were here before, and where they are now."""

_EXTRA = ("albumentations", "cv2", "lightning", "lightning_utilities", "torchmetrics")


def __getattr__(name: str) -> Any:
    try:
        if name in _MOVED:
            return getattr(importlib.import_module(_MOVED[name]), name)
        return _of_this_room(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ImportError(
            f"visattn.training needs the package {error.name!r}, which is not installed. "
            "Install the training extra: pip install 'visattn[train]'"
        ) from error
