"""``visattn fit``, ``validate``, ``test`` and ``predict``: Lightning's command line."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from rich.console import Console

from visattn.basics.files import write_whole
from visattn.data.folder_data import FolderData
from visattn.data.sources import last_test
from visattn.networks.loading import standing_alone
from visattn.networks.weight_files import FACTS, read_file
from visattn.training.command_line.interruptions import (
    Moments,
    StoppedCheckpoint,
    write_whole_checkpoints,
)
from visattn.training.command_line.mistakes import explained
from visattn.training.command_line.progress import progress_callback
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import PARSER_MODE, find_recipe
from visattn.training.command_line.runs import claim_run, resolve_checkpoint
from visattn.training.command_line.tasks import DEFAULT, Task, task_of
from visattn.training.processes import started_processes

UNTRAINED = "none"
_SIGTERM_CODE = 128 + 15


@final
class TaskCLI(LightningCLI):
    """Lightning's command line for the model and the data of a task.

    Beside Lightning's options there are ``--task``, which the recipes give as ``task:``, ``--name``
    and ``--runs``: a training leaves its CSV logs (and TensorBoard's, if that is installed),
    ``config.yaml``, ``checkpoints/last.ckpt`` and ``checkpoints/best.ckpt`` in
    ``RUNS/NAME/version_K``, and never overwrites an earlier one. ``--ckpt_path last`` and ``best``
    mean the newest run of that name.

    Args:
        arguments: Words of the command line, or the same as a mapping. ``-c`` takes a YAML file or
            the name of a recipe.
        run: Whether to run the subcommand that ``arguments`` begin with; otherwise they have none,
            and model, data and trainer are only built.
        task: What is trained; what ``arguments`` or the files they name say if None.
        logs: Whether to make a run folder.
        callbacks: Further callbacks.
    """

    def __init__(
        self,
        arguments: ArgsType,
        *,
        run: bool = True,
        task: Task | None = None,
        logs: bool = True,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        words = with_recipes(arguments) if isinstance(arguments, list) else []
        self._task = task or task_of(words)
        self._logs = logs
        self._callbacks = list(callbacks)
        self._trained_classes: list[str] | None = None
        self._asked: dict[str, Any] = {}
        self.outcomes: Any = self._task.load_outcomes()()
        kwargs = {"exit_on_error": False, "parser_mode": PARSER_MODE}
        with explained(self._task.load_model()):
            super().__init__(
                self._task.load_model(),
                self._task.load_data(),
                subclass_mode_data=self._task.many_data,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                parser_kwargs={**kwargs, **{name: dict(kwargs) for name in self.subcommands()}},
                args=words or arguments,
                run=run,
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Name and place of the run; what the model must know of the data comes from them."""
        name = self._task.name
        parser.add_argument("--task", type=str, default=name, help="What is trained.")
        parser.add_argument("--name", type=str, default=name, help="Name of the run.")
        parser.add_argument("--runs", type=str, default="runs", help="Folder of all runs.")
        for link in self._task.links:
            parser.link_arguments(f"data.{link}", f"model.{link}", apply_on="instantiate")
        parser.set_defaults(
            {"trainer.log_every_n_steps": 20, "trainer.enable_model_summary": False}
        )

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint, and take the network that it was trained with."""
        if self.subcommand is None:
            return
        config = self.config[self.subcommand]
        given = config.get("ckpt_path")
        if given is None and self.subcommand != "fit":
            given = "last"
        if given is None or given == UNTRAINED:
            config["ckpt_path"] = None
            return
        path = resolve_checkpoint(given, folder=Path(config["runs"]), name=config["name"])
        config["ckpt_path"] = str(path)
        _say(f"{'resuming from' if self.subcommand == 'fit' else 'weights of'} {path}")
        if self.subcommand != "fit":
            self._take_network(path)
            return
        for key, value in standing_alone(config["model"]).items():
            self._asked[key], config["model"][key] = config["model"][key], value

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The trainer, with loggers, checkpoints and progress."""
        config = self._get(self.config_init, "trainer", default={})
        name, runs = self._get(self.config, "name"), Path(self._get(self.config, "runs"))
        training = self.subcommand in (None, "fit")
        quick = bool(config.get("fast_dev_run"))
        kwargs |= started_processes(config)
        callbacks: list[Callback] = [*self._callbacks, self.outcomes, Moments()]
        if config.get("enable_progress_bar") is not False:
            callbacks.append(progress_callback())
            kwargs["enable_progress_bar"] = isinstance(callbacks[-1], ProgressBar)
        logger = config.get("logger")
        if not (self._logs and training) or quick:
            kwargs["logger"] = False
            self.save_config_callback = None
        elif logger is None or logger is True:
            kwargs["logger"] = run_loggers(runs, name=name)
        if not self._logs:
            kwargs["enable_checkpointing"] = False
        elif training and not quick and config.get("enable_checkpointing") is not False:
            validated = getattr(self.datamodule, "val_split", "") is not None
            callbacks += checkpoints(best=self._task.best if validated else None)
        self.trainer_defaults["callbacks"] = callbacks  # after those of the configuration
        trainer = super().instantiate_trainer(**kwargs)
        write_whole_checkpoints(trainer)
        return trainer

    def after_fit(self) -> None:
        """Say where the run is."""
        folder = self.trainer.log_dir if self.trainer.loggers else None
        if folder is not None and Path(folder).is_dir():
            _say(f"run in {folder}")
            _say_next(self.datamodule, Path(folder, "checkpoints"))

    def test(self, **kwargs: Any) -> None:
        """Test, print the table and write ``test.json`` beside the checkpoints."""
        self.trainer.test(**{**kwargs, "verbose": False})
        results = self.outcomes.results()
        checkpoint = kwargs.get("ckpt_path")
        if self.trainer.is_global_zero:
            Console().print(results.table(title=checkpoint or "untrained weights"))
            path = self._output_folder(checkpoint) / "test.json"
            found = {"checkpoint": checkpoint, **results.as_dict()}
            write_whole(path, json.dumps(found, indent=2))
            _say(f"written to {path}")

    def predict(self, **kwargs: Any) -> None:
        """Predict and write ``predictions.csv`` beside the checkpoints."""
        from visattn.training.command_line.predictions import all_predictions, write_predictions

        if self._task.name != DEFAULT:
            raise ValueError(f"predict is for the classification of images, not {self._task.name}")
        own = self.trainer.predict(**{**kwargs, "return_predictions": True}) or []
        batches = all_predictions(own)
        if self.trainer.is_global_zero:
            path = self._output_folder(kwargs.get("ckpt_path")) / "predictions.csv"
            loader = self.trainer.predict_dataloaders
            items = getattr(getattr(loader, "dataset", None), "items", None)
            write_predictions(
                path, batches, items=items, class_names=list(self.datamodule.class_names)
            )
            _say(f"written to {path}")

    def _take_network(self, path: Path) -> None:
        """Put the checkpoint's model in the place of the configured one."""
        saved = read_file(path)
        kept = saved.get("hyper_parameters", {})
        model = {
            key: value
            for key, value in kept.items()
            if not key.startswith("_") and key not in self._task.links
        }
        model.update(standing_alone(model))
        if model:
            update = {self.subcommand: {"model": model}}
            self.config = self.parser.parse_object(update, self.config)
        self._trained_classes = saved.get(FACTS, {}).get("class_names")

    def after_instantiate_classes(self) -> None:
        """Refuse data whose classes are others than those that the network was trained on."""
        for key, value in self._asked.items():  # in config.yaml stands what was asked for
            self.config[self.subcommand]["model"][key] = value
        trained = self._trained_classes
        found = [str(name) for name in getattr(self.datamodule, "class_names", ())]
        if trained and found and list(trained) != found:
            raise ValueError(
                f"the network was trained on the classes {', '.join(trained)}, the data have "
                f"{', '.join(found)}: point data.root to the data that it was trained on, or with "
                "the same class folders"
            )

    def _output_folder(self, checkpoint: str | None) -> Path:
        if checkpoint is not None:
            parent = Path(checkpoint).resolve().parent
            return parent.parent if parent.name == "checkpoints" else parent
        folder = Path(self._get(self.config, "runs")) / self._get(self.config, "name")
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def run_command(arguments: Sequence[str]) -> None:
    """Run ``fit``, ``validate``, ``test`` or ``predict`` with Lightning's options.

    Args:
        arguments: Words of the command line, the subcommand first.

    Raises:
        ArgumentError: If the words or the configuration are wrong.
        ValueError, TypeError, KeyError, OSError: If the run cannot begin.
    """
    with quiet_lightning():
        try:
            TaskCLI(list(arguments))
        except SIGTERMException as stop:
            _say("stopped by SIGTERM; a training goes on with --ckpt_path last")
            raise SystemExit(_SIGTERM_CODE) from stop


def with_recipes(arguments: Sequence[str]) -> list[str]:
    """The same words with the names of recipes after ``-c`` or ``--config`` as paths.

    Example:
        >>> with_recipes(["fit", "--config", "foreground/mask", "--runs", "x"])[2].split("/")[-2:]
        ['foreground', 'mask.yaml']
    """
    words = list(arguments)
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option not in ("-c", "--config"):
            continue
        if equals:
            words[place] = f"{option}={find_recipe(value)}"
        elif place + 1 < len(words):
            words[place + 1] = str(find_recipe(words[place + 1]))
    return words


def run_loggers(folder: Path, *, name: str) -> list[Logger]:
    """CSV logs in a run folder of their own, TensorBoard's beside them if it is installed."""
    version = rank_zero_only(claim_run)(folder, name=name)  # None on the other processes
    loggers: list[Logger] = [CSVLogger(folder, name=name, version=version)]
    with suppress(ModuleNotFoundError):
        loggers.append(TensorBoardLogger(folder, name=name, version=version))
    return loggers


def checkpoints(*, best: str | None) -> list[Callback]:
    """Keep ``last.ckpt`` after every epoch, and ``best.ckpt`` by the highest value of ``best``.

    A training that is stopped by SIGTERM writes ``last.ckpt`` at once.

    Lightning's own ``save_last`` writes only when a best one is written, too.
    """
    common: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    last = ModelCheckpoint(filename="last", **common)
    stopped = StoppedCheckpoint(last)
    if best is None:
        return [last, stopped]
    return [ModelCheckpoint(filename="best", monitor=best, mode="max", **common), last, stopped]


def _say_next(data: object, checkpoints: Path) -> None:
    """After the training on a folder of one's own: the command that audits it."""
    found = [path for name in ("best", "last") if (path := checkpoints / f"{name}.ckpt").is_file()]
    if not isinstance(data, FolderData) or not found:
        return
    tests = [split for split in data.splits if split.startswith("test")]
    if not tests:
        return
    masked = any(item.mask_path is not None for item in data.items(last_test(tests)))
    masks = "" if masked else " --masks grabcut"
    _say(f"next: visattn audit --model {found[0]} --data {data.locate()}{masks}")


@rank_zero_only
def _say(text: str) -> None:
    Console(highlight=False, soft_wrap=True).print(text, markup=False)
