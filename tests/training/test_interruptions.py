"""Trainings that are stopped: within an epoch, by a full disk, with things that objectives keep."""

import errno
import os
import re
import signal
from itertools import product

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from lightning.pytorch.utilities.exceptions import SIGTERMException
from quick import slow_but
from torch import nn

from visattn.cli import main
from visattn.data.loading.loaders import ResumableLoader
from visattn.data.loading.samplers import DrawnOrder, EpochSampler
from visattn.data.modules import FolderData
from visattn.tasks.copying.data import CopyingData
from visattn.tasks.copying.module import CopyingModule
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.command import checkpoints
from visattn.training.command_line.interruptions import Moments, write_whole_checkpoints
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.objectives import GroupDRO, LabelFocus, LastLayerRefit, MaskedFocus

MASK = {"block": "spatial_mask", "at": "image", "init": "paper", "width": 4, "depth": 2}
MASK |= {"detach": True}
STEPS = 8  # of two epochs of four


class Tiny(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.drop(self.bn1(self.conv1(x)).relu().mean((2, 3))))


class Rows(torch.utils.data.Dataset):
    def __getitem__(self, row):
        return row


class Stop(L.Callback):
    """Sends this process SIGTERM in a step."""

    def __init__(self, step):
        self.step, self.seen = step, 0

    def on_train_batch_start(self, *_):
        self.seen += 1
        if self.seen == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(autouse=True)
def _quiet():
    with quiet_lightning():
        yield


def train(make, folder, *, stop=None, ckpt_path=None, further=(), **options):
    """The module after two epochs."""
    L.seed_everything(0, verbose=False)
    module, data = make()
    callbacks = [Moments(), *checkpoints(best=None), *(callback() for callback in further)]
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        callbacks=callbacks + ([] if stop is None else [Stop(stop)]),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    write_whole_checkpoints(trainer)
    trainer.fit(module, data, ckpt_path=ckpt_path)
    assert trainer.global_step == STEPS // options.get("accumulate_grad_batches", 1)
    return module


def classifier(root, make):
    def build():
        module = ImageClassifier(Tiny, num_classes=2, attention=MASK, objective=make())
        return module, FolderData(root, size=32, batch_size=2, workers=0, check=False)

    return build


def copying():
    data = CopyingData(train=16, val=4, test=4, batch_size=4, length=4)
    return CopyingModule(length=4, symbols=data.symbols, channels=8), data


def assert_resumes(make, tmp_path, *, stop, **options):
    """A training that stops within an epoch ends as one that does not."""
    whole = train(make, tmp_path / "whole", **options).state_dict()
    with pytest.raises(SIGTERMException):
        train(make, tmp_path / "part", stop=stop, **options)
    (path,) = (tmp_path / "part").rglob("last.ckpt")
    saved = torch.load(path, weights_only=True)
    assert saved["global_step"] == stop // options.get("accumulate_grad_batches", 1)
    rest = train(make, tmp_path / "rest", ckpt_path=path, **options).state_dict()
    for name, value in whole.items():
        assert torch.equal(value, rest[name]), name


OBJECTIVES = {
    "mask": lambda: MaskedFocus(labelled=2, warmup=0.2),
    "labels": lambda: LabelFocus(start=0.6, labelled=2, share=0.01),
    "group_dro": lambda: GroupDRO(step=0.5),
    "last_layer": lambda: LastLayerRefit(refit=0.5, balanced=4, label_smoothing=0.1),
}


@pytest.mark.parametrize(
    ("stop", "name"),
    slow_but(
        product([2, 5], OBJECTIVES),
        [(2, "mask"), (5, "labels"), (2, "group_dro"), (5, "last_layer")],
    ),
)
def test_sigterm_within_an_epoch_ends_with_a_checkpoint_to_go_on_from(
    tiny_folder, tmp_path, name, stop
):
    assert_resumes(classifier(tiny_folder, OBJECTIVES[name]), tmp_path, stop=stop)


