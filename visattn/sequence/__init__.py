"""Attention between a sentence and a sentence, or a sentence and an image.

Encoder, decoder with any attention or none, greedy decoding, and sentences that are generated with
their alignments known: nothing is downloaded, and a word is a token.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
