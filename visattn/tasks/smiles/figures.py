"""Pictures of the far-away smile: accuracy by distance, and where the plates look."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure

from visattn.pictures import query_map, save
from visattn.tasks.smiles.data import MEAN, STD, SmileData
from visattn.tasks.smiles.module import SmileModule
from visattn.tasks.smiles.results import RunResult, accuracy_by_distance

_COLOURS = ("#777777", "#e69f00", "#cc79a7", "#0072b2", "#009e73", "#d55e00", "#56b4e9", "#000000")


def draw_distances(tests: Sequence[RunResult], path: str | Path) -> Path:
    """Accuracy against distance over receptive field, a line a run; the band spans the seeds.

    Args:
        tests: Of one or several runs.
        path: PNG or PDF.

    Returns:
        The file.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(t.name for t in tests))
    for name, colour in zip(names, _COLOURS * (1 + len(names) // len(_COLOURS)), strict=False):
        curves = [accuracy_by_distance(t) for t in tests if t.name == name]
        columns = list(zip(*curves, strict=True))
        x = [column[0][0] for column in columns]
        values = [[100 * found[1] for found in column] for column in columns]
        mean = [sum(v) / len(v) for v in values]
        axes.plot(x, mean, color=colour, marker="o", ms=3.5, lw=1.8, label=name)
        if len(curves) > 1:
            low, high = [min(v) for v in values], [max(v) for v in values]
            axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    axes.axvline(1.0, color="#999999", lw=0.8, ls="--")
    axes.axhline(50.0, color="#999999", lw=0.8, ls=":")
    field = tests[0].field
    axes.annotate(
        f"receptive field, {field} px", (1.0, 0.02), xycoords=("data", "axes fraction"),
        xytext=(4, 0), textcoords="offset points", fontsize=8, color="#666666",
    )  # fmt: skip
    axes.set_xlabel("distance of plate and face over the receptive field")
    axes.set_ylabel("correct, %")
    axes.set_ylim(top=102)
    axes.grid(color="#e4e4e4", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return save(figure, path)


@torch.no_grad()
def draw_queries(
    models: Mapping[str, tuple[SmileModule, SmileData]],
    path: str | Path,
    *,
    scenes: Sequence[int] = (0, 5, 10, 15),
) -> Path:
    """Where each plate looks: a row a network, a column a scene; the query's cell is framed.

    Args:
        models: By name; those without attention over places are left out.
        path: PNG or PDF.
        scenes: Which of the test split.

    Raises:
        ValueError: None of them has attention over places.
    """
    shown = {}
    for name, (module, data) in models.items():
        split = data.scenes("test")
        batch = split[[scene % len(split) for scene in scenes]]
        found = module.examine(batch)
        if found.rows is not None and found.shares is not None:
            head = int(found.shares.mean((0, 1)).argmax())
            shown[name] = (batch, found.rows[:, 0, head], found.shares[:, 0, head])
    if not shown:
        raise ValueError(f"none of {', '.join(models)} has attention over places to be drawn")
    figure = Figure(figsize=(1.9 * len(scenes), 2.15 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), len(scenes), squeeze=False)
    for axes_row, (name, (batch, rows, shares)) in zip(grid, shown.items(), strict=True):
        plates = batch["plates"][:, 0]
        columns = zip(axes_row, batch["image"], plates, rows, shares.tolist(), strict=True)
        for axes, image, plate, row, share in columns:
            y, x = (plate / image.shape[-1] * torch.tensor(row.shape)).int().tolist()
            picture = query_map(
                image, row.numpy(), y=y, x=x, mean=(MEAN,) * 3, std=(STD,) * 3,
                alpha=0.8, fading=True, interpolation="nearest",
            )  # fmt: skip
            axes.imshow(picture)
            axes.set_title(f"{share:.2f} on the right diner", fontsize=8)
            axes.set(xticks=[], yticks=[])
        axes_row[0].set_ylabel(name, fontsize=10)
    return save(figure, path)
