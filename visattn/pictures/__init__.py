"""Pictures: maps to arrays and Matplotlib figures.

Every function returns what it draws and shows nothing; ``save`` writes it. No state of Matplotlib's
is read or changed beyond its own defaults, and PyTorch is not needed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
