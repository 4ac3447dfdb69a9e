"""Figures: what is in them, that nothing is clipped, and what they refuse."""

import re
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from drawn import assert_nothing_is_clipped, shown, texts
from matplotlib.figure import Figure
from PIL import Image
from quick import slow_but

from visattn.pictures import channel_bars, grid, overlay, panels, save
from visattn.pictures.sheets import Sheet

RNG = np.random.default_rng(0)
IMAGES = RNG.random((3, 3, 20, 20), dtype=np.float32)
MASKS = RNG.random((3, 1, 5, 5), dtype=np.float32)
LONG = "yellowtail $x_2$ on a plate\nof slate, far too long a caption " * 9


def test_panels_show_image_mask_product_and_overlay() -> None:
    masks = np.zeros((3, 20, 20))
    masks[0, 5:15, 5:15] = 1
    masks[1] = 0.25
    figure = panels(IMAGES, masks)
    pictures = shown(figure)
    assert len(pictures) == 12
    for place in range(3):
        scene = IMAGES[place].transpose(1, 2, 0)
        image, mask, product, both = pictures[4 * place : 4 * place + 4]
        np.testing.assert_array_equal(image, np.round(scene * 255))
        colours = matplotlib.colormaps["viridis"](masks[place])[..., :3]
        np.testing.assert_allclose(mask, colours * 255, atol=0.51)
        np.testing.assert_allclose(product, scene * masks[place][..., None] * 255, atol=0.51)
        np.testing.assert_array_equal(both, overlay(scene, masks[place], normalise="none"))


def test_panels_say_what_they_show() -> None:
    figure = panels(
        torch.from_numpy(IMAGES),
        torch.from_numpy(MASKS),
        targets=torch.from_numpy(MASKS > 0.5),
        true=["buri", "ika", "ebi"],
        predicted=["buri", "ebi", "ebi"],
        iou=[0.914, 0.2, float("nan")],
        sections={"2 random (seed 0)": 2, "the worst": 1},
        title="sushi",
        contour=0.5,
    )
    found = texts(figure)
    for words in (
        "sushi",
        "2 random (seed 0)",
        "the worst",
        "buri, predicted buri · IoU 0.91",
        "ika, predicted ebi (wrong) · IoU 0.20",
        "ebi, predicted ebi · IoU undefined",
        "mask, values as they are",
        "true mask",
        "mask at 0.5",
    ):
        assert words in found
    assert found.count("masked image") == 2  # once a section
    assert_nothing_is_clipped(figure)


@pytest.mark.parametrize(
    ("normalise", "columns"),
    slow_but(
        product(["none", "image", "layer", (0.2, 0.4)], [1, 2, 3]),
        [("none", 1), ("image", 2), ("layer", 3), ((0.2, 0.4), 1)],
    ),
)
def test_panels_clip_nothing(columns: int, normalise) -> None:
    figure = panels(
        IMAGES,
        MASKS,
        captions=[LONG, "", "short"],
        sections={LONG: 3},
        title=LONG,
        columns=columns,
        width=8,
        normalise=normalise,
        targets=[None, MASKS[0], np.full((5, 5), np.nan)],
        contour=0.123456,
    )
    assert figure.get_figwidth() == 8
    assert_nothing_is_clipped(figure)
    assert any("$x_2$" in text or "…" in text for text in texts(figure))


def test_panels_state_the_normalisation() -> None:
    masks = np.stack([np.full((5, 5), 0.2), np.linspace(0.4, 0.6, 25).reshape(5, 5), MASKS[0, 0]])
    assert {"smallest", "largest"} <= set(texts(panels(IMAGES, masks, normalise="image")))
    layer = panels(IMAGES[:2], masks[:2], normalise="layer")
    assert {"0.2", "0.6", "mask, over the range of all masks shown"} <= set(texts(layer))
    constant = panels(IMAGES[:1], masks[:1], normalise="layer")
    assert "0.2 everywhere" in texts(constant)
    given = panels(IMAGES, masks, normalise=(0.3, 0.5))
    assert {"0.3", "0.5", "mask, over a given range"} <= set(texts(given))
    with pytest.raises(ValueError, match="normalise='global' is the range over several layers"):
        panels(IMAGES, masks, normalise="global")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean 'layer'"):
        panels(IMAGES, masks, normalise="layr")  # type: ignore[arg-type]


