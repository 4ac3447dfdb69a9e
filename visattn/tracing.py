"""What a model does with an image: its maps, residual blocks, stages and stem.

One forward pass over fake tensors, which computes and allocates nothing. Residual blocks are told
by the additions that really happen, not by the names of classes.
"""

import copy
import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Residual:
    """A residual block: where it is, its branch's last module, its stage, its output's shape."""

    path: str
    branch: str
    stage: int
    shape: tuple[int, ...]
    branch_shape: tuple[int, ...]


@dataclass
class Trace:
    """What one forward pass of a model showed.

    Attributes:
        outputs: Shape of each module's output, by path, for outputs that are maps (N, C, H, W),
            in order of first completion.
        residuals: The residual blocks in order.
        image: The first module that takes the image, and the image's shape; None if none does.
        stem: The last module before the first residual block, and its output's shape.
        sequences: Paths of the ``nn.Sequential`` modules with their children's names.
    """

    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    residuals: list[Residual] = field(default_factory=list)
    image: tuple[str, tuple[int, ...]] | None = None
    stem: tuple[str, tuple[int, ...]] | None = None
    sequences: dict[str, list[str]] = field(default_factory=dict)

    def last_of(self, path: str) -> str:
        """The module itself, or the last child of a sequence, whose output is the same."""
        while self.sequences.get(path):
            path = f"{path}.{self.sequences[path][-1]}"
        return path

    def stage_of(self, path: str) -> int | None:
        """The stage that a path lies in or is; None outside of the stages."""
        for residual in self.residuals:
            container = residual.path.rpartition(".")[0]
            if path == container or f"{path}.".startswith(f"{residual.path}."):
                return residual.stage
        return None


def model_from_name(name: str) -> nn.Module:
    """A timm model with fresh weights.

    Raises:
        ValueError: timm has none of that name; the message has the nearest names.
    """
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"timm has no model {name!r}.{hint} Give a timm name, or a model of your own as a"
            " module or a function that builds it."
        )
    return timm.create_model(name)


def default_input_size(model: nn.Module) -> tuple[int, int, int]:
    """(C, H, W) that timm names for the model, or (3, 224, 224)."""
    settings = getattr(model, "pretrained_cfg", None) or {}
    channels, height, width = settings.get("input_size", (3, 224, 224))
    return getattr(model, "in_chans", channels), height, width


def trace(model: nn.Module, *, input_size: tuple[int, int, int] | None = None) -> Trace:
    """Run a fake copy of the model once and note what happens; the model itself isn't touched.

    Args:
        model: Takes one batch of images (N, C, H, W).
        input_size: (C, H, W); see `default_input_size`.

    Raises:
        ValueError: The model can't be run on an image of that size.
    """
    size = input_size or default_input_size(model)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        double = _fake_copy(model, fake)
        reference = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        image = torch.empty(1, *size, device=reference.device, dtype=reference.dtype)
        observer = _Observer(double, image)
        try:
            with observer.watching(), observer:
                double(image)
        except Exception as error:
            raise ValueError(
                f"{type(model).__name__} could not be run on fake images of size {tuple(size)}:"
                f" {error}. Give the size that it expects as input_size=(C, H, W)."
            ) from error
    return observer.trace()


def _fake_copy(model: nn.Module, fake: FakeTensorMode) -> nn.Module:
    """A copy in evaluation mode whose parameters and buffers are fakes: no memory, no data."""
    tensors = [*model.parameters(), *model.buffers()]
    memo: dict[int, Any] = {id(tensor): fake.from_tensor(tensor) for tensor in tensors}
    return copy.deepcopy(model, memo).eval()


@dataclass(frozen=True)
class _Sum:
    """An addition of two maps inside the module at ``path``."""

    path: str
    branch: str
    shape: tuple[int, ...]
    inputs: list[str]


class _Observer(TorchFunctionMode):
    """Follows each tensor: which modules gave it, and how many convolutions lie behind it."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.model = model
        self.image = image
        self.paths = {module: path for path, module in model.named_modules()}
        self.stack: list[str] = []
        self.depth: dict[int, int] = {id(image): 0}
        self.producers: dict[int, list[str]] = {}
        self.alive: list[Any] = [image]
        self.outputs: dict[str, tuple[int, ...]] = {}
        self.entries: dict[str, list[str]] = {}
        self.first_taker: str | None = None
        self.sums: list[_Sum] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        operands = [arg for arg in args if isinstance(arg, Tensor)]
        if name in _ADDITIONS and len(operands) == 2:
            self._note_sum(operands)
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            behind = max((self.depth.get(id(arg), 0) for arg in _tensors(args)), default=0)
            self.depth[id(result)] = behind + (name in _CONVOLUTIONS)
            self.producers.pop(id(result), None)
            self.alive.append(result)
        return result

    def _note_sum(self, operands: list[Tensor]) -> None:
        """Remember an addition of two maps, one of which at least a module gave."""
        if any(operand.ndim != 4 for operand in operands):
            return
        if operands[0].shape[1] != operands[1].shape[1]:
            return
        deepest = max(operands, key=lambda operand: self.depth.get(id(operand), 0))
        branch = self._innermost(deepest)
        if branch is not None and self.stack:
            inputs = self.entries.get(self.stack[-1], [])
            self.sums.append(_Sum(self.stack[-1], branch, tuple(deepest.shape), inputs))

    def _innermost(self, tensor: Tensor) -> str | None:
        """The module that gave a tensor; parts that pass it on unchanged count as their parent."""
        givers = self.producers.get(id(tensor), [])
        if not givers:
            return None
        path = givers[0]
        while (parent := path.rpartition(".")[0]) in givers and not isinstance(
            self.model.get_submodule(parent), nn.Sequential
        ):
            path = parent
        return path

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks on all modules, removed at the end."""
        handles = []
        for module in self.paths:
            handles.append(module.register_forward_pre_hook(self._enter))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        path = self.paths[module]
        self.stack.append(path)
        if args and isinstance(args[0], Tensor):
            self.entries.setdefault(path, list(self.producers.get(id(args[0]), [])))
            if path and args[0] is self.image and self.first_taker is None:
                self.first_taker = path

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        path = self.stack.pop()
        if isinstance(output, Tensor):
            self.producers.setdefault(id(output), []).append(path)
            self.alive.append(output)
            if path and output.ndim == 4:
                self.outputs.setdefault(path, tuple(output.shape))

    def trace(self) -> Trace:
        """What was seen, put in order."""
        residuals: dict[str, Residual] = {}
        stages: dict[str, int] = {}
        for total in self.sums:
            shape = self.outputs.get(total.path)
            if shape is None or not total.branch.startswith(f"{total.path}."):
                continue
            stage = stages.setdefault(total.path.rpartition(".")[0], len(stages) + 1)
            found = Residual(total.path, total.branch, stage, shape, total.shape)
            previous = residuals.get(total.path)
            residuals[total.path] = replace(previous or found, branch=found.branch)
        first = self.sums[0] if residuals else None
        stem = (
            next((p for p in reversed(first.inputs) if p in self.outputs), None) if first else None
        )
        return Trace(
            outputs=self.outputs,
            residuals=list(residuals.values()),
            image=(self.first_taker, tuple(self.image.shape)) if self.first_taker else None,
            stem=(stem, self.outputs[stem]) if stem else None,
            sequences={
                path: [name for name, _ in module.named_children()]
                for module, path in self.paths.items()
                if type(module) is nn.Sequential
            },
        )


_ADDITIONS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
_CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "linear"}


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among arguments, inside lists and tuples too."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)
