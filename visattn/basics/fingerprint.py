"""Which files of this package a module depends on, and a fingerprint of what they say."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def source_fingerprint(*names: str, package: Path = _PACKAGE) -> str:
    """Twelve characters that change with the code below some modules, see `files_below`.

    Args:
        names: Such as ``visattn.blocks``.
        package: Folder of the package that they are in.
    """
    digest = hashlib.blake2b(digest_size=6)
    for path in files_below(*names, package=package):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def files_below(*names: str, package: Path = _PACKAGE) -> list[Path]:
    """The files of some modules and of all of the package that they import, at any depth, sorted.

    Imports inside of functions count. A name from a package whose names stand in a stub
    (``__init__.pyi``) leads to the module that has it, not to all others of the package. What is
    imported by a name that is put together at run time isn't seen: name it, too.

    Args:
        names: Modules, or packages for all of their files.
        package: Folder of the package that they are in.

    Example:
        >>> [path.name for path in files_below("visattn.basics.files")]
        ['__init__.py', '__init__.py', 'docstrings.py', 'files.py', 'moved.py']
    """
    waiting: list[Path] = []
    for name in names:
        waiting += _files_of(name, package)
        if waiting[-1].name == "__init__.py":
            waiting += waiting[-1].parent.rglob("*.py")
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            for name in _imported(path):
                if name.partition(".")[0] == package.name:
                    waiting += _files_of(name, package)
    return sorted(found)


def _files_of(name: str, package: Path) -> list[Path]:
    """The files that an import of a name reads, those of the packages on the way first."""
    found = [package / "__init__.py"]
    parts = name.split(".")[1:]
    while parts:
        folder = found[-1].parent
        if (folder / f"{parts[0]}.py").is_file():
            return [*found, folder / f"{parts[0]}.py"]
        if (folder / parts[0]).is_dir():
            found.append(folder / parts.pop(0) / "__init__.py")
        else:
            homes = _homes(folder / "__init__.pyi")
            parts = [*homes[parts[0]].split("."), parts[0]] if parts[0] in homes else []
    return found


@cache
def _homes(stub: Path) -> dict[str, str]:
    """From the names in a stub to the modules, seen from its folder, that have them."""
    tree = ast.parse(stub.read_text(encoding="utf-8") if stub.is_file() else "")
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: str(node.module) for node in nodes for alias in node.names}


def _imported(path: Path) -> Iterator[str]:
    """What a file imports, by absolute names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
