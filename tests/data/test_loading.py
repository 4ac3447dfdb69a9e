"""Processes that load: who may end them."""

import signal
import subprocess
import sys
import time

import lightning as L
import pytest
import torch
from torch import nn

from visattn.data import FolderData
from visattn.data.loading.loaders import evaluation_loader, training_loader
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.quiet import quiet_lightning


class Rows(torch.utils.data.Dataset):
    def __getitem__(self, row):
        time.sleep(0.02)
        return row[0]


def training():
    return training_loader(Rows(), count=12, batch_size=1, workers=2, seed=0)


def evaluation():
    pairs = [(row, 0) for row in range(12)]
    return evaluation_loader(Rows(), batch_size=1, workers=2, rows=pairs)


@pytest.mark.parametrize("make", [training, evaluation])
@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs to know who sent it")
def test_workers_outlive_a_signal_to_all_processes_but_not_their_parents(make):
    loader = make()
    batches = iter(loader)
    seen = [next(batches)]
    workers = loader._iterator._workers
    killing = "import os, sys; [os.kill(int(pid), 15) for pid in sys.argv[1:]]"
    pids = [str(worker.pid) for worker in workers]
    subprocess.run([sys.executable, "-c", killing, *pids], check=True)
    seen += batches
    assert sorted(torch.cat(seen).tolist()) == list(range(12))
    for worker in workers:
        worker.terminate()
        worker.join(10)
        assert worker.exitcode == 0


def test_a_batch_is_taken_over_while_the_one_before_is_in_use():
    loader = training()
    batches = iter(loader)
    first = next(batches)
    coming = loader._coming.result(timeout=60)  # nobody has asked for it
    assert not torch.equal(first, coming)
    assert next(batches) is coming
    loader = training()
    for taken in (1, 5, 12):  # two epochs are broken off
        seen = [batch for batch, _ in zip(loader, range(taken), strict=False)]
        assert len(torch.cat(seen).unique()) == taken
        assert loader.given in (taken, taken + 1)
    assert sorted(torch.cat(seen).tolist()) == list(range(12))


def rows_of(loader):
    return [int(batch) for batch in loader]


def test_the_next_epoch_begins_with_the_last_step_and_is_the_one_it_would_have_been():
    plain = training_loader(Rows(), count=12, batch_size=1, workers=0, seed=0)
    loader = training_loader(Rows(), count=12, batch_size=1, workers=2, seed=0, epochs=4)
    for epoch in range(4):
        batches = iter(loader)
        seen = [int(next(batches)) for _ in range(12)]  # as Lightning does: the end isn't asked for
        loader._coming.result(timeout=60)
        assert (loader._begun is None) == (epoch == 3)
        expected = rows_of(plain)
        assert seen == expected
        assert loader.state_dict() == plain.state_dict()
        assert loader.sampler.epoch == plain.sampler.epoch


def test_an_epoch_that_has_begun_gives_way_to_another():
    plain = training_loader(Rows(), count=12, batch_size=1, workers=0, seed=0)
    loader = training_loader(Rows(), count=12, batch_size=1, workers=2, seed=0)
    first = rows_of(loader)
    assert loader._begun.due == 1
    state = {**loader.state_dict(), "batches": 7}
    for each in (loader, plain):
        each.sampler.set_epoch(5)
    assert rows_of(loader) == rows_of(plain)
    assert loader._begun.due == 6
    loader.sampler.set_epoch(0)
    loader.load_state_dict(state)
    assert rows_of(loader) == first[7:]
    plain.sampler.set_epoch(1)
    assert rows_of(loader) == rows_of(plain)


def test_a_fault_in_a_worker_is_told_and_the_next_epoch_runs():
    class Faulty(Rows):
        def __getitem__(self, row):
            if row[0] == 3:
                raise ValueError("a file that is none")
            return row[0]

    loader = training_loader(Faulty(), count=12, batch_size=1, workers=2, seed=0)
    for _ in range(2):
        with pytest.raises(ValueError, match="a file that is none"):
            list(loader)


@pytest.mark.skipif(sys.platform != "linux", reason="forks where that is safe")
@pytest.mark.parametrize("make", [training, evaluation])
def test_workers_are_forked_but_where_another_start_was_chosen(make, monkeypatch):
    for chosen, started in ((None, "fork"), ("forkserver", "fork"), ("spawn", "spawn")):
        monkeypatch.setattr("multiprocessing.get_start_method", lambda **_: chosen)  # noqa: B023
        assert make().multiprocessing_context.get_start_method() == started


class Tiny(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


class Seen(L.Callback):
    def __init__(self):
        self.rows = []

    def on_train_batch_end(self, trainer, module, outputs, batch, *_):
        self.rows.append((trainer.current_epoch, batch["index"].tolist()))


@pytest.mark.parametrize(
    "options",
    [
        {"limit_train_batches": 2},
        {"reload_dataloaders_every_n_epochs": 1},
        {"val_check_interval": 0.5},
        {"max_epochs": -1, "max_steps": 7},
        {"accumulate_grad_batches": 2},
    ],
    ids=str,
)
def test_a_training_sees_the_same_rows_with_workers_however_it_goes(options, tiny_folder):
    def rows(workers):
        seen = Seen()
        given = {"max_epochs": 3, "logger": False, "enable_checkpointing": False, **options}
        with quiet_lightning():
            trainer = L.Trainer(
                accelerator="cpu", callbacks=[seen], enable_progress_bar=False,
                enable_model_summary=False, **given,
            )  # fmt: skip
            data = FolderData(str(tiny_folder), size=8, batch_size=2, workers=workers)
            trainer.fit(ImageClassifier(Tiny, num_classes=2), datamodule=data)
        return seen.rows

    assert rows(1) == rows(0)