def test_panels_of_different_sizes_and_odd_maps() -> None:
    images = [IMAGES[0], IMAGES[1][:, :8], IMAGES[2][:, :, :6]]
    masks = [[[0.5]], np.zeros((2, 5)), np.where(np.arange(20)[:, None] < 9, np.nan, np.eye(20, 6))]
    figure = panels(images, masks, captions=["a", "b", "c"])
    assert [picture.shape[:2] for picture in shown(figure)[::4]] == [(20, 20), (8, 20), (20, 6)]
    assert_nothing_is_clipped(figure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": MASKS[:2]}, "3 images, 2 masks"),
        ({"targets": MASKS[:2]}, "3 images, 2 targets"),
        ({"true": ["buri"]}, "true must have one value an image, 3, not 1"),
        ({"captions": "abc"}, "not a single string"),
        ({"sections": {"random": 2, "worst": 2}}, "add up to the 3 images, not 4"),
        ({"masks": MASKS * 3}, "normalise='none' draws values in"),
        ({"masks": [MASKS[0], np.ones((5, 9)), MASKS[1]]}, "image 1: mask is 5 x 9"),
        ({"targets": [None, MASKS[0] * 255, None]}, "image 1: target is a true mask"),
        ({"images": IMAGES * 300}, "image 0: .* Divide by 255"),
        ({"images": IMAGES[:0], "masks": MASKS[:0]}, "no image"),
        ({"columns": 0}, "columns must be at least 1"),
        ({"columns": 3, "width": 3}, "do not fit 3 inches"),
    ],
)
def test_panels_refuse_what_does_not_fit(options: dict, message: str) -> None:
    arguments = {"images": IMAGES, "masks": MASKS, **options}
    with pytest.raises(ValueError, match=message):
        panels(arguments.pop("images"), arguments.pop("masks"), **arguments)


MAPS = {
    "layer1": RNG.random((3, 10, 10)) * 0.1 + 0.4,
    "layer4.2.a_name_that_is_far_too_long_for_its_column": RNG.random((3, 1, 3, 3)) * 2,
}


@pytest.mark.parametrize("normalise", ["image", "layer", "global", (0, 2)])
def test_grid_draws_every_layer_over_its_range(normalise) -> None:
    figure = grid(IMAGES, MAPS, normalise=normalise, captions=["a", "", LONG], title=LONG)
    pictures = shown(figure)
    assert len(pictures) == 9
    first, last = (np.asarray(layer).reshape(3, -1) for layer in MAPS.values())
    ranges = {
        "image": lambda layer, place: (layer[place].min(), layer[place].max()),
        "layer": lambda layer, place: (layer.min(), layer.max()),
        "global": lambda layer, place: (
            min(first.min(), last.min()),
            max(first.max(), last.max()),
        ),
    }
    for place in range(3):
        for column, (name, layer) in enumerate(zip(MAPS, (first, last), strict=True), start=1):
            limits = ranges[normalise](layer, place) if normalise in ranges else normalise
            expected = overlay(IMAGES[place], MAPS[name][place], normalise=limits)
            np.testing.assert_array_equal(pictures[3 * place + column], expected)
            if normalise == "image":
                assert f"{limits[0]:.3g} to {limits[1]:.3g}" in texts(figure)
    if normalise == "layer":
        assert f"{first.min():.3g} to {first.max():.3g}" in texts(figure)
    assert_nothing_is_clipped(figure)


def test_grid_over_models_says_what_each_predicts() -> None:
    models = {"plain": MASKS, "attentive": MASKS**2}
    notes = {"plain": ["buri", "ika (wrong)", "ebi"], "attentive": ["c", "d", LONG]}
    figure = grid(
        IMAGES, models, across="model", notes=notes, normalise="layer", captions=["a", "b", "c"]
    )
    found = texts(figure)
    assert {"each model over its own range, written above", "ika (wrong)", "d"} <= set(found)
    assert_nothing_is_clipped(figure)
    assert_nothing_is_clipped(grid(IMAGES, models, notes=notes, normalise="image"))
    only = grid(IMAGES, models, notes={"plain": ["buri", "", ""]})
    assert "buri" in texts(only)
    for wrong, message in (
        ({"plane": ["a", "b", "c"]}, "notes are for plane; there are plain, attentive"),
        ({"plain": ["a"]}, "one value an image, 3, not 1"),
    ):
        with pytest.raises(ValueError, match=message):
            grid(IMAGES, models, notes=wrong)


def test_grid_with_a_given_range_for_each_layer() -> None:
    limits = {name: (0.1 * place, 3.0) for place, name in enumerate(MAPS)}
    figure = grid(IMAGES, MAPS, normalise=limits)
    for column, (name, layer) in enumerate(MAPS.items(), start=1):
        expected = overlay(IMAGES[0], layer[0], normalise=limits[name])
        np.testing.assert_array_equal(shown(figure)[column], expected)
    assert {"0 to 3", "0.1 to 3"} <= set(texts(figure))
    assert_nothing_is_clipped(figure)
    with pytest.raises(ValueError, match=r"a pair .* for each layer, layer1, .*; it has layer1"):
        grid(IMAGES, MAPS, normalise={"layer1": (0, 1)})


def test_grid_outlines_what_is_given_in_every_column() -> None:
    region = np.zeros((3, 20, 20), dtype=bool)
    region[0, 5:15, 2:12] = True
    maps = {"one": MASKS, "two": MASKS}
    figure = grid(IMAGES, maps, targets=region, targets_are="what was asked about")
    tiles = [axes for axes in figure.axes if axes.images]
    assert [len(axes.collections) for axes in tiles] == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    for axes in tiles[:3]:  # the line runs between the pixels of the region and the others
        corners = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
        assert corners.min(0).tolist() == [1.5, 4.5]
        assert corners.max(0).tolist() == [11.5, 14.5]
    assert "what was asked about" in texts(figure)
    assert_nothing_is_clipped(figure)
    assert "what was asked about" not in texts(grid(IMAGES, maps))
    with pytest.raises(ValueError, match="targets must be one an image: 2 for 3 images"):
        grid(IMAGES, maps, targets=region[:2])


