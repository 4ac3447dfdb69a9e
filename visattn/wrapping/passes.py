"""One pass of a model's twin: on fake tensors, or on real ones where these fail."""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import flop_counter

from visattn.wrapping.twins import Copier, shared, twin

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

    def on(self, tensor: Copier) -> "Inputs":
        """The same with other tensors."""
        return Inputs(_exchanged(self.args, tensor), _exchanged(dict(self.kwargs), tensor))

    def tensors(self) -> list[Tensor]:
        """The tensors among them."""
        return list(tensors_in([*self.args, *self.kwargs.values()]))


def run_twin(model: nn.Module, inputs: Inputs, action: Callable[[nn.Module, Inputs], T]) -> T:
    """Do something with a twin of a model and its inputs, without gradients.

    Args:
        model: It is left alone.
        inputs: Real tensors.
        action: Calls the twin. It is done on fake tensors first and, where that fails (values that
            decide, custom operations, lazy modules, scripted parts), once on real ones.

    Raises:
        Exception: What the pass on real tensors raised.
    """
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as fake, _undisturbed():
            return action(twin(model, fake.from_tensor), inputs.on(fake.from_tensor))
    except Exception as fakes:
        try:
            with _undisturbed(), torch.random.fork_rng(devices=[]):
                return action(twin(model, shared), inputs)
        except Exception as error:
            raise error from fakes


def count_multiply_adds(module: nn.Module, inputs: Inputs) -> tuple[Any, int]:
    """What a module gives, and how many multiply-adds it takes.

    Counted are convolutions, linear layers and matrix products, fused attention's too.

    Example:
        >>> given, multiply_adds = count_multiply_adds(nn.Linear(4, 8), Inputs((torch.ones(1, 4),)))
        >>> given.shape, multiply_adds
        (torch.Size([1, 8]), 32)
    """

    def counted(double: nn.Module, taken: Inputs) -> tuple[Any, int]:
        with flop_counter.FlopCounterMode(display=False, custom_mapping=_FUSED) as counter:
            given = double(*taken.args, **taken.kwargs)
        return given, counter.get_total_flops() // 2

    return run_twin(module, inputs, counted)


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


def _exchanged(value: Any, tensor: Copier) -> Any:
    if isinstance(value, Tensor):
        return tensor(value)
    if isinstance(value, (list, tuple)):
        items = (_exchanged(item, tensor) for item in value)
        return value._make(items) if hasattr(value, "_make") else type(value)(items)
    if isinstance(value, dict):
        return {key: _exchanged(item, tensor) for key, item in value.items()}
    return value


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No gradients, no inference mode, no default device; no log of an operation without a fake."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        log.disabled = before


def _fused_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Of the CPU's fused attention, which versions of PyTorch before 2.15 don't count."""
    return int(flop_counter.sdpa_flop_count(query, key, value))


_FUSED = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _fused_flops,
}
