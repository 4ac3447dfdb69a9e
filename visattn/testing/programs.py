"""The promises about compiled and exported models: slow, so they are asked for one by one."""

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from visattn.exporting import export_model, free_sizes
from visattn.recording import find_taps, record
from visattn.testing.outputs import close, seeded


def check_compiles(model: nn.Module, x: Tensor, *, backend: str = "aot_eager") -> None:
    """``torch.compile`` takes the model as one graph, with the same outputs, forth and back.

    Args:
        model: A block or a wrapped model, in evaluation mode.
        x: Its input (N, C, H, W).
        backend: Of ``torch.compile``.

    Raises:
        AssertionError: The outputs differ, or the compiled model can't be recorded.

    Example:
        >>> from visattn.blocks import SE
        >>> check_compiles(SE(8).eval(), torch.randn(1, 8, 4, 4), backend="eager")
    """
    expected = seeded(model, x)
    double = copy.deepcopy(model)
    torch.compiler.reset()
    compiled = cast(nn.Module, torch.compile(double, fullgraph=True, backend=backend))
    close(seeded(compiled, x), expected, "torch.compile")
    if list(find_taps(double)):
        with record(compiled) as maps:
            close(seeded(compiled, x), expected, "a recording of a compiled model")
        assert maps, "nothing is recorded of a compiled model"


def check_exports(model: nn.Module, x: Tensor, *, others: Sequence[Tensor] | None = None) -> None:
    """``torch.export`` takes the model with free batch, height and width.

    Args:
        model: A block or a wrapped model, in evaluation mode.
        x: Its input (N, C, H, W), at least two images.
        others: Inputs to compare on; one image, and three of another size, if None.

    Raises:
        AssertionError: The outputs differ.

    Example:
        >>> check_exports(nn.Conv2d(3, 4, 1).eval(), torch.randn(2, 3, 8, 8))
    """
    if others is None:
        _, channels, height, width = x.shape
        others = [x[:1], torch.randn(3, channels, height + 11, width + 4)]
    with torch.no_grad():
        program = torch.export.export(model, (x,), dynamic_shapes=(free_sizes(),)).module()
        for other in (x, *others):
            close(program(other), model(other), f"torch.export on {tuple(other.shape)}")


def check_onnx(model: nn.Module, x: Tensor, *, masks: bool = False) -> None:
    """The model goes through ONNX, and onnxruntime gives the same on another batch and size.

    Args:
        model: A block or a wrapped model, in evaluation mode.
        x: Its input (N, C, H, W), at least two images.
        masks: With everything that can be recorded as further outputs.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is missing.
        ValueError: The outputs differ.

    Example:
        >>> from visattn.blocks import SE
        >>> check_onnx(SE(8).eval(), torch.randn(2, 8, 6, 6))
    """
    with tempfile.TemporaryDirectory() as folder:
        export_model(model, Path(folder) / "model.onnx", images=x, masks=masks)
