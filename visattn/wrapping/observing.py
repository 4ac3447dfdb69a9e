"""One forward pass of a model, seen from outside: who made which tensor of what."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from visattn.blocks.attended import attended
from visattn.blocks.standing import Layout
from visattn.wrapping.passes import Inputs, run_twin, tensors_in

Like = tuple[torch.device, torch.dtype]
"""Of a tensor: where it is, and of which type."""


@dataclass(frozen=True)
class Map:
    """A map's size and the order of its axes, (N, C, H, W) or (N, H, W, C)."""

    channels: int
    height: int
    width: int
    layout: Layout = "NCHW"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


@dataclass(eq=False)
class Node:
    """One tensor of the forward pass.

    Attributes:
        index: Its number in order of creation.
        operation: The function that made it.
        parents: What it was made of.
        depth: Convolutions and linear layers on the longest way from the image.
        shape: Its shape.
        axes: The names of its axes, such as "NCHW"; "" where they aren't known.
        size: Height, width and layout of the last map on the way here.
        call: The call of a module in which it was made.
        like: Its device and type.
        makers: The modules that gave it, the innermost first.
        enlarged: Whether it is a map larger than what it was made of, or was made of such a one.
    """

    index: int
    operation: str
    parents: list["Node"]
    depth: int
    shape: tuple[int, ...]
    axes: str
    size: tuple[int, int, str]
    call: "Call | None"
    like: Like
    makers: list[str] = field(default_factory=list)
    enlarged: bool = False

    @property
    def map(self) -> Map | None:
        """Its size as a map; None if it is no map."""
        if self.axes == "NCHW":
            return Map(self.shape[1], self.shape[2], self.shape[3], "NCHW")
        if self.axes == "NHWC":
            return Map(self.shape[3], self.shape[1], self.shape[2], "NHWC")
        return None


@dataclass(eq=False)
class Call:
    """One call of a module: its path, the first tensor that it took, the one that it gave.

    A module that gives a list, tuple or mapping has ``several`` instead.
    """

    path: str
    order: int
    taken: Node | None = None
    given: Node | None = None
    several: list[Node] = field(default_factory=list)

    def given_after(self, node: Node) -> bool:
        """Whether it gave a tensor that was made after another."""
        return self.given is not None and self.given.index > node.index


@dataclass
class Observation:
    """A forward pass.

    Attributes:
        image: The tensor that the model was given.
        calls: The calls of modules in order of completion.
        joins: The additions and concatenations, in order.
        enlarged: The maps that are larger than what they were made of, in order.
        sequences: Whether a module gave a sequence of tokens (N, T, C).
    """

    image: Node
    calls: list[Call] = field(default_factory=list)
    joins: list[Node] = field(default_factory=list)
    enlarged: list[Node] = field(default_factory=list)
    sequences: bool = False


def observe(model: nn.Module, inputs: Inputs, *, prefix: str = "") -> Observation:
    """Run a twin of a model, its attention off, and note what happens.

    Args:
        model: It is left alone.
        inputs: What it is called with; the first map among them, or else the first tensor, is the
            image.
        prefix: The model's own path, where it is a part of another.
    """

    def watched(double: nn.Module, taken: Inputs) -> Observation:
        for unit in attended(double):  # its own sums and maps are not the model's
            unit.visattn.enabled = False
        observer = _Observer(double, taken.tensors(), prefix)
        with observer.watching(), observer:
            double(*taken.args, **taken.kwargs)
        return observer.seen

    return run_twin(model, inputs, watched)


