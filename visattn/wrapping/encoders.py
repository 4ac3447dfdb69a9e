"""The stages of a model as an encoder of its own: from an image to one map a resolution."""

import copy
from typing import Any

from torch import nn
from torch.fx import GraphModule

from visattn.blocks.attended import strip
from visattn.wrapping.places import Site, named_sites
from visattn.wrapping.tracing import Trace


def encoder_facts(model: nn.Module, traced: Trace, site: Site) -> dict[str, Any]:
    """A copy of a model's stages, and the channels of the maps that it gives, finest first.

    Of several stages of one resolution the last is taken.

    Args:
        model: With or without attention; the copy has none.
        traced: What was seen of it.
        site: Where the maps are wanted: on the image.

    Raises:
        ValueError: The site isn't the image; the model has no stages, its maps have their channels
            last, or its forward pass can't be cut (by ``torch.fx``).
    """
    if site.where != "before" or site.name != "image":
        raise ValueError(
            f"A branch on features reads the image, and {site.name!r} isn't there: use at='image'."
        )
    stages = {(s.height, s.width): s for s in named_sites(traced, "stage")}
    if any(stage.layout != "NCHW" for stage in stages.values()):
        raise ValueError(
            f"A branch on features needs maps (N, C, H, W), and {traced.model} has its channels"
            " last. Use branch='small'."
        )
    from timm.models import create_feature_extractor  # fx, with timm's own leaves

    double = strip(copy.deepcopy(model))
    nodes = {stage.path: str(number) for number, stage in enumerate(stages.values())}
    try:
        cut = create_feature_extractor(double, nodes).eval()
    except Exception as error:
        raise ValueError(
            f"The stages of {traced.model} can't be cut out of it by torch.fx: {error}. Use"
            " branch='small', or give encoder= and encoder_widths= yourself."
        ) from error
    encoder = GraphModule(cut, cut.graph)  # of two graphs, for training too, none could be pickled
    return {"encoder": encoder, "encoder_widths": [stage.channels for stage in stages.values()]}
