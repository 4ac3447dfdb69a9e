"""One run of a comparison, in a process of its own: train, test, and measure Grad-CAM."""

import json
import sys
from pathlib import Path
from typing import Any

from visattn.basics.files import write_whole


def main(order: str) -> None:
    """Do one run, and write what came of it as JSON, whole or not at all.

    Args:
        order: JSON with ``fit`` and ``test``, the words of the command line for both,
            ``result``, the file to write, and ``about``, what else to write into it.
    """
    from visattn.training.command_line.process import tune_process

    tune_process()  # before PyTorch is imported
    given = json.loads(order)
    found = train_and_test(given["fit"], given["test"])
    write_whole(given["result"], json.dumps({**given["about"], **found}, indent=2))


def train_and_test(fit: list[str], test: list[str]) -> dict[str, Any]:
    """Train and test as ``visattn fit`` and ``visattn test`` do.

    Args:
        fit: Words after ``visattn``, the first being ``fit``.
        test: Words after ``visattn``, the first being ``test``, without ``--ckpt_path``: what is
            tested is the end of this training.

    Returns:
        ``facts`` and ``numbers`` as in `visattn.experiments.comparison.records.Record`.
    """
    import torch

    from visattn.experiments.comparison.clock import RunClock
    from visattn.experiments.comparison.columns import numbers_of, shares_of
    from visattn.experiments.comparison.grad_cam_energy import energy_inside
    from visattn.training.command_line.command import TaskCLI
    from visattn.training.command_line.quiet import quiet_lightning
    from visattn.training.command_line.tasks import task_of
    from visattn.training.results import Results

    clock = RunClock()
    with quiet_lightning():
        trained = TaskCLI(fit, callbacks=[clock])
        folder = trained.trainer.log_dir
        if folder is None:
            raise ValueError("the run has no folder: a comparison needs Lightning's logger")
        last = Path(folder) / "checkpoints" / "last.ckpt"
        numbers = {
            "minutes": clock.seconds / 60,
            "epochs": float(trained.trainer.current_epoch),
            "parameters": float(sum(p.numel() for p in trained.model.parameters())),
        }
        tested = TaskCLI([*test, f"--ckpt_path={last}"])
        results = tested.outcomes.results()
        if isinstance(results, Results):
            measured, facts = numbers_of(results, classes=tested.datamodule.num_classes)
            energy, layers = energy_inside(tested.model, tested.datamodule)
            numbers, facts = {**numbers, **measured, **energy}, {**facts, **layers}
        else:
            numbers, facts = {**numbers, **shares_of(results.splits, best=task_of(fit).best)}, {}
    facts = {
        **facts,
        "torch": str(torch.__version__),
        "threads": str(torch.get_num_threads()),
        "device": str(trained.trainer.strategy.root_device.type),
    }
    return {"facts": facts, "numbers": numbers, "run": folder}


if __name__ == "__main__":
    main(sys.argv[1])
