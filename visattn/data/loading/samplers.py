"""Samplers whose order depends on the seed and the epoch alone.

They share their rows among the processes of a training, and one that is stopped within an epoch
goes on where it was.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, TypeVar, final

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DistributedSampler, RandomSampler

from visattn.basics.processes import from_all

Row = TypeVar("Row")
State = Mapping[str, Any]

STANDING = Lock()
"""Held while a sampler is moved to an epoch that isn't due, and back."""
_MIXED = 4  # shards whose rows are mixed


class SharedSampler(DistributedSampler[Row], ABC):
    """Deals what an epoch holds among processes: the first to the first, and so on around.

    So the batches of n processes hold together what a single one of n times their size would.
    Lightning takes it as it is, where it would have its own sampler repeat rows.

    Args:
        count: How much an epoch holds.
        even: Whether each process gets as much, what is left over being dropped; else none is.
        seed: For an order that depends on one.
        processes: How many there are.
        process: Which one this is, from 0.

    Raises:
        ValueError: There is less to deal than there are processes.
    """

    def __init__(
        self, count: int, *, even: bool, seed: int = 0, processes: int = 1, process: int = 0
    ) -> None:
        if 0 < count < processes:
            raise ValueError(
                f"{processes} processes need a picture or a batch each, and a split has {count} in "
                f"all: take at most {count} processes (--trainer.devices {count}), or more data"
            )
        counted: Any = range(count)  # all that is asked is its length
        super().__init__(counted, num_replicas=processes, rank=process, seed=seed)
        self.count = count
        self.num_samples = count // processes if even else len(counted[process::processes])
        self.skipped = 0
        self._resumed: tuple[State, int, str] | None = None

    @abstractmethod
    def epoch_state(self) -> State:
        """What the order of the epoch that is being dealt follows from."""

    @abstractmethod
    def order(self, state: State | None) -> tuple[Sequence[Row], bool]:
        """What an epoch holds, for all processes together.

        Args:
            state: An earlier `epoch_state`, if a training that is resumed was within an epoch.

        Returns:
            The order, and whether it is that of ``state``.
        """

    @property
    def due(self) -> int | None:
        """The number of the epoch that comes next, where its order follows from that alone."""
        return None

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[Row]:
        (state, rows, unlike), self._resumed = self._resumed or (None, 0, ""), None
        order, same = self.order(state)
        if same and unlike:
            raise ValueError(
                f"the training that goes on was stopped within an epoch, and its data are dealt in "
                f"another way now: {unlike}. Let it end that epoch as it was "
                "(--trainer.max_epochs), and change it then"
            )
        self.skipped = rows if same else 0
        own = order[self.rank :: self.num_replicas][: self.num_samples]
        return iter(own[self.skipped :])

    def set_epoch(self, epoch: int) -> None:
        """Deal that epoch next."""
        with STANDING:
            super().set_epoch(epoch)

    def resume(self, state: State, *, rows: int, unlike: str = "") -> None:
        """Leave out the first ``rows`` of this process in the epoch that ``state`` tells of.

        Args:
            state: An earlier `epoch_state`.
            rows: How many were given.
            unlike: What is dealt otherwise now, which that epoch would not survive.
        """
        with STANDING:
            self._resumed = state, rows, unlike


