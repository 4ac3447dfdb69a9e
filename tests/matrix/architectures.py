"""The architectures of timm and torchvision, by family."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import timm
import torch
import torchvision
from torch import nn

VERSIONS = {
    library.__name__: library.__version__.partition("+")[0]
    for library in (torch, timm, torchvision)
}
"""The versions that the page is for."""


@dataclass(frozen=True, order=True)
class Architecture:
    """One architecture: its family (timm's module, or torchvision's) and its name."""

    family: str
    name: str

    @property
    def title(self) -> str:
        """Its name, with the library's before it where that isn't timm."""
        library, dot, _ = self.family.partition(".")
        return f"{library} {self.name}" if dot else self.name

    def build(self) -> nn.Module:
        """The model with fresh weights."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.family.startswith("torchvision."):
                return torchvision.models.get_model(self.name)
            return timm.create_model(self.name)

    def build_without_memory(self) -> nn.Module:
        """The model without memory for its weights, where it doesn't compute with them."""
        try:
            with torch.device("meta"):
                return self.build()
        except NotImplementedError:  # it computes its widths with tensors
            return self.build()


def architectures(families: Sequence[str] = ()) -> list[Architecture]:
    """All of timm's models and torchvision's classifiers, or those of some families."""
    found = [
        Architecture(timm.model_entrypoint(name).__module__.rpartition(".")[2], name)
        for name in timm.list_models()
        if not name.startswith("test_")
    ]
    for name in torchvision.models.list_models(module=torchvision.models):
        home = torchvision.models.get_model_builder(name).__module__.rpartition(".")[2]
        found.append(Architecture(f"torchvision.{home}", name))
    return sorted(entry for entry in found if not families or entry.family in families)
