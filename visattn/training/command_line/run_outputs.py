"""What a training leaves in its run folder: logs and checkpoints."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from visattn.data.folder_data import FolderData
from visattn.data.sources import last_test
from visattn.training.command_line.interruptions import StoppedCheckpoint


def run_loggers(run: Path, *, others: list[Logger] | Logger | bool | None = None) -> list[Logger]:
    """CSV logs in a run folder, and the others; TensorBoard's beside them if none are named.

    Args:
        run: ``RUNS/NAME/version_K``.
        others: Loggers of the configuration.
    """
    where: dict[str, Any] = {"name": run.parent.name, "version": run.name}
    loggers: list[Logger] = [CSVLogger(run.parents[1], **where)]
    if others is None or isinstance(others, bool):
        with suppress(ModuleNotFoundError):
            loggers.append(TensorBoardLogger(run.parents[1], **where))
        return loggers
    return [*loggers, *_listed(others)]


def checkpoints(
    *, best: str | None, others: list[Callback] | Callback | None = None
) -> list[Callback]:
    """Keep ``last.ckpt`` after every epoch, and ``best.ckpt`` by the highest value of ``best``.

    A training that is stopped by SIGTERM writes ``last.ckpt`` at once.

    Lightning's own ``save_last`` writes only when a best one is written, too.

    Args:
        best: What is logged of the validation split; None without one.
        others: Callbacks of the configuration; a `ModelCheckpoint` among them goes on beside these.
    """
    common: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    options: list[dict[str, Any]] = [{"filename": "last"}]
    if best is not None:
        options.insert(0, {"filename": "best", "monitor": best, "mode": "max"})
    taken = {callback.state_key for callback in _listed(others)}
    own: list[ModelCheckpoint] = [ModelCheckpoint(**common, **each) for each in options]
    if any(callback.state_key in taken for callback in own):
        own = [_RunCheckpoint(**common, **each) for each in options]
    return [*own, StoppedCheckpoint(own[-1])]


def next_command(data: object, checkpoints: Path) -> str | None:
    """After the training on a folder of one's own: the command that audits it."""
    found = [path for name in ("best", "last") if (path := checkpoints / f"{name}.ckpt").is_file()]
    if not isinstance(data, FolderData) or not found:
        return None
    tests = [split for split in data.splits if split.startswith("test")]
    if not tests:
        return None
    masked = any(item.mask_path is not None for item in data.items(last_test(tests)))
    masks = "" if masked else " --masks grabcut"
    return f"next: visattn audit --model {found[0]} --data {data.locate()}{masks}"


def validated(data: L.LightningDataModule | None) -> bool:
    """Whether data have a validation split."""
    own = getattr(type(data), "val_dataloader", None) is not L.LightningDataModule.val_dataloader
    return own and getattr(data, "val_split", "") is not None


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) else [given]


@final
class _RunCheckpoint(ModelCheckpoint):
    """The same under a name of its own, where the configuration has one of the same settings."""
