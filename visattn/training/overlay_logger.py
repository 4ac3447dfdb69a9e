"""Overlays of the same images while a network trains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.seed import isolate_rng
from matplotlib.figure import Figure
from torch import Tensor

from visattn.basics.modes import evaluating
from visattn.pictures import frames, grid, save, training_frames
from visattn.recording.network_maps import GRAD_CAM, maps_of
from visattn.training.checks import check_in
from visattn.training.data_facts import data_facts

_DPI = 120


@final
@dataclass(kw_only=True, eq=False)
class OverlayLogger(Callback):
    """Draws what a network marks in the same validation images, every few epochs.

    In the run's folder it leaves ``overlays/epoch_0000.png`` (before the training),
    ``epoch_0001.png`` and so on, and at the end ``training.gif``, in which a colour means the same
    value in all frames. A logger that takes images (TensorBoard's, Weights & Biases', MLflow's)
    gets them too. The first process alone draws. The training is not
    touched: its weights and random numbers are the same with and without.

    From YAML::

        trainer:
          callbacks:
            - class_path: visattn.training.overlay_logger.OverlayLogger
              init_args:
                every_n_epochs: 2

    Args:
        every_n_epochs: Draw after so many epochs, and after the last.
        images: How many images.
        layers: Sites or globs, ``"gradcam"`` or ``"gradcam:LAYER"``; all sites that say something
            of places if None, and Grad-CAM for a network that has none.
        seed: Which images of the validation split.
        normalise: As for `visattn.pictures.grid`; if None, gates and masks in [0, 1] are drawn as
            they are, and anything else each over its own range. The sheet says which.
        alpha: Opacity of the maps' colours where they are highest, in [0, 1]; they fade below.
        folder: Inside of the run's folder.
        gif: Whether to write the GIF.
        seconds: How long a frame of it stays.

    Raises:
        ValueError: If a number is out of its range; at the start of the training, if there is
            nothing to draw or nothing to draw it on.

    Example:
        >>> trainer = L.Trainer(callbacks=[OverlayLogger(every_n_epochs=5)], logger=False)
    """

    every_n_epochs: int = 1
    images: int = 6
    layers: list[str] | None = None
    seed: int = 0
    normalise: Literal["image", "layer", "global", "none"] | None = None
    alpha: float = 0.7
    folder: str = "overlays"
    gif: bool = True
    seconds: float = 0.5

    def __post_init__(self) -> None:
        check_in("[1, inf)", every_n_epochs=self.every_n_epochs, images=self.images)
        check_in("[0, 1]", alpha=self.alpha)
        check_in("[0.02, 600]", seconds=self.seconds)
        self._batch: Tensor | None = None
        self._captions: list[str] = []
        self._statistics: dict[str, Any] = {}
        self._history: dict[str, Mapping[str, Tensor]] = {}
        self._drawn_as: Any = self.normalise
        self._drawn = -1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Choose the images, and draw them once before the training."""
        self._history, self._drawn, self._drawn_as = {}, -1, self.normalise
        if trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            with isolate_rng():
                self._choose(trainer)
            self._draw(trainer, pl_module, epoch=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw after every n-th epoch."""
        done = trainer.current_epoch + 1
        if self._batch is not None and done % self.every_n_epochs == 0:
            self._draw(trainer, pl_module, epoch=done)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw after the last epoch, and write the GIF."""
        if self._batch is None:
            return
        if self._drawn < trainer.current_epoch:
            self._draw(trainer, pl_module, epoch=trainer.current_epoch)
        if self.gif:
            save(self._frames(), self._folder(trainer) / "training.gif", seconds=self.seconds)
        self._batch, self._history = None, {}

    def _choose(self, trainer: L.Trainer) -> None:
        """Take seeded random images of the (first) validation split."""
        loaders = trainer.val_dataloaders
        loader = loaders[0] if isinstance(loaders, Sequence) and loaders else loaders
        dataset = getattr(loader, "dataset", None)
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ValueError(
                "OverlayLogger draws images of the validation split, and there is none with rows:"
                " give one to the trainer, or leave the callback out"
            )
        generator = torch.Generator().manual_seed(self.seed)
        rows = torch.randperm(len(dataset), generator=generator)[: self.images].tolist()  # type: ignore[arg-type]
        items = [dataset[row] for row in rows]  # type: ignore[index]
        images = [_image(item) for item in items]
        if len({image.shape for image in images}) > 1:
            raise ValueError("OverlayLogger needs validation images of one size")
        self._batch = torch.stack(images)
        facts = data_facts(getattr(trainer, "datamodule", None))
        names = facts.get("class_names")
        labels = [item.get("label") if isinstance(item, Mapping) else None for item in items]
        self._captions = [
            names[int(label)] if names and label is not None and int(label) >= 0 else f"row {row}"
            for row, label in zip(rows, labels, strict=True)
        ]
        self._statistics = {key: facts[key] for key in ("mean", "std") if key in facts}

    def _draw(self, trainer: L.Trainer, pl_module: L.LightningModule, *, epoch: int) -> None:
        """One sheet, to a file and to the loggers."""
        if self._batch is None:
            return
        with evaluating(pl_module), isolate_rng(), torch.inference_mode(False):
            images = self._batch.to(pl_module.device)
            found = maps_of(pl_module, images, layers=self.layers, otherwise=GRAD_CAM)
        maps = {_short(name): heat for name, heat in found.maps.items()}
        if self.normalise is None and self._drawn_as != "image":  # which then stays
            self._drawn_as = found.normalise
        title = f"epoch {epoch}"
        self._history[title], self._drawn = maps, epoch
        figure = self._sheet(maps, title=title)
        save(figure, self._folder(trainer) / f"epoch_{epoch:04d}.png", dpi=_DPI)
        self._log(trainer, figure)

    def _sheet(self, maps: Mapping[str, Tensor], *, title: str) -> Figure:
        return grid(
            self._batch,
            maps,
            captions=self._captions,
            title=title,
            normalise=self._drawn_as,
            alpha=self.alpha,
            fading=True,
            **self._statistics,
        )

    def _frames(self) -> Any:
        """The maps of all epochs, over ranges common to all frames."""
        return training_frames(
            self._batch,
            self._history,
            captions=self._captions,
            normalise="none" if self._drawn_as == "none" else "layer",
            alpha=self.alpha,
            fading=True,
            dpi=_DPI,
            **self._statistics,
        )

    def _folder(self, trainer: L.Trainer) -> Path:
        return Path(trainer.log_dir or trainer.default_root_dir) / self.folder

    def _log(self, trainer: L.Trainer, figure: Figure) -> None:
        """Give the sheet to each logger that takes images."""

        def pixels() -> Any:
            return frames([figure], dpi=_DPI)[0]

        for logger in trainer.loggers:
            experiment: Any = getattr(logger, "experiment", None)
            step = trainer.global_step
            if hasattr(experiment, "add_image"):  # TensorBoard
                experiment.add_image(self.folder, pixels(), step, dataformats="HWC")
            elif hasattr(logger, "log_image"):  # Weights & Biases
                logger.log_image(key=self.folder, images=[pixels()], step=step)
            elif hasattr(experiment, "log_image") and hasattr(logger, "run_id"):  # MLflow
                experiment.log_image(logger.run_id, pixels(), key=self.folder, step=step)


def _image(item: Any) -> Tensor:
    """The image of a data set's item: under ``image`` of a mapping, or first of a tuple."""
    found = item.get("image") if isinstance(item, Mapping) else item
    if isinstance(found, Sequence) and found:
        found = found[0]
    if not isinstance(found, Tensor) or found.ndim != 3:
        raise ValueError(
            "OverlayLogger needs items with an image (3, H, W), under 'image' of a mapping or first"
            f" of a tuple, not {type(item).__name__}"
        )
    return found


def _short(name: str) -> str:
    """A name without the module in which a LightningModule keeps its network."""
    return name.removeprefix("model.").replace(", model.", ", ")
