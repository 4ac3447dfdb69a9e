"""Opening what an audit reads: the pictures, and variants of them that stand beside in files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeGuard, final

from visattn.auditing import variants as v
from visattn.auditing.opening import READ, Preparation
from visattn.auditing.options import AuditOptions
from visattn.data import FolderDataset, Item, split_names
from visattn.data.decoding import Decoded, Decoder
from visattn.data.files.forms import form_of
from visattn.data.files.picture_paths import folder_of, pictures_at
from visattn.data.generated.sushi.plan import ADVERSARIAL_BACKGROUNDS
from visattn.data.layout import known_split, scan_split
from visattn.data.public.recognition import published_data
from visattn.data.sources import SUSHI, find_source, last_test

_VARIANTS = (*v.MIXED, v.ONLY_FG, "only-fg-grey", "only-bg", v.ONLY_BG_T, v.ONLY_BG_B, v.NO_FG)
"""Variants that may be splits of their own, whose names end as they are called."""

_ORIGINAL = "_original"
_SCENES = 480


class Pictures(Protocol):
    """What an audit reads: `visattn.data.FolderDataset`, or anything with its like."""

    @property
    def items(self) -> Sequence[Item]:
        """What is known of each picture."""

    @property
    def class_names(self) -> Sequence[str]:
        """The classes in the order of their labels; none where there are no classes."""

    def decoded(self, index: int, /) -> Decoded:
        """The picture and its mask at a row, as bytes."""


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


def open_pictures(
    data: Pictures | DataModule | str | Path | Sequence[str | Path],
    options: AuditOptions,
    *,
    prepared: Preparation,
) -> tuple[Pictures, DataModule | None]:
    """The pictures of a split, and the data module that they are from, if they are.

    Raises:
        FileNotFoundError: There is no such folder, or a public data set that is not whole.
        TypeError: It is something else.
        ValueError: There is no such split; or what is asked for is not how a data set reads its
            pictures.
    """
    module: Any = data
    if isinstance(data, list) and all(isinstance(word, (str, Path)) for word in data):
        return _of_folder(data, options, prepared=prepared), None
    if isinstance(data, (str, Path)):
        given = {**_decoding(prepared), "skip_broken": options.skip_broken}
        module = None if str(data) == SUSHI else published_data(Path(data), **given)
        if module is None:
            return _of_folder(data, options, prepared=prepared), None
    if _is_module(module):
        known = tuple(module.splits)
        wanted = options.split or last_test(known, prefer=[_ORIGINAL])
        split = known_split(wanted, splits=known, root=module.locate())
        pictures = module.dataset(split)
        _check_reading(pictures, options)
        return pictures, module
    if not all(hasattr(data, name) for name in ("items", "class_names", "decoded")):
        raise TypeError(
            "dataset must be a folder, a visattn.data.FolderDataset, or have items, class_names"
            f" and decoded(row) as it does; {type(data).__name__} lacks some of these"
        )
    if options.split is not None:
        raise ValueError(f"split={options.split!r} is for a folder: the data set is of one split")
    _check_reading(module, options)
    return module, None


def _of_folder(
    data: str | Path | list[str | Path], options: AuditOptions, *, prepared: Preparation
) -> FolderDataset:
    """A split of a folder or of scenes, as many as are audited, or pictures without classes."""
    count = options.limit or _SCENES
    many = options.adversarial == ADVERSARIAL_BACKGROUNDS and not options.composites
    root, split = find_source(
        data,
        split=options.split,
        size=prepared.size,
        scenes=count,
        prefer=[_ORIGINAL],
        adversarial=many * count,
    )
    if split is None:
        items = pictures_at(root)
        plain: dict[str, Any] = {"split": "", "class_names": (), "items": items}
        plain["skip_broken"] = options.skip_broken
        return FolderDataset(folder_of(root, items), **_decoding(prepared), **plain)
    read = {**_decoding(prepared), "mask_values": prepared.mask_values}
    return FolderDataset(Path(str(root)), split=split, skip_broken=options.skip_broken, **read)


def _decoding(prepared: Preparation) -> dict[str, Any]:
    """How files become squares."""
    return {name: getattr(prepared, name) for name in ("size", "fit", "interpolation")}


def _is_module(data: Any) -> TypeGuard[DataModule]:
    return all(callable(getattr(data, name, None)) for name in ("dataset", "items", "locate"))


def _check_reading(data: object, options: AuditOptions) -> None:
    """A data set reads its pictures itself: refuse another way, and one that hides something."""
    decoder = getattr(data, "decoder", None)
    for name in READ:
        wanted, own = getattr(options, name), getattr(decoder, name, None)
        if wanted is not None and wanted != own:
            has = "" if own is None else f", with {name}={own!r}"
            raise ValueError(
                f"{name}={wanted!r} is for a folder: the data set reads its pictures itself{has}; "
                f"leave {name} out here, and give it to the data set"
            )
    if getattr(data, "masked", False):
        raise ValueError(
            "the data set has masked=True, but an audit shows whole pictures and cuts objects out "
            "itself: leave masked out"
        )
    if getattr(data, "mask_form", "mask") != "mask":
        raise ValueError(
            f"the data set has mask_form={getattr(data, 'mask_form', None)!r}, but an audit cuts "
            "objects out along their masks: leave mask_form out"
        )


@final
@dataclass(frozen=True)
class VariantFiles:
    """Variants of the pictures of a split that stand in files of their own; none by default.

    Attributes:
        splits: By variant, its split.
        items: By variant, from the row of the original to the picture of the same foreground.
        adversarial: From the row of the original to its pictures on many backgrounds.
        made: How they came about: ``"rendered"``, or ``"given"`` in a public set.
    """

    splits: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, Mapping[int, Item]] = field(default_factory=dict)
    adversarial: Mapping[int, Sequence[Item]] = field(default_factory=dict)
    made: str = "rendered"


def find_variants(pictures: Pictures, *, module: DataModule | None) -> VariantFiles:
    """What stands beside a split ``..._original``; nothing beside any other.

    Pictures belong together that have the same class and foreground: the same ``foreground`` in
    their metadata, as in ImageNet-9, or else the same name. In ``..._adversarial`` they are called
    ``ID_NUMBER``.
    """
    if not isinstance(pictures, FolderDataset) or not pictures.split.endswith(_ORIGINAL):
        return VariantFiles()
    prefix = pictures.split.removesuffix(_ORIGINAL)
    splits = {name: f"{prefix}_{name.replace('-', '_')}" for name in (*_VARIANTS, "adversarial")}
    generic = form_of(pictures.root) is not None  # public sets have other layouts
    found = _items_of(splits, pictures, module=module, generic=generic)
    rows = {_foreground(item): row for row, item in enumerate(pictures.items)}
    by_name = {(item.class_name, item.path.stem): row for row, item in enumerate(pictures.items)}
    many: dict[int, list[Item]] = {}
    for item in found.pop("adversarial", ()):
        key = (item.class_name, item.path.stem.rpartition("_")[0])
        if key in by_name:
            many.setdefault(by_name[key], []).append(_bare(item))
    return VariantFiles(
        splits=splits,
        items={
            name: {
                rows[_foreground(item)]: _bare(item) for item in items if _foreground(item) in rows
            }
            for name, items in found.items()
        },
        adversarial=many,
        made="rendered" if generic else "given",
    )


def _items_of(
    splits: Mapping[str, str],
    pictures: FolderDataset,
    *,
    module: DataModule | None,
    generic: bool,
) -> dict[str, Sequence[Item]]:
    """The pictures of those splits that are there, by variant."""
    if module is not None:
        return {n: module.items(split) for n, split in splits.items() if split in module.splits}
    root, names = pictures.root, pictures.class_names
    if generic:
        known = split_names(root)
        return {
            name: scan_split(root, split, class_names=names)
            for name, split in splits.items()
            if split in known
        }
    from visattn.data.public.imagenet9 import published_variants  # needs Lightning

    given = published_variants(root)
    ends = {name: name.replace("-", "_") for name in splits}
    return {name: given[end] for name, end in ends.items() if end in given}


def _foreground(item: Item) -> tuple[str, str]:
    return item.class_name, item.metadata.get("foreground") or item.path.stem


def _bare(item: Item) -> Item:
    """Without its mask, which nobody opens."""
    return replace(item, mask_path=None)


def decoder_of(pictures: Pictures) -> Decoder:
    """What reads the files of pictures that have variants beside them."""
    if not isinstance(pictures, FolderDataset):
        raise TypeError("variants in files come with a FolderDataset or a data module")
    return pictures.decoder
