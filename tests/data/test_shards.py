"""Packed folders are read as the folders themselves, in the middle of an epoch and by several."""

import http.server
import json
import pickle
import shutil
import tarfile
import threading
from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from visattn.cli import main
from visattn.data import FolderData, ShardData, pack_folder
from visattn.data.loading.loaders import training_loader
from visattn.data.loading.samplers import EpochSampler
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.interruptions import Moments
from visattn.training.command_line.quiet import quiet_lightning

webdataset = pytest.importorskip("webdataset", reason="shards need the extra 'shards'")
OPTIONS = {"size": 16, "batch_size": 2, "workers": 0}


@pytest.fixture(scope="module")
def both(tiny_folder, tmp_path_factory):
    """A folder, and its shards of two pictures each."""
    out = tmp_path_factory.mktemp("packed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        real = webdataset.ShardWriter
        patch.setattr(webdataset, "ShardWriter", lambda *a, **k: real(*a, **{**k, "maxcount": 2}))
        pack_folder(tiny_folder, out)
    return tiny_folder, out


@pytest.fixture
def copied(both, tmp_path):
    return shutil.copytree(both[1], tmp_path / "copied")


def same(one, other):
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def test_every_split_reads_as_the_folder_does(both):
    folder, packed = FolderData(both[0], **OPTIONS), ShardData(str(both[1]), **OPTIONS)
    assert packed.class_names == folder.class_names
    assert packed.splits == folder.splits
    for split in folder.splits:
        one, other = folder.dataset(split), packed.dataset(split)
        assert [i.path.name for i in one.items] == [i.path.name for i in other.items]
        assert [i.metadata for i in one.items] == [i.metadata for i in other.items]
        assert one.masks_found == other.masks_found > 0
        assert all(same(one[row], other[row]) for row in range(len(one)))
    assert len(list(both[1].glob("train-*.tar"))) == 4


def test_a_shard_is_a_tar_that_anything_reads(both):
    with tarfile.open(both[1] / "train-000000.tar") as file:
        assert set(file.getnames()) == {"a/0.mask.png", "a/0.png", "a/1.mask.png", "a/1.png"}
        inside = file.extractfile("a/0.png").read()
    assert inside == (both[0] / "train/images/a/0.png").read_bytes()


def test_names_of_every_kind(tmp_path):
    names = ("a.b.jpg", "x\ny.png", "ca\u0301fé.PNG", "p%d.png", "l" * 200 + ".png", "<i>'\".png")
    for label, group in enumerate(("one", "zwei 2")):
        for number, name in enumerate(names):
            path = tmp_path / "in/train%s/images" / group / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (40 * number, 90 * label, 0)).save(path)
    array = tmp_path / "in/train%s/masks/one/a.b.npy"
    array.parent.mkdir(parents=True)
    np.save(array, np.eye(8, dtype=bool))
    pack_folder(tmp_path / "in", tmp_path / "out")
    options = {**OPTIONS, "train_split": "train%s", "val_split": None, "augmentation": None}
    one = FolderData(tmp_path / "in", **options).dataset("train%s")
    other = ShardData(str(tmp_path / "out"), **options).dataset("train%s")
    assert len(other) == 12
    assert other.masks_found == 1
    assert all(same(one[row], other[row]) for row in range(12))


