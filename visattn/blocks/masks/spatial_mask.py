"""A spatial mask: a small branch estimates where the object is, and the features are masked."""

import itertools
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.checks import check_numbers
from visattn.basics.leaves import leaf_function
from visattn.blocks.gates import Init
from visattn.blocks.masks.feature_branch import FeatureBranch, convolution
from visattn.blocks.scripting import unscriptable
from visattn.blocks.taps import Tap

MaskForm = Literal["product", "residual", "annealed"]
Branch = Literal["small", "features"]


@unscriptable("a spatial mask")
class SpatialMask(nn.Module):
    r"""Spatial mask: a map, or the image itself, times what a small branch estimates from it.

    The branch gives logits z, and m = sigmoid(z) is the mask. A *small* branch is an
    encoder-decoder, trained from scratch: ``depth`` halvings, a global mean at the bottom (so every
    place sees the whole map, whatever its size), and back up with skips to the exact size of the
    input. One on *features*, for the image of a trained network, reads the maps of that network's
    stages, from a copy that stays as it is (`FeatureBranch`): it needs far fewer masks to learn
    from, and its edges are as fine as the image.

    ========== =================== =========================================================
    form       output              what it means
    ========== =================== =========================================================
    product    x m                 hard focus: what lies outside the mask is gone
    residual   x (1 + m)           residual attention: the mask only emphasises; everything
                                   outside is still there for the classifier to use
    annealed   x (a + (1 - a) m)   from identity (``leak`` a = 1) to the product (a = 0); whoever
                                   trains lowers ``leak`` with `set_leak`
    ========== =================== =========================================================

    The product and the residual form with ``init="identity"`` have a learnable scalar s, zero at
    the start: x (1 + s (m - 1)) and x (1 + s m). The annealed form starts at a = 1, so it is the
    identity at the start in either ``init``, and the task's loss reaches the branch only once
    ``leak`` has been lowered.

    The logits pass the tap ``spatial_logits``, and the mask that multiplies the input passes the
    tap ``spatial``: a forward hook that replaces either steers the block, for instance to a target
    mask.

    The residual form is that of Wang et al., Residual Attention Network for Image Classification,
    arXiv:1704.06904, here with one mask for all channels; the straight-through gradient is that
    of Bengio et al., arXiv:1308.3432.

    Args:
        channels: Channels of the input; 3 for an image.
        init: ``"paper"``, the form as it stands, or ``"identity"``, which returns the input bit
            for bit until it is trained.
        form: ``"product"``, ``"residual"`` or ``"annealed"``.
        hard: Make the mask binary, 1 where m > 0.5, with the gradient of the soft mask
            (straight-through).
        detach: Keep the gradient of the output out of the mask branch. The branch then learns from
            losses on its logits only, and a classifier cannot widen the mask to read what is
            around the object.
        erode: Shrink the mask by so many pixels (a minimum over a square neighbourhood; the border
            of the image does not erode).
        branch: ``"small"`` or ``"features"``.
        width: Channels of the branch: of a small one at half resolution (coarser levels have two
            and four times as many; 16 if None), of one on features throughout (48 if None).
        depth: Number of halvings of a small branch.
        encoder: For a branch on features, a module from the image to its maps, finest first;
            `wrap` gives the stages of the model that it wraps. A copy of it is taken.
        encoder_widths: Channels of these maps.
        position: Tell a branch on features where in the image each place is: where the object is in
            the middle, and others like it at the side are none.

    Shapes:
        (N, C, H, W) to (N, C, H, W), for any N, H, W >= 1. Recorded: ``spatial`` (N, H, W), m, in
        [0, 1], and ``spatial_logits``, z.

    Raises:
        ValueError: If an argument is out of its range, or the input has another shape.

    Example:
        >>> block = SpatialMask(3, hard=True)
        >>> block(torch.randn(2, 3, 33, 48)).shape
        torch.Size([2, 3, 33, 48])
        >>> block.logits(torch.randn(2, 3, 33, 48)).shape
        torch.Size([2, 1, 33, 48])
        >>> x = torch.randn(2, 16, 7, 5)
        >>> torch.equal(SpatialMask(16, init="identity")(x), x)
        True
    """

    default_at = "image"
    leak: Tensor | None
    strength: nn.Parameter | None

    def __init__(
        self,
        channels: int,
        *,
        init: Init = "paper",
        form: MaskForm = "product",
        hard: bool = False,
        detach: bool = False,
        erode: int = 0,
        branch: Branch = "small",
        width: int | None = None,
        depth: int = 4,
        encoder: nn.Module | None = None,
        encoder_widths: Sequence[int] = (),
        position: bool = False,
    ) -> None:
        super().__init__()
        _check_choice("init", init, ("paper", "identity"))
        _check_choice("form", form, get_args(MaskForm))
        check_numbers("SpatialMask", channels=channels, depth=depth)
        check_numbers("SpatialMask", least=0, erode=erode)
        _check_choice("branch", branch, get_args(Branch))
        width = width or (16 if branch == "small" else 48)
        check_numbers("SpatialMask", least=2, width=width)
        self.channels = channels
        self.form: MaskForm = form
        self.hard = hard
        self.detach = detach
        self.erode = erode
        self.branch: nn.Module
        if branch == "small" and position:
            raise ValueError(
                'SpatialMask: position=True is for branch="features"; a small branch has no need of'
                " it: leave it out."
            )
        if branch == "small":
            self.branch = _EncoderDecoder(channels, width=width, depth=depth)
        elif encoder is None or not encoder_widths:
            raise ValueError(
                'SpatialMask: branch="features" needs an encoder, and with it encoder_widths, the'
                " channels of the maps that it gives. wrap gives both for a mask on the"
                ' image of a model with stages: visattn.wrap(model, "spatial_mask", at="image",'
                ' branch="features").'
            )
        else:
            self.branch = FeatureBranch(
                channels,
                encoder=encoder,
                widths=encoder_widths,
                width=width,
                position=position,
            )
        self.spatial_logits = Tap("spatial_logits")
        self.spatial = Tap("spatial")
        annealed = form == "annealed"
        learned = init == "identity" and not annealed
        self.register_parameter("strength", nn.Parameter(torch.zeros(())) if learned else None)
        self.register_buffer("leak", torch.ones(()) if annealed else None)

    def logits(self, x: Tensor) -> Tensor:
        """The mask's logits for ``x``, (N, 1, H, W), through their tap; ``x`` is not masked."""
        _check_map(x, self.channels)
        return self.spatial_logits(self.branch(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` masked, of the same shape."""
        mask = torch.sigmoid(self.logits(x))
        if self.detach:
            mask = mask.detach()
        if self.erode:
            size = 2 * self.erode + 1
            mask = -F.max_pool2d(-mask, size, stride=1, padding=self.erode)
        if self.hard:
            mask = (mask > 0.5).to(mask.dtype) + (mask - mask.detach())
        mask = self.spatial(mask)
        if self.form == "residual":
            return x * (1 + (mask if self.strength is None else self.strength * mask))
        if self.leak is not None:
            return x * _leaking(mask, self.leak)
        return x * (mask if self.strength is None else 1 + self.strength * (mask - 1))

    def set_leak(self, value: float) -> None:
        """Set a of the annealed form: 1 passes everything, 0 only what the mask keeps.

        Raises:
            ValueError: If the form is another one, or ``value`` is not in [0, 1].
        """
        if self.leak is None:
            raise ValueError(
                f'SpatialMask: only form="annealed" has a leak; this one is "{self.form}".'
            )
        if not 0 <= value <= 1:
            raise ValueError(f"SpatialMask: leak must be in [0, 1], got {value}.")
        self.leak.fill_(value)

    def extra_repr(self) -> str:
        """The options, for printing."""
        return (
            f"channels={self.channels}, form={self.form!r}, hard={self.hard}, "
            f"detach={self.detach}, erode={self.erode}"
        )


class _EncoderDecoder(nn.Module):
    """From a map of any size to one plane of logits of that size.

    All layers work at half resolution or below, where they are cheap; the last one gives the
    logits of the 2 x 2 pixels of each of its places, so edges are as fine as the input.
    """

    def __init__(self, channels: int, *, width: int, depth: int) -> None:
        super().__init__()
        widths = [width * min(2**level, 4) for level in range(depth)]
        self.down = nn.ModuleList(
            nn.Sequential(
                *convolution(fine, coarse, stride=2),
                *(convolution(coarse, coarse) if level else ()),
            )
            for level, (fine, coarse) in enumerate(itertools.pairwise([channels, *widths]))
        )
        self.context = nn.Linear(widths[-1], widths[-1])
        self.lateral = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1) for fine, coarse in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(nn.Sequential(*convolution(fine, fine)) for fine in widths[:-1])
        self.head = nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [x]
        for down in self.down:
            levels.append(down(levels[-1]))
        features = levels.pop()
        features = features + self.context(features.mean((2, 3)))[:, :, None, None]
        for lateral, up in zip(reversed(self.lateral), reversed(self.up), strict=True):
            fine = levels.pop()
            coarse = F.interpolate(lateral(features), fine.shape[2:], mode="bilinear")
            features = up(fine + coarse)
        plane = F.pixel_shuffle(self.head(features), 2)
        # a crop by negative padding: slices would tie an exported program to odd or even sizes
        return F.pad(plane, (0, x.shape[3] - plane.shape[3], 0, x.shape[2] - plane.shape[2]))


@leaf_function
def _leaking(mask: Tensor, leak: Tensor) -> Tensor:
    """The mask of the annealed form; a traced graph would keep 1 - leak as it was."""
    return leak + (1 - leak) * mask


@leaf_function
def _check_map(x: Tensor, channels: int) -> None:
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(
            f"SpatialMask: expected (N, {channels}, H, W), got {tuple(x.shape)}; "
            "build the block with the channels of the map it stands on."
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"SpatialMask: {name} must be one of {known}; got {value!r}.")
