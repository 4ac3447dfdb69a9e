"""The table beside the pictures: encodings, ids, and rows that match nothing."""

import logging
import unicodedata

import pytest
from PIL import Image

from visattn.data import FolderDataset
from visattn.data.public.recognition import published_data

TABLE = "split,class,id,style\ntest,café,001,red\ntest,café,002,blue\n"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "test" / "images" / "café"
    folder.mkdir(parents=True)
    for name in ("001.png", "002.JPG"):
        Image.new("RGB", (8, 8)).save(folder / name)
    return tmp_path


def names(root):
    return FolderDataset(root, split="test", size=8).background_names


@pytest.mark.parametrize(
    "data",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("utf-16-be"),
        TABLE.encode("cp1252"),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode("utf-16"),
        TABLE.replace("001", "001.png").replace("002", "002.JPG").encode(),
        TABLE.replace(",", ", ").encode(),
        unicodedata.normalize("NFD", TABLE).encode(),
        TABLE.replace("café", '"café"').encode(),
        (TABLE + ",,,\n\n").encode(),
    ],
    ids=[
        *("utf-8", "mark", "utf-16", "little", "big", "cp1252", "crlf", "semicolons", "tabs"),
        *("suffix", "spaces", "NFD", "quotes", "empty rows"),
    ],
)
def test_tables_as_programs_write_them(root, data):
    (root / "metadata.csv").write_bytes(data)
    found = names(root)
    assert [name.strip() for name in found] == ["blue", "red"]
    assert published_data(root) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE.replace("001", "1").replace("002", "2"), "2 of 2 rows match no picture.*zeros"),
        (TABLE.replace("test,", "Test,"), "2 of 2 rows match no picture of the split 'test'"),
        (TABLE.replace("café", "cafe"), "2 of 2 rows match no picture"),
        (TABLE.replace("001", "001.jpg").replace("002", "2"), "2 of 2 rows match no picture"),
        (TABLE + "test,café,001,green\n", "two that differ for test, café, 001"),
        (TABLE.replace("id", "name"), "missing id; found split, class, name, style"),
        ("", "missing split, class, id; found none"),
    ],
    ids=["zeros", "split", "class", "suffix", "twice", "column", "empty"],
)
def test_tables_that_match_nothing(root, text, message):
    (root / "metadata.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"metadata\.csv.*{message}"):
        names(root)


def test_no_text_at_all(root):
    (root / "metadata.csv").write_bytes(b"\x81\x8d\xff\xfa split")
    with pytest.raises(ValueError, match=r"metadata\.csv: expected text in UTF-8, UTF-16"):
        names(root)


def test_a_few_rows_that_match_nothing_are_told(root, caplog):
    rows = "test,café,003,red\nvalid,café,001,red\n"
    (root / "metadata.csv").write_text(TABLE + rows, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert names(root) == ("blue", "red")
    assert "1 of 3 rows match no picture of the split 'test'" in caplog.text
    assert "1 of 4 rows match no picture" in caplog.text
    assert "'valid'" in caplog.text


def test_rows_of_other_splits_are_no_fault(root, caplog):
    (root / "train" / "images" / "café").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "train" / "images" / "café" / "001.png")
    (root / "metadata.csv").write_text(TABLE.replace("test", "train", 1), encoding="utf-8")
    names(root)
    assert not caplog.records


def test_a_suffix_that_is_part_of_the_name(root):
    (root / "test/images/café/001.png").rename(root / "test/images/café/001.png.jpg")
    (root / "metadata.csv").write_text(TABLE.replace("001", "001.png"), encoding="utf-8")
    assert names(root) == ("blue", "red")
