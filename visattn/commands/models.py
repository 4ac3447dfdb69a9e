"""Commands about blocks and models."""

from typing import Any, Literal

from rich.console import Console

import visattn


def show_plan(
    model: str,
    block: str,
    *,
    at: str | None = None,
    stages: list[int] | None = None,
    every: int | None = None,
    init: Literal["identity", "paper"] = "identity",
    input_size: tuple[int, int, int] | None = None,
    options: dict[str, Any] | None = None,
) -> None:
    """Show where a block would go in a model and what it would cost; nothing is changed.

    Args:
        model: Name of a timm model.
        block: Name of a block, see visattn blocks.
        at: Place: branch, block, stage, stem, image, or a module's name or glob.
        stages: The stages to put it into, 1 being the first.
        every: Into every n-th place of each stage.
        init: identity or paper.
        input_size: Channels, height and width of the images.
        options: For the block, such as '{"reduction": 8}'.
    """
    print(
        visattn.plan(
            model,
            block,
            at=at,
            stages=stages,
            every=every,
            init=init,
            input_size=input_size,
            **(options or {}),
        )
    )


def list_blocks() -> None:
    """List the attention blocks: name, own place, what they do."""
    from rich.table import Table

    from visattn.blocks import block_entry, block_names

    table = Table("block", "place", "what it does")
    for entry in map(block_entry, block_names()):
        table.add_row(entry.name, entry.at, entry.summary)
    Console().print(table)
