"""Published checkpoints, renamed for wrapped models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from visattn.blocks.attended import Attended, block_of
from visattn.wrapping.weights import attention_state, attention_units, backbone_state_dict


@dataclass(frozen=True)
class Naming:
    """How a published collection names its attention.

    Attributes:
        title: The collection.
        block: Class of the block that it is for; empty for every block.
        slot: Where its keys begin: ``{site}`` is the residual block, ``{number}`` counts the
            blocks of this class from 1.
        names: From beginnings of their keys inside the slot to ours; the block's own
            ``timm_names`` or ``official_names``, or the same names, if None.
        attribute: The block's class attribute with these names.
    """

    title: str
    block: str
    slot: str
    names: Mapping[str, str] | None = None
    attribute: str = ""

    def inside(self, block: nn.Module) -> Mapping[str, str]:
        """Beginnings of their keys inside the slot, and of ours inside the block."""
        if self.names is not None:
            return self.names
        found: Mapping[str, str] = getattr(block, self.attribute, {"": ""})
        return found


NAMINGS = (
    Naming("timm's ResNets (layer1.0.se.*)", "", "{site}.se.", attribute="timm_names"),
    Naming("the older SE-ResNets of timm (layer1.0.se_module.*)", "SE", "{site}.se_module."),
    Naming(
        "official CBAM (layer1.0.cbam.*)",
        "CBAM",
        "{site}.cbam.",
        {
            "ChannelGate.mlp.1.": "channel.fc1.",
            "ChannelGate.mlp.3.": "channel.fc2.",
            "SpatialGate.spatial.conv.": "spatial.conv.",
            "SpatialGate.spatial.bn.": "spatial.bn.",
        },
    ),
    Naming(
        "official BAM (bam1.*)",
        "BAM",
        "bam{number}.",
        {
            "channel_att.gate_c.gate_c_fc_0.": "channel.fc1.",
            "channel_att.gate_c.gate_c_bn_1.": "channel.bn.",
            "channel_att.gate_c.gate_c_fc_final.": "channel.fc2.",
            "spatial_att.gate_s.gate_s_conv_reduce0.": "spatial.conv1.",
            "spatial_att.gate_s.gate_s_bn_reduce0.": "spatial.bn1.",
            "spatial_att.gate_s.gate_s_conv_di_0.": "spatial.conv2.",
            "spatial_att.gate_s.gate_s_bn_di_0.": "spatial.bn2.",
            "spatial_att.gate_s.gate_s_conv_di_1.": "spatial.conv3.",
            "spatial_att.gate_s.gate_s_bn_di_1.": "spatial.bn3.",
            "spatial_att.gate_s.gate_s_conv_final.": "spatial.conv4.",
        },
    ),
    Naming("official ECA (layer1.0.eca.*)", "ECA", "{site}.eca."),
    Naming("official ABN (att_layer4.*)", "AttentionBranch", "", attribute="official_names"),
)
"""The collections that `from_published` knows."""

_BACKBONE = {"layer0.": "", "last_linear.": "fc."}
"""Names of the older SE-ResNets' stem and classifier, and those of the others."""


def from_published(state: Mapping[str, Any], model: nn.Module) -> dict[str, Tensor]:
    """Rename a published checkpoint for a wrapped model of the same backbone.

    The naming is told by the keys: timm's ResNets with attention in the slot ``se`` (also as in
    its older SE-ResNets), the official CBAM, BAM, ECA and ABN, and plain ResNets of torchvision
    and timm. ``module.`` before all keys, and a checkpoint that holds its weights under
    ``state_dict``, are taken too. Linear layers become 1x1 convolutions, and CBAM's two planes are
    put into the order of the model's variant.

    Only names and shapes are turned: the backbone must compute what the published one does. timm's
    older SE-ResNets have their strides in the first convolution of a bottleneck and
    ``MaxPool2d(3, 2, ceil_mode=True)`` after the stem, and those of 18 and 34 layers a further
    ReLU before the attention.

    Args:
        state: Such as ``timm.create_model("seresnet50").state_dict()``.
        model: Wrapped with the block and the options that the checkpoint has, and
            ``init="paper"``. It isn't changed.

    Returns:
        A state dict for ``model.load_state_dict``, which says what is missing of the backbone. For
        a plain checkpoint the attention in it is the model's own.

    Raises:
        ValueError: The model has no attention; or the checkpoint has keys that fit nothing, or
            attention at other places or of other shapes. The message names the first.

    Example:
        >>> import timm, visattn
        >>> donor = timm.create_model("seresnet18")
        >>> model = visattn.wrap("resnet18", "se", init="paper", rd_divisor=8)
        >>> model.load_state_dict(from_published(donor.state_dict(), model))
        <All keys matched successfully>
    """
    units = attention_units(model)
    slots = _slots(units)
    renamed: dict[str, Tensor] = {}
    theirs: dict[str, str] = {}
    for name, tensor in _weights(state).items():
        slot = max((s for s in slots if name.startswith(s)), key=len, default=None)
        if slot is None:
            renamed[name] = tensor
            continue
        naming, unit, ours = slots[slot]
        theirs[ours + name.removeprefix(slot)] = name
        renamed[ours + name.removeprefix(slot)] = _turned(tensor, name, naming, unit)
    own = attention_state(units)
    known = {*backbone_state_dict(model), *own}
    _check_foreign([theirs.get(name, name) for name in renamed if name not in known], units)
    if not any(name in own for name in renamed):
        return renamed | own
    _add_zero_biases(renamed, units)
    _check_attention(renamed, own)
    return {
        name: tensor.reshape(own[name].shape) if name in own else tensor
        for name, tensor in renamed.items()
    }


