"""Tools that fold a block into one convolution: they must not lose the attention inside."""

from collections.abc import Iterable
from typing import Any, final

from torch import nn

FOLDING = ("fuse", "fuse_model", "reparameterize", "switch_to_deploy")
"""Methods by which RepVGG, MobileOne or torchvision's quantisable networks fold themselves."""


@final
class Refusal:
    """What stands in the place of such a method while there is attention inside of its module.

    Args:
        method: Its name.
        path: The module's.
    """

    def __init__(self, method: str, *, path: str) -> None:
        self.method, self.path = method, path

    def __call__(self, *_: Any, **__: Any) -> None:
        """Say what would be lost, and what can be done."""
        raise RuntimeError(
            f"{self.method}() would fold the modules inside {self.path!r} into one convolution, and"
            " the attention that stands between them would be lost. Wrap the folded model, or put"
            f" the attention behind such modules: at='stage', or at={self.path!r} by name. unwrap"
            " takes it out again."
        )


def guard_folding(model: nn.Module, paths: Iterable[str]) -> None:
    """Have the modules around some paths refuse to be folded, and no others."""
    for module in model.modules():
        for method in FOLDING:
            if isinstance(vars(module).get(method), Refusal):
                del vars(module)[method]
    around = {path[:place] for path in paths for place, sign in enumerate(path) if sign == "."}
    for path in around:
        module = model.get_submodule(path)
        for method in FOLDING:
            if callable(getattr(type(module), method, None)):
                vars(module)[method] = Refusal(method, path=path)
