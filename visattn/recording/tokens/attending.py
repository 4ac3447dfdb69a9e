"""Whether a module computes attention, as its code says."""

import dis
import inspect
from collections.abc import Iterable, Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

_FUSED = frozenset(("scaled_dot_product_attention", "multi_head_attention_forward"))
_PRODUCTS = frozenset(("@", "matmul", "bmm", "baddbmm", "einsum"))
_DEPTH = 3


def may_attend(modules: Iterable[nn.Module]) -> bool:
    """Whether modules, or functions that they call, have attention in their code.

    That is a fused attention, or a softmax and a product of matrices.
    """
    words: set[str] = set()
    for kind in {type(module) for module in modules}:
        for owner in kind.__mro__[: kind.__mro__.index(nn.Module)]:
            for value in vars(owner).values():
                function = inspect.unwrap(value) if callable(value) else value
                if isinstance(function, FunctionType):
                    words |= _words(function, _DEPTH)
    return bool(words & _FUSED) or ("softmax" in words and bool(words & _PRODUCTS))


@cache
def _words(function: FunctionType, depth: int) -> frozenset[str]:
    """Names in a function's code and in that of the functions of its module that it calls."""
    words: set[str] = set()
    for code in _codes(function.__code__):
        words.update(code.co_names)
        if any(i.opname == "BINARY_OP" and i.argrepr == "@" for i in dis.get_instructions(code)):
            words.add("@")
        if depth:
            for name in code.co_names:
                called: Any = function.__globals__.get(name)
                if isinstance(called, FunctionType) and not isinstance(called, ModuleType):
                    words |= _words(inspect.unwrap(called), depth - 1)
    return frozenset(words)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
