"""Commands that show and measure where a network looks."""

from typing import Literal


def draw_overlay(
    image: str,
    *,
    model: str,
    layers: list[str] | None = None,
    out: str = "overlay.png",
    size: int | None = None,
) -> None:
    """Draw what a network's spatial attention marks in a picture.

    Args:
        image: A picture.
        model: A checkpoint that visattn fit wrote, or the name of a timm model.
        layers: Sites to draw, such as layer4.2; all that have a spatial map if not given.
        out: The file to write: PNG or PDF.
        size: Side to which the picture is scaled; that of the training if not given.
    """
    from visattn.training import draw_maps

    print(draw_maps(image, model=model, layers=layers, out=out, size=size))


def write_report(
    checkpoint: str,
    *,
    compare: list[str] | None = None,
    data: str = "sushi",
    split: str | None = None,
    images: int = 24,
    out: str = "report.html",
    seed: int = 0,
    size: int | None = None,
    title: str = "Where the network looks",
) -> None:
    """Write an HTML page to explore what networks look at: one file, offline.

    Args:
        checkpoint: A checkpoint that visattn fit wrote, or the name of a timm model.
        compare: Further checkpoints, to be seen beside it, such as '[other.ckpt]'.
        data: A folder SPLIT/images/CLASS/ID.jpg, with masks in SPLIT/masks/CLASS/ID.png where
            there are some; a folder of pictures; or sushi, for scenes that are rendered.
        split: Which split; the last that begins with test, or test_mixed_rand of the scenes.
        images: How many pictures, drawn at random.
        out: The file to write.
        seed: Which pictures.
        size: Side to which the pictures are scaled; that of the training if not given.
        title: Heading of the page.
    """
    from visattn.training import report_on

    page = report_on(
        [checkpoint, *(compare or ())],
        data=data,
        split=split,
        count=images,
        seed=seed,
        size=size,
        title=title,
    )
    path = page.save(out)
    print(f"{path}: {len(page.contents.pictures)} pictures, {path.stat().st_size / 1e6:.2f} MB")


def measure_maps(
    checkpoint: str,
    *,
    data: str = "sushi",
    split: str | None = None,
    limit: int = 100,
    layer: str | None = None,
    size: int | None = None,
    tolerance: float = 0,
    steps: int = 10,
    deletion_baseline: Literal["zero", "mean", "blur"] = "zero",
    insertion_baseline: Literal["zero", "mean", "blur"] = "blur",
    seed: int = 0,
    out: str | None = None,
) -> None:
    """Measure a network's attention maps and Grad-CAM: where they lie, and whether they matter.

    Args:
        checkpoint: A checkpoint that visattn fit wrote, or the name of a timm model.
        data: A folder SPLIT/images/CLASS/ID.jpg with masks in SPLIT/masks/CLASS/ID.png; or sushi,
            for scenes that are rendered.
        split: Which split; the last that begins with test, or test_mixed_rand of the scenes.
        limit: How many images, drawn at random; 0 for all.
        layer: The layer of Grad-CAM; the last maps before the global pooling if not given, and a
            finer one where these are very coarse.
        size: Side to which the pictures are scaled; that of the training if not given.
        tolerance: Of the pointing game, in pixels.
        steps: Steps of deletion and insertion.
        deletion_baseline: What stands in the place of a deleted pixel: zero, mean or blur.
        insertion_baseline: On what pixels are revealed: zero, mean or blur.
        seed: Of the drawing, the random map and the randomised weights.
        out: A JSON file to write the numbers to.
    """
    from visattn.training.process import tune_process

    tune_process()
    from visattn.training import measure_maps as measure

    measure(
        checkpoint,
        data=data,
        split=split,
        limit=limit,
        layer=layer,
        size=size,
        tolerance=tolerance,
        steps=steps,
        deletion_baseline=deletion_baseline,
        insertion_baseline=insertion_baseline,
        seed=seed,
        out=out,
    )
