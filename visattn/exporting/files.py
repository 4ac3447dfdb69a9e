"""Programs in files: written, run, compared."""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from visattn.basics.files import whole_file
from visattn.exporting.programs import Dynamic, free_sizes

TOLERANCE = 1e-3
"""How far outputs of the file may be from those of the model, as a share of the largest."""


def check_format(target: Path, *, verify: bool) -> None:
    """Raise unless the suffix is known and what it needs is installed."""
    if target.suffix not in (".onnx", ".pt2"):
        raise ValueError(
            f"Expected a path that ends in .onnx or .pt2 (torch.export), got {str(target)!r}."
        )
    if target.suffix == ".onnx":
        needed = ["onnx", "onnxscript", *(["onnxruntime"] if verify else [])]
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            raise ImportError(
                f"Export to ONNX needs {' and '.join(missing)}: pip install {' '.join(needed)}"
                + (", or leave the check out (verify=False)." if "onnxruntime" in missing else ".")
            )


def write_onnx(
    program: torch.export.ExportedProgram,
    target: Path,
    outputs: Sequence[str],
    notes: Mapping[str, str],
    dynamic: Dynamic,
    opset: int | None,
) -> None:
    """One file, or one with its weights beside it where they exceed what ONNX's format takes."""
    axes = ("batch", "channels", "height", "width")
    named = {axis: axes[axis] for axis in free_sizes(dynamic)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["images"],
            output_names=list(outputs),
            dynamic_shapes=(named,) if named else None,
            opset_version=opset,
            verbose=False,
        )
    assert written is not None
    written.model.metadata_props.update(notes)
    weights = sum(t.numel() * t.element_size() for t in program.state_dict.values())
    if weights > 1.8e9:
        written.save(str(target), external_data=True)
        return
    with whole_file(target) as part:
        written.save(str(part), external_data=False)


def difference_to(target: Path, model: nn.Module, images: Tensor, outputs: Sequence[str]) -> float:
    """The largest relative difference, or a ValueError if it is too large."""
    with torch.no_grad():
        expected = model(images)
        found = run_file(target, images)
    worst = 0.0
    for name, ours, theirs in zip(outputs, found, expected, strict=True):
        scale = max(theirs.abs().max().item(), torch.finfo(torch.float32).tiny)
        share = (ours.float() - theirs.float()).abs().max().item() / scale
        if not share <= TOLERANCE:
            raise ValueError(
                f"{target} was written, but its output {name!r} differs from the model's by"
                f" {share:.1e} of the largest value on images {tuple(images.shape)}."
            )
        worst = max(worst, share)
    return worst


def run_file(target: Path, images: Tensor) -> list[Tensor]:
    """The outputs of the file."""
    if target.suffix == ".pt2":
        return list(torch.export.load(target).module()(images))
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(value) for value in session.run(None, {"images": images.numpy()})]
