"""A model as one file for other runtimes: ONNX or ``torch.export``, with its maps if wanted."""

import copy
import difflib
import importlib.util
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from visattn.recording import Recording, find_taps, record
from visattn.tracing import default_input_size

Dynamic = Literal["all", "batch", "none"]
TOLERANCE = 1e-3
"""How far outputs of the file may be from those of the model, as a share of the largest."""


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
    _check_format(target, verify=verify)
    free_sizes(dynamic)
    double = copy.deepcopy(getattr(model, "_orig_mod", model)).cpu().eval()
    double.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = _example(double, images, size)
    names = _names(double, example, masks)
    answering = _Answering(double, names)
    other = _other(example, dynamic)
    _check_runs(answering, other, dynamic)
    program = _program(answering, example, dynamic)
    target.parent.mkdir(parents=True, exist_ok=True)
    outputs = ("logits", *names)
    notes = {"input": "images (N, C, H, W)", **(facts or {})}
    smallest = {axis: low for axis, (low, _) in _ranges(program).items()}
    if smallest:
        notes["smallest"] = smallest
    text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in notes.items()}
    if target.suffix == ".onnx":
        _write_onnx(program, target, outputs, text, dynamic, opset)
    else:
        torch.export.save(program, target, extra_files={"visattn.json": json.dumps(text)})
    if not verify:
        return Exported(target, outputs, smallest=smallest)
    difference = _difference(target, answering, other, outputs)
    return Exported(target, outputs, difference, tuple(other.shape), smallest)


def free_sizes(dynamic: Dynamic = "all") -> dict[int, Any]:
    """What ``torch.export`` shall keep free of images (N, C, H, W): for ``dynamic_shapes``.

    Raises:
        ValueError: Unknown name.
    """
    if dynamic not in ("all", "batch", "none"):
        raise ValueError(f"dynamic must be 'all', 'batch' or 'none', got {dynamic!r}.")
    if dynamic == "none":
        return {}
    batch = {0: torch.export.Dim("batch", min=1)}
    sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    return batch if dynamic == "batch" else batch | sides


def output_maps(maps: Recording) -> dict[str, Tensor]:
    """Each recorded gate and mask by a name of its own, as a further output of a program.

    ``site.kind``; where a block has several of a kind the tap's name follows, where it ran several
    times the call's number. Queries and keys of pairwise attention are left out.
    """
    found: dict[str, Tensor] = {}
    for site, entry in maps.items():
        for tap, values in entry.values.items():
            kind = entry.kinds[tap]
            if kind == "pairwise":
                continue
            alone = list(entry.kinds.values()).count(kind) == 1
            name = f"{site}.{kind}" if alone else f"{site}.{kind}.{tap}"
            for call, value in enumerate(values):
                key = name if len(values) == 1 else f"{name}.{call}"
                found[key] = value.flatten(1) if kind == "channel" else _without_plane(value)
    return found


