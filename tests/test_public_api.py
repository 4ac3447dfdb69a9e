"""The public names: what a change changes of them, and that each is documented in full.

``make api`` writes ``tests/public_api.txt`` anew; its difference is what users will see.
"""

import ast
import difflib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SNAPSHOT = Path(__file__).with_name("public_api.txt")
MODULES = (
    *("visattn", "visattn.attention", "visattn.auditing", "visattn.blocks", "visattn.data"),
    *("visattn.exporting", "visattn.metrics", "visattn.pictures", "visattn.recording"),
    *("visattn.sequence", "visattn.testing", "visattn.training", "visattn.training.losses"),
    "visattn.training.objectives",
)
"""The modules whose names are public: those that the documentation has a page of."""


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def file_of(module):
    """A module's file; of a package the stub, where there is one."""
    path = ROOT.joinpath(*module.split("."))
    found = (path / "__init__.pyi", path / "__init__.py", path.with_suffix(".py"))
    return next(file for file in found if file.is_file())


def imported(module):
    """From the names that a package hands on to the modules that it has them from."""
    found = {}
    for node in parsed(file_of(module)).body:
        if isinstance(node, ast.ImportFrom) and (node.level or node.module.startswith("visattn")):
            home = f"{module}.{node.module}" if node.level else node.module
            found |= {alias.asname or alias.name: (home, alias.name) for alias in node.names}
    return found


def public_names(module):
    """The names of ``__all__``, or of a stub."""
    path = file_of(module)
    for node in parsed(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted(ast.literal_eval(node.value))
    return sorted(imported(module)) if path.suffix == ".pyi" else []


def definition(module, name):
    """Where a name is defined, and the node that does it."""
    tree = parsed(file_of(module))
    for node in tree.body:
        if getattr(node, "name", None) == name:
            return module, node
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        names = (n for target in targets if target is not None for n in ast.walk(target))
        if any(isinstance(n, ast.Name) and n.id == name for n in names):
            return module, node
    home, other = imported(module)[name]
    return definition(home, other)


def signature(node):
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"({ast.unparse(node.args)}){returns}"


def described(module, name):
    """Lines that say how a name is called."""
    _, node = definition(module, name)
    if isinstance(node, ast.FunctionDef):
        yield f"{module}.{name}{signature(node)}"
    elif isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        yield f"{module}.{name}: class({bases})"
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and (
                part.name == "__init__" or not part.name.startswith("_")
            ):
                kinds = [ast.unparse(d) for d in part.decorator_list]
                told = f" [{', '.join(kinds)}]" if kinds else ""
                yield f"{module}.{name}.{part.name}{signature(part)}{told}"
            elif isinstance(part, ast.AnnAssign) and not ast.unparse(part.target).startswith("_"):
                yield f"{module}.{name}.{ast.unparse(part)}"
    else:
        yield f"{module}.{name}: value"


def described_all():
    lines = (
        line
        for module in MODULES
        for name in public_names(module)
        for line in described(module, name)
    )
    return "".join(f"{line}\n" for line in lines)


NAMES = sorted(
    {
        (home, node.name): f"{module}.{name}"
        for module in reversed(MODULES)
        for name in public_names(module)
        for home, node in [definition(module, name)]
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }.items()
)
"""Each function and class once, by where it is defined, with a name under which it is public."""


def test_public_names_are_those_of_the_list():
    was, now = SNAPSHOT.read_text(encoding="utf-8"), described_all()
    changes = [
        line
        for line in difflib.unified_diff(was.splitlines(), now.splitlines(), lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    assert not changes, (
        "public names changed:\n"
        + "\n".join(changes)
        + "\nIf that is meant: make api, and a line in CHANGELOG.md; a name that goes is deprecated"
        " first, see CONTRIBUTING.md"
    )


@cache
def examples():
    """Words of the code that the tests run: doctests, README, lessons, recipes."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "visattn").rglob("*.py")]
    lines = [line for text in texts for line in re.findall(r"(?m)^ *(?:>>>|\.\.\.) (.*)$", text)]
    others = [ROOT / "README.md", *(ROOT / "notebooks").glob("*.ipynb")]
    others += (ROOT / "recipes").rglob("*.yaml")
    lines += [path.read_text(encoding="utf-8") for path in others]
    return set(re.findall(r"\w+", "\n".join(lines)))


@cache
def given():
    """Words in what functions with an example give back: results are shown where they come from."""
    functions = [definition(*place)[1] for place, _ in NAMES]
    shown = [n for n in functions if isinstance(n, ast.FunctionDef) and n.name in examples()]
    return {word for node in shown for word in re.findall(r"\w+", signature(node).split("->")[-1])}


def lacks(node):
    """What the docstring of a function or class leaves out."""
    text = ast.get_docstring(node) or ""
    called = forward = node
    if isinstance(node, ast.ClassDef):
        parts = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
        called, forward = parts.get("__init__"), parts.get("forward")
        text += "".join(ast.get_docstring(part) or "" for part in parts.values())
    if not ast.get_docstring(node):
        yield "a docstring"
    if node.name not in examples() | given():
        yield "an example that runs"
    raises = called is not None and any(isinstance(n, ast.Raise) for n in ast.walk(called))
    if raises and "Raises:" not in text:
        yield "what it raises"
    kinds = "" if forward is None else signature(forward)
    if re.search(r"\bTensor\b", kinds) and not re.search(SHAPE, text):
        yield "the shapes of its tensors"


SHAPE = r"\((\.\.\.|[a-z]+(?=,\))|[A-Z]\w*|[a-z]|\d+)( [*/+x-] \w+)*(, ?[^()]*)?\)|scalar|shape"
"""A shape such as (N, C, H, W) or (..., T), or words for one."""


@pytest.mark.parametrize(("home", "public"), NAMES, ids=[public for _, public in NAMES])
def test_a_public_name_is_documented_in_full(home, public):
    module, name = home
    _, node = definition(module, name)
    assert not list(lacks(node)), f"{module}.{name}"


if __name__ == "__main__":
    print(described_all(), end="")
