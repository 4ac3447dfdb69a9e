"""The classifier under audit: pictures in [0, 1] in, answers out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from visattn.auditing.classes import Reading
from visattn.auditing.opening import Classifier, Preparation


@final
class Subject:
    """A classifier that is asked for answers.

    Args:
        model: Images (N, 3, H, W) to logits (N, L); a module or any function, with gradients or
            without.
        prepared: How its images are prepared.
    """

    def __init__(self, model: Classifier, *, prepared: Preparation) -> None:
        self.model, self.prepared = model, prepared
        self.reading: Reading | None = None
        tensors = []
        if isinstance(model, nn.Module):
            tensors = [*model.parameters(), *model.buffers()]
        self.device = next((t.device for t in tensors), torch.device("cpu"))
        self.dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)

    def logits(self, pictures: Tensor, *, of: str = "pictures") -> Tensor:
        """Logits (N, L) of pictures (N, 3, H, W) in [0, 1].

        Args:
            pictures: What the model is shown.
            of: Which pictures these are, for messages.

        Raises:
            ValueError: If the model returns something else, or logits that are not finite.
        """
        with torch.no_grad():
            found = self.model(self.prepared.normalise(pictures).to(self.dtype))
        if not isinstance(found, Tensor):
            try:
                found = torch.as_tensor(found)
            except (TypeError, ValueError, RuntimeError) as error:
                raise ValueError(
                    f"the model must return logits (N, classes); it returned {type(found).__name__}"
                ) from error
        if found.ndim != 2 or len(found) != len(pictures) or found.shape[1] < 2:
            raise ValueError(
                f"the model must return logits ({len(pictures)}, classes), at least 2 classes, for "
                f"{len(pictures)} images; it returned {tuple(found.shape)}"
            )
        bad = int((~found.isfinite()).any(1).sum())
        if bad:
            raise ValueError(
                f"the model must return finite logits; it returned NaN or infinite ones for {bad} "
                f"of {len(pictures)} {of} (images normalised by mean {self.prepared.mean}, std "
                f"{self.prepared.std}, {self.dtype}). Look whether its weights are finite, and "
                "whether half precision overflows; rule a class out with a class map, not with "
                "-inf"
            )
        return found

    def answers(self, pictures: Tensor, *, of: str = "pictures") -> tuple[Tensor, Tensor]:
        """Answers (N,) and their probabilities (N,), on the CPU; see `Reading` and `logits`."""
        if self.reading is None:
            raise RuntimeError("nobody said yet what the logits mean")
        return self.reading(self.logits(pictures, of=of))


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """A module in evaluation mode, and each of its parts as it was afterwards."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    before = [module.training for module in modules]
    if isinstance(model, nn.Module):
        model.eval()
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training
