"""Loaders whose order follows from the seed and the epoch, and that go on within one."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, final

from torch.utils.data import DataLoader, Dataset

from visattn.data.loading.samplers import STANDING, EpochSampler, EveryRow
from visattn.data.loading.workers import sigterm_blocked, worker_options

_END = object()


class _Begun(NamedTuple):
    """An epoch that workers load already: its number, how its sampler stands within it, batches."""

    due: int
    sampler: dict[str, Any]
    batches: Iterator[Any]


@final
class ResumableLoader(DataLoader[Any]):
    """A loader that goes on within an epoch, at the next batch, when a training is resumed.

    Its sampler is a `SharedSampler`. Nothing is drawn or loaded before the first batch is asked
    for, so that a resumed training can set its random states before. From the second epoch on, if
    its order follows from its number, workers begin with the last step of the one before.

    Attributes:
        given: How many batches of the epoch were given.
        epochs: How many there will be, if that is known.
    """

    given = 0
    epochs: int | None = None
    _coming: Future[Any] | None = None
    _begun: _Begun | None = None

    def __iter__(self) -> Any:
        if self._coming is not None:  # of an epoch that ended, or was broken off
            wait([self._coming])
        self.given = 0
        begun, self._begun = self._begun, None
        sampler: Any = self.sampler
        if begun is not None and begun.due == sampler.due:
            vars(sampler).update(begun.sampler)
            batches = begun.batches
        else:
            with sigterm_blocked():
                batches = super().__iter__()
        for batch in self._ahead(batches) if self.num_workers else batches:
            self.given += 1
            yield batch

    def _ahead(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same, each taken over from the workers by a thread while the one before is in use.

        What it takes to hand a batch over from one process to another passes during a step then.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="visattn-loader") as thread:
            self._coming = thread.submit(self._next, batches)
            while (batch := self._coming.result()) is not _END:
                self._coming = thread.submit(self._next, batches)
                yield batch

    def _next(self, batches: Iterator[Any]) -> Any:
        """A batch; behind the last the next epoch begins, and its sampler stands as before."""
        batch = next(batches, _END)
        sampler: Any = self.sampler
        if batch is _END and sampler.due is not None and sampler.due != self.epochs:
            with STANDING:
                due, before = sampler.due, dict(vars(sampler))
                coming = super().__iter__()
                self._begun = _Begun(due, dict(vars(sampler)), coming)
                vars(sampler).update(before)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and how many of its batches were given; Lightning puts it in a checkpoint."""
        sampler: Any = self.sampler
        with STANDING:
            before = sampler.skipped // (self.batch_size or 1)
            given = before + self.given
            return {"epoch": sampler.epoch_state(), "batches": given, "dealt": self._dealt()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin the epoch of ``state`` where it was left."""
        sampler: Any = self.sampler
        now = self._dealt()
        unlike = ", ".join(
            f"{name} {now[name]} ({was})"
            for name, was in state.get("dealt", {}).items()
            if was != now[name]
        )
        if state["batches"] < len(self):  # else the next one is to begin
            rows = state["batches"] * (self.batch_size or 1)
            sampler.resume(state["epoch"], rows=rows, unlike=unlike)

    def _dealt(self) -> dict[str, int]:
        """What the place of a row in the epoch follows from."""
        of: Any = self.sampler
        found = {"batch_size": self.batch_size or 1, "processes": of.num_replicas}
        return {**found, "rows": of.count, "seed": of.seed}


@final
class _EvaluationLoader(DataLoader[Any]):
    """Goes through all its rows, always."""

    def __iter__(self) -> Any:
        with sigterm_blocked():
            return super().__iter__()


def share_of(trainer: Any) -> dict[str, int]:
    """Among how many processes a trainer deals its data, and which one this is.

    Args:
        trainer: Lightning's; None for none.
    """
    found = getattr(trainer, "distributed_sampler_kwargs", None) or {}
    return {"processes": found.get("num_replicas", 1), "process": found.get("rank", 0)}


def training_loader(
    dataset: Dataset[Any],
    *,
    count: int,
    batch_size: int,
    workers: int,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    shards: Sequence[int] | None = None,
    share: Mapping[str, int] | None = None,
    epochs: int | None = None,
) -> DataLoader[Any]:
    """A shuffling loader over ``count`` rows; a last, smaller batch is left out (batch norm).

    With fewer rows than a batch holds, all of them are the one batch. After so many ``epochs`` no
    further one is begun.
    """
    sampler = EpochSampler(count, seed=seed, groups=groups, shards=shards, **(share or {}))
    loader = ResumableLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=len(sampler) >= batch_size,
        **worker_options(workers),
    )
    loader.epochs = epochs
    return loader


def evaluation_loader(
    dataset: Dataset[Any],
    *,
    batch_size: int,
    workers: int,
    share: Mapping[str, int] | None = None,
    rows: Sequence[tuple[int, int]] | None = None,
) -> DataLoader[Any]:
    """A loader of every row in its order, each once, however many processes there are.

    With ``rows``, pairs of a row and the number of its augmentation, of these.
    """
    chosen = range(len(dataset)) if rows is None else rows  # type: ignore[arg-type]
    sampler = EveryRow(chosen, **(share or {}))
    options = worker_options(workers)
    return _EvaluationLoader(dataset, batch_size=batch_size, sampler=sampler, **options)
