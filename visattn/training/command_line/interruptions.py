"""What a training needs so that nothing is lost when it is stopped, whenever that is."""

import random
from collections.abc import Mapping
from functools import partial
from types import FrameType
from typing import Any, final

import lightning as L
import numpy as np
import torch
from lightning.fabric.plugins import CheckpointIO, TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException

from visattn.basics.files import whole_stream
from visattn.data.loading.loaders import ResumableLoader

MOMENT = "visattn_moment"
"""Where a checkpoint holds what else the next step follows from."""


@final
class Moments(L.Callback):
    """Puts into checkpoints what else the next step follows from, and sets it again.

    That is the random states, the place in the epoch's data, and gradients that wait for others:
    with these a training that is resumed goes on as if it had never been stopped, bit for bit.
    """

    def __init__(self) -> None:
        self._resumed: Mapping[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write them."""
        gradients = {}
        if trainer.fit_loop._should_accumulate():
            named = pl_module.named_parameters()
            gradients = {name: p.grad for name, p in named if p.grad is not None}
        loader = trainer.train_dataloader
        data = loader.state_dict() if isinstance(loader, ResumableLoader) else None
        checkpoint[MOMENT] = {"random": random_states(), "gradients": gradients, "data": data}

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep them until the first step; let the patience count that the callback has now."""
        self._resumed = checkpoint.get(MOMENT)
        for callback in trainer.early_stopping_callbacks:
            state = checkpoint.get("callbacks", {}).get(callback.state_key)
            if state is not None:  # Lightning takes it from there, whatever was told
                state["patience"] = callback.patience

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Set them: data are loaded after this."""
        if self._resumed is None:
            return
        set_random_states(self._resumed["random"])
        # Lightning does it too, but not once a schedule has asked how long the training is.
        loader, data = trainer.train_dataloader, self._resumed["data"]
        if data is not None and isinstance(loader, ResumableLoader):
            loader.load_state_dict(data)
        for name, gradient in self._resumed["gradients"].items():
            parameter = pl_module.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)
        self._resumed = None


@final
class StoppedCheckpoint(L.Callback):
    """Writes the last checkpoint when the system ends a training with SIGTERM within an epoch.

    At the end of an epoch it is written anyway. A validation that has begun is finished first: half
    of one could not be taken up again. Several processes stop after the same step, once one of them
    is told to.

    Args:
        last: What keeps it.
    """

    def __init__(self, last: ModelCheckpoint) -> None:
        self._last = last
        self._stopped = self._signalled = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Take note of the signal among several processes: Lightning waits for them within it."""
        if stage == "fit" and trainer.world_size > 1:
            connector: Any = trainer._signal_connector
            connector._sigterm_notifier_fn = partial(self._take_note, trainer)
            self._signalled = False

    def _take_note(self, trainer: L.Trainer, signum: int, frame: FrameType | None) -> None:
        if trainer.strategy.launcher is not None and not self._signalled:
            trainer.strategy.launcher.kill(signum)  # the processes that this one started
        self._signalled = True

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any, **__: Any) -> None:
        """Agree whether to stop now."""
        if trainer.world_size > 1:
            told = trainer.strategy.reduce_boolean_decision(self._signalled, all=False)
            trainer._signal_connector.received_sigterm = told

    def on_validation_batch_end(self, trainer: L.Trainer, *_: Any, **__: Any) -> None:
        """Put the end off."""
        if trainer.state.fn == "fit" and trainer.received_sigterm and not trainer.sanity_checking:
            self._stopped, trainer._signal_connector.received_sigterm = True, False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let it come."""
        if self._stopped:
            trainer._signal_connector.received_sigterm = True

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Write it."""
        within = 0 < trainer.fit_loop.batch_idx + 1 < trainer.num_training_batches
        if isinstance(exception, SIGTERMException) and within:
            trainer.save_checkpoint(self._last.format_checkpoint_name({}), weights_only=False)


@final
class WholeCheckpointIO(CheckpointIO):
    """Writes checkpoints beside their place first, so that a broken one never takes it.

    Lightning's own are written to the system's folder for temporary files; where that is another
    disk, moving them is not done at once.
    """

    def __init__(self) -> None:
        self._inner = TorchCheckpointIO()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint that is whole or not there."""
        if "://" in str(path):
            self._inner.save_checkpoint(checkpoint, path, storage_options)
            return
        with whole_stream(path) as stream:
            torch.save(checkpoint, stream)

    def load_checkpoint(self, *args: Any, **options: Any) -> dict[str, Any]:
        """As Lightning's."""
        return self._inner.load_checkpoint(*args, **options)

    def remove_checkpoint(self, path: Any) -> None:
        """As Lightning's."""
        self._inner.remove_checkpoint(path)


def write_whole_checkpoints(trainer: L.Trainer) -> None:
    """Let a trainer write its checkpoints whole or not at all, if it writes them as files."""
    strategy = trainer.strategy
    plain = type(strategy) in (DDPStrategy, SingleDeviceStrategy)
    if plain and type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = WholeCheckpointIO()


def random_states() -> dict[str, Any]:
    """The states of the generators of Python, NumPy and PyTorch, as plain values and tensors."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.as_tensor(np.asarray(keys, np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Set the generators to earlier `random_states`.

    Example:
        >>> before = random_states()
        >>> drawn = random.random(), np.random.rand(), torch.rand(())
        >>> set_random_states(before)
        >>> (random.random(), np.random.rand(), torch.rand(())) == drawn
        True
    """
    random.setstate(states["python"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"].cpu())
    if len(states["cuda"]) == torch.cuda.device_count():
        for device, state in enumerate(states["cuda"]):
            torch.cuda.set_rng_state(state.cpu(), device)
