"""The clock of a run in a process of its own."""

import os

import pytest

from visattn.experiments.comparison import clock
from visattn.experiments.comparison.clock import RunClock


def test_it_measures_from_setup_to_teardown(monkeypatch):
    times = iter([100.0, 142.5])
    monkeypatch.setattr(clock.time, "monotonic", lambda: next(times))
    found = RunClock()
    found.setup(None, None, "fit")
    found.teardown(None, None, "fit")
    assert found.seconds == 42.5


def test_an_orphan_ends(monkeypatch):
    found = RunClock()
    found.on_train_batch_start(None, None, None, 0)
    parent = os.getppid()
    monkeypatch.setattr(clock.os, "getppid", lambda: parent + 1)
    with pytest.raises(SystemExit, match="has ended"):
        found.on_train_batch_start(None, None, None, 1)
