"""Sushi scenes: a procedural data set in which the plate betrays the class, unless it doesn't.

Eight kinds of sushi on twelve styles of plate and table, with exact mattes. In the biased splits
each kind stands on its own style with probability rho; the test variants show the same pieces on
other backgrounds, so the accuracy that is lost is what the classifier read from the plate. Garnish
and chopsticks lie about at random; they belong to the background.

Names are imported when they are first used: what draws is loaded when something is drawn.

>>> from visattn.data.generated.sushi import KINDS, Scene, render_scene
>>> image, matte = render_scene(Scene("buri", "black_lacquer", 1, 2), size=64)
>>> image.shape
(64, 64, 3)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
