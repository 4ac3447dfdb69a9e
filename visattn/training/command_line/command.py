"""``visattn fit``, ``validate``, ``test`` and ``predict``: Lightning's command line."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from rich.console import Console

from visattn.basics.cores import core_count
from visattn.basics.files import write_whole
from visattn.networks.loading import standing_alone
from visattn.training.batches import class_count
from visattn.training.command_line.interruptions import Moments, write_whole_checkpoints
from visattn.training.command_line.mistakes import explained
from visattn.training.command_line.parser import RunParser
from visattn.training.command_line.picture_words import with_pictures
from visattn.training.command_line.progress import progress_callback
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import PARSER_MODE, with_recipes
from visattn.training.command_line.result_files import result_folder, result_path, result_record
from visattn.training.command_line.run_outputs import (
    checkpoints,
    next_command,
    run_loggers,
    validated,
)
from visattn.training.command_line.runs import CHECKPOINTS, claim_run, resolve_checkpoint
from visattn.training.command_line.settlement import Settlement, data_options, settle
from visattn.training.command_line.tasks import DEFAULT, Task, task_of
from visattn.training.command_line.told import what_was_told
from visattn.training.command_line.waiting import DataWaits
from visattn.training.command_line.wanted import wanted_by_weights
from visattn.training.processes import started_processes

UNTRAINED = "none"
_CLASSES = "model.num_classes"
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

    Example:
        >>> words = ["-c", "foreground/plain", "--data.size=32", "--data.train=8"]
        >>> from unittest.mock import patch
        >>> with quiet_lightning(), patch("sys.argv", ["visattn"]):
        ...     cli = TaskCLI(words, run=False, logs=False)
        >>> type(cli.datamodule).__name__, type(cli.model).__name__
        ('SushiData', 'ImageClassifier')
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
        self._told = what_was_told(words)
        self._settled: Settlement | None = None
        self._claimed: Path | None = None
        self._waits = DataWaits()
        self._asked: dict[str, Any] = {}
        self.outcomes: Any = self._task.load_outcomes()()
        if words[:1] and words[0] in (known := self.subcommands()):
            only = {words[0]: known[words[0]]}
            vars(self)["subcommands"] = lambda: only  # parsers of the others take their time
        kwargs = {"exit_on_error": False, "parser_mode": PARSER_MODE}
        data = self._task.load_data()  # whose children are known by their names from here on
        with explained(self._task.load_model()):
            super().__init__(
                self._task.load_model(),
                L.LightningDataModule if self._task.many_data else data,
                subclass_mode_data=self._task.many_data,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                parser_class=RunParser,
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
        parser.set_defaults(
            {"trainer.log_every_n_steps": 20, "trainer.enable_model_summary": False}
        )
        if self._task.many_data:
            parser.link_arguments("data", _CLASSES, class_count, apply_on="instantiate")
            return
        for link in self._task.links:
            parser.link_arguments(f"data.{link}", f"model.{link}", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Leave to `settle` what Lightning would overrule: all that was told of the model."""

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint, and settle with it what was not told."""
        config = self.config if self.subcommand is None else self.config[self.subcommand]
        root = config["trainer"].get("default_root_dir")
        if root is not None and not self._told.anywhere("runs"):
            config["runs"] = str(root)
        if self.subcommand is None:
            return
        resuming = self.subcommand == "fit"
        given = config.get("ckpt_path") or (None if resuming else "last")
        if given is None or given == UNTRAINED:
            config["ckpt_path"] = None
            self._read_as_the_weights_want()
            return
        path = resolve_checkpoint(given, folder=Path(config["runs"]), name=config["name"])
        settled = settle(path, task=self._task, config=config, told=self._told, resuming=resuming)
        self._settled = settled
        for line in (f"{'resuming from' if resuming else 'weights of'} {path}", *settled.lines()):
            _say(line)
        if resuming:  # in config.yaml stands how the training began
            self._asked = {key: config["model"][key] for key in standing_alone(config["model"])}
        self._update(model=dict(settled.model), data=dict(settled.data))
        self.config[self.subcommand]["ckpt_path"] = str(path)
        self.config[self.subcommand]["weights_only"] = True

    def _update(self, **groups: Mapping[str, Any]) -> None:
        """Set options of the groups ``model`` and ``data`` in the configuration."""
        update = {group: options for group, options in groups.items() if options}
        kind = self.config[self.subcommand]["data"].get("class_path") if "data" in update else None
        if kind is not None:
            update["data"] = {"class_path": kind, "init_args": update["data"]}
        self.config = self.parser.parse_object({self.subcommand: update}, self.config)

    def _read_as_the_weights_want(self) -> None:
        """Read pictures as for the weights that a training begins with, unless told how."""
        config = self.config[self.subcommand]
        model = config.get("model") or {}
        if not (model.get("weights") or model.get("init_from") or model.get("pretrained")):
            return
        wanted, said = wanted_by_weights(model, data_options(config.get("data")), told=self._told)
        if wanted:
            self._update(data=wanted)
        for line in said:
            _say(line)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The trainer, with loggers, checkpoints and progress."""
        if self._settled is not None:
            self._settled.check(self.model, data=self.datamodule)
        config = self._get(self.config_init, "trainer", default={})
        name, runs = self._get(self.config, "name"), Path(self._get(self.config, "runs"))
        training = self.subcommand in (None, "fit")
        if self.subcommand == "fit" and 0 in (config.get("max_epochs"), config.get("max_steps")):
            raise ValueError("nothing would be trained: set trainer.max_epochs to at least 1")
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
        else:
            version = rank_zero_only(claim_run)(runs, name=name)  # None on the other processes
            self._claimed = runs / name / f"version_{version}"
            kwargs["default_root_dir"] = self._claimed
            if logger is not False:
                kwargs["logger"] = run_loggers(self._claimed, others=logger)
        if not self._logs:
            kwargs["enable_checkpointing"] = False
        elif training and not quick and config.get("enable_checkpointing") is not False:
            best = self._task.best if validated(self.datamodule) else None
            callbacks += checkpoints(best=best, others=config.get("callbacks"))
        if config.get("profiler") is None:
            kwargs["profiler"] = self._waits
        self.trainer_defaults["callbacks"] = callbacks  # after those of the configuration
        trainer = super().instantiate_trainer(**kwargs)
        write_whole_checkpoints(trainer)
        return trainer

    def fit(self, **kwargs: Any) -> None:
        """Train; a training that fails before its first step leaves no folder behind."""
        epochs = self.trainer.max_epochs
        if self._settled is not None and epochs and 0 < epochs <= self._settled.epochs:
            _say(
                f"nothing is left to train: {self._settled.epochs} epochs are done, and "
                f"trainer.max_epochs is {epochs}"
            )
        try:
            if epochs == 0 or self.trainer.max_steps == 0:
                raise ValueError("nothing would be trained: set trainer.max_epochs to at least 1")
            self.trainer.fit(**kwargs)
        except Exception:
            idle = self.trainer.is_global_zero and not self.trainer.global_step
            if self._claimed is not None and idle and not (self._claimed / CHECKPOINTS).exists():
                shutil.rmtree(self._claimed, ignore_errors=True)
            raise

    def after_fit(self) -> None:
        """Say how long steps waited for data, and where the run is."""
        workers = getattr(self.datamodule, "workers", None)
        waited = self._waits.sentence(workers=workers, cores=core_count())
        if waited:
            _say(waited)
        folder = self.trainer.log_dir if self.trainer.loggers else None
        if folder is not None and Path(folder).is_dir():
            _say(f"run in {folder}")
            following = next_command(self.datamodule, Path(folder, CHECKPOINTS))
            if following:
                _say(following)

    def test(self, **kwargs: Any) -> None:
        """Test, print the table and write ``test.json`` beside the checkpoints."""
        self.trainer.test(**{**kwargs, "verbose": False})
        results = self.outcomes.results()
        checkpoint = kwargs.get("ckpt_path")
        if self.trainer.is_global_zero:
            Console().print(results.table(title=checkpoint or "untrained weights"))
            record = self._record()
            path = self._result_path("test", record)
            write_whole(path, json.dumps({**record, **results.as_dict()}, indent=2))
            _say(f"written to {path}")

    def predict(self, **kwargs: Any) -> None:
        """Predict and write ``predictions.csv`` beside the checkpoints."""
        from visattn.training.command_line.predictions import all_predictions, write_predictions

        if self._task.name != DEFAULT:
            raise ValueError(f"predict is for the classification of images, not {self._task.name}")
        if self._settled is not None and self._settled.masked:
            raise ValueError(
                f"{self._settled.path} was trained on pictures cut out with their true masks "
                "(data.masked), and pictures to predict on have none: take another network"
            )
        own = self.trainer.predict(**{**kwargs, "return_predictions": True}) or []
        batches = all_predictions(own)
        if self.trainer.is_global_zero:
            record = self._record()
            facts = self._result_path("predictions", record, beside=".csv")
            path = facts.with_suffix(".csv")
            loader = self.trainer.predict_dataloaders
            items = getattr(getattr(loader, "dataset", None), "items", None)
            numbers = map(str, range(class_count(self.datamodule)))  # of data that don't say
            names = list(getattr(self.datamodule, "class_names", numbers))
            write_predictions(path, batches, items=items, class_names=names)
            write_whole(facts, json.dumps(record, indent=2))
            _say(f"written to {path}")

    def after_instantiate_classes(self) -> None:
        """Let ``config.yaml`` say how the training began."""
        for key, value in self._asked.items():
            self.config[self.subcommand]["model"][key] = value

    def _record(self) -> dict[str, Any]:
        """What a result is of."""
        return result_record(
            str(self.subcommand),
            config=self.config[self.subcommand].as_dict(),
            data=self.datamodule,
            told={} if self._settled is None else self._settled.told,
        )

    def _result_path(self, stem: str, record: dict[str, Any], *, beside: str = "") -> Path:
        """Where a result goes: beside the checkpoints, over none of other settings."""
        config, usual = self.config[self.subcommand], not record["told"]
        fallback = Path(config["runs"]) / config["name"]
        folder = result_folder(record["checkpoint"], untrained=fallback)
        path = result_path(folder, stem=stem, record=record, usual=usual, beside=beside)
        if path.stem != stem and usual:
            _say(f"{stem}{beside or '.json'} there is of other settings, and stays")
        return path


def run_command(arguments: Sequence[str]) -> None:
    """Run ``fit``, ``validate``, ``test`` or ``predict`` with Lightning's options.

    Args:
        arguments: Words of the command line, the subcommand first.

    Raises:
        ArgumentError: If the words or the configuration are wrong.
        ValueError, TypeError, KeyError, OSError: If the run cannot begin.

    Example:
        >>> run_command(["fit", "-c", "no/such/recipe"])
        Traceback (most recent call last):
        FileNotFoundError: no such configuration: no/such/recipe...
    """
    words = list(arguments)
    if words[:1] == ["predict"]:
        words = with_pictures(words)
    with quiet_lightning():
        try:
            TaskCLI(words)
        except SIGTERMException as stop:
            _say("stopped by SIGTERM; a training goes on with --ckpt_path last")
            raise SystemExit(_SIGTERM_CODE) from stop
        except MisconfigurationException as error:
            raise ValueError(str(error)) from error


@rank_zero_only
def _say(text: str) -> None:
    Console(highlight=False, soft_wrap=True).print(text, markup=False)
