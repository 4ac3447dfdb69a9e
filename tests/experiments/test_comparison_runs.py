"""A comparison from end to end: real trainings, tiny."""

import json
import time

import pytest
from tiny_recipe import MASK, RECIPE

from visattn.cli import main
from visattn.experiments.comparison import processes
from visattn.experiments.comparison.one_run import main as run_one
from visattn.experiments.comparison.plan import find_recipes, plan_runs
from visattn.experiments.comparison.processes import Machine, Place, run_all
from visattn.experiments.comparison.records import read_records

SPLITS = ("original", "mixed_same", "mixed_rand", "mixed_new", "only_bg")


class InProcess:
    """Stands for a process, but is none: saves the time of importing PyTorch."""

    def __init__(self, order):
        try:
            run_one(order)
            self.returncode = 0
        except Exception:  # whatever ends a process
            self.returncode = 1

    def poll(self):
        return self.returncode


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def quiet(monkeypatch, cache):
    monkeypatch.setenv("VISATTN_CACHE", str(cache))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def folder(tmp_path):
    for name, attention in (("plain", "null"), ("mask", MASK)):
        (tmp_path / f"{name}.yaml").write_text(RECIPE.format(name=name, attention=attention))
    return tmp_path


@pytest.mark.slow
def test_what_stands_in_the_rows_is_what_was_trained_and_tested(folder, quiet, monkeypatch):
    def start(order, *, log, environment):
        return InProcess(order)

    monkeypatch.setattr(processes, "start_process", start)
    out = folder / "out"
    assert main(["compare", f"{folder}/*.yaml", "--seeds=2", f"--out={out}"]) == 0
    records = {(r.recipe, r.seed): r for r in read_records(out / "results.csv")}
    assert len(records) == 4
    for (recipe, _), record in records.items():
        numbers = record.numbers
        (run,) = (out / "runs").glob(f"{recipe}-seed{record.seed}-*/version_0")
        told = json.loads((run / "test.json").read_text())
        for split in SPLITS:
            share = told["splits"][f"test_{split}"]["accuracy"]
            assert numbers[f"accuracy/{split}"] == pytest.approx(share["value"], rel=1e-5)
            assert numbers[f"images/{split}"] == share["images"] == 24
        assert numbers["background_gap"] == pytest.approx(
            numbers["accuracy/mixed_same"] - numbers["accuracy/mixed_rand"], abs=1e-5
        )
        assert numbers["new_minus_rand"] == pytest.approx(
            numbers["accuracy/mixed_new"] - numbers["accuracy/mixed_rand"], abs=1e-5
        )
        assert numbers["chance"] == 0.5
        assert numbers["epochs"] == 1
        assert numbers["parameters"] > 1000
        assert 0 < numbers["minutes"] < 5
        assert 0 <= numbers.get("energy_inside", 0) <= 1
        assert 0 < numbers["energy_chance"] < 0.5
        assert ("mask_iou/mixed_rand" in numbers) == (recipe == "mask")
    config = next((out / "runs").glob("plain-seed1-*/version_0/config.yaml")).read_text()
    for setting in ("seed_everything: 1", "mask_seed: 1", "    seed: 1"):
        assert setting in config
    for name in ("results.md", "results.png"):
        assert (out / name).is_file()


@pytest.mark.slow
def test_a_run_in_a_process_of_its_own(folder, quiet):
    """The real thing once: module, environment, log, and what it leaves."""
    (run,) = plan_runs(find_recipes([f"{folder}/plain.yaml"]), seeds=1)
    place, machine = Place(folder / "out"), Machine.of(jobs=1, threads=1)
    begun = time.monotonic()
    ((_, record),) = run_all([run], place=place, machine=machine)
    log = place.log(run).read_text()
    assert record is not None, log
    assert record.fact("threads") == "1"
    assert record.numbers["minutes"] < (time.monotonic() - begun) / 60
    assert "test_mixed_rand" in log
