"""What whoever knows Lightning expects of its command line."""

import sys
import types

import lightning as L
import pytest
import torch
import yaml
from torch.utils.data import DataLoader, TensorDataset

from visattn.training import ImageClassifier
from visattn.training.batches import ClassificationData, as_batch, class_count
from visattn.training.command_line.quiet import quiet_lightning


def runs_of(folder, name="tiny"):
    return sorted((folder / "runs" / name).iterdir())


def test_a_checkpoint_callback_of_ones_own_goes_beside(command, tmp_path):
    """The same settings as of best.ckpt, and others, with their own names."""
    file = tmp_path / "own.yaml"
    options = [{"monitor": "val/accuracy", "mode": "max", "filename": "mine"}]
    options.append({"every_n_train_steps": 1, "save_top_k": -1, "filename": "step-{step}"})
    path = "lightning.pytorch.callbacks.ModelCheckpoint"
    callbacks = [{"class_path": path, "init_args": each} for each in options]
    file.write_text(yaml.safe_dump({"trainer": {"callbacks": callbacks}}))
    code, said = command("fit", "-c", file, "--trainer.max_epochs=2")
    assert code == 0, said
    names = {path.stem for path in (runs_of(tmp_path)[0] / "checkpoints").iterdir()}
    assert names == {"last", "best", "mine", *(f"step-step={n}" for n in range(1, 5))}
    code, said = command("fit", "-c", file, "--trainer.max_epochs=3", "--ckpt_path=best")
    assert code == 0, said


@pytest.mark.parametrize("logger", ["false", "CSVLogger", "[CSVLogger, TensorBoardLogger]"])
def test_last_finds_the_runs_of_any_logger(command, tmp_path, logger):
    names = logger.strip("[]").split(", ")
    if "TensorBoardLogger" in names:
        pytest.importorskip("tensorboard", reason="needs TensorBoard: pip install tensorboard")
    entries = [{"class_path": name, "init_args": {"save_dir": "logs"}} for name in names]
    file = tmp_path / "logger.yaml"
    given = False if logger == "false" else entries if len(names) > 1 else entries[0]
    file.write_text(yaml.safe_dump({"trainer": {"logger": given}}))
    code, said = command("fit", "-c", file)
    assert code == 0, said
    (run,) = runs_of(tmp_path)
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert (run / "config.yaml").is_file()
    assert (tmp_path / "logs").is_dir() is (logger != "false")
    code, said = command("test")
    assert code == 0
    assert f"weights of {run.relative_to(tmp_path)}" in said
    assert command("fit", "-c", file)[0] == 0  # and over nothing
    assert len(runs_of(tmp_path)) == 2


def test_default_root_dir_is_where_the_runs_are(command, tmp_path):
    where = f"--trainer.default_root_dir={tmp_path / 'there'}"
    assert command("fit", where)[0] == 0
    assert (tmp_path / "there" / "tiny" / "version_0" / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "runs").exists()
    assert command("test", where)[0] == 0
    assert command("fit", where, "--runs=others")[0] == 0
    assert (tmp_path / "others" / "tiny" / "version_0").is_dir()


