"""The data set's folder: its name, whether it is whole, and how its files are written."""

import csv
import json
import os
import shutil
from pathlib import Path

from visattn.data.generated.sushi.composition import Picture
from visattn.data.generated.sushi.opencv import opencv
from visattn.data.generated.sushi.plan import Shot, SushiParameters, plan_shots

PARAMETERS_FILE = "sushi.json"
METADATA_FILE = "metadata.csv"
CACHE_VARIABLE = "VISATTN_CACHE"
COLUMNS = ("split", "class", "id", "style", "background_seed", "foreground_seed", "variant")


def sushi_cache(parameters: SushiParameters) -> Path:
    """The folder where :func:`render_sushi` keeps a data set if no other is named.

    It lies in the folder that the environment variable ``VISATTN_CACHE`` names, or else in
    ``~/.cache/visattn``; its name is made from the parameters.
    """
    named = os.environ.get(CACHE_VARIABLE)
    base = Path(named).expanduser() if named else Path.home() / ".cache" / "visattn"
    return base / "sushi" / parameters.key


def is_complete(folder: Path, parameters: SushiParameters) -> bool:
    """Whether the folder holds this data set; an error if it holds something else."""
    wanted = parameters.as_json()
    try:
        found = json.loads((folder / PARAMETERS_FILE).read_text())
    except FileNotFoundError:
        if folder.is_dir() and not any(folder.iterdir()):
            return False
        if folder.exists():
            raise FileExistsError(
                f"{folder} exists and holds no sushi scenes (no {PARAMETERS_FILE}). "
                "Name a folder that doesn't exist yet, or an empty one."
            ) from None
        return False
    if found == wanted:
        return True
    differ = [name for name in wanted if found.get(name) != wanted[name]]
    raise FileExistsError(
        f"{folder} holds sushi scenes with other parameters: "
        + "; ".join(f"{name} is {found.get(name)!r}, wanted {wanted[name]!r}" for name in differ)
        + ". Name another folder or remove this one."
    )


def open_partial(folder: Path, parameters: SushiParameters) -> Path:
    """The folder of the work in progress: taken up if it is of these parameters, else fresh."""
    partial = folder.with_name(folder.name + ".partial")
    marker = partial / PARAMETERS_FILE
    if partial.exists():
        try:
            begun = json.loads(marker.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            if any(path != marker for path in partial.iterdir()):
                raise FileExistsError(
                    f"{partial} is in the way: unfinished scenes are kept under this name, and "
                    f"what it holds is none (no {PARAMETERS_FILE}). Move it or name another folder."
                ) from None
            begun = None
        if begun == parameters.as_json():
            return partial
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    marker.write_text(json.dumps(parameters.as_json(), indent=2) + "\n")
    return partial


def shot_paths(root: Path, shot: Shot) -> tuple[Path, Path]:
    """Where a shot's picture and its matte go."""
    folder, name = root / shot.split, f"{shot.id}.png"
    return folder / "images" / shot.scene.kind / name, folder / "masks" / shot.scene.kind / name


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture so that it is there whole or not at all."""
    cv2 = opencv()
    ordered = picture if picture.ndim == 2 else picture[..., ::-1]
    _, encoded = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    temporary = path.with_suffix(".part")
    temporary.write_bytes(encoded.tobytes())
    temporary.replace(path)


def write_metadata(root: Path, parameters: SushiParameters) -> None:
    """Write what is known of every picture, a row each."""
    with (root / METADATA_FILE).open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        for shots in plan_shots(parameters):
            for shot in shots:
                s = shot.scene
                behind = (s.style, s.background_seed) if shot.has_background else ("", "")
                writer.writerow(
                    (shot.split, s.kind, shot.id, *behind, s.foreground_seed, shot.variant)
                )
