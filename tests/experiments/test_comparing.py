"""What is done isn't done again, what fails is told, what is interrupted loses nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_recipe import MASK, RECIPE

from visattn.cli import main
from visattn.experiments.comparison import processes
from visattn.experiments.comparison.plan import find_recipes, plan_runs
from visattn.experiments.comparison.processes import Machine, Place, run_all, words_of
from visattn.experiments.comparison.records import read_records


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


class Ended:
    """Stands for a process that has ended, with a result that nobody trained for."""

    def __init__(self, order, *, log):
        if "broken" in order["result"]:
            log.write("Traceback\nValueError: the dish fell down\n")
            self.returncode = 1
        else:
            numbers = {"accuracy/mixed_rand": 0.5, "minutes": 1.0}
            found = {**order["about"], "facts": {}, "numbers": numbers}
            Path(order["result"]).write_text(json.dumps(found))
            self.returncode = 0

    def poll(self):
        return self.returncode


@pytest.fixture
def quiet(monkeypatch, cache):
    monkeypatch.setenv("VISATTN_CACHE", str(cache))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def started(monkeypatch, quiet):
    """Names of the runs that were begun; none is trained."""
    names = []

    def start(order, *, log, environment):
        found = json.loads(order)
        names.append(Path(found["result"]).stem.rpartition("-")[0])
        return Ended(found, log=log)

    monkeypatch.setattr(processes, "start_process", start)
    return names


@pytest.fixture
def folder(tmp_path):
    for name, attention in (("plain", "null"), ("mask", MASK)):
        (tmp_path / f"{name}.yaml").write_text(RECIPE.format(name=name, attention=attention))
    return tmp_path


def compare(folder, *words, seeds=2):
    out = folder / "out"
    return main(["compare", f"{folder}/*.yaml", f"--seeds={seeds}", f"--out={out}", *words])


@pytest.mark.slow
def test_what_is_finished_is_not_run_again(folder, started, capsys):
    assert compare(folder) == 0
    assert started == ["mask-seed0", "plain-seed0", "mask-seed1", "plain-seed1"]
    out = folder / "out"
    started.clear()
    capsys.readouterr()
    assert compare(folder) == 0
    assert started == []
    assert "Runs: 4, finished earlier: 4;" in capsys.readouterr().out

    (out / "results.csv").unlink()  # lost, but the runs are there
    assert compare(folder) == 0
    assert started == []
    assert len(read_records(out / "results.csv")) == 4

    assert compare(folder, "--skip", "mask", seeds=3) == 0
    assert started == ["plain-seed2"]
    started.clear()
    assert compare(folder, "--skip", "mask", "--data.rho", "0.5", seeds=1) == 0
    assert started == ["plain-seed0"]
    records = read_records(out / "results.csv")
    assert [r.options for r in records].count("--data.rho=0.5") == 1
    assert len(records) == 6
    assert (out / "results_2.png").is_file()


@pytest.mark.slow
def test_rows_kept_elsewhere_are_not_measured_again(folder, started):
    assert compare(folder, seeds=1) == 0
    kept = folder / "kept" / "table.csv"
    kept.parent.mkdir()
    (folder / "out" / "results.csv").rename(kept)
    started.clear()
    words = ["compare", f"{folder}/*.yaml", f"--results={kept}", f"--out={folder / 'new'}"]
    assert main([*words, "--seeds=1"]) == 0
    assert started == []
    assert kept.with_suffix(".md").is_file()
    kept.write_text(kept.read_text().replace(read_records(kept)[0].fact("code"), "other"))
    assert main([*words, "--seeds=1"]) == 0
    assert started == []
    assert main([*words, "--seeds=1", "--same-code", "--skip=mask"]) == 0
    assert started == ["plain-seed0"]


def test_a_run_that_fails_stops_no_other(folder, started, capsys):
    (folder / "broken.yaml").write_text(RECIPE.format(name="broken", attention="null"))
    assert compare(folder, "--skip=mask", seeds=1) == 1
    assert started == ["broken-seed0", "plain-seed0"]
    told = capsys.readouterr().err
    assert "1 of 2 runs failed" in told
    assert re.search(r"broken, seed 0: ValueError: the dish fell down \(.*\.log\)", told)
    assert [r.recipe for r in read_records(folder / "out" / "results.csv")] == ["plain"]
    assert compare(folder, "--skip=mask", seeds=1) == 1
    assert started[2:] == ["broken-seed0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {class_path: FolderData, init_args: {root: nowhere}}", "nowhere"),
        ("task: copying", "the task is copying"),
        ("model: {backbne: resnet10t}", "backbne"),
    ],
    ids=["no data", "other task", "unknown option"],
)
def test_what_cannot_run_is_told_before_anything_is_trained(folder, started, capsys, text, message):
    (folder / "wrong.yaml").write_text(text)
    assert compare(folder, seeds=1) == 1
    assert started == []
    told = capsys.readouterr().err
    assert "nothing was trained" in told
    assert f"{folder / 'wrong.yaml'}: " in told
    assert message in told


def test_an_unknown_option_names_every_recipe(folder, started, capsys):
    assert compare(folder, "--data.roh=1.0", seeds=1) == 1
    told = capsys.readouterr().err
    assert "plain.yaml" in told
    assert "mask.yaml" in told
    assert "no option 'roh'; did you mean rho" in told
    assert started == []


def sleepers(monkeypatch, *, seconds):
    """Runs that only wait and write a result."""
    code = (
        "import json, sys, time, pathlib; order = json.loads(sys.argv[1]); "
        f"time.sleep({seconds}); pathlib.Path(order['result']).write_text("
        "json.dumps({'facts': {}, 'numbers': {'minutes': 1}}))"
    )
    begun = []

    def start(order, *, log, environment):
        begun.append(subprocess.Popen([sys.executable, "-S", "-c", code, order]))
        return begun[-1]

    monkeypatch.setattr(processes, "start_process", start)
    return begun


class Impatient:
    """Stands for the module ``time``: whoever waits is interrupted."""

    @staticmethod
    def sleep(seconds):
        raise KeyboardInterrupt


def test_an_interruption_ends_the_runs_and_loses_none_that_ended(folder, monkeypatch):
    runs = plan_runs(find_recipes([f"{folder}/*.yaml"]), seeds=2)
    place, machine = Place(folder / "out"), Machine.of(jobs=2)
    first = sleepers(monkeypatch, seconds=0)
    going = run_all(runs, place=place, machine=machine)
    run, record = next(going)
    assert record is not None
    slow = sleepers(monkeypatch, seconds=600)
    rest = run_all([other for other in runs if other != run], place=place, machine=machine)
    monkeypatch.setattr(processes, "time", Impatient)
    with pytest.raises(KeyboardInterrupt):
        next(rest)
    going.close()
    monkeypatch.undo()
    assert len(slow) == 2
    assert all(process.poll() is not None for process in [*first, *slow])
    assert processes.finished(run, place=place, machine=machine) is not None
    undone = [r for r in runs if processes.finished(r, place=place, machine=machine) is None]
    assert 2 <= len(undone) < len(runs)


def test_runs_share_the_machine(folder, monkeypatch):
    (run,) = plan_runs(find_recipes([f"{folder}/plain.yaml"]), seeds=1, words=["--data=SushiData"])
    place = Place(folder / "out")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = Machine.of(jobs=1).cores
    assert Machine.of(jobs=1).threads == cores
    assert Machine.of(jobs=2 * cores).threads == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert Machine.of(jobs=1).threads == 3
    assert Machine.of(jobs=1, threads=2).threads == 2
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        Machine.of(jobs=0)
    one, _ = words_of(run, place=place, machine=Machine.of(jobs=1))
    two, test = words_of(run, place=place, machine=Machine.of(jobs=2))
    assert "--data.workers=0" not in one
    assert "--data.workers=0" in two
    assert two[0] == "fit"
    assert test == ["test", *two[1:]]
