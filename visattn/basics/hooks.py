"""Forward hooks for a while, and models that run uncompiled for them."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def uncompiled() -> Iterator[None]:
    """Compiled models (``torch.compile``) run uncompiled: no hook fires in compiled code."""
    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Modules with forward hooks, which are gone at the end, after an exception too.

    Args:
        hooks: Pairs of a module and a hook, as ``register_forward_hook`` takes it.

    Example:
        >>> seen = []
        >>> layer = nn.ReLU()
        >>> with hooked([(layer, lambda module, inputs, output: seen.append(output))]):
        ...     _ = layer(torch.tensor(-1.0))
        >>> seen, len(layer._forward_hooks)
        ([tensor(0.)], 0)
    """
    with ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_hook(hook).remove)
        yield
