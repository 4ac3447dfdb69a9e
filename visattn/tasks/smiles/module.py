"""The far-away smile, trained by Lightning: is each sushi's diner smiling?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.blocks.attended import ZeroStart
from visattn.networks.backbone import put_attention
from visattn.recording import find_taps, record
from visattn.tasks.sequence_module import SequenceModule
from visattn.tasks.smiles.local_cnn import LAYERS, LocalCNN
from visattn.tasks.smiles.maps import diner_cells, diner_shares, disc_cells, plate_rows
from visattn.tasks.split_data import Batch
from visattn.tasks.split_means import Reductions


@dataclass(frozen=True)
class Examined:
    """What a network says of a batch, and where it looks.

    Attributes:
        probability: (N, sushi), of a smile.
        correct: (N, sushi).
        rows: (N, sushi, heads, h, w), the attention of each plate; None without one.
        shares: (N, sushi, heads), of it on the right diner; None without one.
        chance: (N, sushi), of even attention on the right diner; None without one.
    """

    probability: Tensor
    correct: Tensor
    rows: Tensor | None = None
    shares: Tensor | None = None
    chance: Tensor | None = None

    def measures(self) -> dict[str, Tensor]:
        """What a test measures of it."""
        found = {"correct": self.correct, "sure": (self.probability - 0.5).abs()}
        if self.shares is not None and self.chance is not None:
            found |= {"chance": self.chance, "mass": self.shares}
        return found


@final
class SmileModule(SequenceModule):
    """A network that sees near things only, with a block of attention, on the tasty scenes.

    The answer is the mean of the logits over the plate that is asked for. Logged are
    ``train/loss``, ``val/correct``, and for each test split ``correct``; ``sure``, the mean of
    ``abs(p - 0.5)``; and, where the block attends to places, ``mass``, the share of the attention
    of a plate's middle that falls on the right diner, by the head with most of it, and ``chance``,
    the same of an even map.

    Args:
        attention: What `visattn.wrap` takes, as in `visattn.training.classifier.ImageClassifier`.
        layers: See `LocalCNN`.
        hidden: See `LocalCNN`.
        plate: Diameter of a plate in pixels; on the command line it comes from the data.
        ring: The same of a ring.
        awake: Give layers of the attention that begin at zero a start as other layers have. There
            is nothing trained here that they could spoil, and a block that adds nothing at first
            learns late.
        learning_rate: Its highest value.
        weight_decay: On matrices only.
        warmup: Share of the training in which the learning rate rises.

    Example:
        >>> model = SmileModule({"block": "nonlocal", "at": "local"})
        >>> batch = {"image": torch.randn(4, 3, 64, 64), "plates": torch.full((4, 1, 2), 50.0)}
        >>> model.answers(batch).shape
        torch.Size([4, 1])
    """

    validated = "correct"
    reductions: ClassVar[Reductions] = {"mass": lambda shares: shares.mean((0, 1)).max()}

    def __init__(
        self,
        attention: str | dict[str, Any] | list[dict[str, Any]] | None = None,
        *,
        layers: Sequence[Sequence[int]] = LAYERS,
        hidden: int = 64,
        plate: int = 17,
        ring: int = 15,
        awake: bool = True,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.02,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup)
        self.save_hyperparameters()
        self.plate, self.ring = plate, ring
        self.model = LocalCNN(1, layers=layers, hidden=hidden)
        put_attention(self.model, attention)
        if awake:
            wake(self.model)
        self.model.to(memory_format=torch.channels_last)

    def answers(self, batch: Batch) -> Tensor:
        """Logits of a smile, (N, sushi)."""
        logits = self.model.places(batch["image"])
        size = batch["image"].shape[-1]
        grid = (logits.shape[2], logits.shape[3])
        cells = disc_cells(batch["plates"], diameter=self.plate, size=size, grid=grid)
        return (logits * cells).sum((2, 3)) / cells.sum((2, 3))

    def examine(self, batch: Batch) -> Examined:
        """Answers, and where each plate looks."""
        if not list(find_taps(self.model)):
            return self._examined(self.answers(batch), batch)
        with record(self.model) as maps:
            found = self._examined(self.answers(batch), batch)
        size = batch["image"].shape[-1]
        (site,) = maps.values()
        rows = plate_rows(site, batch["plates"], size=size)
        if rows is None:
            return found
        grid = (rows.shape[-2], rows.shape[-1])
        cells = diner_cells(batch["rings"], diameter=self.ring, size=size, grid=grid)
        owner = batch["owners"]
        chance = cells.float().mean((2, 3)).gather(1, owner)
        owned = owner[:, :, None, None].expand(-1, -1, rows.shape[2], 1)
        shares = diner_shares(rows, cells).gather(3, owned).squeeze(3)
        return replace(found, rows=rows, shares=shares, chance=chance)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of the answers."""
        logits = self.answers(batch)
        loss = F.binary_cross_entropy_with_logits(logits, batch["answer"].to(logits.dtype))
        return self.logged(loss, count=len(logits))

    def right(self, batch: Batch) -> Tensor:
        """Which answers are right."""
        return self._examined(self.answers(batch), batch).correct

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Correct, how sure, and where a plate looks."""
        return self.examine(batch).measures()

    def _examined(self, logits: Tensor, batch: Batch) -> Examined:
        answers = batch.get("answer", torch.zeros_like(logits))
        return Examined(logits.sigmoid(), (logits > 0) == (answers > 0))


def wake(model: nn.Module) -> None:
    """Give every layer whose weights are all zero those that it would have had.

    What `visattn.wrap` brought in with a strength of zero has one of 1.

    Example:
        >>> layer = nn.BatchNorm2d(3)
        >>> _ = nn.init.zeros_(layer.weight)
        >>> wake(layer)
        >>> layer.weight.tolist()
        [1.0, 1.0, 1.0]
    """
    for module in model.modules():
        if isinstance(module, ZeroStart):
            nn.init.ones_(module.strength)
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and not weight.any():
            if not callable(reset := getattr(module, "reset_parameters", None)):
                raise TypeError(f"{type(module).__name__} has no reset_parameters()")
            reset()
