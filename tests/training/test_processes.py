"""Two processes give what one gives."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_pictures import write_folder

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PATHS = str(HERE), *filter(None, sys.path)


@pytest.fixture(scope="module")
def outs(tmp_path_factory):
    """What one process and what two leave, over a folder with odd numbers of pictures."""
    root = tmp_path_factory.mktemp("together")
    splits = {"train": 9, "val": 4, "test_same": 4, "test_rand": 4}
    data = write_folder(root / "data", splits=splits)
    for split in ("val", "test_same"):
        for kind in ("images", "masks"):
            (data / split / kind / "b" / "0.png").unlink()
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, before in (("one", []), ("two", launch)):
        (root / name).mkdir()
        done = subprocess.run(
            [sys.executable, *before, str(HERE / "work_together.py"), str(data), str(root / name)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "VISATTN_TUNE_PROCESS": "0"},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, f"{name}:\n{done.stdout}\n{done.stderr}"
        (root / name / "said.txt").write_text(done.stdout)
    return root / "one", root / "two"


def read(folder, name="found.json"):
    return json.loads((folder / name).read_text())


def flat(value, path=""):
    """Numbers and words of nested JSON by their path."""
    if isinstance(value, dict):
        return {k: v for key, each in value.items() for k, v in flat(each, f"{path}/{key}").items()}
    if isinstance(value, list):
        return {k: v for n, each in enumerate(value) for k, v in flat(each, f"{path}/{n}").items()}
    return {path: value}


def assert_same(one, two, *, without=()):
    one, two = flat(one), flat(two)
    assert one.keys() == two.keys()
    for name, value in one.items():
        if any(word in name for word in without):
            continue
        if isinstance(value, float):
            assert math.isclose(value, two[name], rel_tol=0, abs_tol=1e-6), name
        else:
            assert value == two[name], name


@pytest.mark.parametrize("name", ["cross_entropy", "group_dro", "balanced"])
def test_weights_are_those_of_one_process_with_the_same_global_batch(outs, name):
    one, two = outs
    left, right = (torch.load(folder / f"{name}.0.pt") for folder in (one, two))
    before = torch.load(two / f"{name}.1.pt")
    for key, value in left.items():
        torch.testing.assert_close(value, right[key], rtol=0, atol=1e-5)
        assert torch.equal(right[key], before[key])
    assert_same(read(one)[name], read(two)[name])


def test_the_command_trains_and_shows_an_epoch_in_a_line(outs):
    for folder in outs:
        (run,) = (folder / "mask").iterdir()
        assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
        said = (folder / "said.txt").read_text()
        for number in (1, 2):
            (line,) = [line for line in said.split("\n") if line.startswith(f"epoch {number}/2 ")]
            assert "train/mask" in line
            assert "val/accuracy" in line


def test_tests_count_every_picture_once(outs):
    one, two = outs
    for key in ("test", "validate", "rows", "names"):
        assert_same(read(one)[key], read(two)[key])
    assert read(two)["rows"] == list(range(7))
    assert_same(read(one, "test.json"), read(two, "test.json"), without=["checkpoint"])


def test_predictions_hold_every_picture_once(outs):
    one, two = (
        [line.split(",") for line in (folder / "predictions.csv").read_text().splitlines()]
        for folder in outs
    )
    assert [row[:2] for row in one] == [row[:2] for row in two]
    assert len(one) == 8
    for left, right in zip(one[1:], two[1:], strict=True):
        assert [float(x) for x in left[2:]] == pytest.approx(
            [float(x) for x in right[2:]], abs=2e-6
        )


def test_audits_and_maps_are_measured_alike(outs):
    one, two = outs
    assert_same(
        read(one / "audit", "audit.json"),
        read(two / "audit", "audit.json"),
        without=["/model", "/name"],
    )
    assert_same(read(one, "maps.json"), read(two, "maps.json"), without=["/model", "/seconds"])


def test_every_objective_trains(outs):
    found = read(outs[1])["objectives"]
    assert len(found) == 10
    assert "train/mask" in found["mask"]
    assert "train/contradicted" in found["labels"]
    assert "train/refit" in found["last_layer"]


def test_a_signal_to_one_stops_both_after_the_same_step(tmp_path):
    data = write_folder(tmp_path / "data", splits={"train": 8, "val": 4})
    words = ["fit", "-c", "foreground/mask", "--data", "FolderData", "--data.root", str(data)]
    words += ["--data.size", "32", "--data.batch_size", "2", "--data.workers", "0"]
    words += ["--data.mask_share", "0.5", "--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    words += ["--trainer.callbacks+=work_together.Stop", "--runs", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "visattn", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(PATHS)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    (path,) = tmp_path.rglob("last.ckpt")
    assert torch.load(path, weights_only=True)["global_step"] == 3
