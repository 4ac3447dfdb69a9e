"""Attention branch: a branch that answers by itself and shows which places it used."""

import copy
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d, with_norm
from visattn.blocks.gates import Gate, Init, zero_
from visattn.blocks.taps import Tap

POOLS = (nn.MaxPool2d, nn.AvgPool2d)


class AttentionBranch(nn.Module):
    r"""Attention branch: a branch that answers by itself and shows which places it used.

    ``f = BN(stage(x))``, a copy of the stage that follows, without its strides;
    ``k = relu(BN(conv1x1(f)))``, a map for each class;
    ``class_logits = mean_hw(conv1x1(k))``; ``m = sigmoid(BN(conv3x3(k)))``, one map;
    ``y = x * (1 + m)``. The order is that of the official code.

    The branch's answers want a loss of their own, added to that of the model. A recording gives
    them::

        with visattn.record(model, graph=True) as maps:
            logits = model(images)
        loss = cross_entropy(logits, labels)
        for site in maps.values():
            loss = loss + cross_entropy(site.class_logits, labels)

    The copy starts with the weights of the stage, which a trained model has; the official code
    starts it anew. Strides are set to 1, pools that can't have that are left out, and so is what
    drops values or paths at random.

    Args:
        channels: C of the map.
        num_classes: K, of the branch's answers.
        next_stage: The module that follows the block in the model, from (N, C, H, W) to a map; it
            is copied. A 3x3 convolution with BN and ReLU if None.
        init: With ``"identity"`` the gate is ``2 * sigmoid`` instead of ``1 + sigmoid`` and its
            logits start at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``spatial`` (N, H, W), in (0, 1) or (0, 2), and
        ``class_logits`` (N, K).

    Raises:
        ValueError: A number is below 1, ``next_stage`` doesn't give a map, or ``init`` is unknown.

    Example:
        >>> block = AttentionBranch(16, num_classes=5, init="identity")
        >>> x = torch.randn(2, 16, 7, 5)
        >>> torch.equal(block(x), x)
        True

    Source: Fukui et al., Attention Branch Network, arXiv:1812.10025, and its official code.
    """

    default_at = "stage"
    default_stages = (-2,)
    official_names: ClassVar[dict[str, str]] = {
        "att_layer4.": "stage.",
        "bn_att.": "bn.",
        "att_conv.": "class_maps.0.",
        "bn_att2.": "class_maps.1.",
        "att_conv2.": "answer.",
        "att_conv3.": "to_plane.0.",
        "bn_att3.": "to_plane.1.",
    }

    def __init__(
        self,
        channels: int,
        *,
        num_classes: int = 1000,
        next_stage: nn.Module | None = None,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_numbers("AttentionBranch", channels=channels, num_classes=num_classes)
        if next_stage is None:
            convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.stage: nn.Module = with_norm(convolution)
            width = channels
        else:
            self.stage = _same_size(copy.deepcopy(next_stage))
            width = _output_channels(self.stage, channels)
        self.bn = SafeBatchNorm2d(width)
        self.class_maps = with_norm(nn.Conv2d(width, num_classes, 1, bias=False))
        self.answer = nn.Conv2d(num_classes, num_classes, 1, bias=False)
        self.class_logits = Tap("class_logits")
        self.to_plane = nn.Sequential(
            nn.Conv2d(num_classes, 1, 3, padding=1, bias=False),
            SafeBatchNorm2d(1),
        )
        self.gate = Gate("spatial", init=init)
        self.residual = init == "paper"
        if init == "identity":
            zero_(self.to_plane[1])

    def forward(self, x: Tensor) -> Tensor:
        """Gate the places of (N, C, H, W)."""
        classes = self.class_maps(self.bn(self.stage(x)))
        self.class_logits(self.answer(classes.mean((2, 3), keepdim=True)).flatten(1))
        gate = self.gate(F.interpolate(self.to_plane(classes), x.shape[2:], mode="bilinear"))
        return x * (1 + gate) if self.residual else x * gate


def _same_size(stage: nn.Module) -> nn.Module:
    """Take strides, pools that shrink a map, and dropping at random out of a stage, in place."""
    for module in list(stage.modules()):
        for name, child in module.named_children():
            if _drops(child) or (isinstance(child, POOLS) and not _can_keep_size(child)):
                setattr(module, name, nn.Identity())
        stride = getattr(module, "stride", None)
        if isinstance(stride, (int, tuple)):
            vars(module).update(stride=1 if isinstance(stride, int) else (1,) * len(stride))
    return stage


def _can_keep_size(pool: nn.Module) -> bool:
    """Whether a pool keeps a map's size with a stride of 1."""
    sizes, paddings = (
        value if isinstance(value, tuple) else (value, value)
        for value in (pool.kernel_size, pool.padding)
    )
    return all(size == 2 * padding + 1 for size, padding in zip(sizes, paddings, strict=True))


def _drops(module: nn.Module) -> bool:
    """Whether a module drops values or whole paths at random."""
    names = ("DropPath", "StochasticDepth", "DropBlock2d")
    return isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ in names


def _output_channels(stage: nn.Module, channels: int) -> int:
    """Channels of the map that a stage gives, tried without data."""
    double = copy.deepcopy(stage).to("meta", torch.float32).eval()
    try:
        y = double(torch.empty(1, channels, 32, 32, device="meta"))
    except Exception as error:
        raise ValueError(
            f"AttentionBranch: next_stage, a {type(stage).__name__}, cannot run on a map of"
            f" {channels} channels without its strides: {error}. Give the module that follows the"
            " block in the model, or None for a small branch of its own."
        ) from error
    if not isinstance(y, Tensor) or y.ndim != 4:
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(
            f"AttentionBranch: next_stage must give a map (N, C, H, W), got {got}. Give None for a"
            " small branch of its own."
        )
    return y.shape[1]
