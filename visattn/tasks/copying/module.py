"""The copying task, trained by Lightning."""

import time
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.sequence.copying import CopierName, build_copier
from visattn.tasks.sequence_module import SequenceModule
from visattn.tasks.split_data import Batch
from visattn.tasks.split_means import Reductions


@final
class CopyingModule(SequenceModule):
    """One of four kinds of network on the copying task.

    Logged are ``train/loss``, ``val/symbols`` (share of the symbols that are right) and on the test
    split ``symbols``, ``exact`` (share of sequences that are), ``path`` (layers or steps between a
    symbol and its copy) and ``milliseconds`` that a batch takes forwards: the median over the
    batches, after one pass that isn't timed.

    Args:
        kind: ``"feed_forward"``, ``"convolution"``, ``"recurrence"`` or ``"attention"``.
        length: How many symbols there are; on the command line it comes from the data.
        symbols: How many different ones; likewise.
        channels: Width.
        kernel_size: Of the convolutions; 5 if None.
        layers: Number of convolutions; if None, as many as reach from symbol to copy.
        learning_rate: Its highest value.
        weight_decay: On matrices only.
        warmup: Share of the training in which the learning rate rises.

    Example:
        >>> CopyingModule("attention", length=5, symbols=3).model.path
        1
    """

    validated = "symbols"
    reductions: ClassVar[Reductions] = {"milliseconds": lambda found: found.quantile(0.5)}

    def __init__(
        self,
        kind: CopierName = "attention",
        *,
        length: int,
        symbols: int,
        channels: int = 64,
        kernel_size: int | None = None,
        layers: int | None = None,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup)
        self.save_hyperparameters()
        self.model = build_copier(
            kind,
            symbols=symbols,
            length=length,
            channels=channels,
            kernel_size=kernel_size,
            layers=layers,
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of the symbols."""
        logits = self.model(batch["given"])
        loss = F.cross_entropy(logits.flatten(0, 1), batch["target"].flatten())
        return self.logged(loss, count=len(logits))

    def right(self, batch: Batch) -> Tensor:
        """Which symbols are right."""
        found: Tensor = self.model(batch["given"]).argmax(-1)
        return found == batch["target"]

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Symbols, sequences, path and time."""
        if self.tests.empty:
            self.model(batch["given"])
        found, milliseconds = _timed(self.model, batch["given"])
        right = found == batch["target"]
        return {
            "symbols": right,
            "exact": right.all(1),
            "path": torch.tensor([self.model.path]),
            "milliseconds": torch.tensor([milliseconds]),
        }


def _timed(model: nn.Module, given: Tensor) -> tuple[Tensor, float]:
    """Symbols (N, length) that a model says, and the milliseconds that it took."""
    _finish(given)
    begun = time.perf_counter()
    found: Tensor = model(given).argmax(-1)
    _finish(found)
    return found, 1000 * (time.perf_counter() - begun)


def _finish(tensor: Tensor) -> None:
    """Wait for a GPU, which works on after a call has returned."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
