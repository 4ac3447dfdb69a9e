"""What several processes that train or measure together tell each other.

Without others, every function here gives what a single process would see, and asks nobody.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

Value = TypeVar("Value")

_shared: ContextVar[bool] = ContextVar("shared", default=False)


def process_count() -> int:
    """How many processes there are: 1 where no process group was made."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def from_all(value: Value) -> list[Value]:
    """What each process has, in the order of their ranks; all of them must call it.

    Example:
        >>> from_all({"seen": 3})
        [{'seen': 3}]
    """
    if process_count() == 1:
        return [value]
    found: list[Value] = [value] * process_count()
    distributed.all_gather_object(found, value)
    return found


def all_agree(flag: bool) -> bool:
    """Whether a flag is set in every process.

    What decides whether a network runs must be the same everywhere: its layers may wait for those
    of the other processes.
    """
    return all(from_all(bool(flag)))


def average(tensors: Iterable[Tensor | None]) -> None:
    """Put the mean over all processes in the place of each tensor."""
    count = process_count()
    for tensor in tensors:
        if count > 1 and tensor is not None:
            distributed.all_reduce(tensor)
            tensor.div_(count)


@torch.no_grad()
def take_from_first(module: nn.Module) -> None:
    """Give a module the parameters and buffers that it has in the first process."""
    if process_count() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            distributed.broadcast(tensor, src=0)


@contextmanager
def shared_work() -> Iterator[bool]:
    """A context in which processes that ``torchrun`` started share what is measured.

    Each takes its `own_share`, and what they found is put together by `from_all`. Elsewhere, in a
    process group of a user's own too, nothing is shared: who measures on one process alone must
    not wait for the others.

    Yields:
        Whether this process is the one that prints and writes.
    """
    if not started_together() or sharing():
        yield leads()
        return
    own_group = not distributed.is_initialized()
    if own_group:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        distributed.init_process_group("gloo")
    token = _shared.set(True)
    try:
        yield leads()
    finally:
        _shared.reset(token)
        if own_group:
            distributed.destroy_process_group()


def started_together() -> bool:
    """Whether ``torchrun`` started this process, and others with it."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def sharing() -> bool:
    """Whether the work of this moment is shared, see `shared_work`."""
    return _shared.get()


def leads() -> bool:
    """Whether this process prints and writes: outside of `shared_work`, each does."""
    return not sharing() or distributed.get_rank() == 0


def own_share(things: Sequence[Value]) -> Sequence[Value]:
    """What this process has to do: every n-th thing within `shared_work`, else all of them.

    Example:
        >>> own_share(range(3))
        range(0, 3)
    """
    return things[distributed.get_rank() :: process_count()] if sharing() else things


def is_own(place: int) -> bool:
    """Whether a thing in the order of all is in this process's `own_share`."""
    return not sharing() or place % process_count() == distributed.get_rank()


def from_shares(value: Value) -> list[Value]:
    """What each process found in its share, in the order of their ranks; see `shared_work`."""
    return from_all(value) if sharing() else [value]
