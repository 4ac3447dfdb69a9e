"""The command that measures what attention costs."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    import torch


def measure_costs(
    *,
    names: list[str] | None = None,
    block: list[str] | None = None,
    shape: list[str] | None = None,
    batch: int = 8,
    size: int = 224,
    precision: str | None = None,
    layout: str = "contiguous,channels_last",
    compile: bool = False,
    rounds: int = 7,
    threads: int | None = None,
    device: str | None = None,
    out: str | None = None,
    readme: str | None = None,
) -> None:
    """Measure what attention costs here: visattn bench resnet50 se cbam.

    Of a model with each block, or of blocks alone (--block cbam --shape 8,256,56,56): time of a
    forward pass and of a training step (SGD with momentum), activations kept and peak memory of the
    step, sites, parameters and multiply-adds. Times are ratios to the plain model or to a copy of
    the map, and to timm's block at the same places; all run in turn, who begins moves on, and
    medians over the rounds with quartiles are given. Freed memory stays with the process and idle
    OpenMP threads sleep, for all alike and without a second start of the process
    (VISATTN_TUNE_PROCESS=0 leaves both as the system has them). On a processor without units for
    it, bf16 takes ten times as long.

    Args:
        names: A model and one or more blocks; simply the words without dashes. A model is a timm
            name, a checkpoint that visattn fit wrote, or the import path of a function that builds
            one. A block is a name of visattn blocks or an import path, such as
            timm.layers.EcaModule; options follow it: nonlocal:pairwise=dot,stages=[3].
        block: Blocks to measure alone.
        shape: Of their maps: N,C,H,W, one or more.
        batch: Images in a batch, for a model.
        size: Side of the images, for a model.
        precision: float32, bf16 or float32,bf16; float32 on a CPU and both on a GPU if not given.
        layout: contiguous, channels_last or contiguous,channels_last for both.
        compile: Measure everything under torch.compile too.
        rounds: How often each is timed; 0 measures memory alone.
        threads: Of PyTorch; its own choice if not given.
        device: cpu, cuda, cuda:1; a GPU if there is one.
        out: Folder for bench.csv and bench.png.
        readme: A Markdown file that gets the tables, between its lines <!-- table --> and
            <!-- end -->.
    """
    import torch

    from visattn.basics.checks import check_numbers
    from visattn.basics.suggestions import check_name
    from visattn.bench.measuring import LAYOUTS, PRECISIONS, conditions, measure
    from visattn.bench.results import Result, draw, machine, markdown, write_csv
    from visattn.bench.subjects import blocks_alone, models_with
    from visattn.experiments.markdown import fill_readme

    named, shapes = names or [], [_shape(words) for words in shape or []]
    _check_words(named, block or [], shapes)
    check_numbers(batch=batch, size=size, threads=threads)
    check_numbers(least=0, rounds=rounds)
    place = _device(device)
    precisions = (precision or ("float32,bf16" if place.type == "cuda" else "float32")).split(",")
    layouts = layout.split(",")
    for option, given, known in (
        ("precision", precisions, PRECISIONS),
        ("layout", layouts, LAYOUTS),
    ):
        for value in given:
            check_name(option, value, names=known)
    if out is not None and Path(out).is_file():
        raise ValueError(f"out must be a folder, and {out} is a file")
    torch.set_num_threads(threads or torch.get_num_threads())
    torch.manual_seed(0)
    tasks = [(f"blocks on {' x '.join(map(str, s))}", s, True) for s in shapes]
    if named:
        tasks.insert(
            0, (f"{named[0]}, {batch} x 3 x {size} x {size}", (batch, 3, size, size), False)
        )
    console = Console(highlight=False)
    where = f"{machine(place)}; {_settings()}; medians of {rounds} rounds"
    console.print(where, soft_wrap=True)
    results = []
    for title, numbers, alone in tasks:
        subjects = (
            blocks_alone(block or [], shape=numbers)
            if alone
            else models_with(named[0], named[1:], size=numbers[1:])
        )
        x = torch.randn(numbers, device=place)
        ways = conditions(precisions, layouts, compiled=compile)
        costs = [cost for modes in ways for cost in measure(subjects, x, modes, rounds=rounds)]
        results.append(Result(title, alone, costs))
        for table in results[-1].tables():
            console.print(table)
    if out is not None:
        console.print(write_csv(results, Path(out, "bench.csv"), where=where), soft_wrap=True)
        console.print(draw(results, Path(out, "bench.png")), soft_wrap=True)
    if readme is not None:
        fill_readme(readme, markdown(results, where=where), name="bench")


def gather_bench(words: Sequence[str]) -> list[str]:
    """The words of ``bench`` as its parser takes them: blocks and shapes, each in one list.

    Example:
        >>> gather_bench(["--block", "se", "cbam", "--shape=8,256,56,56", "--block", "eca"])
        ['--block=["se", "cbam", "eca"]', '--shape=["8,256,56,56"]']
    """
    from visattn.commands.word_lists import gathered

    lists: dict[str, list[str]] = {"--block": [], "--shape": []}
    others, current = [], ""
    for word in words:
        name, equals, value = word.partition("=")
        if name in lists:
            current = "" if equals else name
            lists[name] += [value] if equals else []
        elif current and not word.startswith("-"):
            lists[current].append(word)
        else:
            current = ""
            others.append(word)
    listed = [f"{name}={json.dumps(given)}" for name, given in lists.items() if given]
    return [*gathered(others, command=measure_costs, things="names"), *listed]


def _check_words(
    names: Sequence[str], blocks: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> None:
    """Refuse words that leave open what is to be measured."""
    how = "visattn bench resnet50 se cbam, or visattn bench --block cbam --shape 8,256,56,56"
    if not (names or blocks or shapes):
        raise ValueError(f"name what to measure: {how}")
    if len(names) == 1:
        raise ValueError(f"name a block, too: visattn bench {names[0]} cbam")
    if bool(blocks) != bool(shapes):
        given, missing = ("--block", "--shape") if blocks else ("--shape", "--block")
        raise ValueError(f"{given} needs {missing}: {how}")


def _shape(words: str) -> tuple[int, int, int, int]:
    parts = words.strip("()[] ").replace("x", ",").split(",")
    numbers = [int(part) for part in parts if part.strip().isdecimal()]
    if len(parts) != 4 or len(numbers) != 4 or min(numbers) < 1:
        raise ValueError(
            f"shape must be four numbers above 0, N,C,H,W such as 8,256,56,56, got {words!r}"
        )
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _device(name: str | None) -> "torch.device":
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(name)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} can't be used here: {error}") from error
    if place.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, got {name!r}")
    return place


def _settings() -> str:
    """How the process is set, see `visattn.training.command_line.process`."""
    from visattn.training.command_line.process import OPT_OUT

    if os.environ.get(OPT_OUT) == "0":
        return f"process as the system has it ({OPT_OUT}=0)"
    waiting = os.environ.get("OMP_WAIT_POLICY", "default")
    return f"freed memory kept, OpenMP waits: {waiting}"
