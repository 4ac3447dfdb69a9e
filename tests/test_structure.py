"""The house rules that a machine can hold."""

import ast
import importlib
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import visattn
from visattn.moved import MOVED

PACKAGE = Path(visattn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MODELS = {"basics", "attention", "blocks", "wrapping", "recording"}
ALLOWED = {
    "moved": set(),
    "basics": set(),
    "attention": {"basics"},
    "blocks": {"basics", "attention"},
    "wrapping": {"basics", "blocks"},
    "recording": {"basics", "attention", "blocks"},
    "exporting": {"basics", "wrapping", "recording"},
    "sequence": {"basics", "attention"},
    "pictures": {"basics"},
    "metrics": {"basics"},
    "data": {"basics"},
    "report_page": {"basics", "attention", "recording", "pictures", "metrics"},
    "networks": MODELS - {"attention"},
    "annotation": {"basics", "report_page", "data", "networks"},
    "evaluation": {"basics", "recording", "metrics", "data", "networks"},
    "auditing": {"basics", "pictures", "metrics", "data", "networks", "annotation"},
    "training": MODELS - {"attention"} | {"pictures", "metrics", "data", "networks"},
    "tasks": MODELS | {"pictures", "data", "networks", "sequence", "training"},
    "experiments": MODELS | {"pictures", "metrics", "data", "networks", "training"},
    "testing": MODELS | {"exporting"},
    "bench": MODELS | {"pictures", "data", "networks", "auditing", "training"},
    "commands": {"basics", "blocks", "wrapping", "recording", "exporting", "pictures", "data"}
    | {"report_page", "networks", "annotation", "evaluation", "auditing", "training", "tasks"}
    | {"experiments", "bench"},
    "cli": {"commands", "training"},
    "__init__": {"basics", "moved"},
    "__main__": {"cli"},
}
"""What each room may import; none may import one that comes after it."""

LIBRARIES = {
    "lightning": {"training", "tasks", "experiments", "data", "cli", "bench"},
    "albumentations": {"data"},
    "timm": {"wrapping", "data", "networks", "training", "tasks", "bench", "testing"},
    "torchvision": {"networks", "data", "annotation", "training", "tasks", "bench"},
}


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def homes():
    """The modules of the public names, from the stub that says them."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    return {
        alias.name: node.module
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@cache
def imported(path):
    """Every module that a file imports, at any depth of the code, but for types alone."""
    return tuple(modules(path))


def modules(path):
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
                for alias in node.names:
                    yield f"visattn.{homes().get(alias.name, alias.name)}"
            else:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def ours(path):
    """The files of ours that a file imports."""
    return tuple(files(path))


def files(path):
    for name in imported(path):
        parts = name.split(".")[1:] if name.startswith("visattn.") else []
        while parts:
            file = PACKAGE.joinpath(*parts)
            if file.with_suffix(".py").is_file():
                yield file.with_suffix(".py")
                break
            if (file / "__init__.py").is_file():
                yield file / "__init__.py"
                break
            parts = parts[:-1]


def longest(graph):
    """The longest way through a graph that has no circle."""

    @cache
    def below(node):
        return (node, *max((below(other) for other in graph[node]), key=len, default=()))

    return max((below(node) for node in graph), key=len)


def circle(graph):
    """A circle of a graph, or None."""
    state = {}

    def visit(node, way):
        if state.get(node) == "open":
            return way[way.index(node) :]
        if node in state:
            return None
        state[node] = "open"
        found = next(
            (c for other in sorted(graph[node]) if (c := visit(other, [*way, node]))), None
        )
        state[node] = "done"
        return found

    return next((c for node in sorted(graph) if (c := visit(node, []))), None)


def rooms():
    graph = {room(path): set() for path in FILES}
    for path in FILES:
        graph[room(path)] |= {room(other) for other in ours(path)} - {room(path), "__init__"}
    return graph


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path):
    own = room(path)
    assert own in ALLOWED, f"say in tests/test_structure.py what {own} may import"
    for other in {room(other) for other in ours(path)} - {own, "__init__"}:
        assert other in ALLOWED[own], f"{own} must not import {other}"
    for name in imported(path):
        library = name.partition(".")[0]
        assert own in LIBRARIES.get(library, {own}), f"{own} must not import {library}"


def test_the_arrows_go_downhill():
    above = list(ALLOWED)
    for own, allowed in ALLOWED.items():
        assert all(above.index(other) < above.index(own) for other in allowed), own


def test_no_room_is_too_large_and_no_way_too_long():
    assert len({room(path) for path in FILES}) <= 25
    fullest, files = Counter(path.parent for path in FILES).most_common(1)[0]
    assert files <= 20, fullest
    chain = longest(rooms())
    assert len(chain) <= 11, chain


def test_no_files_import_each_other_in_a_circle():
    graph = {path: set(ours(path)) - {path} for path in FILES}
    faces = {path for path in FILES if path.name == "__init__.py"}  # they hand names on
    graph = {path: others - faces for path, others in graph.items() if path not in faces}
    assert circle(graph) is None
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def test_old_names_of_modules_are_served():
    for old, new in MOVED.items():
        assert importlib.import_module(old) is importlib.import_module(new)
        assert importlib.import_module(new).__spec__.name == new
    result = subprocess.run(
        [sys.executable, "-m", "visattn.data.sushi", "--help"], capture_output=True, text=True
    )
    assert "--contact-sheet" in result.stdout, result.stderr
    with pytest.raises(ModuleNotFoundError, match=r"visattn\.nowhere"):
        importlib.import_module("visattn.nowhere")


def test_no_public_name_is_a_submodule_too():
    submodules = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    assert not submodules & set(visattn.__all__)


def test_every_public_name_exists_and_is_documented():
    assert sorted(homes()) == sorted(visattn.__all__)
    for name in visattn.__all__:
        assert getattr(visattn, name).__doc__


def test_import_takes_no_torch():
    heavy = ("torch", "numpy", "matplotlib")
    code = f"import sys, visattn; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_packages_with_public_names_are_attributes():
    code = "import visattn; print(visattn.blocks.CBAM.__name__, visattn.metrics.__name__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["CBAM", "visattn.metrics"], result.stderr


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attribute wrapp"):
        _ = visattn.wrapp
