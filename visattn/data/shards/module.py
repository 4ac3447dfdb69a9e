"""The data module of a folder that was packed into shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from visattn.data.image_data import ImageData
from visattn.data.layout import Item, known_split
from visattn.data.shards.index import Member
from visattn.data.shards.reading import PackedPath, Source, Store, packed_path


@final
class ShardData(ImageData):
    """Shards that ``visattn pack FOLDER OUT`` wrote, here or at an address.

    An epoch takes shards in a random order, and mixes the pictures of a few at a time; each of
    several processes takes shards of its own. Files were read when they were packed, so they are
    not read before training, and pictures are not kept in memory, unless ``check`` and ``cache``
    say so. What draws any picture at any time needs all shards near: ``group_balanced``, and swaps
    of backgrounds between training pictures.

    Args:
        root: The folder, or an address that WebDataset opens: ``s3://``, ``gs://``, ``https://``.
        train_split: What to train on.
        cache_folder: Where shards from an address are kept.
        cache_gb: How much of them, in GB; the oldest go first.
        options: Those of `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: ``root`` holds no shards.
        ValueError: An option out of its range, or a broken index.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from visattn.data import pack_folder
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "photos" / "train" / "images" / "buri"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (40, 30)).save(folder / "1.png")
        ...     _ = pack_folder(f"{root}/photos", f"{root}/shards")
        ...     ShardData(f"{root}/shards", size=16).class_names
        ('buri',)
    """

    def __init__(
        self,
        root: str,
        *,
        train_split: str = "train",
        cache_folder: str = "~/.cache/visattn/shards",
        cache_gb: float = 50.0,
        check: bool = False,
        cache: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(train_split=train_split, check=check, cache=cache, **options)
        if cache_gb <= 0:
            raise ValueError(f"cache_gb must be above 0, got {cache_gb}")
        self.store = Store(str(root), str(Path(cache_folder).expanduser()), cache_gb)
        self._index = self.store.index()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the folder that was packed."""
        return self._index.classes

    @property
    def splits(self) -> tuple[str, ...]:
        """The folder's splits, sorted by name."""
        return tuple(sorted(self._index.splits))

    def locate(self) -> Path:
        """The folder; an address is one for messages only."""
        return Path(self.store.root)

    def items(self, split: str) -> tuple[Item, ...]:
        """Every picture of a split, in the order of the folder."""
        known_split(split, splits=self.splits, root=self.locate())
        found = self._index.splits[split]

        def path(member: Member | None, shard: int) -> Any:
            name, size = found.shards[shard]
            return member and packed_path(Source(self.store, name, size, member))

        return tuple(
            Item(
                path=path(row.picture, row.shard),
                mask_path=path(row.mask, row.shard),
                label=row.label,
                class_name=self.class_names[row.label],
                metadata=row.metadata,
            )
            for row in found.rows
        )

    def shards(self, items: Sequence[Item]) -> list[int]:
        """The number of each picture's shard."""
        paths = [item.path for item in items]
        names = [path.source.shard for path in paths if isinstance(path, PackedPath)]
        numbers = {name: number for number, name in enumerate(sorted(set(names)))}
        return [numbers[name] for name in names]
