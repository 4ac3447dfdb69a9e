import types

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from PIL import Image, ImageSequence

from visattn.data.modules import FolderData
from visattn.training import run_command
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.overlay_logger import OverlayLogger


@pytest.fixture(autouse=True)
def _quiet():
    with quiet_lightning():
        yield


def fit(tmp_path, folder, *callbacks, epochs=2, attention=None, logger=False):
    L.seed_everything(0)
    backbone_options = {"channels": [8, 8, 16, 16]}
    model = ImageClassifier(
        "resnet10t", num_classes=2, attention=attention, backbone_options=backbone_options
    )
    data = FolderData(folder, size=32, batch_size=4, workers=0)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=logger,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, datamodule=data)
    return model


def test_sheets_and_a_gif_and_the_same_weights(tmp_path, tiny_folder):
    attention = {"block": "cbam", "stages": [3, 4]}
    plain = fit(tmp_path, tiny_folder, attention=attention)
    watched = OverlayLogger(images=3)
    model = fit(tmp_path, tiny_folder, watched, attention=attention)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert not any(module._forward_hooks for module in model.modules())
    folder = tmp_path / "overlays"
    names = ["epoch_0000.png", "epoch_0001.png", "epoch_0002.png", "training.gif"]
    assert sorted(path.name for path in folder.iterdir()) == names
    sheets = [np.asarray(Image.open(folder / name)) for name in names[:3]]
    assert sheets[0].shape == sheets[2].shape
    assert (sheets[0] != sheets[2]).any()
    with Image.open(folder / "training.gif") as gif:
        moving = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]
    assert len(moving) == 3
    assert (moving[0] != moving[2]).any()


def test_every_second_epoch_and_the_last(tmp_path, tiny_folder):
    fit(tmp_path, tiny_folder, OverlayLogger(images=1, every_n_epochs=2, gif=False), epochs=3)
    found = sorted(path.name for path in (tmp_path / "overlays").iterdir())
    assert found == ["epoch_0000.png", "epoch_0002.png", "epoch_0003.png"]


class Noting:
    """Stands for TensorBoard's writer."""

    def __init__(self):
        self.images = []

    def add_image(self, tag, pixels, step, dataformats):
        self.images.append((tag, pixels.shape, step, dataformats))


class Experiment(CSVLogger):
    """A logger whose experiment takes images."""

    writer = None

    @property
    def experiment(self):
        return self.writer or super().experiment


class TakesImages(CSVLogger):
    """A logger that takes images itself."""

    def log_image(self, key, images, step):
        self.images = [*getattr(self, "images", []), (key, images[0].shape[2], step)]


def test_loggers_that_take_images_get_them(tmp_path, tiny_folder):
    logger = TakesImages(tmp_path, name="run", version=0)
    fit(tmp_path, tiny_folder, OverlayLogger(images=1, gif=False), epochs=1, logger=logger)
    assert logger.images == [("overlays", 3, 0), ("overlays", 3, 2)]
    assert (tmp_path / "run" / "version_0" / "overlays" / "epoch_0001.png").is_file()


def test_a_client_of_mlflow_gets_them(tmp_path):
    class Client:
        def __init__(self):
            self.images = []

        def log_image(self, run_id, image, artifact_file=None, key=None, step=None):
            self.images.append((run_id, image.shape, key, step))

    class ClientLogger(Experiment):
        run_id = "run 7"

    logger = ClientLogger(tmp_path, name="run", version=0)
    logger.writer = Client()
    trainer = L.Trainer(logger=logger, enable_checkpointing=False, accelerator="cpu")
    from visattn.pictures import channel_bars

    OverlayLogger()._log(trainer, channel_bars([0.5]))
    assert logger.writer.images == [("run 7", (264, 780, 3), "overlays", 0)]


def test_a_writer_that_takes_images_gets_them(tmp_path):
    logger = Experiment(tmp_path, name="run", version=0)
    logger.writer = Noting()
    callback = OverlayLogger()
    trainer = L.Trainer(logger=logger, enable_checkpointing=False, accelerator="cpu")
    from visattn.pictures import channel_bars

    callback._log(trainer, channel_bars([0.5]))
    assert logger.writer.images == [("overlays", (264, 780, 3), 0, "HWC")]


def test_from_yaml(tmp_path, tiny_folder):
    config = tmp_path / "fit.yaml"
    config.write_text(
        f"""
name: watched
runs: {tmp_path}/runs
trainer:
  max_epochs: 1
  accelerator: cpu
  enable_progress_bar: false
  callbacks:
    - class_path: visattn.training.overlay_logger.OverlayLogger
      init_args: {{images: 2, layers: [image], seconds: 0.2}}
model:
  backbone: resnet10t
  backbone_options: {{channels: [8, 8, 16, 16]}}
  attention: {{block: spatial_mask, at: image, init: paper, width: 4, depth: 2}}
data:
  class_path: FolderData
  init_args: {{root: {tiny_folder}, size: 32, batch_size: 4, workers: 0}}
"""
    )
    run_command(["fit", "-c", str(config)])
    folder = tmp_path / "runs" / "watched" / "version_0" / "overlays"
    found = sorted(path.name for path in folder.iterdir())
    assert found == ["epoch_0000.png", "epoch_0001.png", "training.gif"]


def test_the_images_are_chosen_by_the_seed(tmp_path, tiny_folder):
    chosen = []

    class Peeking(L.Callback):
        def __init__(self, watched):
            self.watched = watched

        def on_train_epoch_start(self, trainer, pl_module):
            chosen.append(self.watched._batch.clone())

    for seed in (0, 0, 1):
        watched = OverlayLogger(images=2, seed=seed, gif=False)
        fit(tmp_path, tiny_folder, watched, Peeking(watched), epochs=1)
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs must be at least 1, got 0"),
        ({"images": 0}, "images must be at least 1"),
        ({"alpha": 2.0}, "alpha"),
        ({"seconds": 0.0}, "seconds"),
    ],
)
def test_a_wrong_setting_is_an_error(options, words):
    with pytest.raises(ValueError, match=words):
        OverlayLogger(**options)


def test_what_cannot_be_drawn_is_an_error_at_the_start(tmp_path, tiny_folder):
    without = types.SimpleNamespace(val_dataloaders=None)
    with pytest.raises(ValueError, match="images of the validation split, and there is none"):
        OverlayLogger()._choose(without)
    with pytest.raises(ValueError, match="there is no map at 'layer7'"):
        fit(tmp_path, tiny_folder, OverlayLogger(layers=["layer7"]), attention="cbam")
