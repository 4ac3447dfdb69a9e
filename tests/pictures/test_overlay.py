"""Overlays against the formula written out, and every way in which people hold images and maps."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from visattn.pictures import IMAGENET, grid, overlay, query_map
from visattn.pictures.arrays import as_image
from visattn.pictures.painter import Painter
from visattn.pictures.scales import check_fit, resize

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)
HEAT = RNG.random((4, 6))


def test_overlay_is_the_weighted_mean_of_image_and_colours() -> None:
    heat = F.interpolate(
        torch.from_numpy(HEAT)[None, None], size=(16, 24), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    shares = (heat - HEAT.min()) / (HEAT.max() - HEAT.min())
    colours = matplotlib.colormaps["viridis"](shares)[..., :3]
    expected = 255 * (0.7 * IMAGE / 255 + 0.3 * colours)
    found = overlay(IMAGE, HEAT, alpha=0.3)
    assert (found.dtype, found.shape) == (np.uint8, (16, 24, 3))
    np.testing.assert_allclose(found, expected, atol=1.01)  # rounding, and a step of the colours


def test_alpha_says_whose_it_is() -> None:
    np.testing.assert_array_equal(overlay(IMAGE, HEAT, alpha=0), IMAGE)
    only_map = overlay(IMAGE, HEAT, alpha=1)
    np.testing.assert_array_equal(only_map, overlay(255 - IMAGE, HEAT, alpha=1))
    with pytest.raises(ValueError, match="opacity"):
        overlay(IMAGE, HEAT, alpha=1.2)


def test_normalisation() -> None:
    def colour(value: float) -> list[int]:
        return np.round(np.array(matplotlib.colormaps["viridis"](value)[:3]) * 255).tolist()

    heat = np.array([[0.2, 0.4]])
    image = np.zeros((1, 2, 3), np.uint8)
    own = overlay(image, heat, alpha=1)
    assert own[0].tolist() == [colour(0.0), colour(1.0)]
    as_is = overlay(image, heat, alpha=1, normalise="none")
    assert as_is[0].tolist() == [colour(0.2), colour(0.4)]
    given = overlay(image, heat * 10, alpha=1, normalise=(0, 3))
    assert given[0].tolist() == [colour(2 / 3), colour(1.0)]


def test_rounding_does_not_look_like_a_decision() -> None:
    heat = np.full((4, 6), 1, np.float32)
    heat[:2] += np.float32(2e-7)
    np.testing.assert_array_equal(overlay(IMAGE, heat), overlay(IMAGE, np.ones((4, 6))))
    heat[:2] += np.float32(1e-5)
    assert (overlay(IMAGE, heat) != overlay(IMAGE, np.ones((4, 6)))).any()


@pytest.mark.parametrize(
    ("normalise", "message"),
    [
        ("layer", "one map knows none"),
        ("global", r"visattn\.pictures\.grid"),
        ("imgae", "did you mean 'image'"),
        ((1, 0), "low < high"),
        ((0, float("nan")), "low < high"),
        (3, r"pair \(low, high\)"),
        (None, r"pair \(low, high\)"),
    ],
)
def test_normalisations_that_one_map_does_not_have(normalise, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overlay(IMAGE, HEAT, normalise=normalise)


def test_values_as_they_are_must_be_shares() -> None:
    with pytest.raises(ValueError, match=r"run from -1 to 3; use normalise='image'"):
        overlay(IMAGE, [[-1.0, 3.0]], normalise="none", stretch=True)


def test_a_map_of_zeros_marks_nothing_where_colours_fade() -> None:
    assert (overlay(IMAGE, np.zeros((2, 3)), alpha=1, fading=True) == IMAGE).all()
    (tile,) = grid([IMAGE], {"zeros": [np.zeros((2, 3))]}, alpha=1, fading=True).axes[1:2]
    assert (tile.images[0].get_array() == IMAGE).all()
    assert (overlay(IMAGE, np.full((2, 3), 0.2), alpha=1, fading=True) != IMAGE).any()


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0, -7.0, 1e300])
def test_a_constant_map_has_the_middle_colour(value: float) -> None:
    found = overlay(IMAGE, np.full((2, 3), value), alpha=1)
    middle = np.round(np.array(matplotlib.colormaps["viridis"](0.5)[:3]) * 255)
    assert (found == middle).all()


def test_a_map_of_one_cell() -> None:
    assert (overlay(IMAGE, [[0.7]], alpha=1) == overlay(IMAGE, [[0.1]], alpha=1)).all()
    as_is = overlay(IMAGE, [[1.0]], alpha=1, normalise="none")
    assert (as_is == [253, 231, 37]).all()


def test_huge_values_do_not_overflow() -> None:
    heat = np.array([[-1e308, 1e308]])
    found = overlay(np.zeros((1, 2, 3), np.uint8), heat, alpha=1)
    assert found[0].tolist() == [[68, 1, 84], [253, 231, 37]]


def test_the_image_shows_where_the_map_is_nan() -> None:
    heat = HEAT.copy()
    heat[:, :3] = np.nan
    for interpolation in ("bilinear", "nearest"):
        found = overlay(IMAGE, heat, alpha=1, interpolation=interpolation)
        np.testing.assert_array_equal(found[:, :12], IMAGE[:, :12])
        assert (found[:, 12:] != IMAGE[:, 12:]).any(-1).mean() > 0.95
    with pytest.raises(ValueError, match="NaN everywhere"):
        overlay(IMAGE, np.full((4, 6), np.nan))
    with pytest.raises(ValueError, match="infinite"):
        overlay(IMAGE, np.where(HEAT > 0.5, np.inf, HEAT))


@pytest.mark.parametrize("size", [(16, 24), (13, 29), (4, 6), (2, 3), (40, 2)])
@pytest.mark.parametrize(
    ("ours", "theirs"), [("bilinear", "bilinear"), ("nearest", "nearest-exact")]
)
def test_resizing_agrees_with_pytorch(size: tuple[int, int], ours: str, theirs: str) -> None:
    options = {"align_corners": False, "antialias": True} if ours == "bilinear" else {}
    heat = torch.from_numpy(HEAT)[None, None]
    expected = F.interpolate(heat, size=size, mode=theirs, **options)
    found = resize(HEAT, size=size, interpolation=ours)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected[0, 0], atol=1e-6)
    with pytest.raises(ValueError, match="'bilinear' or 'nearest'"):
        resize(HEAT, size=(5, 5), interpolation="cubic")  # type: ignore[arg-type]


def test_every_kind_of_image_gives_the_same_picture() -> None:
    expected = overlay(IMAGE, HEAT)
    tensor = torch.from_numpy(IMAGE).permute(2, 0, 1)
    unit = tensor / 255
    mean, std = (torch.tensor(IMAGENET[name])[:, None, None] for name in ("mean", "std"))
    normalised = (unit - mean) / std
    with torch.inference_mode():
        inference = normalised.clone()
    half = torch.full((3,), 0.5)[:, None, None]
    for image, options in (
        (tensor, {}),
        (IMAGE.transpose(2, 0, 1), {}),
        (Image.fromarray(IMAGE), {}),
        (unit, {}),
        (unit.double().requires_grad_(), {}),
        (IMAGE / 255, {}),
        (normalised, {}),
        (normalised, IMAGENET),
        (inference, {}),
        ((unit - half) / half, {"mean": (0.5,) * 3, "std": (0.5,) * 3}),
        (IMAGE.tolist() and np.asfortranarray(IMAGE), {}),
    ):
        found = overlay(image, HEAT, **options)
        np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)
    coarse = overlay(normalised.bfloat16(), torch.from_numpy(HEAT).bfloat16())
    np.testing.assert_allclose(coarse.astype(int), expected.astype(int), atol=4)


def test_every_kind_of_map_gives_the_same_picture() -> None:
    expected = overlay(IMAGE, HEAT)
    tensor = torch.from_numpy(HEAT)
    with torch.inference_mode():
        inference = tensor.clone()
    for heat in (tensor, tensor[None], inference, HEAT.tolist(), tensor.requires_grad_()):
        np.testing.assert_array_equal(overlay(IMAGE, heat), expected)
    boolean = overlay(IMAGE, HEAT > 0.5, normalise="none")
    np.testing.assert_array_equal(boolean, overlay(IMAGE, (HEAT > 0.5) * 1.0))


def test_grey_images() -> None:
    grey = IMAGE[..., 0]
    expected = overlay(np.repeat(grey[..., None], 3, 2), HEAT)
    for image in (grey, grey[..., None], grey[None], torch.from_numpy(grey)):
        np.testing.assert_array_equal(overlay(image, HEAT), expected)


def test_where_both_orders_are_possible_tensors_are_channels_first() -> None:
    cube = RNG.integers(0, 256, (3, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(as_image(cube), cube.astype(np.float32) / 255)
    np.testing.assert_array_equal(
        as_image(torch.from_numpy(cube)), cube.transpose(1, 2, 0).astype(np.float32) / 255
    )


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (IMAGE[None], {}, r"images\[0\]"),
        (np.zeros((4, 8, 8)), {}, "alpha channel"),
        (np.zeros((8, 8, 2)), {}, "no axis of 3"),
        (np.zeros((0, 8, 3)), {}, "one picture"),
        (IMAGE.astype(np.float32), {}, "Divide by 255"),
        (IMAGE / 127.5 - 1, {}, "by what cannot be told"),
        (RNG.normal(size=(8, 8, 3)) * 9, {}, "by what cannot be told"),
        (IMAGE.astype(int), {}, r"bytes \(uint8\)"),
        (np.full((4, 4, 3), np.nan), {}, "NaN or infinite"),
        (IMAGE, IMAGENET, "never normalised"),
        (IMAGE / 255, {"mean": (0.5,) * 3}, "belong together"),
        (IMAGE / 255, {"mean": (0.5,) * 2, "std": (0.5,) * 2}, "3 numbers"),
        (IMAGE / 20.0, IMAGENET, "not normalised by them"),
    ],
)
def test_images_that_cannot_be_read_say_why(image, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overlay(image, [[1.0]], **options)


def test_maps_that_cannot_be_read_say_why() -> None:
    with pytest.raises(ValueError, match=r"not \(2, 4, 6\); one map of a batch is heat\[0\]"):
        overlay(IMAGE, np.stack([HEAT, HEAT]))
    with pytest.raises(TypeError, match="heat must be"):
        overlay(IMAGE, "layer4")
    with pytest.raises(TypeError, match="real numbers"):
        overlay(IMAGE, HEAT * 1j)
    with pytest.raises(TypeError, match="cannot be read as an array"):
        overlay(IMAGE, [[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="did you mean 'viridis'"):
        overlay(IMAGE, HEAT, cmap="virids")


def test_a_map_that_cannot_come_from_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"heat is 6 x 4 and the image 16 x 24 .* stretch=True"):
        overlay(IMAGE, HEAT.T)
    assert overlay(IMAGE, HEAT.T, stretch=True).shape == IMAGE.shape
    with pytest.raises(ValueError, match="target is 24 x 16"):
        overlay(IMAGE, HEAT, target=np.ones((24, 16)))


@pytest.mark.parametrize("model", ["resnet", "valid", "patches"])
@pytest.mark.parametrize("size", [(224, 224), (100, 224), (75, 133), (33, 32), (299, 480)])
def test_maps_of_real_strides_fit(model: str, size: tuple[int, int]) -> None:
    """Padded, unpadded and patch-wise convolutions, at every stage of the network."""
    x = torch.zeros(1, 1, *size)
    layers = {
        "resnet": [(3, 2, 1)] * 5,
        "valid": [(3, 2, 0)] * 4,
        "patches": [(4, 4, 0), (2, 2, 0), (2, 2, 0)],
    }[model]
    for kernel, stride, padding in layers:
        x = F.avg_pool2d(x, kernel, stride, padding)
        check_fit(tuple(x.shape[2:]), image=size, what="heat")


def test_contours_are_drawn_where_they_belong() -> None:
    image = np.full((40, 40, 3), 128, np.uint8)
    target = np.zeros((40, 40))
    target[10:30, 10:30] = 1
    plain = overlay(image, target, alpha=0)
    outlined = overlay(image, target, alpha=0, target=target)
    changed = (plain != outlined).any(-1)
    assert changed[9:11, 12:28].all()
    assert changed[29:31, 12:28].all()
    assert not changed[13:27, 13:27].any()
    assert not changed[:7].any()
    assert outlined[9:11, 20].max() > 200  # the line itself is white
    level = overlay(image, target, alpha=0, contour=0.5)
    red = level.astype(int)
    assert (red[9:11, 20, 0] - red[9:11, 20, 2]).max() > 80
    several = overlay(image, np.tile(np.arange(40.0), (40, 1)), alpha=0, contour=[5, 30])
    assert (several != 128).any(-1)[20].nonzero()[0].tolist() == pytest.approx(
        [4, 5, 6, 29, 30, 31], abs=1
    )


def test_targets_without_an_outline_change_nothing() -> None:
    plain = overlay(IMAGE, HEAT)
    for target in (np.zeros((16, 24)), np.ones((4, 6)), np.ones((1, 1), bool)):
        np.testing.assert_array_equal(overlay(IMAGE, HEAT, target=target), plain)
    np.testing.assert_array_equal(overlay(IMAGE, HEAT, contour=99), plain)
    assert overlay(IMAGE[:1, :1], [[1.0]], contour=0.5, target=[[1.0]]).shape == (1, 1, 3)
    with pytest.raises(ValueError, match="divide a mask of 0 and 255 by 255"):
        overlay(IMAGE, HEAT, target=np.full((16, 24), 255))


def test_ignored_pixels_of_the_target_have_no_outline() -> None:
    target = np.zeros((16, 24))
    target[:, 12:] = 1
    outlined = overlay(IMAGE, HEAT, alpha=0, target=target)
    target[:8, 10:14] = np.nan
    ignored = overlay(IMAGE, HEAT, alpha=0, target=target)
    assert (outlined[:6] != IMAGE[:6]).any()
    np.testing.assert_array_equal(ignored[:6], IMAGE[:6])
    assert (ignored[10:] != IMAGE[10:]).any()


def test_nothing_given_is_changed() -> None:
    image, heat, target = IMAGE.copy(), HEAT.copy(), (HEAT > 0.5).astype(float)
    for array in (image, heat, target):
        array.setflags(write=False)
    overlay(image, heat, contour=0.5, target=target)
    settings = dict(matplotlib.rcParams)
    overlay(image, heat)
    assert dict(matplotlib.rcParams) == settings


def test_query_map_frames_the_cell_of_the_query() -> None:
    image = np.full((40, 60, 3), 128, np.uint8)
    row = np.zeros((4, 6))
    row[3, 5] = 1
    plain = overlay(image, row, normalise="none")
    found = query_map(image, row, y=1, x=2, normalise="none")
    changed = (plain != found).any(-1)
    assert changed[10, 21:29].all()
    assert changed[12:18, 20].all()
    assert not changed[13:17, 23:27].any()
    assert not changed[:8].any()
    assert not changed[:, 33:].any()
    finer = query_map(image, row, y=7, x=11, query_grid=(8, 12), normalise="none")
    assert (plain != finer).any(-1)[36:, 56:].any()
    assert not (plain != finer).any(-1)[:33].any()
    with pytest.raises(ValueError, match=r"\(y=4, x=0\) lies outside .* 4 x 6 .* query_grid"):
        query_map(image, row, y=4, x=0)


def test_pictures_load_neither_torch_nor_pyplot() -> None:
    code = "import sys, visattn.pictures; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_fading_leaves_the_image_where_the_map_is_low() -> None:
    image = np.full((1, 4, 3), 200, np.uint8)
    heat = np.array([[0.0, 1.0, 2.0, 4.0]])
    found = overlay(image, heat, alpha=0.8, fading=True, interpolation="nearest")
    tints = matplotlib.colormaps["viridis"](heat / 4)[..., :3]
    share = 0.8 * heat[..., None] / 4
    expected = np.round(((1 - share) * (200 / 255) + share * tints) * 255)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert found[0, 0].tolist() == [200, 200, 200]


def test_the_colour_bar_fades_alike() -> None:
    table = Painter(fading=True).legend(np.linspace(0, 1, 5))
    assert np.allclose(table[:, 3], np.linspace(0, 1, 5), atol=0.005)
    assert (Painter().legend(np.linspace(0, 1, 5))[:, 3] == 1).all()
