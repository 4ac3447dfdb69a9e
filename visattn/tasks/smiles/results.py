"""What the trainings of the far-away smile gave: a table, a curve, and where the plates look."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from rich.table import Table
from torch import Tensor

from visattn.basics.suggestions import nearest
from visattn.tasks.smiles.data import SmileData
from visattn.tasks.smiles.local_cnn import LocalCNN, receptive_field
from visattn.tasks.smiles.module import SmileModule
from visattn.tasks.split_means import SplitMeans
from visattn.training.command_line.runs import versions_of

BINS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
"""Edges over which accuracies are averaged: distance over receptive field."""


@dataclass(frozen=True)
class RunResult:
    """A trained network on the test splits.

    Attributes:
        name: Of the run.
        parameters: Their number.
        field: The local layers' receptive field, in pixels.
        means: By split and measure.
        gaps: Of every answer of the splits with faces, the bare table between plate and right ring,
            the longer way of rows and columns, in pixels.
        correct: Whether that answer is right.
    """

    name: str
    parameters: int
    field: int
    means: Mapping[str, Mapping[str, float]]
    gaps: Tensor
    correct: Tensor


def load_runs(runs: str | Path, *, name: str) -> list[tuple[SmileModule, SmileData]]:
    """The network and the data of every training of a name.

    Raises:
        FileNotFoundError: There is none.
    """
    folder = Path(runs)
    found = []
    for version in versions_of(folder, name=name):
        run = folder / name / f"version_{version}"
        path = run / "checkpoints" / "last.ckpt"
        if not path.is_file():
            continue
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        module = SmileModule.load_from_checkpoint(
            path, map_location="cpu", weights_only=True
        ).eval()
        found.append((module, SmileData(**config["data"])))
    if not found:
        others = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        raise FileNotFoundError(
            f"no checkpoint under {folder / name}/version_*{nearest(name, names=others)}; train"
            f" first: visattn fit -c longrange/... Runs there: {', '.join(others) or 'none'}"
        )
    return found


def gap(plates: Tensor, rings: Tensor, owners: Tensor, *, plate: int, ring: int) -> Tensor:
    """Bare table between each plate and its diner's ring, the longer way of rows and columns.

    A place that sees both needs a receptive field above it.

    Args:
        plates: (N, sushi, 2), their middles in pixels.
        rings: (N, diners, 2).
        owners: (N, sushi).
        plate: Diameter in pixels.
        ring: Diameter in pixels.

    Returns:
        (N, sushi), at least 0.

    Example:
        >>> gap(torch.tensor([[[40.0, 30.0]]]), torch.tensor([[[10.0, 30.0], [10.0, 5.0]]]),
        ...     torch.tensor([[1]]), plate=10, ring=8)
        tensor([[21.]])
    """
    right = rings.gather(1, owners[:, :, None].expand(-1, -1, 2))
    return ((plates - right).abs().amax(2) - (plate + ring) / 2).clamp(min=0)


@torch.no_grad()
def examine_run(module: SmileModule, data: SmileData, *, name: str) -> RunResult:
    """Examine a network on every test split."""
    means = SplitMeans(module.reductions)
    gaps, correct = [], []
    for place, split in enumerate(data.test_names):
        scenes = data.scenes(split)
        for rows in torch.arange(len(scenes)).split(200):
            batch = scenes[rows.tolist()]
            found = module.examine(batch)
            for measure, values in found.measures().items():
                means.add(place, measure, values)
            if split != "test_without_faces":
                middles = (batch["plates"], batch["rings"], batch["owners"])
                gaps.append(gap(*middles, plate=data.plate, ring=data.ring).flatten())
                correct.append(found.correct.flatten())
    local = LocalCNN(1, layers=module.hparams["layers"]).local  # without what stands after it
    field, _ = receptive_field(local, size=4 * data.size)
    count = sum(p.numel() for p in module.parameters())
    splits = {split: means.of(place) for place, split in enumerate(data.test_names)}
    return RunResult(name, count, field, splits, torch.cat(gaps), torch.cat(correct))


def accuracy_by_distance(tested: RunResult) -> list[tuple[float, float, int]]:
    """(distance over receptive field, accuracy, answers) of each bin of `BINS` with 50 answers."""
    shares = tested.gaps / tested.field
    found = []
    for low, high in itertools.pairwise(BINS):
        inside = (shares >= low) & (shares < high)
        if int(inside.sum()) >= 50:
            correct = float(tested.correct[inside].float().mean())
            found.append((float(shares[inside].mean()), correct, int(inside.sum())))
    return found


def smile_table(tests: Sequence[RunResult]) -> Table:
    """A row a name: mean and standard deviation over the seeds, in %."""
    table = Table("run", "seeds", "parameters", "correct", "mass on the right diner", "chance",
                  "abs(p - .5) without a face", title="test split")  # fmt: skip
    for name in dict.fromkeys(t.name for t in tests):
        own = [t for t in tests if t.name == name]
        table.add_row(
            name,
            str(len(own)),
            f"{own[0].parameters:,}",
            _spread([100 * t.means["test"]["correct"] for t in own], digits=1),
            _spread([t.means["test"].get("mass") for t in own], digits=2),
            _spread([t.means["test"].get("chance") for t in own], digits=2),
            _spread([t.means["test_without_faces"]["sure"] for t in own], digits=3),
        )
    return table


def _spread(values: Sequence[float | None], *, digits: int) -> str:
    known = torch.tensor([v for v in values if v is not None])
    if not len(known):
        return ""
    mean = f"{float(known.mean()):.{digits}f}"
    return f"{mean} ± {float(known.std()):.{digits}f}" if len(known) > 1 else mean
