"""A captioner with soft or hard attention, trained by Lightning."""

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor

from visattn.attention import reinforce_loss
from visattn.networks.weight_files import FACTS
from visattn.sequence import END, PAD, Captioner, exact_match
from visattn.tasks.captioning.features import map_features
from visattn.tasks.sequence_module import SequenceModule
from visattn.tasks.split_data import Batch
from visattn.training.data_facts import data_facts

MARGIN = 2
"""Pixels around a dish that count as the dish."""


@final
class CaptionerModule(SequenceModule):
    """A caption for a scene of two dishes.

    Soft attention is trained by the words' cross-entropy. Hard attention samples a place for each
    word; the words are trained in the same way, and the places by REINFORCE: the reward of a place
    is the log-likelihood of its word and those that follow, its baseline a running mean of that for
    each step. Logged are ``train/loss``, ``val/exact`` and on the test split ``exact``,
    ``pointing`` (share of the dishes' words whose greatest weight lies within 2 pixels of that
    dish) and ``other`` (of the other dish), with the right words fed back.

    Args:
        hard: Hard attention.
        words: Size of the vocabulary; on the command line it comes from the data.
        backbone: Name of a CNN of timm's; its features at ``reduction`` are what is attended to.
        attention: What `visattn.wrap` puts into the backbone: a block's name, or a mapping with
            ``block`` and arguments of ``wrap``, such as ``{block: cbam, init: paper}``, or a list
            of those. None is the CNN as it is.
        reduction: Pixels of the image for one of the map.
        embedding: Width of the words' vectors.
        hidden: Width of the decoder's state.
        expected: Share of the steps of hard attention that read the mean in training, as soft
            attention does.
        reinforce: Weight of the loss that trains the places of hard attention.
        learning_rate: Its highest value.
        weight_decay: On matrices only.
        warmup: Share of the training in which the learning rate rises.

    Raises:
        ValueError: There is no such backbone, it gives no maps, or none at that reduction.
        KeyError: There is no such block of attention.

    Example:
        >>> model = CaptionerModule(words=14)
        >>> model.model.encode(torch.zeros(1, 3, 64, 64))[1]
        (16, 16)
    """

    validated = "exact"
    baseline: Tensor

    def __init__(
        self,
        hard: bool = False,
        *,
        words: int,
        backbone: str = "resnet10t",
        attention: str | dict[str, Any] | list[dict[str, Any]] | None = None,
        reduction: int = 4,
        embedding: int = 32,
        hidden: int = 128,
        expected: float = 0.5,
        reinforce: float = 0.3,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup)
        self.save_hyperparameters()
        self.hard = hard
        self.reinforce = reinforce
        self.data_facts: dict[str, Any] = {}
        features, channels = map_features(backbone, reduction=reduction, attention=attention)
        self.model = Captioner(
            features,
            channels=channels,
            words=words,
            hard=hard,
            expected=expected,
            embedding=embedding,
            hidden=hidden,
        )
        self.register_buffer("baseline", torch.zeros(64))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of the words, and for hard attention the loss of the places."""
        target = batch["target"]
        said = self.model(batch["image"], target)
        each = F.cross_entropy(said.logits.transpose(1, 2), target, reduction="none")
        there = target != PAD
        loss = self.logged(each[there].mean(), count=len(target))
        if said.log_probability is None:
            return loss
        reward = -(each * there).detach().flip(1).cumsum(1).flip(1)
        baseline = self.baseline[: target.shape[1]]
        places = reinforce_loss(said.log_probability, reward, baseline=baseline)[there].mean()
        with torch.no_grad():
            counted = there.sum(0).clamp(min=1)
            baseline.lerp_((reward * there).sum(0) / counted, 0.1)
        return loss + self.reinforce * places

    def right(self, batch: Batch) -> Tensor:
        """Which captions are exact."""
        length = batch["target"].shape[1] + 2
        said = self.model.greedy(batch["image"], max_length=length)
        return exact_match(said.tokens, batch["target"])

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Exact captions, and where the dishes' words look."""
        exact = self.right(batch)
        weights = self.model(batch["image"], batch["target"]).weights
        size = self.model.encode(batch["image"])[1]
        own, other = pointing(weights, batch["target"], batch["mattes"], size=size)
        return {"exact": exact, "pointing": own, "other": other}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the side of the pictures."""
        found = data_facts(getattr(self._trainer, "datamodule", None))
        checkpoint[FACTS] = found or self.data_facts

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read it again."""
        self.data_facts = checkpoint.get(FACTS, {})


def pointing(
    weights: Tensor, target: Tensor, mattes: Tensor, *, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Whether the words of the dishes look at them.

    A word looks at the middle of the place of its greatest weight. The first word of a caption
    names the first dish, the last one the second.

    Args:
        weights: (N, T, h * w).
        target: (N, T), captions.
        mattes: (N, 2, H, W), boolean, of the two dishes.
        size: (h, w).

    Returns:
        Whether it is on its own dish, with a margin of `MARGIN` pixels, and whether on the other:
        (N, 2) each.
    """
    wide = F.max_pool2d(mattes.float(), 2 * MARGIN + 1, stride=1, padding=MARGIN) > 0
    last = (target == END).int().argmax(1) - 1
    rows = torch.arange(len(target), device=target.device)
    step = torch.stack((torch.zeros_like(last), last), 1)
    place = weights[rows[:, None], step].argmax(-1)
    height, width = mattes.shape[2:]
    y = ((place // size[1]).float() + 0.5) * height / size[0]
    x = ((place % size[1]).float() + 0.5) * width / size[1]
    dish = torch.arange(2, device=target.device).expand_as(place)
    own = wide[rows[:, None], dish, y.long(), x.long()]
    other = wide[rows[:, None], 1 - dish, y.long(), x.long()]
    return own, other
