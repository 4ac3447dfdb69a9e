"""Bad files and folders: one clear line that names the file, from the library and the commands."""

import io
import logging
import os
import struct
import unicodedata
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from writing import exif, jpeg_bytes, photo, png_bytes

from visattn.cli import main
from visattn.commands.overlays import find_pictures
from visattn.data import BackgroundSwap, FolderData, FolderDataset, PictureDataset
from visattn.data.checking import check_items
from visattn.data.decoding import Decoder
from visattn.data.files.pictures import read_picture
from visattn.data.layout import Item
from visattn.data.public.pets import pet_items
from visattn.data.public.waterbirds import waterbird_items


def saved(kind, image=None, **options):
    stream = io.BytesIO()
    (Image.fromarray(photo()) if image is None else image).save(stream, kind, **options)
    return stream.getvalue()


def frames():
    return [Image.fromarray(photo(seed=seed)) for seed in range(3)]


def animated(kind):
    first, *rest = frames()
    return saved(kind, first, save_all=True, append_images=rest)


def bomb(side):
    """A PNG of a few bytes that says that it is huge."""
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return png_bytes([(b"IHDR", head), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")])


def damaged(data, *, at=0.5, count=24):
    place = int(len(data) * at)
    return data[:place] + bytes(count) + data[place + count :]


PNG, TIFF, GIF, WEBP, BMP = (saved(kind) for kind in ("PNG", "TIFF", "GIF", "WEBP", "BMP"))
JPEG = jpeg_bytes()
BROKEN = {
    "empty.png": (b"", "empty .0 bytes."),
    "empty.jpg": (b"", "empty .0 bytes."),
    "one_byte.jpg": (b"\xff", "cannot identify"),
    "zeros.png": (bytes(4096), "cannot identify"),
    "text.jpg": (b"not a picture", "begins with b'not a picture'"),
    "page.png": (b"<html>404 Not Found</html>", "begins with b'<html>404"),
    "script.gif": (b"#!/bin/sh\nrm -rf /", "cannot identify"),
    "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot identify"),
    "archive.jpg": (b"PK\x03\x04" + bytes(60), "cannot identify"),
    "pickle.png": (b"\x80\x04\x95\x05\x00.", "cannot identify"),
    "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid x", "begins with b'version"),
    "mark.png": (PNG[:8], "."),
    "head.png": (PNG[:33], "."),
    "half.png": (PNG[: len(PNG) // 2], "."),
    "no_end.png": (PNG[:-30], "."),
    "damaged.png": (damaged(PNG), "."),
    "head.jpg": (JPEG[:20], "."),
    "half.jpg": (JPEG[: len(JPEG) // 2], "[Tt]runcated"),
    "no_end.jpg": (JPEG[:-40], "[Tt]runcated"),
    "no_scan.jpg": (JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9", "."),
    "half.gif": (GIF[: len(GIF) // 2], "."),
    "head.gif": (GIF[:10], "."),
    "half.webp": (WEBP[: len(WEBP) // 2], "."),
    "head.webp": (WEBP[:16], "."),
    "half.bmp": (BMP[: len(BMP) // 2], "[Tt]runcated"),
    "head.bmp": (BMP[:20], "."),
    "half.tif": (TIFF[: len(TIFF) // 2], "."),
    "head.tif": (TIFF[:8], "."),
    "half.ppm": (saved("PPM")[:200], "truncated|not enough"),
    "cut.ppm": (b"P6\n24 ", "."),
    "moving.gif": (animated("GIF"), r"expected one picture, found 3 \(GIF\); save"),
    "moving.webp": (animated("WEBP"), r"found 3 \(WEBP\)"),
    "moving.png": (animated("PNG"), r"found 3 \(PNG\)"),
    "pages.tif": (animated("TIFF"), r"found 3 \(TIFF\)"),
    "dot.png": (saved("PNG", Image.new("RGB", (1, 1))), "at least 2 x 2 pixels, found 1 x 1 "),
    "dot.gif": (saved("GIF", Image.new("L", (1, 1))), "found 1 x 1 "),
    "line.png": (saved("PNG", Image.new("RGB", (1, 8000))), "found 1 x 8000 "),
    "line.jpg": (saved("JPEG", Image.new("RGB", (8000, 1))), "found 8000 x 1 "),
    "turned.jpg": (saved("JPEG", Image.new("RGB", (8000, 1)), exif=exif(6)), "found 1 x 8000 "),
    "bomb.png": (bomb(40_000), "exceeds limit.*MAX_IMAGE_PIXELS"),
    "wide.tif": (saved("TIFF", Image.fromarray(np.ones((8, 8), np.int32) * 9)), "found 32 "),
    "dark.tif": (saved("TIFF", Image.fromarray(np.ones((8, 8), np.uint16) * 9)), "none above 9"),
    "floats.tif": (saved("TIFF", Image.fromarray(np.ones((8, 8), np.float32) * 9)), "9 to 9"),
    "nothing.png": (saved("PNG", Image.new("RGBA", (8, 8))), "every pixel transparent"),
}


def one_line(text):
    assert text.strip()
    assert "Traceback" not in text
    return "\n" not in text.strip()


@pytest.fixture
def folder(tmp_path):
    """Two classes with masks; training, validation and test."""
    for split in ("train", "val", "test"):
        for seed, name in enumerate(("a", "b")):
            for kind in ("images", "masks"):
                (tmp_path / split / kind / name).mkdir(parents=True)
            for number in range(3):
                place = f"{name}/{number}"
                Image.fromarray(photo(24, 24, seed=seed)).save(
                    tmp_path / split / "images" / f"{place}.png"
                )
                mask = np.pad(np.full((12, 12), 255, np.uint8), 6)
                Image.fromarray(mask).save(tmp_path / split / "masks" / f"{place}.png")
    return tmp_path


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_picture(tmp_path, name):
    """As a picture, a mask and a background; the check finds what the decoder would."""
    data, message = BROKEN[name]
    path, good = tmp_path / name, tmp_path / "good.png"
    path.write_bytes(data)
    Image.fromarray(photo(8, 8)).save(good)
    with pytest.raises(ValueError, match=rf"cannot read the picture .*{name}: .*({message})") as e:
        Decoder(16)(Item(path))
    assert one_line(str(e.value))
    (problem,) = check_items([Item(path)])
    assert problem.startswith(f"{path}: a picture that cannot be read (")
    assert one_line(problem)
    good.unlink()
    with pytest.raises(ValueError, match=rf"cannot read the background .*{name}"):
        BackgroundSwap(tmp_path, p=1.0)(
            image=photo(8, 8), mask=np.pad(np.full((4, 4), 255, np.uint8), 2)
        )


# Labels in 32 bits or floats, and transparent everywhere: as masks, these are whole.
@pytest.mark.parametrize("name", sorted(BROKEN.keys() - {"wide.tif", "floats.tif", "nothing.png"}))
def test_a_file_that_is_no_mask(tmp_path, name):
    data, _ = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    Image.fromarray(photo(8, 8)).save(tmp_path / "good.jpg")
    item = Item(tmp_path / "good.jpg", tmp_path / name)
    problems = check_items([item])
    assert len(problems) == 1
    assert name in problems[0]
    with pytest.raises(ValueError, match=name):
        Decoder(16)(item)


@pytest.mark.parametrize("name", ["empty.png", "half.jpg", "moving.gif", "dot.png", "bomb.png"])
def test_the_command_says_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, name):
    (tmp_path / name).write_bytes(BROKEN[name][0])
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    assert main(["overlay", name, "--model", "resnet10t"]) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert name in told
    assert len(told.strip().splitlines()) == 2  # how many problems, and this one
    assert sorted(os.listdir()) == before


def test_all_broken_files_are_told_at_once_and_can_be_skipped(tmp_path, capsys, caplog):
    for name in ("empty.png", "half.jpg", "moving.gif"):
        (tmp_path / name).write_bytes(BROKEN[name][0])
    Image.fromarray(photo()).save(tmp_path / "good.png")
    command = [
        "overlay",
        str(tmp_path),
        "--model",
        "resnet10t",
        "--size",
        "32",
        "--layers",
        "grad_cam",
    ]
    out = tmp_path.with_name(f"{tmp_path.name}_out")
    assert main([*command, "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert all(name in told for name in ("3 problems", "empty.png", "half.jpg", "moving.gif"))
    assert not out.exists()
    with caplog.at_level(logging.WARNING):
        assert main([*command, "--out", str(out), "--skip-broken"]) == 0
    assert "skipped 3 of 4 pictures (skip_broken): 3 problems" in caplog.text
    assert [path.name for path in out.iterdir()] == ["good.png"]
    (tmp_path / "good.png").unlink()
    assert main([*command, "--skip-broken"]) == 1
    assert "skip_broken leaves no picture: 3 problems" in capsys.readouterr().err


def test_skipping_in_data_sets(folder, caplog):
    (folder / "train/images/a/0.png").write_bytes(b"")
    (folder / "train/masks/b/1.png").write_bytes(b"")
    data = FolderDataset(folder, split="train", size=8)
    with pytest.raises(ValueError, match=r"(?s)2 problems.*a/0\.png.*masks/b/1\.png"):
        data.check()
    with caplog.at_level(logging.WARNING):
        data = FolderDataset(folder, split="train", size=8, skip_broken=True)
    assert "skipped 2 of 6 pictures" in caplog.text
    assert (len(data), data.skipped) == (4, 2)
    data.check()
    assert [data[row]["label"] for row in range(4)] == [0, 0, 1, 1]
    (folder / "val/images/b/2.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"(?s)3 problems in .*'train'.* and .*'val'.*b/2\.png"):
        FolderData(folder, size=8).setup("fit")
    module = FolderData(folder, size=8, skip_broken=True, predict_folder=folder / "train/images")
    module.setup("fit")
    assert len(module.dataset("train")) == 4
    module.setup("predict")
    assert len(module.predict_dataloader().dataset) == 5
    assert len(PictureDataset(folder / "train/images", size=8, skip_broken=True)) == 5


def test_training_on_a_broken_folder_writes_nothing(folder, tmp_path, monkeypatch, capsys):
    (folder / "train/images/a/0.png").write_bytes(BROKEN["half.png"][0])
    monkeypatch.chdir(tmp_path)
    words = ["fit", "-c", "foreground/plain", "--data", "FolderData", f"--data.root={folder}"]
    words += ["--data.workers=0", "--data.size=16", "--trainer.accelerator=cpu"]
    words += ["--model.backbone=resnet10t", f"--runs={tmp_path / 'runs'}", "--name=x"]
    assert main(words) != 0
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "train/images/a/0.png" in told
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_worker_tells_no_traceback(tmp_path, monkeypatch, capsys):
    """A file that breaks after the check."""
    path = tmp_path / "a.png"
    path.write_bytes(b"")

    def load(*_, **__):
        rows = PictureDataset(tmp_path, size=8)
        return list(torch.utils.data.DataLoader(rows, num_workers=1))

    monkeypatch.setattr("visattn.commands.overlays.draw_maps", load)
    assert main(["overlay", str(tmp_path), "--model", "resnet10t"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"cannot read the picture {path}: cannot identify")
    assert one_line(told)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    ["two\nlines", 'a "quote"', "it's", "<b>angles<b>", "a,b;c", "käse", "寿司", "🍣", " space ",
     "%s", "{x}", "..a", "-out", "a.b.c", "x" * 200],
)  # fmt: skip
def test_names_of_every_kind(tmp_path, name):
    """Found, with their mask; told in one line when they are broken."""
    for kind in ("images", "masks"):
        (tmp_path / "train" / kind / "a").mkdir(parents=True)
    if name.startswith("."):
        name = name.strip(".")
    path = tmp_path / "train" / "images" / "a" / f"{name}.png"
    Image.fromarray(photo(8, 8)).save(path)
    Image.fromarray(np.pad(np.full((4, 4), 255, np.uint8), 2)).save(
        tmp_path / "train" / "masks" / "a" / f"{name}.png"
    )
    data = FolderDataset(tmp_path, split="train", size=8)
    assert data[0]["mask"].mean() == 0.25
    path.write_bytes(b"")
    (problem,) = check_items(data.items)
    assert "\n" not in problem
    with pytest.raises(ValueError, match="cannot read the picture") as e:
        data[0]
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(("picture", "mask"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_both_normal_forms_of_a_name_are_one(tmp_path, picture, mask):
    """Of files, of class folders, and of classes between splits."""
    name = "crème brûlée"
    for split, form in (("train", picture), ("test", mask)):
        folder = tmp_path / split / "images" / unicodedata.normalize(form, name)
        folder.mkdir(parents=True)
        Image.fromarray(photo(8, 8)).save(folder / unicodedata.normalize(picture, f"{name}.png"))
    folder = tmp_path / "train" / "masks" / unicodedata.normalize(mask, name)
    folder.mkdir(parents=True)
    Image.new("L", (8, 8), 255).save(folder / unicodedata.normalize(mask, f"{name}.png"))
    train = FolderDataset(tmp_path, split="train", size=8)
    test = FolderDataset(tmp_path, split="test", size=8)
    assert train[0]["mask"].mean() == 1
    assert train.class_names == test.class_names == (unicodedata.normalize("NFC", name),)
    # A checkpoint may know the classes in the other form.
    known = [unicodedata.normalize("NFD", name)]
    assert FolderDataset(tmp_path, split="test", size=8, class_names=known)[0]["label"] == 0
    other = tmp_path / "train" / "images" / unicodedata.normalize(mask, name)
    other.mkdir()
    with pytest.raises(ValueError, match="a second folder for the class"):
        FolderDataset(tmp_path, split="train", size=8)


def test_a_name_that_is_no_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe.png"
    with open(path, "wb") as file:
        file.write(PNG)
    with pytest.raises(ValueError, match=r"\\udcff\\udcfe\.png: its name is not in UTF-8"):
        PictureDataset(tmp_path, size=8)


# ---------------------------------------------------------------- folders


def test_links_that_go_round_in_circles(folder, tmp_path):
    (folder / "train/images/a/loop").symlink_to(folder / "train")
    (folder / "train/images/a/9.png").symlink_to("9.png")
    with pytest.raises(ValueError, match=r"a/9\.png: a link that leads nowhere, or in a circle"):
        FolderDataset(folder, split="train", size=8)
    with pytest.raises(ValueError, match=r"a/9\.png: a link that leads nowhere"):
        PictureDataset(folder / "train/images", size=8)
    (folder / "train/images/a/9.png").unlink()
    assert len(FolderDataset(folder, split="train", size=8)) == 6
    # Through the loop every picture and mask of the split, each once.
    assert len(PictureDataset(folder / "train/images", size=8)) == 12
    assert len(find_pictures(folder / "train/images")) == 12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: (at / "train/images/c").symlink_to("c"), "images/c: a link that leads nowhere"),
        (lambda at: (at / "train/images/x.png").write_bytes(PNG), r"x\.png: pictures stand in one"),
        (lambda at: (at / "train/masks/x.npy").write_bytes(PNG), r"x\.npy: masks stand in one"),
        (lambda at: (at / "train/images/a/0.gif").write_bytes(GIF), r"0\.png: a second file for"),
        (lambda at: (at / "train/masks/a/0.npy").write_bytes(GIF), r"0\.png: a second file for"),
        (lambda at: (at / "train/masks/a/x.npy").write_bytes(GIF), "a mask without a picture"),
        (lambda at: (at / "train/images/c").mkdir(), "images/c: an empty class folder"),
        (lambda at: (at / "train/images/a").rename(at / "train/images/.a"), "masks of a class"),
    ],
)
def test_folders_that_are_wrong(folder, make, message):
    make(folder)
    with pytest.raises(ValueError, match=message):
        FolderDataset(folder, split="train", size=8)


def test_pictures_that_would_be_overlooked(folder, caplog):
    (folder / "train/images/a/deep").mkdir()
    (folder / "train/images/a/deep/1.png").write_bytes(PNG)
    with pytest.raises(ValueError, match="deep: pictures in a folder of a class folder"):
        FolderDataset(folder, split="train", size=8)
    (folder / "train/images/a/deep/1.png").unlink()
    (folder / "train/images/a/photo.heic").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert len(FolderDataset(folder, split="train", size=8)) == 6
    assert "left out 1 files (.heic)" in caplog.text


def test_a_class_folder_with_a_dot_in_its_name_is_no_file_left_out(folder, caplog):
    for kind in ("images", "masks"):
        if (folder / "train" / kind / "a").is_dir():
            (folder / "train" / kind / "a").rename(folder / "train" / kind / "tuna.raw")
    with caplog.at_level(logging.WARNING):
        assert "tuna.raw" in FolderDataset(folder, split="train", size=8).class_names
    assert "left out" not in caplog.text


def test_one_class_is_read_and_not_trained_on(folder):
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            for path in (folder / split / kind / "b").iterdir():
                path.unlink()
            (folder / split / kind / "b").rmdir()
    data = FolderDataset(folder, split="train", size=8)
    assert data.class_names == ("a",)
    with pytest.raises(ValueError, match=r"at least two classes to tell apart in .*, found 'a'"):
        FolderData(folder, size=8).setup("fit")
    assert {data[row]["label"] for row in range(len(data))} == {0}


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "a/../../x.jpg"])
def test_tables_name_no_file_outside_of_their_folder(tmp_path, name):
    header = "img_filename,y,split,place\n"
    (tmp_path / "metadata.csv").write_text(f"{header}{name},0,0,0\n")
    with pytest.raises(ValueError, match=r"metadata\.csv names the file .* lies outside of"):
        waterbird_items(tmp_path, split="train")
    (tmp_path / "annotations" / "trimaps").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    for split in ("trainval", "test"):
        (tmp_path / "annotations" / f"{split}.txt").write_text(f"{name} 1 1 1\n")
    with pytest.raises(ValueError, match=r"trainval\.txt names the file .* lies outside of"):
        pet_items(tmp_path, split="trainval")


@pytest.mark.slow
def test_a_large_picture_is_a_warning_of_pillows_alone(tmp_path):
    """Above its limit Pillow warns, above twice it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.new("1", (9500, 9500)).save(tmp_path / "a.png")
        assert read_picture(tmp_path / "a.png").size == (9500, 9500)
    with pytest.raises(ValueError, match=r"a\.png: .*exceeds limit.*make it smaller"):
        read_picture(tmp_path / "a.png")
