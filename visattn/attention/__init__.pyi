from .axes import (
    axial_weights as axial_weights,
    column_attention as column_attention,
    criss_cross_attention as criss_cross_attention,
    criss_cross_weights as criss_cross_weights,
    row_attention as row_attention,
    with_places as with_places,
)
from .core import (
    Attended as Attended,
    attend as attend,
    attention_weights as attention_weights,
    weighted_sum as weighted_sum,
)
from .halo import (
    halo_attention as halo_attention,
    halo_weights as halo_weights,
)
from .heads import (
    MultiHeadAttention as MultiHeadAttention,
    merge_heads as merge_heads,
    split_heads as split_heads,
)
from .layer import (
    Attention as Attention,
    Memory as Memory,
)
from .masks import (
    both as both,
    causal_mask as causal_mask,
    length_mask as length_mask,
    neighbourhood_mask as neighbourhood_mask,
)
from .neighbourhood import (
    neighbourhood_attention as neighbourhood_attention,
    neighbourhood_weights as neighbourhood_weights,
)
from .normalisers import (
    Normaliser as Normaliser,
    SampledInTraining as SampledInTraining,
    Weights as Weights,
    argmax as argmax,
    masked_softmax as masked_softmax,
    reinforce_loss as reinforce_loss,
    sample as sample,
    softmax as softmax,
)
from .pairwise import (
    PairwiseFunction as PairwiseFunction,
    dot_attention as dot_attention,
    dot_weights as dot_weights,
    efficient_features as efficient_features,
    fused_attention as fused_attention,
    kernel_features as kernel_features,
    product_attention as product_attention,
    product_weights as product_weights,
    relu_sum_attention as relu_sum_attention,
    relu_sum_weights as relu_sum_weights,
    scaled_softmax as scaled_softmax,
    softmax_attention as softmax_attention,
    softmax_weights as softmax_weights,
)
from .positions import (
    LearnedPositions as LearnedPositions,
    LearnedPositions2d as LearnedPositions2d,
    RelativeBias as RelativeBias,
    RelativeBias2d as RelativeBias2d,
    sine_positions as sine_positions,
    sine_positions_2d as sine_positions_2d,
)
from .scores import (
    AdditiveScore as AdditiveScore,
    CosineScore as CosineScore,
    DotScore as DotScore,
    GeneralScore as GeneralScore,
    LocationScore as LocationScore,
    ProjectedDotScore as ProjectedDotScore,
    Score as Score,
    ScoreFunction as ScoreFunction,
    additive_scores as additive_scores,
    cosine_scores as cosine_scores,
    dot_scores as dot_scores,
)
from .windows import (
    LocalWindow as LocalWindow,
    MonotonicWindow as MonotonicWindow,
    PredictiveWindow as PredictiveWindow,
    Window as Window,
    gaussian_bias as gaussian_bias,
    window_mask as window_mask,
)
