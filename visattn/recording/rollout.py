"""Attention followed through all layers of a transformer: rollout and relevance."""

from collections.abc import Sequence

from torch import Tensor, nn

from visattn.recording.tokens.passes import layers_of


def attention_rollout(model: nn.Module, images: Tensor) -> Tensor:
    r"""Where the tokens that a transformer answers from come from, by the product of its attention.

    .. math:: r\, \tilde A_L \cdots \tilde A_1, \quad \tilde A_l = (\bar A_l + I) / 2

    with the attention :math:`\bar A_l` of layer l, the mean over its heads, and the tokens r from
    which the answer is read: the class token, or the mean of the patches, as the model's head says.
    It knows of no class. No N x N weights are held. A compiled model runs uncompiled.

    Args:
        model: Images (N, C, H, W) to logits (N, K); a transformer whose layers all attend between
            the same tokens, with nothing inserted.
        images: Images (N, C, H, W) as the model takes them.

    Returns:
        Maps (N, h, w) over the patches, at least 0. With what goes to class token and registers
        they sum to 1.

    Raises:
        ValueError: If the layers' tokens differ, as those of a Swin do, or attention can't be
            recorded.

    Example:
        >>> import timm, torch
        >>> model = timm.create_model("test_vit", img_size=64, num_classes=5)
        >>> attention_rollout(model, torch.randn(2, 3, 64, 64)).shape
        torch.Size([2, 4, 4])

    Source: Abnar and Zuidema, Quantifying Attention Flow in Transformers, 2020, arXiv:2005.00928.
    """
    layers = layers_of(model, images, classes=None)
    shares = layers.reads
    for found in reversed(layers.maps):
        shares = (shares + found.folded(shares)) / 2
    return layers.maps[0].on_places(shares)


def attention_relevance(
    model: nn.Module, images: Tensor, *, classes: int | Sequence[int] | Tensor | None = None
) -> Tensor:
    r"""Where a transformer finds a class, by attention weighted with its gradients.

    .. math:: R \leftarrow R + \bar A_l R, \quad
        \bar A_l = \mathrm{E}_h\big((\nabla A_l \odot A_l)^+\big)

    from :math:`R = I` through all layers, with the gradient of the class's logit: the rule for self
    attention. Given is the row of the tokens from which the answer is read, as in
    `attention_rollout`; if these are the patches, each has its share of the identity, too. No N x N
    weights are held. A compiled model runs uncompiled.

    Args:
        model: As for `attention_rollout`.
        images: Images (N, C, H, W) as the model takes them.
        classes: One class for all images or one an image (N,); those that the model predicts if
            None.

    Returns:
        Maps (N, h, w) over the patches, at least 0; raw, not brought to [0, 1].

    Raises:
        ValueError: As for `attention_rollout`, or if there is no such class.

    Example:
        >>> import timm, torch
        >>> model = timm.create_model("test_vit", img_size=64, num_classes=5)
        >>> attention_relevance(model, torch.randn(2, 3, 64, 64), classes=3).shape
        torch.Size([2, 4, 4])

    Source: Chefer et al., Generic Attention-model Explainability for Interpreting Bi-Modal and
    Encoder-Decoder Transformers, 2021, arXiv:2103.15679.
    """
    layers = layers_of(model, images, classes=classes)
    shares = layers.reads
    for found, slope in zip(reversed(layers.maps), reversed(layers.slopes), strict=True):
        shares = shares + found.folded(shares, combine=_positive_product, slope=slope)
    return layers.maps[0].on_places(shares)


def _positive_product(weights: Tensor, slopes: Tensor | None) -> Tensor:
    return weights if slopes is None else (weights * slopes).clamp(min=0)
