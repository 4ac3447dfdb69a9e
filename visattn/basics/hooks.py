"""Forward hooks for a while, and models that run uncompiled for them."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, final

import torch
from torch import nn


class _Uncompiled:
    """How many contexts run uncompiled at this moment, over all threads."""

    def __init__(self) -> None:
        self.lock, self.count, self.stack = threading.Lock(), 0, ExitStack()

    def enter(self) -> None:
        with self.lock:
            self.count += 1
            if self.count == 1 and "torch._dynamo" in sys.modules:
                self.stack.enter_context(torch.compiler.set_stance("force_eager"))

    def leave(self) -> None:
        with self.lock:
            self.count -= 1
            if self.count == 0:
                self.stack.close()


_UNCOMPILED = _Uncompiled()


@contextmanager
def uncompiled() -> Iterator[None]:
    """Compiled models (``torch.compile``) run uncompiled: no hook fires in compiled code.

    Where threads overlap, until the last of them is done; then as it was before the first.

    Raises:
        RuntimeError: It is called in code that is being compiled.
    """
    if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
        raise RuntimeError(
            "record and the like put hooks on modules, which compiled code doesn't call: use them"
            " around the call of a compiled model, not inside of a function that is compiled"
        )
    _UNCOMPILED.enter()
    try:
        yield
    finally:
        _UNCOMPILED.leave()


@contextmanager
def hooked(
    hooks: Iterable[tuple[nn.Module, Callable[..., Any]]], *, before: bool = False
) -> Iterator[None]:
    """Modules with forward hooks, which are gone at the end, after an exception too.

    They see the calls of the thread that made them, and a copy of a module has none of them if the
    module leaves `ForAWhile` hooks out of its state.

    Args:
        hooks: Pairs of a module and a hook, as ``register_forward_hook`` takes it.
        before: Whether they run before the modules, as ``register_forward_pre_hook`` takes them.

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
            add = module.register_forward_pre_hook if before else module.register_forward_hook
            stack.callback(add(ForAWhile(hook)).remove)
        yield


@final
class ForAWhile:
    """A forward hook for one thread."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook, self.thread = hook, threading.get_ident()

    def __call__(self, *args: Any) -> Any:
        """What the hook gives, in its own thread."""
        return self.hook(*args) if threading.get_ident() == self.thread else None


def state_without_hooks(module: nn.Module) -> dict[str, Any]:
    """What to copy or pickle of a module: all but the hooks that are there for a while."""
    state = dict(vars(module))
    for name in ("_forward_hooks", "_forward_pre_hooks"):
        kept = {key: hook for key, hook in state[name].items() if not isinstance(hook, ForAWhile)}
        state[name] = type(state[name])(kept)
    return state
