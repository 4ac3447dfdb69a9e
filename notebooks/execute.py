"""Run the lessons and keep what they print and draw: python notebooks/execute.py [LESSON.ipynb].

With --badges nothing runs, and each gets the line that opens it on Colab, by the address of the
repository in pyproject.toml.

No Jupyter is needed. Cells run in their order in one namespace; kept are what they print, and what
their last expression is: a figure as a PNG, anything else as text.
"""

import ast
import base64
import contextlib
import io
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
DPI = 90


def lessons() -> list[Path]:
    """All lessons, in their order."""
    return sorted(FOLDER.glob("*.ipynb"), key=lambda path: int(path.stem.partition("_")[0]))


def read_lesson(path: Path) -> dict[str, Any]:
    """The notebook as JSON has it."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def code_cells(lesson: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that run."""
    return [cell for cell in lesson["cells"] if cell["cell_type"] == "code"]


def run_lesson(lesson: dict[str, Any], *, name: str) -> list[list[dict[str, Any]]]:
    """Run all cells; the outputs of each, in the notebook's format.

    Args:
        lesson: As `read_lesson` gives it.
        name: For tracebacks.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    found = []
    for number, cell in enumerate(code_cells(lesson)):
        source = re.sub(r"(?m)^( *)%.*$", r"\1pass", "".join(cell["source"]))
        found.append(_run_cell(source, namespace, number=number, name=f"{name}, cell {number + 1}"))
    return found


def alike(first: list[list[dict[str, Any]]], second: list[list[dict[str, Any]]]) -> bool:
    """Whether outputs are the same but for numbers and the pixels of pictures."""
    return _without_numbers(first) == _without_numbers(second)


def write_lesson(path: Path) -> None:
    """Run a lesson and write its outputs into it."""
    lesson = read_lesson(path)
    cells = zip(code_cells(lesson), run_lesson(lesson, name=path.name), strict=True)
    for number, (cell, outputs) in enumerate(cells, 1):
        cell["execution_count"], cell["outputs"] = number, outputs
    _write(path, lesson)


def badge(path: Path, *, project: Path = FOLDER.parent / "pyproject.toml") -> str:
    """The line that opens a lesson on Colab; empty while no repository is named.

    Args:
        path: The lesson.
        project: The file whose ``[project.urls]`` may name a ``Repository`` on GitHub.
    """
    settings = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    address = settings.get("urls", {}).get("Repository", "").rstrip("/")
    if not address:
        return ""
    place = f"{address.removeprefix('https://github.com/')}/blob/main/notebooks/{path.name}"
    return f"[![Open in Colab]({_COLAB}/assets/colab-badge.svg)]({_COLAB}/github/{place})"


_COLAB = "https://colab.research.google.com"


def with_badge(lesson: dict[str, Any], line: str) -> dict[str, Any]:
    """A lesson whose title has that line under it, and no other of its kind."""
    title, *text = lesson["cells"][0]["source"]
    kept = "".join(part for part in text if _COLAB not in part).strip("\n")
    parts = [part for part in (title.rstrip("\n"), line, kept) if part]
    first = {**lesson["cells"][0], "source": "\n\n".join(parts).splitlines(keepends=True)}
    return {**lesson, "cells": [first, *lesson["cells"][1:]]}


def _write(path: Path, lesson: dict[str, Any]) -> None:
    path.write_text(json.dumps(lesson, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _run_cell(
    source: str, namespace: dict[str, Any], *, number: int, name: str
) -> list[dict[str, Any]]:
    tree = ast.parse(source, name)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), namespace)
        value = None if last is None else eval(compile(last, name, "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    if value is not None:
        outputs.append(
            {
                "data": _shown(value),
                "execution_count": number + 1,
                "metadata": {},
                "output_type": "execute_result",
            }
        )
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    """A value by media type."""
    if isinstance(value, Figure):
        picture = io.BytesIO()
        value.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
        text = base64.b64encode(picture.getvalue()).decode()
        return {"image/png": text, "text/plain": ["<Figure>"]}
    return {"text/plain": repr(value).splitlines(keepends=True)}


def _without_numbers(outputs: list[list[dict[str, Any]]]) -> list[list[tuple[str, ...]]]:
    def plain(output: dict[str, Any]) -> tuple[str, ...]:
        text = "".join(output.get("text") or output["data"]["text/plain"])
        kinds = sorted(output.get("data", ()))
        return (*kinds, re.sub(r"\s+", " ", re.sub(r"-?\d+(\.\d*)?(e[-+]?\d+)?", "#", text)))

    return [[plain(output) for output in cell] for cell in outputs]


if __name__ == "__main__":
    for chosen in [Path(word) for word in sys.argv[1:] if word != "--badges"] or lessons():
        if "--badges" in sys.argv:
            _write(chosen, with_badge(read_lesson(chosen), badge(chosen)))
        else:
            write_lesson(chosen)
        print(chosen)
