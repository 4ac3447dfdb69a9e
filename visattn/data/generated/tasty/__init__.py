"""Is this buri tasty? Scenes whose answer lies far away, on the face of a diner.

Names are imported when they are first used: what draws is loaded when something is drawn.

>>> from visattn.data.generated.tasty import tasty_scenes
>>> [scene.answers for scene in tasty_scenes(4, size=64, settings=1)]
[(1,), (0,), (0,), (1,)]
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
