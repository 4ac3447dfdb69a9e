"""A copy of the model that learns beside it, to find out what is easily learned."""

import copy
import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.basics.modes import evaluating
from visattn.basics.processes import average, take_from_first
from visattn.training.checks import check_in


@final
class Companion:
    """A second network like the model as it is at the start, with an AdamW of its own.

    It is no part of the model, but of a checkpoint. On several processes it is one for all.

    Args:
        learning_rate: Highest one; it falls to zero along half a cosine. None for the model's, see
            `prepare`, and AdamW's usual 1e-3 where nobody tells of it.
    """

    def __init__(self, *, learning_rate: float | None) -> None:
        if learning_rate is not None:
            check_in("(0, inf)", learning_rate=learning_rate)
        self.learning_rate = learning_rate
        self._rate = 1e-3 if learning_rate is None else learning_rate
        self.network: nn.Module | None = None
        self._first: dict[str, Tensor] = {}
        self._optimizer: torch.optim.Optimizer
        self._waiting: dict[str, Any] = {}

    def prepare(self, *, learning_rate: float) -> None:
        """Take the model's learning rate, where there is none of its own."""
        if self.learning_rate is None:
            self._rate = learning_rate

    @property
    def untrained(self) -> bool:
        """Whether it has learned nothing, nor will from a checkpoint."""
        return self.network is None and not self._waiting

    def of(self, model: nn.Module) -> nn.Module:
        """The network; in the first call a copy of the model, or what a checkpoint had."""
        if self.network is None:
            self.network = copy.deepcopy(model)
            take_from_first(self.network)
            self._first = copy.deepcopy(self.network.state_dict())
            self.begin_anew()
            if self._waiting:
                self._first = self._waiting["first"]
                self.network.load_state_dict(self._waiting["network"])
                self._optimizer.load_state_dict(self._waiting["optimizer"])
                self._waiting = {}
        return self.network

    def begin_anew(self) -> None:
        """Go back to the weights of the start."""
        if self.network is not None:
            self.network.load_state_dict(self._first)
            trained = [p for p in self.network.parameters() if p.requires_grad]
            self._optimizer = torch.optim.AdamW(trained, weight_decay=0.01)

    def learn(self, loss: Tensor, *, done: float) -> None:
        """One step on a loss of its logits; ``done`` is the share of its training before it."""
        if self.network is None:
            raise RuntimeError("a companion learns after it was made from a model")
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * (1 + math.cos(math.pi * min(done, 1.0))) / 2
        self._optimizer.zero_grad()
        loss.backward()
        average(parameter.grad for parameter in self.network.parameters())
        self._optimizer.step()
        take_from_first(self.network)  # for the statistics

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Logits to learn from, with a graph, in training mode and single precision."""
        network = self.of(model).train()
        with torch.autocast(images.device.type, enabled=False):
            return network(images.float())

    def judged(self, model: nn.Module, images: Tensor) -> Tensor:
        """Probabilities (N, K) in evaluation mode, without a graph."""
        network = self.of(model)
        exact = torch.autocast(images.device.type, enabled=False)
        with torch.no_grad(), evaluating(network), exact:
            return network(images.float()).softmax(1)

    def state_dict(self) -> dict[str, Any]:
        """The network, where it began, and its optimiser; nothing before the first step."""
        if self.network is None:
            return self._waiting
        optimizer = self._optimizer.state_dict()
        return {"first": self._first, "network": self.network.state_dict(), "optimizer": optimizer}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from an earlier state with the next batch, which says where tensors belong."""
        self._waiting = dict(state)
