"""The house rules that a machine can hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import visattn

PACKAGE = Path(visattn.__file__).parent
MODELS = {"basics", "attention", "blocks", "wrapping", "recording"}
ALLOWED = {
    "basics": set(),
    "attention": {"basics"},
    "blocks": {"basics", "attention"},
    "wrapping": {"basics", "blocks", "recording"},
    "recording": {"basics", "attention", "blocks"},
    "exporting": {"basics", "wrapping", "recording"},
    "sequence": {"basics", "attention"},
    "pictures": {"basics"},
    "metrics": {"basics"},
    "data": {"basics"},
    "report_page": {"basics", "attention", "recording", "pictures", "metrics"},
    "networks": MODELS,
    "evaluation": {"basics", "recording", "metrics", "data", "networks", "commands"},
    "auditing": {"basics", "pictures", "metrics", "data", "networks", "commands"},
    "training": MODELS | {"pictures", "metrics", "data", "networks"},
    "tasks": MODELS | {"pictures", "data", "networks", "sequence", "training"},
    "experiments": MODELS | {"pictures", "metrics", "data", "networks", "training"},
    "testing": MODELS | {"exporting"},
    "bench": MODELS | {"data", "auditing", "training", "testing"},
    "commands": None,
    "cli": None,
    "__init__": None,
    "__main__": {"cli"},
}
LIBRARIES = {
    "lightning": {"training", "tasks", "experiments", "data", "cli"},
    "albumentations": {"data"},
    "timm": {"wrapping", "data", "networks", "training", "bench"},
    "torchvision": {"data", "training", "tasks", "bench"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def part(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Every module that a file imports, at any depth of the code, but for types alone."""
    tree = ast.parse(path.read_text())
    hidden = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import from {node.module} should be absolute"
            if node.module == "visattn":
                yield from (f"visattn.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path):
    own = part(path)
    assert own in ALLOWED, f"say in tests/test_structure.py what {own} may import"
    for name in imported(path):
        root, _, rest = name.partition(".")
        if root == "visattn" and rest:
            other = rest.split(".")[0]
            other = visattn._HOMES.get(other, f".{other}").split(".")[1]
            if ALLOWED[own] is not None and other != own:
                assert other in ALLOWED[own], f"{own} must not import {other}"
            assert other != "cli" or own in ("__main__", "cli"), "nobody imports cli"
        assert own in LIBRARIES.get(root, {own}), f"{own} must not import {root}"


def test_no_public_name_is_a_submodule_too():
    submodules = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    assert not submodules & set(visattn.__all__)


def test_every_public_name_exists_and_is_documented():
    assert sorted(visattn._HOMES) == sorted(visattn.__all__)
    for name in visattn.__all__:
        assert getattr(visattn, name).__doc__


def test_import_takes_no_torch():
    heavy = ("torch", "numpy", "matplotlib")
    code = f"import sys, visattn; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'wrapp'"):
        _ = visattn.wrapp