def test_an_optimizer_and_a_scheduler_of_ones_own(command, tmp_path):
    file = tmp_path / "own.yaml"
    optimizer = {"class_path": "torch.optim.RMSprop", "init_args": {"lr": 0.02}}
    scheduler = {"class_path": "torch.optim.lr_scheduler.StepLR"}
    scheduler["init_args"] = {"step_size": 1, "gamma": 0.1}
    model = {"optimizer": optimizer, "lr_scheduler": scheduler}
    file.write_text(yaml.safe_dump({"model": model}))
    code, said = command("fit", "-c", file, "--trainer.max_epochs=2")
    assert code == 0, said
    saved = torch.load(runs_of(tmp_path)[0] / "checkpoints" / "last.ckpt", weights_only=True)
    (group,) = saved["optimizer_states"][0]["param_groups"]
    assert "alpha" in group
    assert group["initial_lr"] == 0.02
    assert group["lr"] == pytest.approx(0.0002)
    code, said = command("fit", "-c", file, "--trainer.max_epochs=3", "--ckpt_path=last")
    assert code == 0, said
    saved = torch.load(runs_of(tmp_path)[1] / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(2e-5)


def test_a_plateau_scheduler_watches_what_it_is_told(command, tmp_path):
    file = tmp_path / "own.yaml"
    scheduler = {"class_path": "lightning.pytorch.cli.ReduceLROnPlateau"}
    scheduler["init_args"] = {"monitor": "val/accuracy", "mode": "max", "patience": 0}
    file.write_text(yaml.safe_dump({"model": {"lr_scheduler": scheduler}}))
    code, said = command("fit", "-c", file, "--trainer.max_epochs=2")
    assert code == 0, said


def test_the_learning_rate_finder_decides(command, tmp_path):
    file = tmp_path / "finder.yaml"
    options = {"num_training_steps": 20, "min_lr": 1e-5, "early_stop_threshold": None}
    callback = {"class_path": "LearningRateFinder", "init_args": options}
    file.write_text(yaml.safe_dump({"trainer": {"callbacks": [callback]}}))
    code, said = command("fit", "-c", file, "--trainer.max_epochs=20")
    assert code == 0, said
    saved = torch.load(runs_of(tmp_path)[0] / "checkpoints" / "last.ckpt", weights_only=True)
    group = saved["optimizer_states"][0]["param_groups"][0]
    base = saved["lr_schedulers"][0]["base_lrs"][0]
    assert group["initial_lr"] == base
    assert base != 0.003  # the schedule goes from the rate that was found


class Squares(L.LightningDataModule):
    """Two classes of noise, as tuples."""

    num_classes = 2

    def __init__(self, count: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(count) % 2
        images = torch.randn(count, 3, 32, 32, generator=generator) + labels[:, None, None, None]
        self._rows = TensorDataset(images, labels)

    def train_dataloader(self):
        return DataLoader(self._rows, batch_size=4)

    def test_dataloader(self):
        return DataLoader(self._rows, batch_size=4)

    def predict_dataloader(self):
        return DataLoader(self._rows, batch_size=4)


class Three(Squares):
    """The same, which says that there are three."""

    num_classes = 3


class Unsaid(L.LightningDataModule):
    """Says nothing of its classes."""


@pytest.fixture
def own_data(monkeypatch):
    module = types.ModuleType("own_data")
    for each in (Squares, Three, Unsaid):
        own = type(each.__name__, (each,), {"__module__": "own_data", "__doc__": each.__doc__})
        setattr(module, each.__name__, own)
    monkeypatch.setitem(sys.modules, "own_data", module)
    return module


WORDS = ["--model.backbone=resnet10t", "--model.backbone_options={channels: [8, 8, 8, 16]}"]
WORDS += ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--name=tiny"]


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_a_data_module_of_ones_own(command, own_data, tmp_path):
    data = ["--data=own_data.Squares", "--data.count=12"]
    code, said = command("fit", *data, *WORDS, recipe=False)
    assert code == 0, said
    names = {path.name for path in (runs_of(tmp_path)[0] / "checkpoints").iterdir()}
    assert names == {"last.ckpt"}  # there is no validation split to be the best on
    code, said = command("test", *data, "--name=tiny", recipe=False)
    assert code == 0, said
    assert " 12 " in said
    code, said = command("test", "--data=own_data.Three", "--name=tiny", recipe=False)
    assert code == 1
    assert "was trained on 2 classes, the data have 3" in said
    code, said = command("predict", *data, "--name=tiny", recipe=False)
    assert code == 0, said
    rows = (runs_of(tmp_path)[0] / "predictions.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["path", *map(str, range(12))]


def test_a_data_module_without_what_is_needed_is_refused(command, own_data):
    code, said = command("fit", "--data=own_data.Unsaid", *WORDS, recipe=False)
    assert code == 1
    assert "Unsaid must say how many classes there are: expected an attribute num_classes" in said


def test_what_data_must_have_is_a_protocol():
    assert isinstance(Squares(), ClassificationData)
    assert not isinstance(Unsaid(), ClassificationData)
    assert class_count(Squares()) == 2
    for wrong in (0, -1, True, "2", None):
        with pytest.raises(TypeError, match="a number above 0"):
            class_count(types.SimpleNamespace(num_classes=wrong))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"picture": torch.zeros(1)}, "expected batches with image .* got picture"),
        ({"image": torch.zeros(1, 3, 2, 2)}, "label"),
        ([torch.zeros(1, 3, 2, 2)], "label"),
        ("abc", "got str"),
        (
            {
                "image": torch.zeros(1, 3, 2, 2),
                "label": torch.zeros(1),
                "mask": torch.zeros(1, 1, 2, 2),
            },
            "need index",
        ),
    ],
)
def test_batches_of_another_form_are_refused(batch, message):
    with pytest.raises(ValueError, match=message):
        as_batch(batch)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_masks_that_never_come_end_the_first_epoch():
    """Data that can't be asked before the first step."""
    from visattn.training.objectives import RightReasons

    model = ImageClassifier(
        "resnet10t",
        num_classes=2,
        backbone_options={"channels": [8, 8, 8, 16]},
        objective=RightReasons(),
    )
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    options |= {"accelerator": "cpu", "enable_model_summary": False, "log_every_n_steps": 1}
    trainer = L.Trainer(max_epochs=2, **options)
    with quiet_lightning(), pytest.raises(ValueError, match="no batch of the first epoch had one"):
        trainer.fit(model, DataLoader(Squares()._rows, batch_size=4))
    assert trainer.current_epoch == 0
