"""MetaShift: cats and dogs of Visual Genome among things that go with one of them.

Liang and Zou, MetaShift, ICLR 2022, arXiv:2202.06523.
"""

import io
import pickle
from pathlib import Path
from typing import Any, final

from visattn.data.layout import Item, scan_pictures
from visattn.data.public.held_out import HeldOutData
from visattn.data.public.recognition import METASHIFT_GROUPS, Publication

PUBLICATION = Publication("MetaShift", "https://github.com/Weixin-Liang/MetaShift")

_TESTS = ("test", "val_out_of_domain")


@final
class MetaShiftData(HeldOutData):
    """MetaShift as its scripts write it, such as cat or dog, indoors or outdoors.

    There are ``train/CLASS`` and ``test/CLASS``, or ``val_out_of_domain/CLASS``, which is ``test``
    here. The context of a picture is its background: it is told by the folder that it is in, as in
    ``train/cat/cat(indoor)``, or by ``imageID_to_group.pkl``, of which nothing but plain values is
    read. There are no masks.

    Args:
        root: The folder that holds ``train``, such as ``MetaShift-subpopulation-shift``.
        options: ``val_share`` and those of `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: The data set is not in ``root``.
        ValueError: An option out of its range, or a file of groups that holds something else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ("train/cat/cat(indoor)", "train/dog", "test/cat", "test/dog"):
        ...         (Path(root) / folder).mkdir(parents=True)
        ...     MetaShiftData(root, size=64).class_names
        ('cat', 'dog')
    """

    def __init__(self, root: str | Path, **options: Any) -> None:
        super().__init__(**options)
        self.root = Path(root)
        self.locate()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the class folders, in their order."""
        return tuple(sorted(path.name for path in (self.root / "train").iterdir() if path.is_dir()))

    def locate(self) -> Path:
        """The folder that holds ``train``."""
        there = [name for name in _TESTS if (self.root / name).is_dir()]
        PUBLICATION.require(self.root, "train", *([] if there else [" or ".join(_TESTS)]))
        return self.root

    def read(self, split: str) -> tuple[Item, ...]:
        """The pictures of ``trainval`` or ``test``."""
        named = ["train"] if split == "trainval" else _TESTS
        folder = next(self.root / name for name in named if (self.root / name).is_dir())
        groups = read_groups(self.root / METASHIFT_GROUPS)
        return tuple(
            Item(path=path, label=label, class_name=name, metadata={"style": context})
            for label, name in enumerate(self.class_names)
            for path in _pictures(folder / name)
            for context in [_context(path, name, groups)]
        )


def read_groups(path: Path) -> dict[str, tuple[str, ...]]:
    """The groups, such as ``cat(indoor)``, of each picture by its name without suffix.

    Args:
        path: A pickle of a dictionary from a group to names of pictures; none where it is missing.

    Raises:
        ValueError: It holds something else.
    """
    if not path.is_file():
        return {}
    try:
        given = _Plain(io.BytesIO(path.read_bytes())).load()
        pairs = [(Path(str(name)).stem, str(group)) for group in given for name in given[group]]
    except Exception as error:
        raise ValueError(
            f"{path}: expected a pickle of a dictionary from a group, such as cat(indoor), to "
            f"names of pictures ({error})"
        ) from error
    found: dict[str, tuple[str, ...]] = {}
    for name, group in pairs:
        found[name] = (*found.get(name, ()), group)
    return found


class _Plain(pickle.Unpickler):
    """Plain values alone: a pickle of anything else could run anything."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("builtins", "set"), ("__builtin__", "set")}:
            return set
        raise pickle.UnpicklingError(f"it holds {module}.{name}")


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a class, in its folder or in folders of contexts there."""
    PUBLICATION.require(folder.parent, folder.name)
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    return [item.path for where in inner or [folder] for item in scan_pictures(where)]


def _context(path: Path, name: str, groups: dict[str, tuple[str, ...]]) -> str:
    """Where a picture of a class is; empty where nothing says so."""
    told = [path.parent.name, *groups.get(path.stem, ())]
    fitting = (group for group in told if group.startswith(f"{name}(") and group.endswith(")"))
    return next(fitting, f"{name}()")[len(name) + 1 : -1]
