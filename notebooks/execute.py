"""Run the lessons and keep what they print and draw: python notebooks/execute.py [LESSON.ipynb].

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
    for chosen in [Path(word) for word in sys.argv[1:]] or lessons():
        write_lesson(chosen)
        print(chosen)
