"""The page of a shared network: what it is, its results, and how to open it."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

REPOSITORY = "OWNER/NAME"
"""What a card calls the repository, as long as it has no name."""


def model_card(
    config: Mapping[str, Any],
    *,
    results: Mapping[str, float | str] | None,
    command: str | None,
    license: str | None,
) -> str:
    """A model card in Markdown, its facts for the hub before it.

    Args:
        config: The description, see `visattn.networks.shared_files.read_config`.
        results: What was measured.
        command: The one that gave the results.
        license: As the hub calls it.
    """
    from huggingface_hub import ModelCardData

    attention, backbone = config["attention"], config["backbone"]
    blocks = sorted({entry["block"] for entry in attention})
    name = backbone["name"].rpartition("torchvision.models.")[2]
    facts = ModelCardData(
        library_name="visattn",
        pipeline_tag="image-classification",
        tags=["visattn", "attention", *blocks],
        license=license,
    )
    alone = config["kind"] == "attention"
    title = f"{name} with {' and '.join(blocks)}" if blocks else name
    opened = f'visattn.from_pretrained("{REPOSITORY}"{", model=network" if alone else ""})'
    lines = [
        f"---\n{facts.to_yaml()}\n---",
        f"# {title}{': the attention alone' if alone else ''}",
        f"```python\nimport visattn\n\nmodel = {opened}\n```",
        f"Backbone: `{backbone['name']}` with {backbone['num_classes']} classes"
        + (f" and {backbone['options']}" if backbone["options"] else "")
        + f", images of {' x '.join(map(str, config['input_size']))}."
        + (" It isn't in the files, nor is its classifier." if alone else ""),
        _table("Attention", ("block", "sites", "init", "options"), list(_sites(attention))),
        _table("Data", ("", ""), [(str(k), str(v)) for k, v in config["data"].items()]),
        _table("Results", ("", ""), [(str(k), str(v)) for k, v in (results or {}).items()]),
        f"By the command\n\n```\n{command}\n```" if command else "",
        "Saved with " + ", ".join(f"{k} {v}" for k, v in config["versions"].items()) + ".",
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def _sites(attention: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each way in which blocks were made."""

    def made(entry: Mapping[str, Any]) -> tuple[str, ...]:
        options = ", ".join(f"{k}={v!r}" for k, v in entry["options"].items())
        return entry["block"], entry["init"], options

    return [
        (key[0], ", ".join(entry["site"] for entry in group), *key[1:])
        for key, group in groupby(sorted(attention, key=made), key=made)
    ]


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; nothing without rows."""
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[cell.replace("|", r"\|").replace("\n", " ") for cell in line] for line in lines]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in cells)
