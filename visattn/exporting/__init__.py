"""A model as one file for other runtimes: ONNX or ``torch.export``, with its maps if wanted."""

from visattn.exporting.export import Exported, export_model
from visattn.exporting.programs import Dynamic, free_sizes

__all__ = ["Dynamic", "Exported", "export_model", "free_sizes"]
