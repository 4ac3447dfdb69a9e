"""The optional packages of the data modules, with an error that names the extra to install."""

import os

# albumentations asks its package index for a newer version whenever it is imported, and warns when
# it cannot. Importing this package opens no connection, unless the user asked for the check.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

try:
    import albumentations
    import cv2
    import lightning
except ImportError as error:
    raise ImportError(
        f"visattn.data needs the package {error.name!r}, which is not installed. "
        "Install the training extra: pip install 'visattn[train]'"
    ) from error

__all__ = ["albumentations", "cv2", "lightning"]
