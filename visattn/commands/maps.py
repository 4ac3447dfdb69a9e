"""Commands that show and measure where a network looks."""


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
