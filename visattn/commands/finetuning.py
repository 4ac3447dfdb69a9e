"""Commands about fine-tuning."""


def compare_starts(
    *,
    seeds: list[int] | None = None,
    out: str = "runs/finetuning",
    quick: bool = False,
) -> None:
    """Fine-tune attention that begins as the identity and as published, and draw the curves.

    Args:
        seeds: Of the trainings; 0, 1 and 2 if not given.
        out: Folder for results.json and curves.png; curves that are there aren't trained again.
        quick: A few pictures and steps, to see that everything works; the numbers mean nothing.
    """
    from visattn.training.command_line.process import tune_process

    tune_process()
    from visattn.experiments.starts import run_finetuning

    run_finetuning(seeds=(0, 1, 2) if seeds is None else seeds, out=out, quick=quick)
