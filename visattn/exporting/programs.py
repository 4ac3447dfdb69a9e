"""A model as a graph of ``torch.export`` whose batch and size are free."""

import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

Dynamic = Literal["all", "batch", "none"]
"""What may differ from the example: batch, height and width; the batch; nothing."""


def free_sizes(dynamic: Dynamic = "all") -> dict[int, Any]:
    """What ``torch.export`` shall keep free of images (N, C, H, W): for ``dynamic_shapes``.

    Raises:
        ValueError: Unknown name.

    Example:
        >>> sorted(free_sizes("all")), free_sizes("none")
        ([0, 2, 3], {})
    """
    if dynamic not in ("all", "batch", "none"):
        raise ValueError(f"dynamic must be 'all', 'batch' or 'none', got {dynamic!r}.")
    if dynamic == "none":
        return {}
    batch = {0: torch.export.Dim("batch", min=1)}
    sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    return batch if dynamic == "batch" else batch | sides


def other_images(example: Tensor, dynamic: Dynamic) -> Tensor:
    """Other images, of another batch and size where these are free."""
    count, channels, height, width = example.shape
    if dynamic == "all":
        higher, wider = (32, 64) if min(height, width) >= 64 else (3, 6)
        height, width = height + higher, width + wider
    count += dynamic != "none"
    return torch.rand(count, channels, height, width, dtype=example.dtype)


def check_runs(model: nn.Module, images: Tensor, dynamic: Dynamic) -> None:
    """Raise a ValueError if the model can't take what shall be free."""
    try:
        with torch.no_grad():
            model(images)
    except Exception as error:
        raise ValueError(
            f"The model itself does not run on images {tuple(images.shape)}, and with"
            f" dynamic={dynamic!r} it would have to: {error}. Try dynamic='batch' with the size"
            " that it takes."
        ) from error


def to_program(model: nn.Module, example: Tensor, dynamic: Dynamic) -> torch.export.ExportedProgram:
    """The model as a graph with what shall be free."""
    free = free_sizes(dynamic)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(model, (example,), dynamic_shapes=(free or None,))
    except Exception as error:
        smaller = {"all": "'batch' or 'none'", "batch": "'none'", "none": ""}[dynamic]
        advice = f" Try dynamic={smaller}, with the size to use." if smaller else ""
        raise ValueError(
            f"The model could not be exported with dynamic={dynamic!r}.{advice} torch.export says:"
            f" {error}"
        ) from error
    for axis, (_, high) in ranges(program).items():
        if high is not None:
            raise ValueError(
                f"The model was traced for a {axis} of at most {high}: small images take another"
                f" way through it. Export on larger ones than {tuple(example.shape)}."
            )
    return program


def ranges(program: torch.export.ExportedProgram) -> dict[str, tuple[int, int | None]]:
    """The smallest and, if there is one, the largest value of each free axis of the images."""
    (name,) = program.graph_signature.user_inputs
    (node,) = (node for node in program.graph.nodes if node.name == name)
    found = {}
    for axis, side in zip(
        ("batch", "channels", "height", "width"), node.meta["val"].shape, strict=True
    ):
        if isinstance(side, torch.SymInt):
            allowed = program.range_constraints[side.node.expr]
            high = int(allowed.upper) if allowed.upper.is_Integer else None
            found[axis] = int(allowed.lower), high
    return found
