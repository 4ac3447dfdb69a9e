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
