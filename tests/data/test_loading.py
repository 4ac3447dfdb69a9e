"""Processes that load: who may end them."""

import signal
import subprocess
import sys
import time

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
