"""Curves of fine-tuning, drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from visattn.pictures import save

_COLOURS = {"identity": "#0072b2", "paper": "#d55e00"}
_GREYS = ("#777777", "#aaaaaa", "#bbbbbb")


@dataclass(frozen=True)
class Curve:
    """Accuracy on the validation split by step, of one training.

    Attributes:
        kinds: Which classes.
        name: Block and how it starts (``"se in each branch: paper"``), or what trains instead.
        seed: Of the training.
        trained: Number of parameters that train.
        steps: Optimiser steps before each measurement.
        accuracies: Shares of images, one a measurement.
    """

    kinds: str
    name: str
    seed: int
    trained: int
    steps: list[int]
    accuracies: list[float]


def draw_curves(curves: Sequence[Curve], path: str | Path) -> Path:
    """A row for each set of classes, a column for each block and place; thick: mean over seeds.

    What has no block stands in every column.

    Args:
        curves: All curves; those of one name have the same steps.
        path: PNG or PDF.

    Returns:
        The file.
    """
    rows = list(dict.fromkeys(curve.kinds for curve in curves))
    blocks = list(dict.fromkeys(_parts(c.name)[0] for c in curves if _parts(c.name)[0]))
    figure = Figure(figsize=(3.6 * len(blocks), 3.0 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(blocks), sharex=True, sharey="row", squeeze=False)
    for row, kinds in enumerate(rows):
        for column, block in enumerate(blocks):
            axes = grid[row][column]
            own = [c for c in curves if c.kinds == kinds and _parts(c.name)[0] in (block, "")]
            _draw_panel(axes, own)
            axes.set_title(f"{kinds}: {block}", fontsize=10)
            if row == len(rows) - 1:
                axes.set_xlabel("optimiser steps")
            if column == 0:
                axes.set_ylabel("validation accuracy, %")
    lines = {line.get_label(): line for line in grid[0][0].get_lines() if line.get_marker() == "o"}
    figure.legend(
        lines.values(),
        [str(label) for label in lines],
        loc="outside lower center",
        ncols=len(lines),
    )
    return save(figure, path)


def _draw_panel(axes: Axes, curves: Sequence[Curve]) -> None:
    greys = iter(_GREYS)
    for name in dict.fromkeys(curve.name for curve in curves):
        own = [curve for curve in curves if curve.name == name]
        label = _parts(name)[1]
        colour = _COLOURS.get(label) or next(greys)
        columns = zip(*(curve.accuracies for curve in own), strict=True)
        means = [100 * sum(values) / len(own) for values in columns]
        for curve in own:
            axes.plot(
                curve.steps, [100 * a for a in curve.accuracies], color=colour, lw=0.7, alpha=0.35
            )
        axes.plot(own[0].steps, means, color=colour, lw=2, label=label, marker="o", ms=3)
    axes.grid(color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _parts(name: str) -> tuple[str, str]:
    """What is put in and how it starts; of a curve without a block, nothing and its name."""
    placed, _, init = name.rpartition(": ")
    return (placed, init) if init in _COLOURS else ("", name)
