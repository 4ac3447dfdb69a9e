"""Modules by the names that they had before: old imports, checkpoints and pickled models go on.

``import visattn.cam`` gives `visattn.recording.cam` itself, under both names one module.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any, final

_ALIKE = {
    "wrapping": "anatomy building checkpoints finetuning insertion observing placement places"
    " planning stages tracing weights",
    "recording": "cam site_maps",
    "blocks.channel": "blocks.eca blocks.ese blocks.se",
    "blocks.joint": "blocks.bam blocks.cbam blocks.coord blocks.scse blocks.simam blocks.triplet",
    "blocks.context": "blocks.gc",
    "blocks.self_attention": "blocks.augmented blocks.axial blocks.criss_cross blocks.latents"
    " blocks.linear blocks.local blocks.mhsa blocks.nonlocal_ blocks.positions blocks.readout",
    "blocks.kernels": "blocks.sk",
    "blocks.masks": "blocks.abn blocks.residual_attention blocks.spatial_mask",
    "blocks.place": "blocks.joint.sge",
    "data.generated": "data.sushi data.tasty",
    "data.loading": "data.loaders",
    "networks": "training.backbone training.mask_pass training.weight_files",
    "training.losses": "training.attribution_losses training.box_losses training.group_losses",
}
"""From a folder to the modules that moved there and kept the last part of their names."""

_OTHERS = {
    "attention.content": "attention.scores",
    "attention.fused": "attention.pairwise",
    "attention.low_rank": "attention.pairwise",
    "blocks.joint_gates": "blocks.gates",
    "data.sushi_data": "data.generated.sushi.module",
    "training.caption_data": "tasks.captioning.data",
    "training.captioning": "tasks.captioning.module",
    "training.clause_data": "tasks.translation.data",
    "training.copying": "tasks.copying",
    "training.review_data": "tasks.review_data",
    "training.sentiment": "tasks.sentiment.module",
    "training.smile_data": "tasks.smiles.data",
    "training.smiles": "tasks.smiles.module",
    "training.tagging": "tasks.tagging.module",
    "training.translation": "tasks.translation.module",
}

MOVED = {
    f"visattn.{old}": f"visattn.{folder}.{old.rpartition('.')[2]}"
    for folder, names in _ALIKE.items()
    for old in names.split()
} | {f"visattn.{old}": f"visattn.{new}" for old, new in _OTHERS.items()}
"""From old names to new ones; what lies in a package moves along with it."""


def new_name(name: str) -> str | None:
    """Where a module is that was called ``name``; None if it never was anything else.

    Example:
        >>> new_name("visattn.cam"), new_name("visattn.data.sushi.plan"), new_name("visattn.data")
        ('visattn.recording.cam', 'visattn.data.generated.sushi.plan', None)
    """
    old, rest = name, ""
    while old:
        if old in MOVED:
            return MOVED[old] + rest
        old, dot, last = old.rpartition(".")
        rest = f"{dot}{last}{rest}"
    return None


@final
class OldNames(MetaPathFinder, Loader):
    """Finds modules by their old names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec that stands for the module of the new name."""
        new = new_name(fullname) if fullname.startswith("visattn.") else None
        found = None if new is None else importlib.util.find_spec(new)
        if found is None:
            return None
        package = found.submodule_search_locations is not None
        return ModuleSpec(fullname, self, origin=found.origin, is_package=package)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module of the new name itself."""
        module = importlib.import_module(str(new_name(spec.name)))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it ran under its new name, whose spec it keeps."""
        module.__spec__ = getattr(module.__spec__, "loader_state", module.__spec__)

    def get_code(self, fullname: str) -> CodeType | None:
        """The code, for ``python -m``."""
        found = importlib.util.find_spec(str(new_name(fullname)))
        loader: Any = found and found.loader
        return loader.get_code(found.name) if found else None


def serve_old_names() -> None:
    """Have old names found, before Python looks into the folders of packages that moved."""
    if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldNames())
