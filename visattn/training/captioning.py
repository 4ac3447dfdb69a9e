"""A captioner with soft or hard attention, trained by Lightning."""

from typing import Any, final

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from visattn.attention import reinforce_loss
from visattn.sequence import END, PAD, Captioner, exact_match
from visattn.training.batched import Batch
from visattn.training.sequence_module import SequenceModule

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
        backbone: A timm name; its features at ``reduction`` are what is attended to.
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
        ValueError: The backbone has no features at that reduction.

    Example:
        >>> model = CaptionerModule(words=14)
        >>> model.model.encode(torch.zeros(1, 3, 64, 64))[1]
        (16, 16)
    """

    baseline: Tensor

    def __init__(
        self,
        hard: bool = False,
        *,
        words: int,
        backbone: str = "resnet10t",
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
        features, channels = map_features(backbone, reduction=reduction)
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
        self.val_exact = MeanMetric()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of the words, and for hard attention the loss of the places."""
        target = batch["target"]
        said = self.model(batch["image"], target)
        each = F.cross_entropy(said.logits.transpose(1, 2), target, reduction="none")
        there = target != PAD
        loss = each[there].mean()
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(target))
        if said.log_probability is None:
            return loss
        reward = -(each * there).detach().flip(1).cumsum(1).flip(1)
        baseline = self.baseline[: target.shape[1]]
        places = reinforce_loss(said.log_probability, reward, baseline=baseline)[there].mean()
        with torch.no_grad():
            counted = there.sum(0).clamp(min=1)
            baseline.lerp_((reward * there).sum(0) / counted, 0.1)
        return loss + self.reinforce * places

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Share of exact captions."""
        self.val_exact(exact_match(self.captioned(batch), batch["target"]).float())
        self.log("val/exact", self.val_exact, on_epoch=True, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Exact captions, and where the dishes' words look."""
        target = batch["target"]
        self.tests.add(0, "exact", exact_match(self.captioned(batch), target))
        weights = self.model(batch["image"], target).weights
        size = self.model.encode(batch["image"])[1]
        own, other = pointing(weights, target, batch["mattes"], size=size)
        self.tests.add(0, "pointing", own)
        self.tests.add(0, "other", other)

    def captioned(self, batch: Batch) -> Tensor:
        """Words (N, T) by greedy decoding."""
        tokens: Tensor = self.model.greedy(
            batch["image"], max_length=batch["target"].shape[1] + 2
        ).tokens
        return tokens


def map_features(backbone: str, *, reduction: int) -> tuple[nn.Module, int]:
    """A network that gives the map of a timm backbone at a reduction, and its channels.

    Raises:
        ValueError: There are no features at that reduction.
    """
    whole: Any = timm.create_model(backbone, features_only=True)
    stages = whole.feature_info.reduction()
    if reduction not in stages:
        raise ValueError(f"{backbone} has features at {stages}, not at reduction={reduction}")
    index = stages.index(reduction)
    network: Any = timm.create_model(backbone, features_only=True, out_indices=(index,))
    return _OnlyMap(network), int(network.feature_info.channels()[0])


@final
class _OnlyMap(nn.Module):
    """The only map of a list of them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        (found,) = self.network(images)
        only: Tensor = found
        return only


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
