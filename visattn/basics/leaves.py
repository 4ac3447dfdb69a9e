"""Leaves: what ``torch.fx`` keeps as one node of a graph, and doesn't look into.

Its tracer follows a model without knowing a size, and stops where one decides. What depends on
sizes, or on training, is a leaf: it computes when the graph runs, from what it is given then.
``torch.fx.wrap`` would have to be said again in every file that imports a function.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from torch import nn
from torch.fx import Proxy, Tracer

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=type[nn.Module])


def leaf_function(function: Callable[P, R]) -> Callable[P, R]:
    """A function at the top of its file, as a leaf if an argument is being traced.

    Example:
        >>> import torch
        >>> @leaf_function
        ... def halved(x):
        ...     return x[: len(x) // 2]
        >>> torch.fx.symbolic_trace(lambda x: halved(x) + 1)(torch.arange(5))
        tensor([1, 2])
    """

    @wraps(function)
    def leaf(*args: P.args, **kwargs: P.kwargs) -> R:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Proxy):
                return cast(R, value.tracer.create_proxy("call_function", leaf, args, kwargs))
        return function(*args, **kwargs)

    return leaf


def leaf_module(kind: M) -> M:
    """A class of modules that are leaves, as those of ``torch.nn`` are.

    Example:
        >>> import torch
        >>> @leaf_module
        ... class Halved(nn.Module):
        ...     def forward(self, x):
        ...         return x[: len(x) // 2]
        >>> graph = torch.fx.symbolic_trace(nn.Sequential(Halved(), nn.ReLU()))
        >>> graph(torch.arange(5)), type(graph.get_submodule("0")).__name__
        (tensor([0, 1]), 'Halved')
    """
    usual = kind.__call__

    def __call__(self: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        for value in (*args, *kwargs.values()):
            if isinstance(value, Proxy):
                return _node(cast(Tracer, value.tracer), self, args, kwargs)
        return usual(self, *args, **kwargs)

    kind.__call__ = __call__  # type: ignore[method-assign]
    return kind


def _node(tracer: Tracer, module: nn.Module, args: Any, kwargs: Any) -> Any:
    """The call of a module in a graph."""
    path = tracer.path_of_module(module)

    def forward(*args: Any, **kwargs: Any) -> Any:
        return tracer.create_proxy("call_module", path, args, kwargs)

    return tracer.call_module(module, forward, args, kwargs)
