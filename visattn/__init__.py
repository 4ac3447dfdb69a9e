"""Attention for computer vision: put it into any CNN, train with it, see where it looks.

Nothing here imports torch until a name is used.
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

from visattn.basics.docstrings import keep_docstrings
from visattn.moved import serve_old_names

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
try:
    __version__ = version("visattn")
except PackageNotFoundError:  # from its source, or packed into a program
    __version__ = "0+source"

keep_docstrings()
serve_old_names()
