"""Commands that show and measure where a network looks."""

import re
from collections.abc import Sequence
from typing import Literal

from visattn.commands.word_lists import gathered, joined


def draw_overlay(
    images: list[str],
    *,
    model: str,
    layers: list[str] | str | None = None,
    out: str | None = None,
    size: int | None = None,
    normalise: Literal["image", "layer", "global", "none"] | None = None,
    alpha: float = 0.7,
    interpolation: Literal["bilinear", "nearest"] = "bilinear",
    weights: str | None = None,
    pretrained: bool = False,
    target: str | None = None,
    multilabel: bool = False,
    skip_broken: bool = False,
    list_layers: bool = False,
) -> None:
    """Draw what a network's attention marks in pictures, a sheet a picture.

    Args:
        images: Pictures, folders and globs in quotes, such as photos/*.jpg or 'photos/**/*.jpg'.
        model: A checkpoint that visattn fit wrote, the name of a timm model, or FILE.py:FUNCTION, a
            function of your own that gives the network with its weights: a classifier, a
            segmentation, or a detector of torchvision's kind.
        layers: Sites to draw, such as layer4.2 or 'layer3.*,layer4.*'; gradcam or gradcam:LAYER for
            Grad-CAM, which any network with places has, and so for gradcam++, layercam, hirescam,
            eigencam and scorecam; rollout, relevance or legrad of a transformer; if not given, all
            that say something of places, and Grad-CAM where none does.
        out: A file (PNG or PDF) for one picture, overlay.png if not given; a folder for several,
            overlays if not given.
        size: Side to which the pictures are scaled; that of the training if not given.
        normalise: Values over which the colours run: image (each map's own range), layer, global
            or none (0 to 1); if not given, none for gates and masks in [0, 1], else image.
        alpha: Opacity of the map's colours where it is highest, in [0, 1]; they fade below.
        interpolation: bilinear, or nearest to show the maps' own cells.
        weights: For the name of a timm model, a file of your own weights: a state dict, as .pth or
            .safetensors.
        pretrained: Load timm's weights for the name of a model; without, they are random.
        target: What class activation is asked about, the class by number or name: CLASS, or
            CLASS:LEFT,TOP,RIGHT,BOTTOM in the pixels that the network gets. A classifier is asked
            about the class; a segmentation about it where it is predicted, or in the rectangle; a
            detector about its strongest box, or the one that covers the rectangle. If not given,
            about the answer: the class; the class of the largest region, the background (class 0,
            if it has no name) only where there is no other; the strongest box.
        multilabel: The logits are labels that hold each by itself, not classes: p is a sigmoid.
        skip_broken: Go on without pictures that cannot be read; how many is told.
        list_layers: Draw nothing; list what can be drawn.
    """
    options = locals()
    from visattn.commands import overlays

    shared = ("model", "size", "weights", "pretrained")
    if options.pop("list_layers"):
        print(overlays.list_layers(images, **{name: options[name] for name in shared}))
        return
    if isinstance(layers, str):
        options["layers"] = [part.strip() for part in layers.split(",")]
    print(*overlays.draw_maps(options.pop("images"), **options), sep="\n")


def gather_pictures(words: Sequence[str]) -> list[str]:
    """The words of ``overlay`` as its parser takes them: all pictures in one."""
    return gathered(words, command=draw_overlay, things="images")


def write_report(
    model: str,
    *,
    compare: list[str] | None = None,
    weights: str | None = None,
    pretrained: bool = False,
    data: str | list[str] = "sushi",
    split: str | None = None,
    limit: int = 24,
    out: str = "report.html",
    seed: int = 0,
    size: int | None = None,
    title: str = "Where the network looks",
    target: str | None = None,
    multilabel: bool = False,
    skip_broken: bool = False,
) -> None:
    """Write an HTML page to explore what networks look at: one file, offline.

    Args:
        model: A checkpoint that visattn fit wrote, the name of a timm model, or FILE.py:FUNCTION, a
            function of your own that gives the network with its weights: a classifier, a
            segmentation, or a detector of torchvision's kind.
        compare: Further ones, to be seen beside it, such as '[other.ckpt]'.
        weights: For the first, if it is the name of a timm model, a file of your own weights: a
            state dict, as .pth or .safetensors.
        pretrained: Load timm's weights for names of models; without, they are random.
        data: A folder SPLIT/images/CLASS/ID.jpg, with masks in SPLIT/masks/CLASS/ID.png where
            there are some; a folder of pictures, or pictures; or sushi, for rendered scenes.
        split: Which split; the last that begins with test, or test_mixed_rand of the scenes.
        limit: How many pictures, drawn at random; --images says the same.
        out: The file to write.
        seed: Which pictures.
        size: Side to which the pictures are scaled; that of the training if not given.
        title: Heading of the page.
        target: What class activation is asked about, CLASS or CLASS:LEFT,TOP,RIGHT,BOTTOM, as for
            visattn overlay.
        multilabel: The logits are labels that hold each by itself, not classes: their sigmoids are
            shown and followed.
        skip_broken: Go on without pictures of which a file is broken; how many is told.
    """
    from visattn.commands.report import report_on

    page = report_on(
        [model, *(compare or ())],
        weights=weights,
        pretrained=pretrained,
        data=data,
        split=split,
        count=limit,
        seed=seed,
        size=size,
        title=title,
        target=target,
        multilabel=multilabel,
        skip_broken=skip_broken,
    )
    path = page.save(out)
    print(f"{path}: {len(page.contents.pictures)} pictures, {path.stat().st_size / 1e6:.2f} MB")


