"""What a block costs here: ``python -m visattn.bench``; ``... memory`` for that of large maps.

``... audit`` is for time and memory of an audit, ``... interrupted`` for what is left of trainings
that are stopped, ``... steady`` for memory over many steps, ``... loading`` for pictures a second.

Plain and wrapped models run in turn, A B A B, and medians are compared, so that whatever else the
machine does hits both alike. Only ratios are printed; absolute times say more of the machine.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from visattn.training.command_line.process import tune_process

tuned = tune_process()

import timm  # noqa: E402
import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from visattn import wrap  # noqa: E402
from visattn.bench import audit, interrupted, loading, memory, steady  # noqa: E402

BLOCKS: dict[str, Callable[[str], nn.Module]] = {
    "plain": timm.create_model,
    "se": lambda name: wrap(name, "se", init="paper"),
    "se of timm": lambda name: timm.create_model(name, block_args={"attn_layer": "se"}),
    "cbam": lambda name: wrap(name, "cbam", init="paper"),
    "cbam of timm": lambda name: timm.create_model(name, block_args={"attn_layer": "cbam"}),
    "nonlocal": lambda name: wrap(name, "nonlocal"),
}


def interleaved(runs: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of each run, every round doing each once; a round before them doesn't count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if index:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]], *, base: str) -> dict[str, float]:
    """Median over the rounds of each run's time over the base's in the same round."""
    return {
        name: statistics.median(a / b for a, b in zip(times, seconds[base], strict=True))
        for name, times in seconds.items()
    }


def kept_bytes(model: nn.Module, images: Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, parameters left out, storages once."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(images)
    del output
    return sum(storages.values())


def _training_step(model: nn.Module, images: Tensor) -> None:
    model.zero_grad(set_to_none=True)
    model(images).square().mean().backward()
    _wait(images)


def _evaluation(model: nn.Module, images: Tensor) -> None:
    with torch.inference_mode():
        model(images)
    _wait(images)


def _wait(images: Tensor) -> None:
    """Let the accelerator finish what it was given."""
    if images.is_cuda:
        torch.cuda.synchronize()


def main() -> None:
    """Print one table: time and kept activations of wrapped models over the plain one."""
    others = {"memory": memory.main, "audit": audit.main, "interrupted": interrupted.main}
    others |= {"steady": steady.main, "loading": loading.main}
    if sys.argv[1:2] and sys.argv[1] in others:
        others[sys.argv[1]](sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resnet50", help="name of a timm ResNet")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    console = Console()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.randn(given.batch, 3, given.size, given.size, device=device)
    models = {name: build(given.model).to(device) for name, build in BLOCKS.items()}
    console.print(
        f"{given.model}, batch {given.batch}, {given.size} px, {device},"
        f" {torch.get_num_threads()} threads, torch {torch.__version__};"
        f" process tuned: {', '.join(tuned) or 'no'}; medians of {given.rounds} rounds"
    )
    timed = {}
    for title, run, training in (
        ("evaluation", _evaluation, False),
        ("training step", _training_step, True),
    ):
        runs = {name: partial(run, model.train(training), images) for name, model in models.items()}
        timed[title] = ratios(interleaved(runs, rounds=given.rounds), base="plain")
        for model in models.values():
            model.zero_grad(set_to_none=True)
    kept = {name: kept_bytes(copy.deepcopy(m).train(), images) for name, m in models.items()}
    table = Table("model", *timed, "activations kept", title="over the plain model")
    for name in models:
        cells = [f"{timed[title][name]:.3f}" for title in timed]
        table.add_row(name, *cells, f"{kept[name] / kept['plain']:.3f}")
    console.print(table)
