"""Global context: one attention map for all places, and what it reads added to each."""

from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from visattn.basics.checks import check_choice
from visattn.blocks.fused.choice import fusable
from visattn.blocks.gates import Gate, Init, check_init, reduced_channels, zero_
from visattn.blocks.taps import Tap

Fuse = Literal["add", "scale", "both"]


@fusable()
class GlobalContext(nn.Module):
    r"""Global context: one attention map for all places, and what it reads added to each.

    ``c = sum_i softmax_i(w . x_i + b) x_i`` is a context vector, the same for every place, and
    ``MLP(c) = W2 relu(LayerNorm(W1 c + b1)) + b2``. Then, by ``fuse``,

    - ``"add"``, the paper's: ``y = x + MLP(c)``;
    - ``"scale"``, timm's ``gc``: ``y = x * sigmoid(MLP(c))``;
    - ``"both"``: first scaled, then added, by an MLP each.

    timm's defaults: ``fuse="scale", reduction=8, eps=1e-6``; its ``gca`` is ``fuse="add"``.

    Args:
        channels: C of the map.
        reduction: The MLP's hidden layer has ``C // reduction`` units, at least 1. The layer
            normalisation of a single unit is constant: below ``2 * reduction`` channels choose a
            smaller one.
        fuse: How the context goes into the map, as above.
        eps: Of the layer normalisation.
        init: The added MLP's last layer starts at zero with either, as in the paper. With
            ``"identity"`` the other's does, too; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``spatial`` (N, H, W), the softmax over the places,
        which sums to 1; except with ``"add"`` also ``channel`` (N, C), in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, ``eps`` is not positive, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in GlobalContext(256).parameters())
        8753

    Source: Cao et al., GCNet, arXiv:1904.11492.
    """

    default_stages = (2, 3, 4)
    timm_names: ClassVar[dict[str, str]] = {
        "conv_attn.": "mask.",
        "mlp_add.": "add.",
        "mlp_scale.": "scale.",
    }

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        fuse: Fuse = "add",
        eps: float = 1e-5,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        check_choice("fuse", fuse, get_args(Fuse))
        if eps <= 0:
            raise ValueError(f"eps must be positive, got {eps}.")
        hidden = reduced_channels(channels, reduction=reduction)
        self.mask = nn.Conv2d(channels, 1, 1)
        nn.init.kaiming_normal_(self.mask.weight, nonlinearity="relu")
        self.attention = Tap("spatial")
        self.scale = ContextMLP(channels, hidden=hidden, eps=eps) if fuse != "add" else None
        self.gate = Gate("channel", init=init) if fuse != "add" else None
        self.add = ContextMLP(channels, hidden=hidden, eps=eps) if fuse != "scale" else None
        if self.scale is not None and init == "identity":
            zero_(self.scale.fc2)
        if self.add is not None:
            zero_(self.add.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """Put the context of (N, C, H, W) into each of its places."""
        weights = self.attention(self.mask(x).flatten(2).softmax(2).unflatten(2, x.shape[2:]))
        context = (x.flatten(2) @ weights.flatten(2).transpose(1, 2)).unsqueeze(3)
        if self.scale is not None and self.gate is not None:
            x = x * self.gate(self.scale(context))
        return x if self.add is None else x + self.add(context)


class ContextMLP(nn.Module):
    """Two layers with a layer normalisation and a ReLU between them, (N, C, 1, 1) to the same."""

    def __init__(self, channels: int, *, hidden: int, eps: float) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.LayerNorm(hidden, eps=eps)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, context: Tensor) -> Tensor:
        """Context (N, C, 1, 1) to (N, C, 1, 1)."""
        hidden = self.norm(self.fc1(context).flatten(1)).relu()
        return self.fc2(hidden[:, :, None, None])
