"""A training says how long its steps waited for data."""

import re
import time

import pytest
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from visattn.training.command_line.waiting import DataWaits


class Slow(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, place):
        time.sleep(0.02 if place else 0.5)
        return torch.ones(2)


class Model(LightningModule):
    def __init__(self, seconds):
        super().__init__()
        self.layer, self.seconds = torch.nn.Linear(2, 1), seconds

    def training_step(self, batch, index):
        time.sleep(self.seconds)
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("seconds", "low", "high"), [(0.0, 0.6, 1.0), (0.1, 0.05, 0.4)])
def test_the_share_of_the_time_that_went_into_data(seconds, low, high):
    waits = DataWaits()
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", profiler=waits, enable_model_summary=False, **options
    )
    assert waits.sentence(workers=0, cores=2) == ""
    trainer.fit(Model(seconds), DataLoader(Slow(), batch_size=1))
    assert low < waits.share() < high
    assert waits.first > 0.5, "the first batch is counted for itself"
    assert re.search(r" % of the time, the first 0\.\d s$", waits.sentence(workers=0, cores=2))