class _Observer(TorchFunctionMode):
    """Follows each tensor from operation to operation and from module to module."""

    def __init__(self, model: nn.Module, given: Sequence[Tensor], prefix: str) -> None:
        super().__init__()
        self.paths = {module: path for path, module in model.named_modules(prefix=prefix)}
        self.alive: list[Any] = []
        self.nodes: dict[int, Node] = {}
        self.count = 0
        self.stack: list[Call] = []
        starts = [self._add(tensor, "image", []) for tensor in given]
        for start in starts:
            if len(start.shape) == 4:
                start.axes = "NCHW"
                start.size = (start.shape[2], start.shape[3], "NCHW")
        if not starts:
            raise ValueError("it was called with no tensor")
        image = next((start for start in starts if start.map), starts[0])
        self.batch = image.shape[0] if image.shape else 1
        self.seen = Observation(image)

    def _add(self, tensor: Tensor, operation: str, parents: list[Node]) -> Node:
        """A node for a tensor that an operation gave."""
        size = max(parents, key=lambda node: node.depth).size if parents else (0, 0, "")
        depth = max((node.depth for node in parents), default=0) + (operation in CONVOLUTIONS)
        call = self.stack[-1] if self.stack else None
        shape = tuple(tensor.shape)
        like = tensor.device, tensor.dtype
        node = Node(self.count, operation, parents, depth, shape, "", size, call, like)
        node.enlarged = any(parent.enlarged for parent in parents)
        self.count += 1
        self.nodes[id(tensor)] = node
        self.alive.append(tensor)
        return node

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [*tensors_in(args), *tensors_in(kwargs.values())]
        parents = [self.nodes[id(t)] for t in given if id(t) in self.nodes]
        result = func(*args, **kwargs)
        options = {key: value for key, value in kwargs.items() if key != "input"}
        name = getattr(func, "__name__", "")
        if name == "__setitem__":
            result, made = None, [args[0]]
        else:
            made = [t for t in tensors_in([result]) if parents]
        for tensor in made:
            node = self._add(tensor, name, parents)
            node.axes = _axes(node, self.batch, lambda x: func(x, *args[1:], **options))
            if node.map is not None:
                node.size = (node.map.height, node.map.width, node.axes)
                before = [parent.map.size for parent in parents if parent.map]
                if before and all(node.map.size > size for size in before):
                    node.enlarged = True
                    self.seen.enlarged.append(node)
            if name in ADDITIONS | CONCATENATIONS:
                self.seen.joins.append(node)
        return result

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks on all modules, removed at the end."""
        handles = []
        for module in self.paths:
            if isinstance(module, torch.jit.ScriptModule):
                continue  # it calls its parts in compiled code
            handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [self.nodes.get(id(t)) for t in [*tensors_in(args), *tensors_in(kwargs.values())]]
        known = [node for node in given if node is not None]
        first = next((node for node in known if node.map), known[0] if known else None)
        self.count += 1
        self.stack.append(Call(self.paths[module], self.count, first))

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        call = self.stack.pop()
        self.seen.calls.append(call)
        if not isinstance(output, Tensor):
            found = (self.nodes.get(id(tensor)) for tensor in tensors_in([output]))
            call.several = [node for node in found if node is not None]
            return
        node = self.nodes.get(id(output))
        if node is None:
            node = self._add(output, "module", [call.taken] if call.taken else [])
            node.axes = _axes(node, self.batch)
        node.makers.append(call.path)
        call.given = node
        self.seen.sequences |= node.operation in CONVOLUTIONS and len(node.shape) == 3


ADDITIONS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
CONCATENATIONS = {"cat", "concat", "concatenate"}
CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear"}
_TURNS = {"permute", "transpose", "transpose_", "swapaxes", "swapdims", "movedim", "moveaxis"}
_RESHAPES = {"reshape", "view", "unflatten", "reshape_as", "view_as", "fold", "flatten", "squeeze"}
_UNKNOWN = {"matmul", "__matmul__", "bmm", "einsum", "scaled_dot_product_attention", "unfold"}
_SPATIAL = {"conv2d", "conv_transpose2d", "interpolate", "batch_norm"}
_SPATIAL |= {"pixel_shuffle", "pixel_unshuffle"}
_COUNTED = (0, 1, 2, 3)  # sizes that are the numbers of their axes


def _axes(node: Node, batch: int, turned: Callable[[Tensor], Tensor] | None = None) -> str:
    """The names of a tensor's axes, from what it was made of, and how that turned others."""
    shape, name = node.shape, node.operation
    before = next((parent for parent in node.parents if parent.axes), None)
    if len(shape) != 4 or shape[0] != batch or name in _UNKNOWN:
        return ""
    if name in _SPATIAL:
        return "NCHW"
    if name in _RESHAPES or before is None:
        height, width, last = node.size
        known = {(height, width), (height // 2, width // 2)} - {(0, 0)}
        fits = [
            layout
            for layout, inner in (("NCHW", shape[2:]), ("NHWC", shape[1:3]))
            if inner in known
        ]
        return last if last in fits else fits[0] if fits else ""
    if turned and name in _TURNS:
        return "".join(before.axes[size] for size in turned(torch.empty(_COUNTED)).shape)
    return before.axes
