"""A disk that is full: one clear line, the file of before as it was, nothing half-written.

A limit on the size of files stands for it: the system refuses what goes beyond, as a full disk
does.
"""

import multiprocessing
import resource

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from visattn.basics.files import whole_file, write_whole
from visattn.data import pack_folder
from visattn.data.generated.sushi import render_sushi
from visattn.experiments.comparison.records import REQUIRED, Record, add_records
from visattn.exporting import export_model
from visattn.pictures import save
from visattn.training.command_line.interruptions import WholeCheckpointIO

LIMIT = 2000
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def within(limit, action, answers):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        action()
    except Exception as error:
        answers.put(f"{type(error).__name__}: {error}")
    else:
        answers.put("written")


def on_a_full_disk(action, *, limit=LIMIT):
    """What it said, in a process of its own."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=within, args=(limit, action, answers))
    process.start()
    said = answers.get(timeout=60)
    process.join()
    return said


def write_checkpoint(path):
    WholeCheckpointIO().save_checkpoint({"weights": torch.zeros(4000)}, path)


def write_page(path):
    write_whole(path, "<p>" * 4000)


def write_array(path):
    with whole_file(path) as part:
        Image.fromarray(NOISE).save(part)


WRITERS = {
    "last.ckpt": write_checkpoint,
    "report.html": write_page,
    "mask.png": write_array,
    "overlay.png": lambda path: save(NOISE, path),
    "overlay.pdf": lambda path: save(NOISE, path),
    "overlay.gif": lambda path: save(NOISE[None], path),
    "model.pt2": lambda path: export_model(nn.Conv2d(3, 99, 3), path, size=8, masks=[]),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_there_stays(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"before")
    said = on_a_full_disk(lambda: WRITERS[name](path))
    assert said != "written"
    assert "\n" not in said.strip()
    assert str(path) in said
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [b"before"]


def test_the_table_of_results_stays(tmp_path):
    path = tmp_path / "results.csv"
    add_records(path, [record("plain")])
    kept = path.read_bytes()
    said = on_a_full_disk(lambda: add_records(path, [record("mask" * 1000)]))
    assert said.startswith("OSError")
    assert str(path) in said
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [kept]
    assert len(add_records(path, [record("mask")])) == 2


def record(recipe):
    return Record({**dict.fromkeys(REQUIRED, "x"), "key": recipe, "recipe": recipe, "seed": "0"})


def test_rendered_scenes_are_finished_once_there_is_room(tmp_path):
    options = {"size": 32, "train": 8, "val": 0, "test": 0, "workers": 1}
    said = on_a_full_disk(lambda: render_sushi(tmp_path / "scenes", **options), limit=500)
    assert said.startswith("OSError")
    assert not (tmp_path / "scenes").exists()
    render_sushi(tmp_path / "scenes", **options)
    pictures = list((tmp_path / "scenes").rglob("images/*/*.png"))
    assert len(pictures) >= 8
    assert all(Image.open(path).convert("RGB").size == (32, 32) for path in pictures)


def test_a_folder_is_packed_whole_or_not_at_all(tiny_folder, tmp_path):
    pytest.importorskip("webdataset", reason="shards need the extra 'shards'")
    said = on_a_full_disk(lambda: pack_folder(tiny_folder, tmp_path / "packed"))
    assert said.startswith("OSError")
    assert str(tmp_path / "packed") in said
    assert not list(tmp_path.iterdir())
