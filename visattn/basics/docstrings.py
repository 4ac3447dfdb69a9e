"""Docstrings that stay under ``python -OO``: help texts and papers of blocks are read from them."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import final


@final
class WithDocstrings(SourceFileLoader):
    """Compiles a module as ``python -O`` does, without a file of what it compiled."""

    def get_code(self, fullname: str) -> CodeType:
        """The code."""
        source = self.get_data(self.path)
        code: CodeType = compile(source, self.path, "exec", dont_inherit=True, optimize=1)
        return code


@final
class KeptDocstrings(MetaPathFinder):
    """Finds the modules of visattn where they are."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What Python finds, but for a loader of source."""
        if not fullname.startswith("visattn."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = WithDocstrings(fullname, spec.loader.path)
        return spec


def keep_docstrings() -> None:
    """Have modules that are imported from now on keep them, where Python would leave them out."""
    if sys.flags.optimize > 1:
        sys.meta_path.insert(0, KeptDocstrings())