class _Answering(nn.Module):
    """A model that gives, with its answers, some of the maps that it computed."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if not self.names:
            return (self.model(images),)
        with record(self.model, graph=True) as maps:
            answers = self.model(images)
        found = output_maps(maps)
        return (answers, *(found[name] for name in self.names))


def _without_plane(value: Tensor) -> Tensor:
    """(N, 1, H, W) to (N, H, W); others as they are."""
    return value.squeeze(1) if value.ndim == 4 and value.shape[1] == 1 else value


def _check_format(target: Path, *, verify: bool) -> None:
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


def _names(model: nn.Module, example: Tensor, masks: bool | Sequence[str]) -> list[str]:
    """Names of the maps to give, after one run that shows which there are."""
    if masks is False or (not isinstance(masks, bool) and not masks):
        with torch.no_grad():
            answers = model(example)
        _check_answers(model, answers)
        return []
    if not list(find_taps(model)):
        raise ValueError(
            f"{type(model).__name__} has no attention block whose masks could be given. Put one in"
            " with visattn.wrap, or leave masks out."
        )
    with torch.no_grad(), record(model) as maps:
        _check_answers(model, model(example))
    known = list(output_maps(maps))
    chosen: list[str] = known if masks is True else []
    for name in [] if isinstance(masks, bool) else masks:
        fitting = [key for key in known if key == name or key.startswith(f"{name}.")]
        if not fitting:
            near = difflib.get_close_matches(name, [*known, *maps], n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(f"No mask or gate at {name!r}.{hint} There are {', '.join(known)}.")
        chosen += [key for key in fitting if key not in chosen]
    if not chosen:
        raise ValueError(
            f"The attention of {type(model).__name__} has no gate or mask to give: the weights of"
            " pairwise attention are not outputs. Leave masks out."
        )
    return chosen


def _check_answers(model: nn.Module, answers: Any) -> None:
    if not isinstance(answers, Tensor):
        raise TypeError(
            f"Expected a model that gives a tensor; {type(model).__name__} gave"
            f" {type(answers).__name__}."
        )


def _check_runs(model: nn.Module, images: Tensor, dynamic: Dynamic) -> None:
    """Raise a ValueError if the model can't take what shall be free."""
    try:
        with torch.no_grad():
            model(images)
    except Exception as error:
        raise ValueError(
            f"The model itself does not run on images {tuple(images.shape)}, and with"
            f" dynamic={dynamic!r} it would have to: {error}. Try dynamic='batch' with the size"
            " that it takes."
        ) from error


def _program(model: nn.Module, example: Tensor, dynamic: Dynamic) -> torch.export.ExportedProgram:
    """The model as a graph with what shall be free."""
    free = free_sizes(dynamic)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(model, (example,), dynamic_shapes=(free or None,))
    except Exception as error:
        smaller = {"all": "'batch' or 'none'", "batch": "'none'", "none": ""}[dynamic]
        advice = f" Try dynamic={smaller}, with the size to use." if smaller else ""
        raise ValueError(
            f"The model could not be exported with dynamic={dynamic!r}.{advice} torch.export says:"
            f" {error}"
        ) from error
    for axis, (_, high) in _ranges(program).items():
        if high is not None:
            raise ValueError(
                f"The model was traced for a {axis} of at most {high}: small images take another"
                f" way through it. Export on larger ones than {tuple(example.shape)}."
            )
    return program


def _ranges(program: torch.export.ExportedProgram) -> dict[str, tuple[int, int | None]]:
    """The smallest and, if there is one, the largest value of each free axis of the images."""
    (name,) = program.graph_signature.user_inputs
    (node,) = (node for node in program.graph.nodes if node.name == name)
    found = {}
    for axis, side in zip(
        ("batch", "channels", "height", "width"), node.meta["val"].shape, strict=True
    ):
        if isinstance(side, torch.SymInt):
            allowed = program.range_constraints[side.node.expr]
            high = int(allowed.upper) if allowed.upper.is_Integer else None
            found[axis] = int(allowed.lower), high
    return found


def _write_onnx(
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
    written.save(str(target), external_data=weights > 1.8e9)


def _other(example: Tensor, dynamic: Dynamic) -> Tensor:
    """Other images, of another batch and size where these are free."""
    count, channels, height, width = example.shape
    shape = {
        "all": (count + 1, channels, height + 32, width + 64),
        "batch": (count + 1, channels, height, width),
        "none": (count, channels, height, width),
    }[dynamic]
    return torch.rand(shape, dtype=example.dtype)


def _difference(target: Path, model: nn.Module, images: Tensor, outputs: Sequence[str]) -> float:
    """The largest relative difference, or a ValueError if it is too large."""
    with torch.no_grad():
        expected = model(images)
        found = _run(target, images)
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


def _run(target: Path, images: Tensor) -> list[Tensor]:
    """The outputs of the file."""
    if target.suffix == ".pt2":
        return list(torch.export.load(target).module()(images))
    import onnxruntime

    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(value) for value in session.run(None, {"images": images.numpy()})]
