"""Query-key-value attention: scores, weights, and the weighted mean of the values.

`attend` is all of it in one function. Around it: scores (dot, scaled dot, general, additive,
location), normalisers (softmax, argmax, sample), masks, windows for local attention, position
encodings in one and two dimensions, and heads. The pairwise functions are what image blocks use.

Conventions: ``weights[..., t, s]`` is how much target t takes from source s. A mask is boolean and
True keeps; where it keeps nothing, context and weights are 0 and gradients finite. Weights are
returned before dropout.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
