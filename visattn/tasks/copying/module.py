"""The copying task, trained by Lightning."""

import statistics
import time
from typing import Any, final

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric

from visattn.sequence.copying import CopierName, build_copier, copying_batch
from visattn.tasks.batched import Batch, batch_loader, check_sizes, split_sizes
from visattn.tasks.sequence_module import SequenceModule


@final
class CopyingData(L.LightningDataModule):
    """Random symbols to copy, see `visattn.sequence.copying`.

    Args:
        length: How many symbols there are to copy.
        symbols: How many different ones.
        train: Sequences to train on.
        val: Sequences to validate on.
        test: Sequences to test on.
        batch_size: Sequences a batch.
        seed: Of the sequences.

    Example:
        >>> sorted(next(iter(CopyingData(train=64, val=64, test=64).val_dataloader())))
        ['given', 'target']
    """

    def __init__(
        self,
        *,
        length: int = 20,
        symbols: int = 8,
        train: int = 64000,
        val: int = 640,
        test: int = 1280,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sizes = split_sizes(train=train, val=val, test=test, batch_size=batch_size, seed=seed)
        check_sizes(length=(length, 1), symbols=(symbols, 1))
        self.length, self.symbols = length, symbols
        self.batch_size = batch_size
        self.seed = seed

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches in a new order each epoch."""
        return batch_loader(self._batches("train"), shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation split."""
        return batch_loader(self._batches("val"))

    def test_dataloader(self) -> DataLoader[Any]:
        """The test split."""
        return batch_loader(self._batches("test"))

    def _batches(self, split: str) -> list[Batch]:
        number = 3 * self.seed + list(self.sizes).index(split)
        given, target = copying_batch(
            self.sizes[split],
            length=self.length,
            symbols=self.symbols,
            generator=torch.Generator().manual_seed(number),
        )
        pairs = zip(given.split(self.batch_size), target.split(self.batch_size), strict=True)
        return [{"given": first, "target": second} for first, second in pairs]


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
        self.val_symbols = MeanMetric()
        self._milliseconds: list[float] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of the symbols."""
        logits = self.model(batch["given"])
        loss = F.cross_entropy(logits.flatten(0, 1), batch["target"].flatten())
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(logits))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Share of the symbols that are right."""
        found = self.model(batch["given"]).argmax(-1)
        self.val_symbols((found == batch["target"]).float())
        self.log("val/symbols", self.val_symbols, on_epoch=True, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Symbols, sequences, path and time."""
        if batch_idx == 0:
            self.model(batch["given"])
            self._milliseconds = []
        found, spent = _timed(self.model, batch["given"])
        self._milliseconds.append(spent)
        right = found == batch["target"]
        self.tests.add(0, "symbols", right)
        self.tests.add(0, "exact", right.all(1))
        self.tests.add(0, "path", torch.tensor([float(self.model.path)]))
        self.tests.replace(0, "milliseconds", statistics.median(self._milliseconds))


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