def test_gradients_that_wait_for_others_are_kept(tiny_folder, tmp_path):
    make = classifier(tiny_folder, OBJECTIVES["mask"])
    assert_resumes(make, tmp_path, stop=3, accumulate_grad_batches=2)


def test_averaged_weights_go_on(tiny_folder, tmp_path):
    make = classifier(tiny_folder, OBJECTIVES["group_dro"])
    assert_resumes(make, tmp_path, stop=5, further=[WeightAveraging])


def test_tasks_with_an_order_from_the_generator_go_on(tmp_path):
    assert_resumes(copying, tmp_path, stop=6)


def test_the_last_epoch_is_resumed_from_where_it_ended(tiny_folder, tmp_path):
    assert_resumes(classifier(tiny_folder, OBJECTIVES["mask"]), tmp_path, stop=4)


@pytest.mark.parametrize("sampler", [EpochSampler(7, seed=3), DrawnOrder(7)])
def test_a_loader_goes_on_at_the_next_batch(sampler):
    def loader():
        return ResumableLoader(Rows(), sampler=sampler, batch_size=2, collate_fn=list)

    whole = loader()
    whole.sampler.set_epoch(4)
    batches = iter(whole)
    first = [next(batches) for _ in range(2)]
    state, rest = whole.state_dict(), list(batches)
    again = loader()
    again.sampler.set_epoch(4)
    again.load_state_dict(state)
    assert list(again) == rest
    assert len(first) + len(rest) == 4
    again.sampler.set_epoch(5)
    assert len(list(again)) == 4  # the next epoch is whole


@pytest.mark.parametrize("kind", [EpochSampler, DrawnOrder])
@pytest.mark.parametrize(
    ("count", "processes", "size", "said"),
    [(8, 1, 4, "batch_size 4 (2)"), (8, 2, 2, "processes 2 (1)"), (9, 1, 2, "rows 9 (8)")],
)
def test_an_epoch_that_was_begun_is_not_dealt_in_another_way(kind, count, processes, size, said):
    """Rows would come twice in it, or not at all."""
    begun = ResumableLoader(Rows(), sampler=kind(8), batch_size=2)
    next(iter(begun))
    sampler = kind(count, processes=processes, process=0)
    other = ResumableLoader(Rows(), sampler=sampler, batch_size=size)
    other.load_state_dict(begun.state_dict())
    if processes == 1 or kind is EpochSampler:  # else the processes ask each other
        with pytest.raises(ValueError, match=re.escape(said)):
            next(iter(other))
    begun.sampler.set_epoch(1)
    list(begun)
    sampler.set_epoch(2)
    other.load_state_dict(begun.state_dict())  # an epoch that is over can be followed by any
    if processes == 1 or kind is EpochSampler:
        assert len(list(other)) == len(other)


def test_patience_is_what_a_resumed_training_is_told(tiny_folder, tmp_path):
    make = classifier(tiny_folder, OBJECTIVES["group_dro"])
    train(make, tmp_path, further=[lambda: EarlyStopping("train/loss", patience=7)])
    (path,) = tmp_path.rglob("last.ckpt")
    told = EarlyStopping("train/loss", patience=5)
    train(make, tmp_path / "rest", ckpt_path=path, further=[lambda: told])
    assert told.patience == 5
    assert told.best_score.isfinite()  # the rest goes on


def test_a_full_disk_leaves_the_last_checkpoint(tiny_folder, tmp_path, monkeypatch, capsys):
    words = ["fit", "-c", "foreground/plain", f"--runs={tmp_path}", "--trainer.accelerator=cpu"]
    words += ["--data=FolderData", f"--data.root={tiny_folder}", "--data.size=32"]
    words += ["--data.workers=0", "--data.batch_size=4", "--trainer.max_epochs=2"]
    save, written = torch.save, []

    def full(found, path, *arguments, **options):
        save(found, path, *arguments, **options)
        written.append(str(path))
        if len(written) > 2:  # those of the second epoch
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(torch, "save", full)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert "Traceback" not in error
    folder = tmp_path / "plain" / "version_0" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 0
    monkeypatch.undo()
    assert main([*words, "--ckpt_path=last"]) == 0
