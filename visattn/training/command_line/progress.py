"""Progress of a training: a bar in a terminal, a line an epoch in a file."""

import sys
import time
from typing import final

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar
from rich.console import Console


def progress_callback() -> L.Callback:
    """A bar where someone watches, plain lines where the output goes to a file."""
    return _Bar() if sys.stdout.isatty() else EpochLines()


@final
class _Bar(RichProgressBar):
    """Lightning's bar without the number of the run, which isn't measured."""

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        return items

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the means over all processes, on each of them, before the first one shows them."""
        _measured(trainer)
        super().on_train_epoch_end(trainer, pl_module)


@final
class EpochLines(L.Callback):
    """One line for each epoch: number, what was measured, seconds."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._begun = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say how much there is to do."""
        if trainer.is_global_zero:
            count = sum(p.numel() for p in pl_module.parameters() if p.requires_grad)
            self._console.print(
                f"training {count:,} parameters, {trainer.num_training_batches} batches an epoch"
            )

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._begun = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the line."""
        found = _measured(trainer)
        if not trainer.is_global_zero:
            return
        last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        measured = "  ".join(f"{name} {value:.4g}" for name, value in found)
        seconds = time.monotonic() - self._begun
        self._console.print(f"epoch {trainer.current_epoch + 1}{last}  {measured}  {seconds:.1f} s")


def _measured(trainer: L.Trainer) -> list[tuple[str, float]]:
    """What was logged, by name; all processes must ask for it, since they take means together."""
    return sorted((name, value.item()) for name, value in trainer.callback_metrics.items())
