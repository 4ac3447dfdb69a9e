"""What ``torch.jit.script`` can't compile says so, and what to do."""

from collections.abc import Callable
from typing import NoReturn, TypeVar

from torch import nn

M = TypeVar("M", bound=type[nn.Module])


def unscriptable(what: str) -> Callable[[M], M]:
    """A class of modules that ``torch.jit.script`` refuses, before it has touched the model.

    Args:
        what: The modules, in words.
    """

    def __prepare_scriptable__(self: nn.Module) -> NoReturn:  # noqa: N807
        raise RuntimeError(
            f"torch.jit.script can't compile {what} ({type(self).__name__}): its Python goes beyond"
            " TorchScript. torch.jit.trace(model.eval(), (images,)) gives a TorchScript program,"
            " for other sizes too; torch.export.export and visattn.export_model are the newer ways."
        )

    def marked(kind: M) -> M:
        kind.__prepare_scriptable__ = __prepare_scriptable__  # type: ignore[attr-defined]
        return kind

    return marked
