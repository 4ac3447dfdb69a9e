"""Data: folders of pictures with masks, public sets, sushi scenes, augmentation, swapping.

Names are imported when they are first used, so that importing this package costs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
