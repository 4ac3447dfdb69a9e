from .attribution_losses import (
    attribution_of as attribution_of,
    energy_loss as energy_loss,
    right_reasons_loss as right_reasons_loss,
)
from .box_losses import (
    alike_loss as alike_loss,
    inside_loss as inside_loss,
    projection_loss as projection_loss,
)
from .group_losses import (
    generalised_cross_entropy as generalised_cross_entropy,
    group_means as group_means,
    raised_weights as raised_weights,
)
from .mask_losses import (
    area_loss as area_loss,
    border_loss as border_loss,
    consistency_loss as consistency_loss,
    labelled_images as labelled_images,
    mask_loss as mask_loss,
    total_variation as total_variation,
    undecided_loss as undecided_loss,
)
