"""Is this buri tasty? Scenes whose answer lies far away: on the face of a diner.

>>> from visattn.data.tasty import tasty_scenes
>>> [scene.answers for scene in tasty_scenes(4, size=64, settings=1)]
[(0,), (1,), (1,), (0,)]
"""
