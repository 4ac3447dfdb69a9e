"""A model as one file: what is asked for, checked, written and compared."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.files import whole_stream
from visattn.exporting.files import check_format, difference_to, write_onnx
from visattn.exporting.map_outputs import Answering, map_names
from visattn.exporting.programs import (
    Dynamic,
    check_runs,
    free_sizes,
    other_images,
    ranges,
    to_program,
)
from visattn.wrapping.tracing import default_input_size


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The file.
        outputs: Names of the outputs, the model's answers first.
        difference: Largest difference to the model's own outputs on another batch and size, as a
            share of the largest value of each; None if it wasn't checked.
        checked: Shape of the images that it was checked on, if it was.
        smallest: The least value of each free axis of the images.
    """

    path: Path
    outputs: tuple[str, ...]
    difference: float | None = None
    checked: tuple[int, ...] | None = None
    smallest: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.path} ({self.path.stat().st_size / 1e6:.1f} MB)"]
        free = ", ".join(f"{axis} from {low}" for axis, low in self.smallest.items())
        lines.append(f"input images ({free or 'of this size only'})")
        lines.append(f"outputs {', '.join(self.outputs)}")
        if self.checked is not None:
            shape = " x ".join(map(str, self.checked))
            lines.append(f"checked on {shape}: largest relative difference {self.difference:.1e}")
        return "\n".join(lines)


def export_model(
    model: nn.Module,
    path: str | Path,
    *,
    images: Tensor | None = None,
    size: int | tuple[int, int] | None = None,
    masks: bool | Sequence[str] = False,
    dynamic: Dynamic = "all",
    opset: int | None = None,
    facts: Mapping[str, Any] | None = None,
    verify: bool = True,
) -> Exported:
    """Write a model as ONNX (``.onnx``) or as a program of ``torch.export`` (``.pt2``).

    The file is run on another batch and size and compared with the model before this returns.

    Args:
        model: From images (N, C, H, W) to a tensor; it is left alone, and exported in evaluation
            mode.
        path: The file to write; its suffix says the format.
        images: Example images, at least two; random ones of ``size`` if None.
        size: Side, or height and width, of the example; timm's own if the model names one, or 224.
        masks: True for all gates and masks as further outputs, such as ``layer4.1.spatial``; or
            the names of sites (``"layer4.1"``) or of single outputs.
        dynamic: What may differ from the example: ``"all"``, batch, height and width;
            ``"batch"``; or ``"none"``.
        opset: Of ONNX; PyTorch's default if None.
        facts: Written into the file as metadata, such as ``{"classes": [...]}``; a value that is
            no text becomes JSON.
        verify: Run the file and compare. ONNX needs onnxruntime for it.

    Returns:
        The path, the names of the outputs, and the difference.

    Raises:
        ValueError: Unknown suffix or name; the model can't be exported with what should be free;
            the file's outputs differ from the model's.
        TypeError: The model gives no tensor.
        ImportError: onnx, onnxscript or onnxruntime is missing.

    Example:
        >>> import tempfile, torchvision, visattn
        >>> model = visattn.wrap(torchvision.models.resnet18(), "cbam", stages=[4])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     done = export_model(model, f"{folder}/a.pt2", size=64, masks=["layer4.1"])
        >>> done.outputs, done.difference < 1e-5
        (('logits', 'layer4.1.channel', 'layer4.1.spatial'), True)
    """
    target = Path(path)
    check_format(target, verify=verify)
    free_sizes(dynamic)
    double = copy.deepcopy(getattr(model, "_orig_mod", model)).cpu().eval()
    double.to(memory_format=torch.contiguous_format)
    example = _example(double, images, size)
    names = map_names(double, example, masks)
    answering = Answering(double, names)
    other = other_images(example, dynamic)
    check_runs(answering, other, dynamic)
    program = to_program(answering, example, dynamic)
    target.parent.mkdir(parents=True, exist_ok=True)
    outputs = ("logits", *names)
    notes = {"input": "images (N, C, H, W)", **(facts or {})}
    smallest = {axis: low for axis, (low, _) in ranges(program).items()}
    if smallest:
        notes["smallest"] = smallest
    text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in notes.items()}
    if target.suffix == ".onnx":
        write_onnx(program, target, outputs, text, dynamic, opset)
    else:
        with whole_stream(target) as stream:
            torch.export.save(program, stream, extra_files={"visattn.json": json.dumps(text)})
    if not verify:
        return Exported(target, outputs, smallest=smallest)
    difference = difference_to(target, answering, other, outputs)
    return Exported(target, outputs, difference, tuple(other.shape), smallest)


def _example(model: nn.Module, images: Tensor | None, size: int | tuple[int, int] | None) -> Tensor:
    """The images to export on."""
    if images is not None:
        if images.ndim != 4 or len(images) < 2:
            raise ValueError(
                "Expected at least two example images (N, C, H, W): with one the exporter takes"
                f" the batch for fixed. Got {tuple(images.shape)}."
            )
        return images.detach().cpu().contiguous()
    channels, height, width = default_input_size(model)
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
    dtypes = (p.dtype for p in model.parameters() if p.is_floating_point())
    return torch.rand(2, channels, height, width, dtype=next(dtypes, torch.float32))
