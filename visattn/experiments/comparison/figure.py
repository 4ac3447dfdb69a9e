"""The comparison as a plot: a panel a variant, a line a recipe."""

import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from visattn.experiments.comparison.summary import Section
from visattn.pictures import save

_DARK, _BLUE, _ORANGE = "#222222", "#0072b2", "#d55e00"
_LINE = 0.24
_PANEL = 1.0
_LETTERS = 17  # an inch, at the size of the caption


def draw_section(section: Section, path: Path) -> Path:
    """Draw mean accuracies with their standard deviations, and each seed as a faint dot.

    Recipes stand in the order of the tables. The panel of the random backgrounds is in another
    colour; a dashed line marks the baseline, a dotted one chance.

    Args:
        section: From `summarise_records`.
        path: PNG or PDF.

    Returns:
        The file.
    """
    names = [row.recipe for row in section.rows]
    width = 0.35 + 0.07 * max(map(len, names)) + _PANEL * len(section.splits)
    width = max(width, 4.5)
    chances = {r.measures["chance"].mean for r in section.rows if "chance" in r.measures}
    chance = chances.pop() if len(chances) == 1 else None
    caption = textwrap.fill(_caption(section, chance=chance), int(_LETTERS * width))
    height = 1.15 + _LINE * len(names) + 0.14 * caption.count("\n")
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(1, len(section.splits), sharey=True, squeeze=False)[0]
    for axes, split in zip(panels, section.splits, strict=True):
        main = split == section.random_split
        _draw_panel(axes, section, split=split, colour=_ORANGE if main else _BLUE)
        if chance is not None:
            axes.axvline(100 * chance, color=_DARK, lw=0.8, ls=":", zorder=1)
        axes.set_title(split.replace("_", "-"), fontsize=8.5, fontweight="bold" if main else None)
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel(caption, fontsize=8)
    return save(figure, path)


def _caption(section: Section, *, chance: float | None) -> str:
    counts = sorted({len(row.records) for row in section.rows})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    names = [row.recipe for row in section.rows]
    return (
        f"accuracy, %: mean and standard deviation over {seeds} training "
        f"{'seed' if counts == [1] else 'seeds'}, each seed a faint dot"
        + (f"; dashed: {section.baseline}" if section.baseline in names else "")
        + ("" if chance is None else "; dotted: chance")
    )


def _draw_panel(axes: Axes, section: Section, *, split: str, colour: str) -> None:
    column = f"accuracy/{split}"
    for place, row in enumerate(section.rows):
        found = row.measures.get(column)
        if found is None:
            continue
        if row.recipe == section.baseline:
            axes.axvline(100 * found.mean, color="#777777", lw=0.8, ls=(0, (4, 3)), zorder=1)
        axes.scatter(
            [100 * value for value in found.values],
            [place] * len(found.values),
            s=9,
            color=colour,
            alpha=0.3,
            linewidths=0,
            zorder=2,
        )
        axes.errorbar(
            100 * found.mean,
            place,
            xerr=None if found.sd is None else 100 * found.sd,
            color=colour,
            fmt="o",
            ms=3.5,
            lw=1.2,
            capsize=2,
            zorder=3,
        )
    axes.set_xlim(-4, 104)
    axes.set_xticks([0, 50, 100])
    axes.tick_params(axis="x", labelsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="#e6e6e6", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
