"""A captioner with soft or hard attention, trained by Lightning."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from visattn.attention import reinforce_loss
from visattn.networks.backbone import put_attention, unknown_backbone
from visattn.networks.weight_files import FACTS
from visattn.sequence import END, PAD, Captioner, exact_match
from visattn.tasks.batched import Batch
from visattn.tasks.sequence_module import SequenceModule
from visattn.training.data_facts import data_facts

MARGIN = 2
"""Pixels around a dish that count as the dish."""

_TRIED = (96, 64)  # pixels of the picture by which a backbone is tried


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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the side of the pictures."""
        found = data_facts(getattr(self._trainer, "datamodule", None))
        checkpoint[FACTS] = found or self.data_facts

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read it again."""
        self.data_facts = checkpoint.get(FACTS, {})

    def captioned(self, batch: Batch) -> Tensor:
        """Words (N, T) by greedy decoding."""
        tokens: Tensor = self.model.greedy(
            batch["image"], max_length=batch["target"].shape[1] + 2
        ).tokens
        return tokens


def map_features(
    backbone: str,
    *,
    reduction: int,
    attention: str | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
) -> tuple[nn.Module, int]:
    """A network that gives the map of a CNN of timm's at a reduction, and its channels.

    Args:
        backbone: A timm name.
        reduction: Pixels of the image for one of the map.
        attention: What `visattn.wrap` puts in, as for `CaptionerModule`.

    Raises:
        ValueError: There is no such backbone (the nearest are named), it gives no maps
            (N, channels, h, w), or none at that reduction.
        KeyError: There is no such block of attention.

    Example:
        >>> network, channels = map_features("resnet10t", reduction=4, attention="se")
        >>> network(torch.zeros(1, 3, 64, 32)).shape, channels
        (torch.Size([1, 64, 16, 8]), 64)
    """
    if not timm.is_model(backbone):
        raise ValueError(unknown_backbone(backbone))
    try:
        whole: Any = timm.create_model(backbone, features_only=True)
    except Exception as error:
        raise ValueError(_no_maps(backbone, f"timm has no features of it: {error}")) from error
    stages = whole.feature_info.reduction()
    if reduction not in stages:
        raise ValueError(f"{backbone} has features at {stages}, not at reduction={reduction}")
    index = stages.index(reduction)
    network: Any = timm.create_model(backbone, features_only=True, out_indices=(index,))
    channels = int(network.feature_info.channels()[0])
    _check_map(network, channels=channels, name=backbone)
    put_attention(network, attention)
    return _OnlyMap(network), channels


def _check_map(network: nn.Module, *, channels: int, name: str) -> None:
    """Whether a small picture gives one map (1, channels, h, w), whatever the training's size."""
    picture = torch.zeros(1, 3, *_TRIED)
    was_training = network.training
    try:
        with torch.no_grad():
            found = network.eval()(picture)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ValueError(_no_maps(name, f"a picture of 96 x 64 pixels fails: {error}")) from error
    finally:
        network.train(was_training)
    shapes = [tuple(entry.shape) for entry in found]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != channels:
        raise ValueError(_no_maps(name, f"expected one map (N, {channels}, h, w), got {shapes}"))


def _no_maps(name: str, why: str) -> str:
    return f"{name} cannot be captioned from: {why}\nGive a CNN of timm's, such as resnet10t"


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
