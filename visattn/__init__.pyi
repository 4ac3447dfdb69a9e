from .auditing import audit as audit
from .blocks import (
    block_names as block_names,
    register_block as register_block,
)
from .blocks.fused.switch import fused as fused
from .exporting import export_model as export_model
from .networks.fetching import from_pretrained as from_pretrained
from .networks.sharing import (
    push_to_hub as push_to_hub,
    save_pretrained as save_pretrained,
)
from .pictures import overlay as overlay
from .recording import record as record
from .recording.cam import (
    class_activation as class_activation,
    grad_cam as grad_cam,
)
from .recording.legrad_map import legrad as legrad
from .recording.rollout import (
    attention_relevance as attention_relevance,
    attention_rollout as attention_rollout,
)
from .report_page import report as report
from .wrapping.checkpoints import from_published as from_published
from .wrapping.finetuning import (
    freeze_backbone as freeze_backbone,
    parameter_groups as parameter_groups,
    unfreeze_backbone as unfreeze_backbone,
)
from .wrapping.insertion import (
    attention_parameters as attention_parameters,
    backbone_parameters as backbone_parameters,
    disabled as disabled,
    unwrap as unwrap,
    wrap as wrap,
)
from .wrapping.planning import plan as plan
from .wrapping.weights import (
    backbone_names as backbone_names,
    backbone_state_dict as backbone_state_dict,
    load_attention as load_attention,
    save_attention as save_attention,
)

__version__: str
