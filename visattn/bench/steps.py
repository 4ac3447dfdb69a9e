"""A forward pass and a training step, and what they hold."""

import gc
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler tells of GPUs that aren't there

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from visattn.wrapping.passes import tensors_in


@dataclass
class Stepper:
    """Runs a module.

    Args:
        module: In evaluation mode for the forward pass, in training mode for the step.
        x: What it takes; a map whose gradient is asked for requires it.
        dtype: Of automatic mixed precision; None for none.
        context: Within which it runs.
    """

    module: nn.Module
    x: Tensor
    dtype: torch.dtype | None = None
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    _training: bool | None = None
    _optimiser: torch.optim.Optimizer | None = None
    _gradients: list[Tensor] = field(default_factory=list)

    def forward(self) -> None:
        """One pass in inference mode."""
        self._set(training=False)
        with torch.inference_mode():
            self._given()

    def step(self) -> None:
        """Forward, backward, and SGD with momentum and weight decay over all parameters."""
        self._set(training=True)
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        if self._optimiser is None and parameters:
            self._optimiser = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9, weight_decay=1e-4)
        self.x.grad = None
        if self._optimiser:
            self._optimiser.zero_grad(set_to_none=True)
        self._backward(self._outputs())
        if self._optimiser:
            self._optimiser.step()

    def kept_bytes(self) -> int:
        """Bytes that are held for the backward pass alone, the input among them if it is kept."""
        self._set(training=True)
        self._outputs()
        return kept_bytes(lambda: self._outputs(self.x.clone()), device=self.x.device)

    def peak_bytes(self) -> int:
        """Bytes at the peak of a training step above what is there without gradients."""
        self.step()
        self.x.grad = None
        self.module.zero_grad(set_to_none=True)
        return peak_bytes(self.step, device=self.x.device)

    def _set(self, *, training: bool) -> None:
        """The mode of the module, once: going through its parts takes as long as a small map."""
        if self._training is not training:
            self.module.train(training)
            self._training = training

    def _given(self, x: Tensor | None = None) -> Any:
        lower = self.dtype is not None
        mixed = torch.autocast(self.x.device.type, dtype=self.dtype) if lower else nullcontext()
        with self.context(), mixed:
            return self.module(self.x if x is None else x)

    def _outputs(self, x: Tensor | None = None) -> list[Tensor]:
        return [t for t in tensors_in([self._given(x)]) if t.is_floating_point()]

    def _backward(self, outputs: Sequence[Tensor]) -> None:
        """From a gradient that is there already, so that no loss is measured."""
        outputs = [output for output in outputs if output.requires_grad]
        if not self._gradients:
            self._gradients = [torch.full_like(output, 1e-3) for output in outputs]
        torch.autograd.backward(outputs, self._gradients)


def kept_bytes(run: Callable[[], object], *, device: torch.device) -> int:
    """Bytes that a run leaves for the backward pass alone, as PyTorch's allocator counts them.

    What was there before isn't counted, such as parameters; nor are outputs that nobody keeps.

    Args:
        run: Gives outputs, one or more tensors; it must have run before, so that nothing is made
            for good.
        device: Where.

    Example:
        >>> x = torch.ones(10, requires_grad=True)
        >>> kept_bytes(lambda: x.exp(), device=x.device)
        40
    """
    graph: list[Any] = []

    def forward() -> None:
        graph.extend(output.grad_fn for output in tensors_in([run()]))
        gc.collect()

    gc.freeze()  # what is garbage already would count as given back
    try:
        return _held(forward, device=device)[1]
    finally:
        gc.unfreeze()


def peak_bytes(run: Callable[[], object], *, device: torch.device) -> int:
    """Bytes that a run holds at its peak above those before it, as PyTorch's allocator counts them.

    What libraries take past that allocator isn't seen.

    Example:
        >>> peak_bytes(lambda: torch.ones(1000), device=torch.device("cpu"))
        4000
    """
    return _held(run, device=device)[0]


def _held(run: Callable[[], object], *, device: torch.device) -> tuple[int, int]:
    """Bytes above those before, at the peak of a run and at its end."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        found = torch.cuda.max_memory_allocated(device), torch.cuda.memory_allocated(device)
        return found[0] - before, found[1] - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    assert seen.profiler is not None
    assert seen.profiler.kineto_results is not None
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak, held
