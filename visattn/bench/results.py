"""What was measured, as tables, a CSV file and a plot."""

import csv
import io
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.table import Table

import visattn
from visattn.basics.files import write_whole
from visattn.basics.terminal_table import terminal_table
from visattn.bench.measuring import Cost
from visattn.bench.timing import Spread, clock, number
from visattn.pictures import save

_PEERS = ("forward_of_peer", "step_of_peer", "forward_of_eager", "step_of_eager")
_SPREADS = ("forward", "step", *_PEERS)


@dataclass(frozen=True)
class Result:
    """Costs on one model or one shape.

    Attributes:
        title: What was measured, and on what.
        alone: Blocks alone, over a copy, and not models.
        costs: Of every subject under every condition.
    """

    title: str
    alone: bool
    costs: Sequence[Cost]

    @property
    def over(self) -> str:
        """What the ratios are to."""
        return "a copy of the map" if self.alone else "the plain model"

    def tables(self) -> Iterator[Table]:
        """Counts, then a table a condition, for the terminal."""
        heads, rows = self.counts()
        table = terminal_table(title=self.title, words=heads[:1], numbers=heads[1:])
        for row in rows:
            table.add_row(*row)
        yield table
        for condition in dict.fromkeys(cost.condition for cost in self.costs):
            heads = ("forward", "step", "kept", "peak", "fwd/timm", "step/timm")
            title = f"{condition}: over {self.over}"
            table = terminal_table(title=title, words=["block"], numbers=heads)
            costs = [cost for cost in self.costs if cost.condition == condition]
            for cost in costs:
                table.add_row(cost.subject.name, *_cells(cost)[: len(heads)])
            yield table
            table = terminal_table(
                title="over timm's block, eager", words=["block"], numbers=("forward", "step")
            )
            for cost in costs:
                if cost.forward_of_eager:
                    table.add_row(cost.subject.name, *_cells(cost)[len(heads) :])
            if table.row_count:
                yield table

    def counts(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Sites, parameters and multiply-adds of each block: headings and rows."""
        heads = ("block", "sites", "parameters", "multiply-adds")
        subjects = dict.fromkeys((c.subject.name, c.subject) for c in self.costs)
        rows: list[tuple[str, ...]] = [
            (name, f"{s.sites}", f"{s.parameters:+,}", f"{s.multiply_adds:+,}")
            for name, s in subjects
            if s.sites
        ]
        return heads, rows


def write_csv(results: Sequence[Result], path: Path, *, where: str) -> Path:
    """A line for each subject under each condition; ``where`` is the machine, see `machine`."""
    text = io.StringIO(newline="")
    names = [f"{name}{end}" for name in _SPREADS for end in ("", "_low", "_high")]
    facts = ("sites", "parameters", "multiply_adds")
    heads = ["measured", "block", "precision", "layout", "compiled", *facts, *names, "kept", "peak"]
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([*heads, "machine"])
    for result in results:
        for cost in result.costs:
            how, what = cost.condition, cost.subject
            found = [getattr(cost, name) for name in _SPREADS]
            spreads = [n for s in found for n in ((s.median, s.low, s.high) if s else ("",) * 3)]
            numbers = [*spreads, cost.kept, cost.peak]
            rounded = [f"{n:.4f}" if isinstance(n, float) else n for n in numbers]
            row = [result.title, what.name, how.precision, how.layout, how.compiled]
            row += [what.sites, what.parameters, what.multiply_adds, *rounded, where]
            lines.writerow(row)
    return write_whole(path, text.getvalue())


def markdown(results: Sequence[Result], *, where: str) -> str:
    """The same tables for a README, under a line that says what machine they are of."""
    parts = [f"{where}; ± half of the distance between the quartiles."]
    for result in results:
        parts.append(f"**{result.title}**, over {result.over}:")
        times = ("forward", "training step", "activations kept", "peak of a step")
        heads = ["block", "", *times, "forward over timm", "step over timm"]
        if any(cost.condition.compiled for cost in result.costs):
            heads += ["forward over eager timm", "step over eager timm"]
        rows = [(c.subject.name, f"{c.condition}", *_cells(c))[: len(heads)] for c in result.costs]
        parts += [_markdown(heads, rows), _markdown(*result.counts())]
    return "\n\n".join(parts)


def draw(results: Sequence[Result], path: Path) -> Path:
    """Bars of the training step, with quartiles, and of the activations kept."""
    figure = Figure(figsize=(11, 1 + sum(0.3 * len(r.costs) + 0.7 for r in results)))
    figure.set_layout_engine("constrained")
    heights = [len(result.costs) + 2 for result in results]
    grid = figure.subplots(len(results), 3, height_ratios=heights, squeeze=False)
    for axes, result in zip(grid, results, strict=True):
        names = [f"{c.subject.name}: {c.condition}" for c in result.costs]
        for column, (place, title) in enumerate(
            zip(axes, ("forward", "training step", "activations kept"), strict=True)
        ):
            found = [(c.forward, c.step, _exact(c.kept))[column] or _exact(0) for c in result.costs]
            ends = [s.median - s.low for s in found], [s.high - s.median for s in found]
            colours = ["#999999" if "of timm" in name else "#0072b2" for name in names]
            place.barh(names, [s.median for s in found], xerr=ends, color=colours)
            place.invert_yaxis()
            place.axvline(1, color="black", linewidth=0.8)
            place.set_title(f"{title}, over {_base(result, column)}", fontsize=9)
            place.tick_params(labelsize=8, labelleft=column == 0)
        axes[0].set_ylabel(result.title, fontsize=8)
    return save(figure, path)


def machine(device: torch.device) -> str:
    """Processor, threads, versions and how busy the machine is, in a line."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    others = (f"{package} {version(package)}" for package in ("torch", "timm"))
    versions = ", ".join([f"visattn {visattn.__version__}", *others])
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = os.cpu_count() or 1
    busy = f"load {load:.1f} on {cores} cores" + (": crowded" if load > cores else "")
    threads = torch.get_num_threads()
    times = "the process's own time" if clock(device) is time.process_time else "the wall's clock"
    return f"{name}, {threads} threads, {versions}; {times}; {busy}"


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    named = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    level = torch.backends.cpu.get_cpu_capability()
    return f"{next(named, platform.processor() or platform.machine())} ({level})"


def _exact(number: float) -> Spread:
    return Spread(number, number, number)


def _base(result: Result, column: int) -> str:
    return "the map" if result.alone and column == 2 else result.over


def _cells(cost: Cost) -> tuple[str, ...]:
    found = [getattr(cost, name) for name in _PEERS]
    peers = [number(s.median) if s else "" for s in found]
    times = [f"{s}" if s else "" for s in (cost.forward, cost.step)]
    return (*times, number(cost.kept), number(cost.peak), *peers)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