@final
class EpochSampler(SharedSampler[tuple[int, int]]):
    """Rows in a new random order each epoch, each with the epoch's number: (row, epoch).

    The order follows from the seed and the epoch, so that training that is resumed at an epoch
    sees what it would have seen. Lightning tells the epoch; without it, epochs count themselves.

    With ``groups``, an epoch has as many draws as there are rows, each of a group, all alike
    likely, and of a row in it: rows of small groups come many times. In place of the epoch stands
    a number of the draw's own, so that a row that comes again is augmented in another way.

    With ``shards``, shards come in a random order, and rows in a random order within a few of them
    that follow each other; each process takes shards that are next to each other.

    Args:
        count: Number of rows.
        seed: Which orders.
        groups: The group of each row, to draw evenly over them.
        shards: The shard of each row; not looked at where there are groups.
        share: Of how many processes this is which, see `SharedSampler`.

    Example:
        >>> sampler = EpochSampler(4, seed=0)
        >>> first, second = list(sampler), list(sampler)
        >>> sorted(first), first == second
        ([(0, 0), (1, 0), (2, 0), (3, 0)], False)
        >>> sampler.set_epoch(0)
        >>> list(sampler) == first
        True
        >>> sampler = EpochSampler(100, groups=["common"] * 99 + ["rare"])
        >>> 35 < [row for row, _ in sampler].count(99) < 65
        True
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        groups: Sequence[Hashable] | None = None,
        shards: Sequence[int] | None = None,
        **share: int,
    ) -> None:
        super().__init__(count, even=True, seed=seed, **share)
        self._dealt = 0
        self._shards = None if shards is None else np.asarray(shards)
        rows: dict[Hashable, list[int]] = {}
        for row, group in enumerate(groups or ()):
            rows.setdefault(group, []).append(row)
        self._groups = list(rows.values())

    @property
    def due(self) -> int | None:
        """See `SharedSampler`."""
        return self.epoch if self._resumed is None else None

    def epoch_state(self) -> State:
        """The number of the epoch."""
        return {"epoch": self._dealt}

    def order(self, state: State | None) -> tuple[Sequence[tuple[int, int]], bool]:
        """Rows, each with the epoch, or with the number of its draw."""
        epoch = self._dealt = self.epoch
        self.epoch = epoch + 1
        same = state == self.epoch_state()
        draw = np.random.default_rng([self.seed, epoch])
        if not self._groups:
            rows = draw.permutation(self.count)
            if self._shards is not None:
                rows = self._dealt_out(_near(rows, self._shards[rows], draw=draw))
            return [(int(row), epoch) for row in rows], same
        chosen = draw.integers(len(self._groups), size=self.count)
        order = [int(draw.choice(self._groups[group])) for group in chosen]
        return [(row, epoch * self.count + place) for place, row in enumerate(order)], same

    def _dealt_out(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The order of which each process is dealt a part of ``rows`` that hangs together."""
        each = self.num_samples * self.num_replicas
        parts = rows[:each].reshape(self.num_replicas, self.num_samples)
        return np.concatenate([parts.T.reshape(-1), rows[each:]])


@final
class EveryRow(SharedSampler[Row]):
    """Every row once, in its order; a process may get one more than another.

    Args:
        rows: All of them.
        share: Of how many processes this is which, see `SharedSampler`.

    Example:
        >>> [list(EveryRow(range(3), processes=2, process=process)) for process in (0, 1)]
        [[0, 2], [1]]
    """

    def __init__(self, rows: Sequence[Row], **share: int) -> None:
        super().__init__(len(rows), even=False, **share)
        self._rows = rows

    def epoch_state(self) -> State:
        """Nothing: all epochs are alike."""
        return {}

    def order(self, state: State | None) -> tuple[Sequence[Row], bool]:
        """The rows."""
        return self._rows, False


@final
class DrawnOrder(SharedSampler[Row]):
    """A new order each epoch, drawn by PyTorch's generator: that of the first process for all.

    Two things are drawn, as a loader of PyTorch's own does: a seed for its workers, and the order.

    Args:
        count: How much an epoch holds.
        draw: Gives the order; left out, rows as PyTorch's own sampler draws them.
        share: Of how many processes this is which, see `SharedSampler`.

    Example:
        >>> sampler = DrawnOrder(5)
        >>> first, state = list(sampler), sampler.epoch_state()
        >>> sampler.resume(state, rows=3)
        >>> list(sampler) == first[3:]
        True
    """

    def __init__(
        self, count: int, *, draw: Callable[[], Sequence[Row]] | None = None, **share: int
    ) -> None:
        super().__init__(count, even=True, **share)
        rows: Any = RandomSampler(range(count))
        self._draw = draw or (lambda: list(rows))
        self._state: State = {}

    def epoch_state(self) -> State:
        """The number of the epoch, and the generator's state before the order was drawn."""
        return self._state

    def order(self, state: State | None) -> tuple[Sequence[Row], bool]:
        """The order; the generator is as it was where it is that of an earlier state."""
        if state is not None and state.get("epoch", self.epoch) != self.epoch:
            state = None  # it was over
        known = torch.get_rng_state() if state is None else state["random"]
        known = from_all(known)[0] if self.num_replicas > 1 else known
        self._state = {"random": known, "epoch": self.epoch}
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(known)
            torch.empty((), dtype=torch.int64).random_()
            order = self._draw()
            after = torch.get_rng_state()
        if state is None:
            torch.set_rng_state(after)
        return order, state is not None


def _near(
    rows: npt.NDArray[np.int64], shards: npt.NDArray[np.int64], *, draw: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Shuffled rows, brought together by their shards, `_MIXED` of which are mixed at a time."""
    place = draw.permutation(int(shards.max()) + 1) // _MIXED
    return rows[np.argsort(place[shards], kind="stable")]