def _weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights alone, without what saving or parallel training put before their names."""
    inner = state.get("state_dict", state)
    found = {name: tensor for name, tensor in inner.items() if isinstance(tensor, Tensor)}
    if not found:
        raise ValueError(f"Expected a state dict of tensors, got entries {list(state)[:5]}.")
    if all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    if any(name.startswith("layer0.") for name in found):
        for theirs, ours in _BACKBONE.items():
            found = {
                ours + name.removeprefix(theirs) if name.startswith(theirs) else name: tensor
                for name, tensor in found.items()
            }
    return found


def _slots(units: Mapping[str, Attended]) -> dict[str, tuple[Naming, Attended, str]]:
    """For each way in which a key of attention may begin: whose it is, and how ours begins."""
    slots = {}
    numbers: dict[str, int] = {}
    for key, unit in units.items():
        kind = type(block_of(unit)).__name__
        numbers[kind] = numbers.get(kind, 0) + 1
        for naming in NAMINGS:
            if naming.block in ("", kind):
                slot = naming.slot.format(site=unit.visattn.site, number=numbers[kind])
                for theirs, ours in naming.inside(block_of(unit)).items():
                    slots[slot + theirs] = naming, unit, f"{key}.{ours}"
    return slots


def _turned(tensor: Tensor, name: str, naming: Naming, unit: Attended) -> Tensor:
    """CBAM's kernel over the planes of mean and maximum, in the order of the model's variant."""
    spatial = getattr(block_of(unit), "spatial", None)
    if type(block_of(unit)).__name__ != "CBAM" or not name.endswith("conv.weight"):
        return tensor
    their_max_first = naming.block == "CBAM"
    return tensor if getattr(spatial, "max_first", None) == their_max_first else tensor.flip(1)


def _add_zero_biases(renamed: dict[str, Tensor], units: Mapping[str, Attended]) -> None:
    """Give a CBAM with biases zeros for them if the checkpoint's has none."""
    for key, unit in units.items():
        biases = [name for name in block_of(unit).state_dict() if name.endswith(".bias")]
        for name in biases if type(block_of(unit)).__name__ == "CBAM" else ():
            weight = renamed.get(f"{key}.{name.removesuffix('bias')}weight")
            if weight is not None and name.startswith("channel."):
                renamed.setdefault(f"{key}.{name}", weight.new_zeros(len(weight)))


def _check_foreign(foreign: Sequence[str], units: Mapping[str, Attended]) -> None:
    """Raise a ValueError for entries that fit nothing in the model."""
    if foreign:
        blocks = sorted({type(block_of(unit)).__name__ for unit in units.values()})
        raise ValueError(
            f"{len(foreign)} entries of the checkpoint fit nothing in a model with"
            f" {' and '.join(blocks)}: {', '.join(foreign[:3])}"
            + (", ..." if len(foreign) > 3 else "")
            + ". Wrap the model with the block, the places and the options that the checkpoint"
            " has. Known are: plain ResNets of torchvision and timm; "
            + "; ".join(naming.title for naming in NAMINGS)
            + "."
        )


def _check_attention(renamed: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise a ValueError for attention that is missing in a checkpoint or has another shape."""
    for name, value in own.items():
        if name not in renamed:
            if name.endswith("num_batches_tracked"):
                continue
            raise ValueError(
                f"The checkpoint has no weights for {name}. Wrap the model at the places, and with"
                " the options, that the checkpoint has."
            )
        theirs, ours = (tuple(tensor.shape) for tensor in (renamed[name], value))
        if _core(theirs) != _core(ours):
            raise ValueError(
                f"The checkpoint's weights for {name} have shape {theirs}, the model's {ours}."
                " Wrap the model with the options that the checkpoint has, such as reduction."
            )


def _core(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its ones at the end, by which a linear layer and a 1x1 convolution differ."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape
