"""Processes that load: who may end them, and what they send."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from visattn.data.loading.loaders import evaluation_loader, training_loader


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


@pytest.mark.skipif(sys.platform != "linux", reason="forks where that is safe")
@pytest.mark.parametrize("make", [training, evaluation])
def test_workers_are_forked_but_where_another_start_was_chosen(make, monkeypatch):
    for chosen, started in ((None, "fork"), ("forkserver", "fork"), ("spawn", "spawn")):
        monkeypatch.setattr("multiprocessing.get_start_method", lambda **_: chosen)  # noqa: B023
        assert make().multiprocessing_context.get_start_method() == started


class Pictures(torch.utils.data.Dataset):
    def __getitem__(self, row):
        return {"image": torch.full((3, 4, 4), float(row[0])), "label": row[0] % 3, "name": "a"}


def test_a_worker_sends_numbers_with_the_message_and_batches_are_the_same():
    batches = {}
    for workers in (0, 1):
        loader = training_loader(Pictures(), count=8, batch_size=4, workers=workers, seed=0)
        batches[workers] = list(loader)
    for here, there in zip(batches[0], batches[1], strict=True):
        assert here["name"] == there["name"]
        for name in ("image", "label"):
            torch.testing.assert_close(here[name], there[name], rtol=0, atol=0)
    (sent, *_) = torch.utils.data.DataLoader.__iter__(loader)
    assert isinstance(sent["label"], np.ndarray)
    assert isinstance(sent["image"], torch.Tensor)
