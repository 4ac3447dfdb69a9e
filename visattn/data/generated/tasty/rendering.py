"""Rendering a data set's scenes, and writing what is known of each."""

import csv
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.progress import track

from visattn.data.generated.pictures import Picture, write_png
from visattn.data.generated.tasty.composition import TastyScene, tasty_scenes
from visattn.data.generated.tasty.palette import NAMES
from visattn.data.generated.tasty.parameters import CLASSES, TastyParameters

COLUMNS = ("split", "class", "id", "colour", "diner", "row", "column", "smiles", "colours")


def render_all(root: Path, parameters: TastyParameters, *, progress: bool) -> None:
    """Render every scene into ``root``, and write what is known of it."""
    with (root / "metadata.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        numbers: Counter[str] = Counter()
        for split, part in parameters.parts:
            scenes, text = tasty_scenes(**asdict(part)), f"Rendering {split}"
            for scene in track(scenes, text, total=part.count, disable=not progress):
                writer.writerow(_write(root / split, f"{numbers[split]:05d}", scene))
                numbers[split] += 1


def _write(root: Path, name: str, scene: TastyScene) -> tuple[object, ...]:
    """Write a scene's files; returns its row of the metadata."""
    class_name = CLASSES[scene.answers[0]]
    parts: dict[str, Picture] = {
        "images": scene.image,
        "masks": scene.owner_faces[0],
        "buri": scene.buri[0],
        "plates": scene.plates[0],
        "faces": scene.faces.max(axis=0),
    }
    for part, picture in parts.items():
        write_png(root / part / class_name / f"{name}.png", picture)
    (owner,) = scene.plan.owners
    (row, column) = scene.places[0]
    colours = [NAMES[colour] for colour in scene.plan.colours]
    smiles = "".join(str(int(smile)) for smile in scene.plan.smiles)
    place = (f"{row:.1f}", f"{column:.1f}")
    return (root.name, class_name, name, colours[owner], owner, *place, smiles, " ".join(colours))
