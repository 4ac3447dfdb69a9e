"""Commands about the sushi scenes."""


def compare_on_scenes(
    *,
    seed: int = 0,
    out: str = "runs/demo",
    epochs: int | None = None,
    size: int | None = None,
    quick: bool = False,
) -> None:
    """Render sushi scenes, train with and without a mask, compare; about 6 minutes on two cores.

    Args:
        seed: Of the training; the scenes stay the same.
        out: Folder for results.json and overlays.png.
        epochs: Of each training; the recipes' own if not given.
        size: Side of the pictures in pixels; the recipes' own if not given.
        quick: A few pictures and one epoch, to see that everything works; the numbers mean nothing.
    """
    options = locals()
    from visattn.training import run_demo

    run_demo(**options)


def render_scenes(
    out: str,
    *,
    size: int = 96,
    rho: float = 0.95,
    train: int = 2400,
    val: int = 400,
    test: int = 480,
    adversarial: int = 0,
    seed: int = 0,
    workers: int | None = None,
) -> None:
    """Render the sushi scenes into a folder, with masks and metadata.

    Args:
        out: The folder; it must not exist yet, or hold the same scenes.
        size: Side of the pictures in pixels.
        rho: Share of biased pictures on their class's own plate.
        train: Pictures to train on.
        val: Pictures to validate on.
        test: Foregrounds of the test set, each rendered in every variant.
        adversarial: How many of these to render on 64 backgrounds each too, as test_adversarial.
        seed: Of the scenes.
        workers: Processes; one a processor if not given.
    """
    options = locals()
    from visattn.data.generated.sushi import render_sushi

    print(render_sushi(options.pop("out"), **options))
