from .background import (
    WorstGroup as WorstGroup,
    accuracies as accuracies,
    accuracy as accuracy,
    adversarial_accuracy as adversarial_accuracy,
    background_gap as background_gap,
    flip_rate as flip_rate,
    gap_recovery as gap_recovery,
    worst_group as worst_group,
)
from .boxes import (
    BOX_OVERLAPS as BOX_OVERLAPS,
    BoxAccuracy as BoxAccuracy,
    best_over_thresholds as best_over_thresholds,
    box_hits as box_hits,
    box_overlaps as box_overlaps,
    max_box_accuracy as max_box_accuracy,
    whole_image_accuracy as whole_image_accuracy,
)
from .checkerboard import edge_checkerboard as edge_checkerboard
from .confidence import (
    MaskedConfidence as MaskedConfidence,
    masked_confidence as masked_confidence,
)
from .curves import (
    Curve as Curve,
    deletion as deletion,
    insertion as insertion,
)
from .grid_game import (
    cell_share as cell_share,
    grid_rows as grid_rows,
    image_grids as image_grids,
)
from .imputation import linear_imputation as linear_imputation
from .inputs import resize_saliency as resize_saliency
from .intervals import (
    Difference as Difference,
    Proportion as Proportion,
    Spread as Spread,
    mean_std as mean_std,
    paired_difference as paired_difference,
    wilson as wilson,
)
from .localisation import (
    chance_level as chance_level,
    energy_pointing as energy_pointing,
    mask_iou as mask_iou,
    pointing_game as pointing_game,
    top_area_iou as top_area_iou,
)
from .probing import (
    Baseline as Baseline,
    baseline_images as baseline_images,
)
from .randomisation import (
    Randomisation as Randomisation,
    randomisation_test as randomisation_test,
    rank_correlation as rank_correlation,
)
from .ranking import (
    pixel_average_precision as pixel_average_precision,
    rank_accuracy as rank_accuracy,
    roc_auc as roc_auc,
)
from .removal import (
    Road as Road,
    road as road,
)
from .sensitivity import (
    RESAMPLES as RESAMPLES,
    Sensitivity as Sensitivity,
    bootstrap_sensitivity as bootstrap_sensitivity,
    relative_foreground_sensitivity as relative_foreground_sensitivity,
)
from .summaries import (
    Summary as Summary,
    mean_over_classes as mean_over_classes,
    summarise as summarise,
)
