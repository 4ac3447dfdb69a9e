"""A model as one file for other runtimes: ONNX or ``torch.export``, with its maps if wanted."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
