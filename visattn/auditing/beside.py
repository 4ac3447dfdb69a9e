"""Variants that stand beside a split as splits of their own: in its folder, or its data module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeGuard, final

from visattn.auditing.opening import SUSHI, Preparation
from visattn.auditing.scenes import Pictures, Renders
from visattn.data import FolderDataset, Item, split_names
from visattn.data.decoding import Decoded, Decoder
from visattn.data.layout import known_split, scan_split
from visattn.data.public.recognition import published_data

RENDERS = {
    "mixed-same": "mixed_same",
    "mixed-rand": "mixed_rand",
    "mixed-next": "mixed_next",
    "mixed-new": "mixed_new",
    "only-fg": "only_fg",
    "only-fg-grey": "only_fg_grey",
    "only-bg": "only_bg",
    "only-bg-t": "only_bg_t",
    "only-bg-b": "only_bg_b",
    "no-fg": "no_fg",
}
"""Variants that may be splits of their own, and how these end."""

ADVERSARIAL = "adversarial"
_ORIGINAL = "original"


class DataModule(Protocol):
    """What is needed of `visattn.data.image_data.ImageData`."""

    @property
    def splits(self) -> Sequence[str]:
        """The names of all splits."""

    def locate(self) -> Path:
        """The folder of the data set."""

    def items(self, split: str, /) -> Sequence[Item]:
        """Every picture of a split."""

    def dataset(self, split: str, /) -> FolderDataset:
        """The data set of a split."""


@dataclass(frozen=True)
class Beside:
    """The variants of a split's foregrounds.

    Attributes:
        prefix: Splits are called after it and the ending of the variant.
        items: The pictures by ending.
        made: How they came about.
    """

    prefix: str
    items: Mapping[str, Sequence[Item]]
    made: str


@final
class OfModule:
    """A split of a data module, as `Pictures`; it knows the variants beside it.

    Args:
        module: The data module.
        split: Which split of it.
    """

    def __init__(self, module: DataModule, *, split: str) -> None:
        self._data = module.dataset(split)
        self.root, self.split = self._data.root, split
        self.items, self.class_names = self._data.items, self._data.class_names
        self.decoder: Decoder = self._data.decoder
        self.mean, self.std = self._data.mean, self._data.std
        self.masked, self.mask_form = self._data.masked, self._data.mask_form
        self.beside: Beside | None = None
        if split.endswith(f"_{_ORIGINAL}"):
            prefix = split.removesuffix(_ORIGINAL)
            wanted = [e for e in _ENDINGS if f"{prefix}{e}" in module.splits]
            self.beside = Beside(
                prefix,
                {ending: tuple(module.items(f"{prefix}{ending}")) for ending in wanted},
                made="rendered" if _is_generic(self.root, split) else "given",
            )

    def decoded(self, index: int) -> Decoded:
        """The picture and its mask at a row, as bytes."""
        return self._data.decoded(index)


def as_published(data: object, *, prepared: Preparation) -> object:
    """The data module of a folder that holds a public data set; anything else as it is.

    Raises:
        FileNotFoundError: The data set is there, but not whole.
    """
    if not isinstance(data, (str, Path)) or str(data) == SUSHI:
        return data
    found = published_data(Path(data), size=prepared.size, fit=prepared.fit)
    return data if found is None else found


def of_module(data: Any, *, split: str | None) -> tuple[Any, str | None]:
    """The pictures of a data module's split and None; anything else and its split as they are.

    Args:
        data: A data module, or another thing that `visattn.audit` takes.
        split: Of a data module; the last that ends in ``_original``, or else begins with ``test``,
            if None.

    Raises:
        ValueError: The module has no such split.
    """
    if not _is_module(data):
        return data, split
    known = tuple(data.splits)
    tests = [name for name in known if name.startswith("test")]
    originals = [name for name in tests if name.endswith(f"_{_ORIGINAL}")]
    wanted = split or (originals or tests or known)[-1]
    return OfModule(data, split=known_split(wanted, splits=known, root=data.locate())), None


def find_beside(pictures: Pictures) -> Beside | None:
    """What stands beside a split ``..._original``; None for any other."""
    if isinstance(pictures, OfModule):
        return pictures.beside
    if not isinstance(pictures, FolderDataset) or not pictures.split.endswith(f"_{_ORIGINAL}"):
        return None
    root, prefix = pictures.root, pictures.split.removesuffix(_ORIGINAL)
    if _is_generic(root, pictures.split):
        known = split_names(root)
        return Beside(
            prefix,
            {
                ending: scan_split(root, f"{prefix}{ending}", class_names=pictures.class_names)
                for ending in _ENDINGS
                if f"{prefix}{ending}" in known
            },
            made="rendered",
        )
    from visattn.data.public.imagenet9 import published_variants  # needs Lightning

    return Beside(prefix, published_variants(root), made="given")


def find_renders(pictures: Pictures, beside: Beside | None) -> dict[str, Renders]:
    """The variants that stand beside a split ``..._original`` as splits of their own.

    Pictures belong together that have the same class and foreground: the same ``foreground`` in
    their metadata, as in ImageNet-9, or else the same name.
    """
    if beside is None:
        return {}
    rows = {_key(item): row for row, item in enumerate(pictures.items)}
    found = {}
    for variant, ending in RENDERS.items():
        if ending in beside.items:
            others = beside.items[ending]
            items = {rows[_key(item)]: item for item in others if _key(item) in rows}
            split = f"{beside.prefix}{ending}"
            found[variant] = Renders(split, items, decoder_of(pictures), beside.made)
    return found


def find_adversarial(pictures: Pictures, beside: Beside | None) -> dict[int, list[Item]]:
    """The pictures of a split ``..._adversarial``, ``ID_NUMBER`` by name, by row of the original.

    Empty where there is no such split.
    """
    rows = {(item.class_name, item.path.stem): row for row, item in enumerate(pictures.items)}
    found: dict[int, list[Item]] = {}
    for item in beside.items.get(ADVERSARIAL, ()) if beside is not None else ():
        key = (item.class_name, item.path.stem.rpartition("_")[0])
        if key in rows:
            found.setdefault(rows[key], []).append(item)
    return found


def decoder_of(pictures: Pictures) -> Decoder:
    """What reads the files of pictures that have variants beside them."""
    if not isinstance(pictures, (FolderDataset, OfModule)):
        raise TypeError("variants in files come with a FolderDataset or a data module")
    return pictures.decoder


_ENDINGS = (*RENDERS.values(), ADVERSARIAL)


def _is_generic(root: Path, split: str) -> bool:
    """Whether the split stands in ``SPLIT/images``: published sets have layouts of their own."""
    return (root / split / "images").is_dir()


def _is_module(data: Any) -> TypeGuard[DataModule]:
    return not isinstance(data, (str, Path)) and all(
        callable(getattr(data, name, None)) for name in ("dataset", "items", "locate")
    )


def _key(item: Item) -> tuple[str, str]:
    return item.class_name, item.metadata.get("foreground") or item.path.stem
