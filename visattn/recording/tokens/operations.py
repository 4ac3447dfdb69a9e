"""Operations of PyTorch by what they do, whatever way they are called."""

from typing import Any


def name_of(function: Any) -> str:
    """An operation's name, the same for functions, methods, operators and those in place.

    Example:
        >>> import torch
        >>> name_of(torch.add), name_of(torch.Tensor.add_), name_of(torch.Tensor.__matmul__)
        ('add', 'add', 'matmul')
    """
    if getattr(function, "__name__", "") == "__get__":
        return str(getattr(function.__self__, "__name__", ""))
    return str(getattr(function, "__name__", "")).strip("_")


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


MOVING = _names(
    """
    T cat chunk concat concatenate expand expand_as flatten flip gather getitem hsplit im2col
    index_select mT matrix_transpose moveaxis movedim narrow pad permute pixel_shuffle
    pixel_unshuffle ravel repeat repeat_interleave reshape reshape_as roll select split
    split_with_sizes squeeze stack swapaxes swapdims t take_along_dim tensor_split tile transpose
    unbind unflatten unfold unsqueeze view view_as vsplit
    """
)
"""Operations that only put numbers elsewhere."""

POINTWISE = _names(
    """
    abs add addcdiv addcmul alpha_dropout batch_norm bfloat16 celu clamp clamp_max clamp_min clip
    clone contiguous copysign cos data detach div divide double dropout dropout1d dropout2d elu erf
    exp expm1 feature_alpha_dropout feature_dropout float float_power floor_divide fmax fmin gelu
    group_norm half hardshrink hardsigmoid hardswish hardtanh iadd idiv imul instance_norm isub
    itruediv layer_norm leaky_relu lerp local_response_norm log log1p log_sigmoid log_softmax
    logaddexp logit logsigmoid masked_fill maximum minimum mish mul multiply nan_to_num
    native_layer_norm neg negative normalize positive pow prelu radd rdiv real reciprocal
    relu relu6 requires_grad rms_norm rmul round rpow rrelu rsqrt rsub rtruediv selu sigmoid sign
    silu sin softmax softplus softshrink softsign sqrt square sub subtract tanh tanhshrink threshold
    to true_divide truediv type type_as where
    """
)
"""Operations that keep every number in its place."""

MAKING = _names(
    """
    empty_like full_like new_empty new_full new_ones new_tensor new_zeros ones_like rand_like
    randint_like randn_like zeros_like
    """
)
"""Operations that take no more than a shape from what they are given."""

SPATIAL = _names(
    """
    adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d conv2d conv_transpose2d interpolate lp_pool2d
    max_pool2d upsample
    """
)
"""Operations on maps (N, C, H, W), whose size they may change."""

REDUCING = _names(
    """
    amax amin logsumexp max mean min nanmean norm std sum var var_mean
    """
)
"""Operations that make one number of several along axes."""

SAME = _names(
    """
    bfloat16 clone contiguous data detach double float half to type type_as
    """
)
"""Operations that keep every number as it is, but for its type."""

DROPOUTS = _names(
    """
    alpha_dropout dropout feature_dropout
    """
)
"""Operations that drop weights in training."""

LAID_OUT = _names(
    """
    flatten reshape reshape_as squeeze unflatten unsqueeze view view_as
    """
)
"""Operations that only give numbers other axes, in their order."""

ROWWISE = _names(
    """
    amax amin mean sum
    """
)
"""Operations that reduce rows, one by one."""
