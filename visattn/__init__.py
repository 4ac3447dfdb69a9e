"""Attention for computer vision: put it into any CNN, train with it, see where it looks.

Nothing here imports torch until a name is used.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visattn.auditing import audit
    from visattn.blocks import block_names, register_block
    from visattn.exporting import export_model
    from visattn.pictures import overlay
    from visattn.recording import record
    from visattn.recording.cam import grad_cam
    from visattn.report_page import report
    from visattn.wrapping.checkpoints import from_published
    from visattn.wrapping.finetuning import freeze_backbone, parameter_groups, unfreeze_backbone
    from visattn.wrapping.insertion import (
        attention_parameters,
        backbone_parameters,
        disabled,
        unwrap,
        wrap,
    )
    from visattn.wrapping.planning import plan
    from visattn.wrapping.weights import load_attention, save_attention

__version__ = version("visattn")
__all__ = [
    "attention_parameters",
    "audit",
    "backbone_parameters",
    "block_names",
    "disabled",
    "export_model",
    "freeze_backbone",
    "from_published",
    "grad_cam",
    "load_attention",
    "overlay",
    "parameter_groups",
    "plan",
    "record",
    "register_block",
    "report",
    "save_attention",
    "unfreeze_backbone",
    "unwrap",
    "wrap",
]

_HOMES = {
    "attention_parameters": "visattn.wrapping.insertion",
    "audit": "visattn.auditing",
    "backbone_parameters": "visattn.wrapping.insertion",
    "block_names": "visattn.blocks",
    "disabled": "visattn.wrapping.insertion",
    "export_model": "visattn.exporting",
    "freeze_backbone": "visattn.wrapping.finetuning",
    "from_published": "visattn.wrapping.checkpoints",
    "grad_cam": "visattn.recording.cam",
    "load_attention": "visattn.wrapping.weights",
    "overlay": "visattn.pictures",
    "parameter_groups": "visattn.wrapping.finetuning",
    "plan": "visattn.wrapping.planning",
    "record": "visattn.recording",
    "register_block": "visattn.blocks",
    "report": "visattn.report_page",
    "save_attention": "visattn.wrapping.weights",
    "unfreeze_backbone": "visattn.wrapping.finetuning",
    "unwrap": "visattn.wrapping.insertion",
    "wrap": "visattn.wrapping.insertion",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'visattn' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
