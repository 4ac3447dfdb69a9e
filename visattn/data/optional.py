"""The optional packages of the data modules, with an error that names the extra to install.

``from visattn.data.optional import lightning`` imports lightning then, and nothing else.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import albumentations as albumentations
    import lightning as lightning

    cv2: Any  # its stubs know no array's type
    webdataset: Any

_EXTRAS = {"albumentations": "train", "cv2": "train", "lightning": "train", "webdataset": "shards"}

# albumentations asks its package index for a newer version whenever it is imported, and warns when
# it cannot. Importing this package opens no connection, unless the user asked for the check.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


def __getattr__(name: str) -> Any:
    if name not in _EXTRAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"visattn.data needs the package {error.name or name!r}, which cannot be imported "
            f"({error}). Install its extra: pip install 'visattn[{_EXTRAS[name]}]'"
        ) from error
