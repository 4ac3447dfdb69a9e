"""Query-key-value attention: scores, weights, and the weighted mean of the values.

`attend` is all of it in one function. Around it: scores (dot, scaled dot, general, additive,
location), normalisers (softmax, argmax, sample), masks, windows for local attention, position
encodings in one and two dimensions, and heads. The pairwise functions are what image blocks use.

Conventions: ``weights[..., t, s]`` is how much target t takes from source s. A mask is boolean and
True keeps; where it keeps nothing, context and weights are 0 and gradients finite. Weights are
returned before dropout.
"""

from visattn.attention.axes import (
    axial_weights,
    column_attention,
    criss_cross_attention,
    criss_cross_weights,
    row_attention,
    with_places,
)
from visattn.attention.content import CosineScore, cosine_scores
from visattn.attention.core import Attended, attend, attention_weights, weighted_sum
from visattn.attention.fused import fused_attention
from visattn.attention.heads import MultiHeadAttention, merge_heads, split_heads
from visattn.attention.layer import Attention, Memory
from visattn.attention.low_rank import (
    efficient_features,
    kernel_features,
    product_attention,
    product_weights,
)
from visattn.attention.masks import both, causal_mask, length_mask, neighbourhood_mask
from visattn.attention.neighbourhood import neighbourhood_attention, neighbourhood_weights
from visattn.attention.normalisers import (
    Normaliser,
    SampledInTraining,
    Weights,
    argmax,
    masked_softmax,
    reinforce_loss,
    sample,
    softmax,
)
from visattn.attention.pairwise import (
    PairwiseFunction,
    dot_attention,
    dot_weights,
    relu_sum_attention,
    relu_sum_weights,
    scaled_softmax,
    softmax_attention,
    softmax_weights,
)
from visattn.attention.positions import (
    LearnedPositions,
    LearnedPositions2d,
    RelativeBias,
    RelativeBias2d,
    sine_positions,
    sine_positions_2d,
)
from visattn.attention.scores import (
    AdditiveScore,
    DotScore,
    GeneralScore,
    LocationScore,
    ProjectedDotScore,
    Score,
    ScoreFunction,
    additive_scores,
    dot_scores,
)
from visattn.attention.windows import (
    LocalWindow,
    MonotonicWindow,
    PredictiveWindow,
    Window,
    gaussian_bias,
    window_mask,
)

__all__ = [
    "AdditiveScore",
    "Attended",
    "Attention",
    "CosineScore",
    "DotScore",
    "GeneralScore",
    "LearnedPositions",
    "LearnedPositions2d",
    "LocalWindow",
    "LocationScore",
    "Memory",
    "MonotonicWindow",
    "MultiHeadAttention",
    "Normaliser",
    "PairwiseFunction",
    "PredictiveWindow",
    "ProjectedDotScore",
    "RelativeBias",
    "RelativeBias2d",
    "SampledInTraining",
    "Score",
    "ScoreFunction",
    "Weights",
    "Window",
    "additive_scores",
    "argmax",
    "attend",
    "attention_weights",
    "axial_weights",
    "both",
    "causal_mask",
    "column_attention",
    "cosine_scores",
    "criss_cross_attention",
    "criss_cross_weights",
    "dot_attention",
    "dot_scores",
    "dot_weights",
    "efficient_features",
    "fused_attention",
    "gaussian_bias",
    "kernel_features",
    "length_mask",
    "masked_softmax",
    "merge_heads",
    "neighbourhood_attention",
    "neighbourhood_mask",
    "neighbourhood_weights",
    "product_attention",
    "product_weights",
    "reinforce_loss",
    "relu_sum_attention",
    "relu_sum_weights",
    "row_attention",
    "sample",
    "scaled_softmax",
    "sine_positions",
    "sine_positions_2d",
    "softmax",
    "softmax_attention",
    "softmax_weights",
    "split_heads",
    "weighted_sum",
    "window_mask",
    "with_places",
]
