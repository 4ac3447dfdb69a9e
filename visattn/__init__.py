"""Attention for computer vision: put it into any CNN, train with it, see where it looks.

Nothing here imports torch until a name is used.
"""

from importlib.metadata import version

import lazy_loader

from visattn.moved import serve_old_names

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("visattn")

serve_old_names()
