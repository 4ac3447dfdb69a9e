"""Run what is missing, several at a time, and write the tables anew after each run."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path

import visattn
from visattn.basics.cores import core_count
from visattn.experiments.comparison.plan import Run, code_hash
from visattn.experiments.comparison.records import Record
from visattn.training.checks import check_in
from visattn.training.command_line.tasks import DEFAULT

_POLL = 0.2
_PATIENCE = 5.0
_Child = tuple[subprocess.Popen[bytes], TextIOWrapper]


@dataclass(frozen=True)
class Place:
    """Where the runs of a comparison leave what they make.

    Attributes:
        out: Folder of everything.
    """

    out: Path

    def log(self, run: Run) -> Path:
        """What a run printed."""
        return self.out / "logs" / f"{run.name}.log"

    def result(self, run: Run) -> Path:
        """What came of a run; there once it is finished."""
        return self.out / "finished" / f"{run.name}.json"

    def recipe(self, run: Run) -> Path:
        """The recipe as it was when the comparison began."""
        return self.out / "recipes" / f"{run.recipe.name}-{run.recipe.hash}.yaml"

    @property
    def runs(self) -> Path:
        """Folder of all run folders."""
        return self.out / "runs"


@dataclass(frozen=True)
class Machine:
    """How the runs share the machine.

    Attributes:
        jobs: Runs at a time.
        threads: Of each run.
        cores: That this process may use.
        processor: The processor's name.
    """

    jobs: int
    threads: int
    cores: int
    processor: str

    @classmethod
    def of(cls, *, jobs: int, threads: int | None = None) -> "Machine":
        """This machine; ``OMP_NUM_THREADS``, else all cores over the jobs, if threads is None.

        Raises:
            ValueError: A number below 1.
        """
        cores = core_count()
        if threads is None:
            given = os.environ.get("OMP_NUM_THREADS", "")
            threads = (int(given) if given.isdigit() else 0) or max(1, cores // max(jobs, 1))
        check_in("[1, inf)", jobs=jobs, threads=threads)
        return cls(jobs, threads, cores, _processor())


def words_of(run: Run, *, place: Place, machine: Machine) -> tuple[list[str], list[str]]:
    """The words after ``visattn`` with which a run is trained, and tested."""
    seed = run.seed
    given = {word.partition("=")[0].replace(".init_args", "") for word in run.words}
    words = [
        f"--config={place.recipe(run)}",
        f"--runs={place.runs}",
        f"--name={run.name}",
        f"--seed_everything={seed}",
    ]
    if run.recipe.task == DEFAULT:
        words += [f"--data.seed={seed}", f"--data.mask_seed={seed}"]
        if machine.jobs > 1 and "--data.workers" not in given:
            words.append("--data.workers=0")
    if "--trainer.enable_progress_bar" not in given:
        words.append("--trainer.enable_progress_bar=false")
    words[1:1] = [word for word in run.words if word.startswith("--data=")]
    words += [word for word in run.words if not word.startswith("--data=")]
    return ["fit", *words], ["test", *words]


def finished(run: Run, *, place: Place, machine: Machine) -> Record | None:
    """The row of a run, if it was finished."""
    try:
        found = json.loads(place.result(run).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    facts = {
        "recipe": run.recipe.name,
        "seed": str(run.seed),
        "options": run.options,
        "key": run.key,
        "recipe_hash": run.recipe.hash,
        "source": run.recipe.source,
        "code": str(found.get("code", "")),
        "visattn": visattn.__version__,
        "date": str(found.get("date", "")),
        "processor": machine.processor,
        "cores": str(machine.cores),
        "jobs": str(found.get("jobs", machine.jobs)),
    }
    return Record({**facts, **found["facts"]}, found["numbers"])


def run_all(
    runs: Sequence[Run], *, place: Place, machine: Machine
) -> Iterator[tuple[Run, Record | None]]:
    """Train and test, and give each run with its row as it ends, or with None if it failed.

    Every run is a process of its own. Whatever ends this generator ends the processes, too.

    Args:
        runs: What to run, in this order.
        place: Where everything goes.
        machine: How many at a time, with how many threads.
    """
    for folder in ("logs", "finished", "recipes", "runs"):
        (place.out / folder).mkdir(parents=True, exist_ok=True)
    waiting = list(runs)
    with _children() as going:
        while waiting or going:
            while waiting and len(going) < machine.jobs:
                run = waiting.pop(0)
                going[run] = _start(run, place=place, machine=machine)
            ended = [run for run, (process, _) in going.items() if process.poll() is not None]
            for run in ended:
                process, log = going.pop(run)
                log.close()
                found = finished(run, place=place, machine=machine)
                yield run, found if process.returncode == 0 else None
            if not ended:
                time.sleep(_POLL)


@contextmanager
def _children() -> Iterator[dict[Run, _Child]]:
    """Processes that don't outlive this context."""
    going: dict[Run, _Child] = {}
    try:
        yield going
    finally:
        for process, _ in going.values():
            process.terminate()
        for process, log in going.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
            if process.poll() is None:
                process.kill()
                process.wait()
            log.close()


def _start(run: Run, *, place: Place, machine: Machine) -> _Child:
    place.recipe(run).write_text(run.recipe.text, encoding="utf-8")
    place.result(run).unlink(missing_ok=True)
    fit, test = words_of(run, place=place, machine=machine)
    order = {
        "fit": fit,
        "test": test,
        "result": str(place.result(run)),
        "about": {
            "code": code_hash(run.recipe.task),
            "jobs": machine.jobs,
            "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        },
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(machine.threads))
    environment = {**os.environ, **threads, "PYTHONUNBUFFERED": "1"}
    log = place.log(run).open("w", encoding="utf-8")
    return start_process(json.dumps(order), log=log, environment=environment), log


def start_process(
    order: str, *, log: TextIOWrapper, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Begin one run, see `visattn.experiments.comparison.one_run`."""
    return subprocess.Popen(
        [sys.executable, "-m", "visattn.experiments.comparison.one_run", order],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
    )


def _processor() -> str:
    """The processor's name, as far as the system says it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()
