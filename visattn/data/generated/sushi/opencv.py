"""OpenCV on demand: it comes with the extra ``visattn[train]``, not with ``visattn`` alone."""

from types import ModuleType


def opencv() -> ModuleType:
    """Return the module ``cv2``.

    Raises:
        ImportError: if OpenCV is missing; the message names the extra that brings it.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "Rendering sushi scenes needs OpenCV, which is not installed. "
            "It comes with the training extra: pip install 'visattn[train]'"
        ) from error
    module: ModuleType = cv2
    return module
