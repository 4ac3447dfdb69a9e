"""A folder of pictures and masks, packed into shards."""

import contextlib
import logging
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from visattn.basics.files import write_whole
from visattn.data.checking import check_items
from visattn.data.files.names import same_form
from visattn.data.files.splits import ensure_splits
from visattn.data.layout import Item, class_folders, raise_problems, scan_split, split_names
from visattn.data.shards.index import INDEX_FILE, Index, Member, Row, Split, as_text

_log = logging.getLogger(__name__)


def pack_folder(folder: str | Path, out: str | Path, *, shard_mb: int = 256) -> Index:
    """Copy pictures and masks, as they are, into tar files of the WebDataset layout.

    A shard holds ``CLASS/ID.jpg`` and ``CLASS/ID.mask.png`` side by side, in the order of the
    folder; ``shards.json`` says what is where. All files are read first, and nothing is written
    where one of them is broken.

    Args:
        folder: As `visattn.data.FolderData` reads it.
        out: A folder that does not exist yet; it is there once all is written.
        shard_mb: A shard ends with the picture that makes it larger than this, in MB.

    Returns:
        What was packed.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError: There is no such folder.
        ValueError: A file is broken, or the folder has other faults.
        ImportError: The extra is missing.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "photos" / "train" / "images" / "buri"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (40, 30)).save(folder / "1.png")
        ...     pack_folder(f"{root}/photos", f"{root}/shards").classes
        ('buri',)
    """
    root, target = Path(folder), Path(out)
    if shard_mb < 1:
        raise ValueError(f"shard_mb must be at least 1, got {shard_mb}")
    if target.exists():
        raise FileExistsError(f"{target} exists; name a folder that doesn't, or remove it")
    told = ensure_splits(root)
    if told is not None:
        _log.warning(told)
    splits = split_names(root)
    classes = class_folders(root, "train" if "train" in splits else splits[0])
    found = {split: scan_split(root, split, class_names=classes) for split in splits}
    problems = [line for items in found.values() for line in check_items(items)]
    raise_problems(problems, where=str(root))
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        packed = {
            split: _packed(items, partial, prefix=split, most=shard_mb * 1_000_000)
            for split, items in found.items()
        }
        index = Index(classes, packed)
        write_whole(partial / INDEX_FILE, as_text(index))
        partial.rename(target)
    except OSError as error:
        error.filename = error.filename or str(target)  # the disk is full, say
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return index


def _packed(items: Sequence[Item], folder: Path, *, prefix: str, most: int) -> Split:
    from visattn.data.optional import webdataset

    names: list[str] = []
    shards: list[int] = []
    with contextlib.ExitStack() as streams:

        def opened(name: str) -> BinaryIO:
            streams.close()
            names.append(name)
            return streams.enter_context((folder / name).open("wb"))

        writer = webdataset.ShardWriter(
            f"{prefix.replace('%', '%%')}-%06d.tar",
            maxcount=len(items) + 1,
            maxsize=most,
            verbose=0,
            opener=opened,
            mtime=0,
            format="PAX_FORMAT",
        )
        with writer:
            for item in items:
                writer.write({"__key__": _key(item), **_files(item)})
                shards.append(len(names) - 1)
    members = [_members(folder / name) for name in names]
    if sum(map(len, members)) != sum(1 + (item.mask_path is not None) for item in items):
        raise ValueError(
            f"{prefix}: a picture has the name that the mask of another one takes in a shard, "
            "ID.mask.*; rename it"
        )
    rows: list[Row] = []
    for item, shard in zip(items, shards, strict=True):
        picture, *mask = (members[shard][f"{_key(item)}.{ending}"] for ending in _endings(item))
        rows.append(Row(shard, item.label, picture, mask[0] if mask else None, item.metadata))
    sizes = [(name, (folder / name).stat().st_size) for name in names]
    return Split(tuple(sizes), tuple(rows))


def _key(item: Item) -> str:
    return f"{item.class_name}/{same_form(item.path.stem)}"


def _endings(item: Item) -> dict[str, Path]:
    """The files of an item by what WebDataset calls their extensions, the picture first."""
    found = {item.path.suffix[1:].lower(): item.path}
    if item.mask_path is not None:
        found[f"mask{item.mask_path.suffix.lower()}"] = item.mask_path
    return found


def _files(item: Item) -> dict[str, bytes]:
    return {ending: path.read_bytes() for ending, path in _endings(item).items()}


def _members(path: Path) -> dict[str, Member]:
    with tarfile.open(path) as file:
        return {m.name: Member(m.name, m.offset_data, m.size) for m in file}
