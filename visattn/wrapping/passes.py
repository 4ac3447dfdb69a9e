"""One pass of a model's twin: on tensors without data, or on real ones where these fail."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from visattn.wrapping.twins import Copier, shared, twin, without_data

T = TypeVar("T")
Example = Tensor | tuple[Any, ...] | Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What a model is called with."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def image(cls, model: nn.Module, size: tuple[int, ...]) -> "Inputs":
        """One image (C, H, W), of the device and type that the model computes with."""
        like = reference_tensor(model)
        generator = torch.Generator(device="cpu").manual_seed(0)
        image = torch.rand(1, *size, generator=generator, device="cpu")
        return cls((image.to(device=like.device, dtype=like.dtype),))

    @classmethod
    def example(cls, model: nn.Module, given: Example) -> "Inputs":
        """A tensor, a tuple of arguments, or a mapping: named arguments, or the one argument.

        Raises:
            TypeError: It is none of these.
        """
        if isinstance(given, Tensor):
            return cls((given,))
        if isinstance(given, tuple):
            return cls(given)
        if not isinstance(given, Mapping):
            raise TypeError(
                "example_inputs must be a tensor, a tuple of arguments or a mapping, got"
                f" {type(given).__name__}"
            )
        try:
            inspect.signature(model.forward).bind(**given)
        except (TypeError, ValueError):
            return cls((given,))
        return cls((), given)

    def tensors(self) -> list[Tensor]:
        """The tensors among them."""
        return list(tensors_in([*self.args, *self.kwargs.values()]))


def run_twin(
    model: nn.Module,
    inputs: Inputs,
    action: Callable[[nn.Module, Inputs], T],
    *,
    every_operation: bool = False,
) -> T:
    """Do something with a twin of a model and its inputs, without gradients.

    Args:
        model: It is left alone.
        inputs: Real tensors.
        action: Calls the twin. It is done on tensors without data first and, where that fails
            (values that decide, operations that need them, lazy modules, scripted parts) or the
            model lies on several devices, none of which is without data, once on real ones.
        every_operation: Do those too whose results are known from others like them.

    Raises:
        Exception: What the pass on real tensors raised.
    """
    with torch.inference_mode(False), torch.no_grad():
        cause = None
        devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
        if len(devices) < 2 or torch.device("meta") in devices:
            try:
                with torch.device("meta"), nullcontext() if every_operation else _Memory():
                    return action(*_twins(model, inputs, without_data))
            except Exception as error:
                cause = error
        try:
            with torch.random.fork_rng(devices=[]):
                return action(*_twins(model, inputs, shared))
        except Exception as error:
            raise error from cause


def _twins(model: nn.Module, inputs: Inputs, tensor: Copier) -> tuple[nn.Module, Inputs]:
    """A model and what it is called with, none of which a pass can change."""
    double, args, kwargs = twin((model, inputs.args, dict(inputs.kwargs)), tensor)
    return double.eval(), Inputs(args, kwargs)


def count_multiply_adds(module: nn.Module, inputs: Inputs) -> tuple[Any, int]:
    """What a module gives, and how many multiply-adds it takes.

    Counted are convolutions, linear layers and matrix products, fused attention's too.

    Example:
        >>> given, multiply_adds = count_multiply_adds(nn.Linear(4, 8), Inputs((torch.ones(1, 4),)))
        >>> given.shape, multiply_adds
        (torch.Size([1, 8]), 32)
    """

    def counted(double: nn.Module, taken: Inputs) -> tuple[Any, int]:
        with FlopCounterMode(display=False) as counter:
            given = double(*taken.args, **taken.kwargs)
        return given, counter.get_total_flops() // 2

    return run_twin(module, inputs, counted, every_operation=True)


def reference_tensor(module: nn.Module) -> Tensor:
    """A tensor of the device and type that a module computes with."""
    first = (m.weight for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    found = (p for p in chain(first, module.parameters()) if p.is_floating_point())
    return next(found, torch.empty(0, device="cpu"))


def tensors_in(values: Any) -> Iterator[Tensor]:
    """The tensors among values, inside lists, tuples and mappings too."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)
        elif isinstance(value, Mapping):
            yield from tensors_in(value.values())


class _Memory(TorchFunctionMode):
    """Tensors without data: what a function gave of some, it gives of others like them.

    Half of PyTorch's functions take a millisecond to find that out anew.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        try:
            key = func, _likeness(args), _likeness(kwargs)
            known = _KNOWN.get(key)
        except TypeError:
            return func(*args, **kwargs)
        if known == _IN_PLACE:
            return args[0]
        if known is not None:
            return torch.empty_strided(*known[:2], dtype=known[2], device="meta")
        result = func(*args, **kwargs)
        if len(_KNOWN) > _MOST:
            _KNOWN.clear()
        given = [id(tensor) for tensor in tensors_in([*args, *kwargs.values()])]
        if type(result) is Tensor and result.is_meta and id(result) not in given:
            _KNOWN[key] = tuple(result.shape), result.stride(), result.dtype
        elif args and result is args[0] and key[1] == _likeness(args):
            _KNOWN[key] = _IN_PLACE
        return result


_KNOWN: dict[Any, tuple[Any, ...]] = {}
_IN_PLACE = ("its first argument, which stays as large",)
_MOST = 10_000


def _likeness(value: Any) -> Any:
    """What is alike for values of which a function gives the same shape; a TypeError for others."""
    if isinstance(value, Tensor):
        if not value.is_meta:
            raise TypeError("it has data")
        return Tensor, tuple(value.shape), value.stride(), value.dtype
    if isinstance(value, (list, tuple)):
        return type(value), *map(_likeness, value)
    if isinstance(value, dict):
        return tuple((name, _likeness(item)) for name, item in value.items())
    if value is None or isinstance(value, (bool, int, float, str, torch.dtype, torch.device)):
        return type(value), value
    raise TypeError("its likeness isn't known")
