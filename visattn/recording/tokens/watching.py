"""Finds attention among the operations of a pass, whatever module computes it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import FunctionType
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakTensorKeyDictionary

from visattn.recording.tokens.combining import combined
from visattn.recording.tokens.einstein import einstein_sum
from visattn.recording.tokens.following import followed
from visattn.recording.tokens.operations import ATTENDING, PRODUCTS, name_of
from visattn.recording.tokens.places import Places, Unknown, is_even, learned, nowhere, one_table
from visattn.recording.tokens.reading import Reading, fault_of, reading_of
from visattn.recording.tokens.scores import Scores, fused, permuted, pointwise, product

_UNPLACED = Unknown("no picture leads to it by operations that keep places")
_CHANNELS = Unknown("its weights are between channels, not between places")
_OTHER = "its softmax is of something else than products of queries and keys"


@final
class Watch(TorchFunctionMode):
    """Sees every operation of its thread, and reports what reads values by a softmax of scores.

    Args:
        names: Paths of the model's modules; None for a module whose attention is recorded
            otherwise.
        parameters: A number for each of the model's parameters, for those that are tokens.
        report: Is told the path of the module that attends, and how.
        refuse: Is told such a path, and why its attention can't be had.
        graph: Keep what is recorded in the graph.
    """

    def __init__(
        self,
        names: Mapping[nn.Module, str | None],
        parameters: Mapping[int, int],
        *,
        report: Callable[[str, Reading], None],
        refuse: Callable[[str, str], None],
        graph: bool,
    ) -> None:
        super().__init__()
        self._names = {id(module): name for module, name in names.items()}
        self._parameters = parameters
        self._report, self._refuse, self._graph = report, refuse, graph
        self._notes: Any = WeakTensorKeyDictionary()
        self._pictures: Any = WeakTensorKeyDictionary()

    def look(self, model: nn.Module, inputs: Any) -> None:
        """A hook before the model: what it is given are pictures, of whatever channels."""
        for given in tree_flatten(inputs)[0]:
            if isinstance(given, Tensor) and given.ndim == 4 and given.is_floating_point():
                self._pictures[given] = True

    def _followed(self, name: str, func: Any, args: Any, kwargs: Any, out: Any) -> Any:
        return followed(name, func, args, kwargs, out, self.places, self._pictures)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Do what is asked, and follow it."""
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            with self:
                return _OPENED(*args, **kwargs)
        out = func(*args, **kwargs)
        if not torch.jit.is_tracing():
            try:
                self._follow(name_of(func), func, args, kwargs, out)
            except Exception as error:  # a recording never ends a pass
                lost = Unknown(f"{name_of(func)} can't be followed: {error}")
                if name_of(func) in ATTENDING:
                    self._say(lost.reason)
                self._note(out, lost)
        return out

    def _follow(self, name: str, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Note what is known of an operation's output."""
        if name == "setitem":
            self._set(*args)
        elif name == "scaled_dot_product_attention":
            self._note(out, self._fused(out, *args, **kwargs))
        elif isinstance(out, (Tensor, tuple, list)):
            tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
            if any(isinstance(self._notes.get(x), Scores) for x in tensors):
                found = self._combined(name, func, args, kwargs, out)
            elif name in PRODUCTS:
                found = self._product(name, args, kwargs)
                found = found or self._followed(name, func, args, kwargs, out)
            else:
                found = self._followed(name, func, args, kwargs, out)
                if name == "softmax" and found is not None:
                    self._say(
                        found.reason if isinstance(found, Unknown) else _other(found, args, kwargs)
                    )
            self._note(out, found)

    def _note(self, out: Any, found: Any) -> None:
        if isinstance(out, Tensor):
            if found is None:
                self._notes.pop(out, None)
            else:
                self._notes[out] = found
        elif isinstance(out, (tuple, list)):
            parts = found if isinstance(found, tuple) else [found] * len(out)
            for part, note in zip(out, parts, strict=True):
                self._note(part, note)

    def _scores(self, tensor: Tensor) -> Scores | None:
        note = self._notes.get(tensor)
        return note if isinstance(note, Scores) else None

    def places(self, tensor: Tensor) -> Places | Unknown | None:
        """Where a tensor's numbers come from; None of one to which no picture leads."""
        note = self._notes.get(tensor)
        if note is None and id(tensor) in self._parameters:
            note = self._notes[tensor] = learned(tensor, number=self._parameters[id(tensor)])
        if isinstance(note, Scores):
            return Unknown("it is computed from attention weights")
        return note

    def _set(self, target: Tensor, index: Any, value: Any) -> None:
        """``target[index] = value``."""
        scores = self._scores(target)
        if scores is not None:
            self._note(target, replace(scores, lost=True))
            return
        before = self.places(target)
        given = self.places(value) if isinstance(value, Tensor) else None
        for known in (before, given):
            if isinstance(known, Unknown):
                self._note(target, known)
                return
        parts = [part for part in (before, given) if isinstance(part, Places)]
        if not parts:
            return
        ids, table = one_table(parts)
        changed = (ids[0] if before is not None else nowhere(target)).clone()
        changed[index] = 0 if given is None else ids[-1]
        self._note(target, Places(changed, table, any(part.pictured for part in parts)))

    def _product(self, name: str, args: Any, kwargs: Any) -> Any:
        """Scores, if both factors have tokens; None if one is a weight."""
        if name == "einsum":
            return self._einsum(*args)
        if kwargs:
            return None
        first, second = args[-2:] if name == "baddbmm" else args
        if name == "rmatmul":
            first, second = second, first
        found = self._pairs(first, second, self.places(first), self.places(second))
        if name == "baddbmm" and isinstance(found, Scores):
            return pointwise(
                torch.add,
                [args[0], found],
                {},
                found.shape,
                lookup=self._scores,
                graph=self._graph,
            )
        return found

    def _pairs(self, query: Tensor, key: Tensor, asking: Any, asked: Any) -> Any:
        """Scores of (..., T, D) and (..., D, S); None if there are no tokens to be paired."""
        if min(query.ndim, key.ndim) < 2:
            return None
        if isinstance(asked, Places) and not asked.pictured:
            return None
        if asked is None and asking is not None:
            return None
        if isinstance(asking, Places) and not is_even(asking.ids, -1):
            return _CHANNELS
        if isinstance(asked, Places) and not is_even(asked.ids, -2):
            return _CHANNELS if asking is not None else None
        return product(query, key, asking or _UNPLACED, asked or _UNPLACED, graph=self._graph)

    def _einsum(self, equation: Any, *tensors: Any) -> Any:
        """Scores that an Einstein sum of two factors computes."""
        sum_of = einstein_sum(equation, tensors)
        if sum_of is None:
            return None
        query, key = map(Tensor.permute, tensors, sum_of.orders)
        asking, asked = (
            places.moved(places.ids.permute(order)) if isinstance(places, Places) else places
            for places, order in zip(map(self.places, tensors), sum_of.orders, strict=True)
        )
        found = self._pairs(query, key, asking, asked)
        return permuted(found, sum_of.back) if isinstance(found, Scores) else found

    def _fused(
        self,
        out: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        """Report the weights of the fused kernel, and say where its output belongs."""
        asking, asked = self.places(query), self.places(key)
        if isinstance(asking, Places) and not is_even(asking.ids, -1):
            self._say(_CHANNELS.reason)
            return Unknown(_CHANNELS.reason)
        scores = fused(
            query,
            key,
            asking or _UNPLACED,
            asked or _UNPLACED,
            mask=attn_mask,
            causal=is_causal,
            scale=scale,
            grouped=enable_gqa,
            dropped=dropout_p > 0,
            graph=self._graph,
        )
        if enable_gqa:
            value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
        reading = Reading(scores, value, out, tuple(range(out.ndim)))
        self._tell(reading)
        return reading.places()

    def _combined(self, name: str, func: Any, args: Any, kwargs: Any, out: Any) -> Any:
        """What scores become, or where what they read belongs."""
        reading = reading_of(name, args, out, find=self._scores)
        if reading is not None:
            if reading.scores.weights:
                weights = next(x for x in args if isinstance(x, Tensor) and self._scores(x))
                fault = fault_of(self._scores(weights), weights)
                if fault is None:
                    self._tell(reading)
                else:
                    self._say(fault)
            return reading.places()
        found = combined(name, func, args, kwargs, out, find=self._scores, graph=self._graph)
        flat = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        if isinstance(found, Unknown) and any(
            s.weights for x in flat if (s := self._scores(x)) is not None
        ):
            self._say(found.reason)
        return found

    def _tell(self, reading: Reading) -> None:
        site = self._site()
        if site is not None:
            self._report(site, reading)

    def _say(self, reason: str) -> None:
        site = self._site()
        if site is not None:
            self._refuse(site, reason)

    def _site(self) -> str | None:
        """The path of the innermost module of the model that is running, by the stack of calls."""
        frame = sys._getframe(1)
        while frame is not None:
            owner = id(frame.f_locals.get("self"))
            if owner in self._names:
                return self._names[owner]
            frame = frame.f_back  # type: ignore[assignment]
        return None


def _other(places: Places, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Why a softmax of something else than scores gives no rows."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if axis is None or is_even(places.ids, axis):
        return _OTHER
    return (
        f"{_OTHER}: it sums up all places once, the same for all queries, none of which has a row"
    )


_OPENED = FunctionType(
    F.multi_head_attention_forward.__code__,
    {**vars(F), "has_torch_function": lambda tensors: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)
"""PyTorch's multi-head attention, so that its operations are seen one by one."""
