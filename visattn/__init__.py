"""Attention for computer vision: put it into any CNN, train with it, see where it looks.

Nothing here imports torch until a name is used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import lazy_loader

from visattn.basics.docstrings import keep_docstrings
from visattn.moved import serve_old_names

_of_this_room, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_ROOMS = (
    *("attention", "auditing", "blocks", "data", "exporting", "metrics", "pictures", "recording"),
    *("sequence", "testing", "training"),
)
"""Packages with public names, which are attributes without being imported first."""


def __getattr__(name: str) -> Any:
    return import_module(f"visattn.{name}") if name in _ROOMS else _of_this_room(name)


try:
    __version__ = version("visattn")
except PackageNotFoundError:  # from its source, or packed into a program
    __version__ = "0+source"

keep_docstrings()
serve_old_names()
