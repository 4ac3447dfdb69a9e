"""How fast pictures are decoded and loaded: ``python -m visattn.bench loading``.

An epoch of training by number of workers, from a folder and from the shards that it is packed
into, augmented as usual and not kept in memory. The pictures are JPEGs of noise over soft colours,
each with a mask.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from visattn.data import FolderData, ShardData, pack_folder
from visattn.data.image_data import ImageData


def write_photos(root: Path, *, count: int, side: int) -> None:
    """Photographs of two classes, with masks."""
    random = np.random.default_rng(0)
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    for number in range(count):
        small = Image.fromarray(random.integers(30, 226, (8, 8, 3), dtype=np.uint8))
        soft = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
        pixels = (soft + random.integers(-20, 20, soft.shape)).clip(0, 255).astype(np.uint8)
        for kind, image, ending in (("images", pixels, "jpg"), ("masks", mask, "png")):
            path = root / "train" / kind / "ab"[number % 2] / f"{number:06d}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


def pictures_a_second(data: ImageData) -> float:
    """Those of an epoch after the first batches, for which workers are started."""
    batches = iter(data.train_dataloader())
    for _ in range(1 + data.workers):
        next(batches)
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch["index"])
    return count / (time.perf_counter() - start)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m visattn.bench loading", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--side", type=int, default=500, help="of the files, in pixels")
    parser.add_argument("--size", type=int, default=224, help="of what is loaded")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args(arguments)
    table = Table("workers", "folder, images/s", "shards, images/s")
    with tempfile.TemporaryDirectory() as place:
        folder, packed = Path(place, "folder"), Path(place, "packed")
        write_photos(folder, count=given.pictures, side=given.side)
        pack_folder(folder, packed, shard_mb=8)
        for workers in given.workers:
            options = {"size": given.size, "batch_size": 16, "workers": workers, "cache": False}
            kinds = FolderData(folder, **options), ShardData(str(packed), **options)
            table.add_row(str(workers), *(f"{pictures_a_second(data):.0f}" for data in kinds))
    Console(highlight=False).print(table)
