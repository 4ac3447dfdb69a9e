"""Files in shards, read as if they lay in folders."""

import contextlib
import hashlib
import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlparse

from visattn.data.shards.index import INDEX_FILE, Index, Member, read_index

_Path: Any = type(Path())
_TRIES = 3  # another process may drop a shard from the cache before it is opened


@dataclass(frozen=True)
class Store:
    """Where shards are, and where those from elsewhere are kept.

    Args:
        root: A folder, or an address that WebDataset opens, such as ``"s3://bucket/photos"`` or
            ``"https://host/photos"``.
        cache_folder: Where shards from an address are kept.
        cache_gb: How much of them is kept; the oldest go first.
    """

    root: str
    cache_folder: str
    cache_gb: float

    @property
    def remote(self) -> bool:
        """Whether ``root`` is an address.

        Example:
            >>> [Store(root, "", 1).remote for root in ("s3://bucket/photos", "photos")]
            [True, False]
        """
        return len(urlparse(self.root).scheme) > 1  # one letter is a drive

    def address(self, name: str) -> str:
        """The path or address of one of its files."""
        return f"{self.root.rstrip('/')}/{name}" if self.remote else str(Path(self.root, name))

    def index(self) -> Index:
        """What is in it.

        Raises:
            FileNotFoundError: There is no index.
            ValueError: It is none, see `read_index`.
        """
        place = self.address(INDEX_FILE)
        if not self.remote and not Path(place).is_file():
            raise FileNotFoundError(
                f"expected shards in {self.root}, found no {INDEX_FILE}; pack a folder: visattn "
                f"pack FOLDER {self.root}"
            )
        with _webdataset().gopen(place) if self.remote else Path(place).open("rb") as stream:
            return read_index(stream.read().decode(), where=place)


@dataclass(frozen=True)
class Source:
    """Where the bytes of a file are.

    Args:
        store: The shards.
        shard: Which of them.
        size: That shard's, in bytes.
        member: The file in it.
    """

    store: Store
    shard: str
    size: int
    member: Member

    def read(self) -> bytes:
        """The file.

        Raises:
            OSError: The shard is missing, or is not as it was when it was packed.
        """
        for left in reversed(range(_TRIES)):
            try:
                return self._read()
            except FileNotFoundError:
                if not (self.store.remote and left):
                    raise
        raise FileNotFoundError(self.shard)

    def _read(self) -> bytes:
        place = self.store.address(self.shard)
        local = _cache(self.store).get_file(place) if self.store.remote else place
        with open(local, "rb") as stream:
            found = os.fstat(stream.fileno()).st_size
            if found != self.size:
                if self.store.remote:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(local)
                raise OSError(
                    f"the shard {place} has {found} bytes, and its index says {self.size}: copy it "
                    "anew, or pack the folder anew"
                )
            stream.seek(self.member.offset)
            return stream.read(self.member.size)


class PackedPath(_Path):  # type: ignore[misc]  # the class of this system
    """The path of a file in a shard, ``OUT/train-000000.tar/cat/001.jpg``; it can be opened."""

    source: Source

    def open(self, mode: str = "rb", *ignored: Any, **rest: Any) -> BinaryIO:
        """The file's bytes."""
        if mode != "rb":
            raise ValueError(f"files in shards are only read, as bytes; got mode={mode!r}")
        return io.BytesIO(self.source.read())

    def __reduce__(self) -> tuple[Any, ...]:
        return packed_path, (self.source,)


def packed_path(source: Source) -> Path:
    """The path of a file in a shard."""
    shard = source.store.address(source.shard)
    path = PackedPath(shard, *PurePosixPath(source.member.name).parts)
    path.source = source
    return path


@cache
def _cache(store: Store) -> Any:
    """WebDataset's cache of files; shards of one name from two addresses don't meet there."""
    return _webdataset().cache.FileCache(
        store.cache_folder,
        url_to_name=lambda url: hashlib.sha256(url.encode()).hexdigest()[:16] + ".tar",
        cache_size=int(store.cache_gb * 1e9),
    )


def _webdataset() -> Any:
    from visattn.data.optional import webdataset

    return webdataset