def gather_page(words: Sequence[str]) -> list[str]:
    """The words of ``report`` as its parser takes them: pictures after ``--data`` in one.

    ``--images``, as ``--limit`` was called first, goes on to be understood.
    """
    words = [re.sub(r"^--images(?==|$)", "--limit", word) for word in words]
    return joined(words, option="data", positional=1)


def measure_maps(
    model: str,
    *,
    weights: str | None = None,
    pretrained: bool = False,
    data: str = "sushi",
    split: str | None = None,
    limit: int = 100,
    draws: int = 1,
    layer: str | None = None,
    sites: list[str] | None = None,
    cams: list[
        Literal[
            "gradcam",
            "gradcam++",
            "layercam",
            "hirescam",
            "eigencam",
            "scorecam",
            "rollout",
            "relevance",
            "legrad",
        ]
    ]
    | None = None,
    target: str | None = None,
    size: int | None = None,
    tolerance: float = 0,
    steps: int = 10,
    deletion_baseline: Literal["zero", "mean", "blur"] = "zero",
    insertion_baseline: Literal["zero", "mean", "blur"] = "blur",
    multilabel: bool = False,
    seed: int = 0,
    out: str | None = None,
    skip_broken: bool = False,
) -> None:
    """Measure a network's attention maps and Grad-CAM: where they lie, and whether they matter.

    Args:
        model: A checkpoint that visattn fit wrote, the name of a timm model, or FILE.py:FUNCTION, a
            function of your own that gives the network with its weights: a classifier, a
            segmentation, or a detector of torchvision's kind.
        weights: For the name of a timm model, a file of your own weights: a state dict, as .pth or
            .safetensors.
        pretrained: Load timm's weights for the name of a model; without, they are random.
        data: A folder SPLIT/images/CLASS/ID.jpg with masks in SPLIT/masks/CLASS/ID.png; or sushi,
            for scenes that are rendered.
        split: Which split; the last that begins with test, or test_mixed_rand of the scenes.
        limit: How many images, drawn at random; 0 for all.
        draws: How often they are drawn anew, with other random maps and weights; the tables then
            hold mean ± standard deviation.
        layer: The layer of Grad-CAM; the last maps before the global pooling if not given, and a
            finer one where these are very coarse.
        sites: Which of the network's own maps, by name, the end of one, or a glob, such as
            '[layer4.*]'; all if not given, [] for none.
        cams: Methods of class activation, such as '[gradcam,layercam]'; Grad-CAM if not given. Of a
            transformer rollout, relevance and legrad, too.
        target: What every image is asked about, CLASS or CLASS:LEFT,TOP,RIGHT,BOTTOM, as for
            visattn overlay; about what the network says to it if not given.
        size: Side to which the pictures are scaled; that of the training if not given.
        tolerance: Of the pointing game, in pixels.
        steps: Steps of deletion and insertion.
        deletion_baseline: What stands in the place of a deleted pixel: zero, mean or blur.
        insertion_baseline: On what pixels are revealed: zero, mean or blur.
        multilabel: The logits are labels that hold each by itself, not classes: their sigmoids are
            measured, of each image that of its surest label.
        seed: Of the drawing, the random map and the randomised weights.
        out: A JSON file to write the numbers to, or a Markdown file (.md) for the tables.
        skip_broken: Go on without pictures of which a file is broken; how many is told.
    """
    options = locals()
    from visattn.basics.processes import shared_work
    from visattn.evaluation import map_scores

    with shared_work():
        map_scores.measure_maps(options.pop("model"), **options)