def test_grid_of_gates_as_they_are() -> None:
    gates = {"layer1": MAPS["layer1"]}
    figure = grid(IMAGES, gates, normalise="none")
    expected = overlay(IMAGES[0], MAPS["layer1"][0], normalise="none")
    np.testing.assert_array_equal(shown(figure)[1], expected)
    assert "maps, values as they are" in texts(figure)
    assert_nothing_is_clipped(figure)


@pytest.mark.parametrize(
    ("maps", "options", "error", "message"),
    [
        (MAPS["layer1"], {}, TypeError, "mapping from a layer's name"),
        ({}, {}, ValueError, "nothing to draw"),
        ({"layer1": MAPS["layer1"][:2]}, {}, ValueError, "'layer1' has 2 maps for 3 images"),
        ({"l": np.ones((3, 2, 9))}, {}, ValueError, "layer 'l', image 0: map is 2 x 9"),
        (MAPS, {"normalise": "none"}, ValueError, "draws values in"),
        (MAPS, {"normalise": "globl"}, ValueError, "did you mean 'global'"),
        (MAPS, {"width": 0.8}, ValueError, "3 columns do not fit"),
    ],
)
def test_grid_refuses_what_does_not_fit(maps, options: dict, error, message: str) -> None:
    with pytest.raises(error, match=message):
        grid(IMAGES, maps, **options)


def heights(figure: Figure) -> list[float]:
    """Heights of the bars."""
    return [float(bar.get_height()) for bar in figure.axes[0].patches]


def test_channel_bars() -> None:
    gates = torch.tensor([[0.9, 0.1, 0.5], [0.7, 0.3, 0.5]])
    for values in (gates, gates[..., None, None], gates.numpy()):
        assert heights(channel_bars(values)) == pytest.approx([0.8, 0.2, 0.5])
    names = ["fish", "plate", "rice"]
    figure = channel_bars(gates, names=names, ordered=True, title="gates")
    assert heights(figure) == pytest.approx([0.8, 0.5, 0.2])
    found = texts(figure)
    assert [name for name in found if name in names] == ["fish", "rice", "plate"]
    assert any("mean of 2 images" in text for text in found)
    assert_nothing_is_clipped(figure)
    assert_nothing_is_clipped(channel_bars(RNG.random((4, 2048))))
    for wrong, message in (
        (np.ones((2, 3, 4)), r"\(C,\), \(N, C\) or \(N, C, 1, 1\)"),
        ([0.5, np.nan], "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            channel_bars(wrong)
    with pytest.raises(ValueError, match="2 names, 3 channels"):
        channel_bars(gates, names=["a", "b"])


def test_a_shortened_text_keeps_both_ends() -> None:
    sheet = Sheet(width=2, height=1)
    sheet.write("the first words and the last words", x=0.1, y=0.5, width=1.0)
    (text,) = texts(sheet.figure)
    assert re.fullmatch(r"the .*….*words", text)


def test_figures_need_no_pyplot_and_leave_the_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    panels(IMAGES, MASKS)
    grid(IMAGES, MAPS)
    channel_bars([0.5])
    assert dict(matplotlib.rcParams) == before


def test_save_writes_what_the_suffix_says(tmp_path: Path) -> None:
    figure = panels(IMAGES, MASKS, targets=MASKS > 0.5)
    path = save(figure, tmp_path / "new" / "folder" / "panels.PNG", dpi=100)
    with Image.open(path) as image:
        assert image.format == "PNG"
        expected = np.floor(figure.get_size_inches() * 100)
        assert np.abs(np.array(image.size) - expected).max() <= 1
    pdf = save(figure, tmp_path / "panels.pdf")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.read_bytes() == save(figure, tmp_path / "again.pdf").read_bytes()


def test_save_keeps_the_pixels_of_an_array(tmp_path: Path) -> None:
    picture = overlay(IMAGES[0], MASKS[0])
    with Image.open(save(picture, str(tmp_path / "overlay.png"))) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
    content = save(picture, tmp_path / "overlay.pdf").read_bytes()
    assert re.search(rb"/Width 20\b", content)
    assert re.search(rb"/Height 20\b", content)
    assert b"DCTDecode" not in content  # not squeezed as JPEG


def test_save_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    picture = overlay(IMAGES[0], MASKS[0])
    for name, message in (
        ("a.pngg", r"a\.pngg: .*did you mean '\.png'"),
        ("a.jpeg", r"saved as \.png, \.pdf or \.gif, not '\.jpeg'"),
        ("a", "not ''"),
    ):
        with pytest.raises(ValueError, match=message):
            save(picture, tmp_path / name)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        save(picture, tmp_path / "file" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.png is a folder"):
        save(picture, tmp_path / "folder.png")
    with pytest.raises(TypeError, match="not list"):
        save([[0]], tmp_path / "a.png")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(20, 20, 3\) of float64"):
        save(picture / 255, tmp_path / "a.png")