def test_a_name_that_a_mask_takes_is_refused(tmp_path):
    for place in ("images/a/1.png", "images/a/1.mask.png", "masks/a/1.png"):
        path = tmp_path / "in/train" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 255).save(path)
    with pytest.raises(ValueError, match="rename it"):
        pack_folder(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_classes_is_split_as_for_training(tmp_path):
    for name in ("a", "b"):
        for number in range(10):
            path = tmp_path / "in" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    index = pack_folder(tmp_path / "in", tmp_path / "out")
    folder = FolderData(tmp_path / "in", **OPTIONS)
    assert {name: len(split.rows) for name, split in index.splits.items()} == {
        name: len(folder.items(name)) for name in folder.splits
    }


def test_a_broken_file_is_told_before_anything_is_written(tiny_folder, tmp_path):
    root = shutil.copytree(tiny_folder, tmp_path / "in")
    (root / "train/images/a/1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1\.png: a picture that cannot be read"):
        pack_folder(root, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_folder_that_exists_is_left_as_it_is(both):
    before = {path.name: path.read_bytes() for path in both[1].iterdir()}
    with pytest.raises(FileExistsError, match="exists"):
        pack_folder(*both)
    assert {path.name: path.read_bytes() for path in both[1].iterdir()} == before


@pytest.mark.parametrize("change", [lambda b: b[:-512], lambda b: b + bytes(512), lambda b: b""])
def test_a_shard_of_another_size_is_told(copied, change):
    shard = copied / "train-000001.tar"
    shard.write_bytes(change(shard.read_bytes()))
    data = ShardData(str(copied), **OPTIONS).dataset("train")
    data[0]
    with pytest.raises(ValueError, match=r"train-000001\.tar has \d+ bytes, and its index says"):
        data[2]


@pytest.mark.parametrize(
    "edit",
    [
        lambda index: index["splits"]["train"]["shards"][0].__setitem__(0, "../x.tar"),
        lambda index: index["splits"]["train"]["rows"][0].update(shard=99),
        lambda index: index["splits"]["train"]["rows"][0].update(label=-1),
        lambda index: index["splits"]["train"]["rows"][0]["picture"].update(size=10**9),
        lambda index: index["splits"]["train"]["rows"][0]["picture"].update(offset=-1),
        lambda index: index.update(format=2),
        lambda index: index.pop("classes"),
    ],
)
def test_an_index_that_is_wrong_is_refused(copied, edit):
    index = json.loads((copied / "shards.json").read_text())
    edit(index)
    (copied / "shards.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"shards\.json: no index of packed pictures"):
        ShardData(str(copied), **OPTIONS)


def test_no_shards(tmp_path):
    with pytest.raises(FileNotFoundError, match="visattn pack FOLDER"):
        ShardData(str(tmp_path), **OPTIONS)


def test_shards_from_an_address_are_kept_and_dropped(both, tmp_path):
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(both[1]))
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        options = {**OPTIONS, "cache_folder": str(tmp_path / "kept"), "cache_gb": 1e-5}
        remote = ShardData(address, **options).dataset("train")
        local = ShardData(str(both[1]), **OPTIONS).dataset("train")
        assert all(same(local[row], remote[row]) for row in range(len(local)))
        kept = len(list((tmp_path / "kept").iterdir()))
        server.shutdown()
    assert 1 <= kept <= 4


def test_paths_go_to_other_processes(both):
    items = ShardData(str(both[1]), **OPTIONS).items("train")
    again = pickle.loads(pickle.dumps(items))
    assert [i.path.open().read() for i in again] == [i.path.open().read() for i in items]
    data = ShardData(str(both[1]), **{**OPTIONS, "workers": 1}).dataset("train")
    loader = training_loader(data, count=8, batch_size=2, workers=1, seed=0)
    assert sorted(torch.cat([batch["index"] for batch in loader]).tolist()) == list(range(8))


def test_processes_see_every_picture_once_and_shards_of_their_own():
    shards = [row // 10 for row in range(160)]
    parts = [
        [row for row, _ in EpochSampler(160, seed=1, shards=shards, processes=2, process=process)]
        for process in (0, 1)
    ]
    assert sorted(parts[0] + parts[1]) == list(range(160))
    first, second = ({shards[row] for row in part} for part in parts)
    assert len(first) == len(second) == 8
    assert not first & second
    once = [row for row, _ in EpochSampler(160, seed=1, shards=shards)]
    assert sorted(once) == list(range(160))
    assert all(len({shards[row] for row in once[at : at + 40]}) == 4 for at in range(0, 160, 40))
    uneven = [
        [row for row, _ in EpochSampler(7, shards=[0, 0, 1, 1, 1, 2, 2], processes=2, process=p)]
        for p in (0, 1)
    ]
    assert len(set(uneven[0] + uneven[1])) == 6


class Tiny(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.drop(self.conv1(x)).relu().mean((2, 3)))


class Kept(L.Callback):
    """A checkpoint within the second epoch, and the rows that were seen."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, module, outputs, batch, *_):
        self.seen.append(batch["index"].tolist())
        if trainer.global_step == 6:
            trainer.save_checkpoint(Path(trainer.default_root_dir, "within.ckpt"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_goes_on_in_the_middle_of_an_epoch_with_the_same_bits(both, workers, tmp_path):
    def train(ckpt_path=None):
        L.seed_everything(0, verbose=False)
        mask = {"block": "spatial_mask", "at": "image", "init": "paper", "width": 4, "depth": 2}
        module = ImageClassifier(Tiny, num_classes=2, attention=mask)
        kept = Kept()
        trainer = L.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, limit_val_batches=0,
            callbacks=[Moments(), kept], default_root_dir=tmp_path, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        data = ShardData(str(both[1]), **OPTIONS | {"workers": workers})
        trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=False)
        assert trainer.train_dataloader.epochs == 2  # behind which no worker begins another
        return module.state_dict(), kept.seen

    with quiet_lightning():
        whole, seen = train()
        resumed, rest = train(tmp_path / "within.ckpt")
    assert rest == seen[6:]
    assert len(rest) == 2
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_the_command_packs_and_says_what_is_next(tiny_folder, tmp_path, capsys):
    main(["pack", str(tiny_folder), str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "train: 8 pictures, 8 masks, 1 shards" in said
    assert f"--data ShardData --data.root {tmp_path / 'out'}" in said
