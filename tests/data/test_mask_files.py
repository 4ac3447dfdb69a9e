"""Masks of every kind: a quarter of the picture is the object, or it is an error."""

import logging

import numpy as np
import pytest
from PIL import Image
from writing import TURNS, exif, packed, photo, png

from visattn.data import FolderDataset, MaskValues
from visattn.data.checking import check_items
from visattn.data.decoding import Decoder
from visattn.data.layout import Item
from visattn.data.masks import read_mask_file

INSIDE = np.zeros((32, 32), bool)
INSIDE[8:24, 8:24] = True
LABELS = INSIDE.astype(np.uint8)
ALPHA = Image.fromarray(LABELS * 255)
WHITE, BLACK = Image.new("L", (32, 32), 255), Image.new("L", (32, 32), 0)
SOFT, ONE = MaskValues(), MaskValues(foreground=(1,))
ANY, HALF = MaskValues(threshold=0), MaskValues(threshold=127)
FULL = MaskValues(foreground=(255,))


def wide(values):
    return Image.fromarray((LABELS.astype(np.int64) * values).astype(np.uint16))


def indexed(palette, indices=LABELS, **info):
    image = Image.fromarray(indices, "P")
    image.putpalette(palette)
    image.info.update(info)
    return image


def cut_out():
    rgba = np.dstack([photo(32, 32), LABELS * 255])
    return Image.fromarray(rgba)


GREY_RAMP = [level for level in range(256) for _ in range(3)]
TWO_GREYS, TWO_COLOURS = [0, 0, 0, 255, 255, 255], [0, 0, 0, 200, 10, 10]
WITH_ALPHA = {
    "white shape": Image.merge("RGBA", [WHITE] * 3 + [ALPHA]),
    "black shape": Image.merge("RGBA", [BLACK] * 3 + [ALPHA]),
    "red shape": Image.merge("RGBA", [WHITE, BLACK, BLACK, ALPHA]),
    "grey white shape": Image.merge("LA", [WHITE, ALPHA]),
    "both say the same": Image.merge("RGBA", [ALPHA] * 4),
    "opaque": Image.merge("RGBA", [ALPHA] * 3 + [WHITE]),
    "cut-out photo": cut_out(),
    "palette": indexed(TWO_GREYS, transparency=0),
    "coloured palette": indexed(TWO_COLOURS, transparency=0),
}


def share(path, values):
    alpha, unknown = values.read(read_mask_file(path))
    assert not unknown.any()
    return alpha.mean()


@pytest.mark.parametrize("name", WITH_ALPHA)
@pytest.mark.parametrize("values", [SOFT, ANY, HALF, FULL], ids=["soft", "any", "half", "full"])
def test_transparency_is_used(tmp_path, name, values):
    WITH_ALPHA[name].save(tmp_path / "m.png")
    assert share(tmp_path / "m.png", values) == 0.25


def test_soft_alpha_stays_soft(tmp_path):
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    white = Image.new("L", (16, 16), 255)
    Image.merge("LA", [white, ramp]).save(tmp_path / "m.png")
    alpha, _ = SOFT.read(read_mask_file(tmp_path / "m.png"))
    assert np.array_equal(np.rint(alpha * 255), np.asarray(ramp))


@pytest.mark.parametrize(
    ("image", "values", "message"),
    [
        (Image.merge("LA", [ALPHA, ALPHA.transpose(Image.Transpose.ROTATE_90).point(
            lambda v: 255 if v else 128)]), SOFT, "grey values from 0 to 255 under an alpha"),
        (WITH_ALPHA["white shape"], ONE, r"labels such as \[1\], found shares"),
        (wide(1), SOFT, "largest value is 1 of 65535"),
        (wide(255), SOFT, "largest value is 255 of 65535"),
        (indexed(TWO_COLOURS), SOFT, "palette is of colours"),
        (Image.fromarray(LABELS.astype(np.int32) * 1000), ANY, "holds values from 0 to 1000"),
        (Image.fromarray(LABELS.astype(np.int32) * -1), ONE, "holds values from -1 to 0"),
        (Image.fromarray(LABELS.astype(np.float32) * 1.5), SOFT, "holds values from 0.0 to 1.5"),
        (Image.fromarray(np.dstack([LABELS * 5, LABELS * 0, LABELS * 0])), SOFT, "colour picture"),
    ],
    ids=[
        "grey and alpha", "labels in alpha", "16-bit labels", "8 bits in 16", "palette",
        "32 bits", "negative", "floats", "dark colours",
    ],
)  # fmt: skip
def test_what_says_two_things_is_refused(tmp_path, image, values, message):
    path = tmp_path / "m.tif"
    if image.mode == "P":
        path = tmp_path / "m.png"
    image.save(path)
    Image.fromarray(photo(32, 32)).save(tmp_path / "p.png")
    item = Item(tmp_path / "p.png", path)
    with pytest.raises(ValueError, match=rf"m\.\w+.*{message}"):
        Decoder(32, mask_values=values)(item)
    assert len(check_items([item], mask_values=values)) == 1


@pytest.mark.parametrize(
    ("image", "values"),
    [
        (wide(1), ONE),
        (wide(1), ANY),
        (wide(255), HALF),
        (wide(255), FULL),
        (wide(26), ANY),
        (wide(300), ANY),
        (wide(65535), SOFT),
        (wide(65535), HALF),
        (wide(65535), FULL),
        (Image.fromarray(LABELS.astype(np.int32)), ONE),
        (Image.fromarray(LABELS.astype(np.int32)), ANY),
        (Image.fromarray(LABELS.astype(np.int32) * 255), HALF),
        (Image.fromarray(LABELS.astype(np.int32) * 255), SOFT),
        (Image.fromarray(np.where(INSIDE, 1, 70000).astype(np.int32)), ONE),
        (Image.fromarray(LABELS.astype(np.float32)), SOFT),
        (Image.fromarray(LABELS.astype(np.float32)), ONE),
        (Image.fromarray(LABELS.astype(np.float32) * 255), SOFT),
        (Image.fromarray(INSIDE), SOFT),
        (Image.fromarray(INSIDE), ONE),
        (Image.fromarray(INSIDE), FULL),
        (Image.fromarray(INSIDE), HALF),
        (Image.fromarray(LABELS * 7), MaskValues(foreground=(7,), background=(0,))),
    ],
)
def test_labels_are_compared_unscaled_whatever_the_bits(tmp_path, image, values):
    image.save(tmp_path / "m.tif")
    assert share(tmp_path / "m.tif", values) == 0.25


@pytest.mark.parametrize(
    ("palette", "indices", "values"),
    [
        (TWO_GREYS, LABELS, SOFT),
        (TWO_GREYS, LABELS, ONE),
        (TWO_GREYS, LABELS, FULL),
        (TWO_GREYS, LABELS, HALF),
        (TWO_GREYS[::-1], 1 - LABELS, SOFT),
        (TWO_GREYS[::-1], 1 - LABELS, FULL),
        (TWO_COLOURS, LABELS, ONE),
        (TWO_COLOURS, LABELS, ANY),
        (GREY_RAMP, LABELS, ONE),
        # Labels 0 and 15 of which an optimiser made indices.
        ([0, 0, 0, 15, 15, 15], LABELS, MaskValues(foreground=(15,))),
        ([15, 15, 15, 0, 0, 0], 1 - LABELS, MaskValues(foreground=(15,), background=(0,))),
    ],
)
def test_a_grey_palette_is_read_through_and_a_coloured_one_is_labels(
    tmp_path, palette, indices, values
):
    indexed(palette, indices).save(tmp_path / "m.png")
    assert share(tmp_path / "m.png", values) == 0.25


def test_a_ramp_with_a_palette_is_the_ramp(tmp_path):
    grey = np.linspace(0, 255, 32).round().astype(np.uint8)[None].repeat(32, 0)
    levels = np.unique(grey)
    order = np.random.default_rng(0).permutation(len(levels))
    indices = np.argsort(order)[np.searchsorted(levels, grey)].astype(np.uint8)
    indexed([int(v) for v in levels[order] for _ in range(3)], indices).save(tmp_path / "m.png")
    alpha, _ = SOFT.read(read_mask_file(tmp_path / "m.png"))
    assert np.array_equal(np.rint(alpha * 255), grey)


@pytest.mark.parametrize("depth", [2, 4])
def test_greys_of_few_bits(tmp_path, depth):
    top = 2**depth - 1
    png(tmp_path / "m.png", packed(LABELS * top, depth=depth), depth=depth)
    assert share(tmp_path / "m.png", SOFT) == 0.25
    assert share(tmp_path / "m.png", MaskValues(foreground=(top,))) == 0.25
    assert share(tmp_path / "m.png", FULL) == 0.25
    png(tmp_path / "m.png", packed(LABELS, depth=depth), depth=depth)
    assert share(tmp_path / "m.png", ONE) == 0.25
    with pytest.raises(ValueError, match=f"largest value is 1 of {top}"):
        share(tmp_path / "m.png", SOFT)


@pytest.mark.parametrize("colour", [False, True])
def test_jpeg_masks(tmp_path, colour):
    edge = INSIDE.copy()
    edge[7, 10:20] = True  # across the blocks of a JPEG, so that values are rounded
    image = Image.fromarray(np.where(edge, 255, 0).astype(np.uint8))
    (image.convert("RGB") if colour else image).save(tmp_path / "m.jpg", quality=70)
    assert share(tmp_path / "m.jpg", HALF) == edge.mean()
    assert share(tmp_path / "m.jpg", SOFT) == pytest.approx(edge.mean(), abs=0.01)
    with pytest.raises(ValueError, match=r"a JPEG's values are rounded.*threshold=127"):
        share(tmp_path / "m.jpg", FULL)


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (INSIDE, SOFT),
        (INSIDE, ONE),
        (LABELS, ONE),
        (LABELS.astype(np.int64), ONE),
        (LABELS.astype(np.float64), ONE),
        (LABELS.astype(np.float64), SOFT),
        (LABELS.astype(np.float64) * 3, MaskValues(foreground=(3,))),
        (LABELS * 255, SOFT),
        (LABELS.astype(np.uint16) * 65535, SOFT),
        (np.where(INSIDE, 7, 30000), MaskValues(foreground=(7,))),
        (np.asfortranarray(LABELS), ONE),
        (LABELS.astype(">i4"), ONE),
    ],
)
def test_arrays(tmp_path, array, values):
    np.save(tmp_path / "m.npy", array)
    assert share(tmp_path / "m.npy", values) == 0.25


def test_arrays_stand_beside_pictures_in_a_folder(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / "train" / kind / "a").mkdir(parents=True)
    Image.fromarray(photo(32, 32)).save(tmp_path / "train/images/a/1.jpg")
    np.save(tmp_path / "train/masks/a/1.npy", INSIDE)
    assert FolderDataset(tmp_path, split="train", size=32)[0]["mask"].mean() == 0.25


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([object()] * 4).reshape(2, 2), "Object arrays cannot be loaded|Python objects"),
        (np.zeros((2, 2), complex), "has the type complex128"),
        (np.zeros((2, 2), "U3"), "has the type <U3"),
        (np.zeros((2, 2, 3)), r"has the shape \(2, 2, 3\)"),
        (np.full((2, 2), np.nan), "holds values from nan to nan"),
        (np.full((2, 2), -1), "holds values from -1 to -1"),
    ],
)
def test_arrays_that_are_no_masks(tmp_path, array, message):
    np.save(tmp_path / "m.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=rf"m\.npy.*({message})"):
        read_mask_file(tmp_path / "m.npy")


def test_an_array_that_promises_more_than_there_is(tmp_path):
    np.save(tmp_path / "m.npy", np.zeros((4, 4), np.uint8))
    data = (tmp_path / "m.npy").read_bytes()
    (tmp_path / "n.npy").write_bytes(data.replace(b"(4, 4)", b"(9999999, 9999999)", 1))
    with pytest.raises(ValueError, match=r"cannot read the mask .*n\.npy"):
        read_mask_file(tmp_path / "n.npy")


def test_what_an_array_holds_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    np.save(tmp_path / "m.npy", np.array([[Evil()]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"m\.npy"):
        read_mask_file(tmp_path / "m.npy")
    assert not (tmp_path / "ran").exists()


def test_ignored_values_in_every_reading(tmp_path):
    trimap = np.full((16, 16), 0, np.uint8)
    trimap[:, :4], trimap[:, 8:] = 255, 128
    Image.fromarray(trimap).save(tmp_path / "m.png")
    for values in (MaskValues(ignore=(128,)), MaskValues(threshold=0, ignore=(128,))):
        alpha, unknown = values.read(read_mask_file(tmp_path / "m.png"))
        assert (alpha.mean(), unknown.mean()) == (0.25, 0.5)


def test_masks_that_cover_nothing_or_everything_are_counted_and_told(tmp_path, caplog):
    for number, mask in enumerate((LABELS * 255, LABELS * 0, LABELS * 0, LABELS * 0 + 255)):
        for kind in ("images", "masks"):
            (tmp_path / "train" / kind / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(32, 32)).save(tmp_path / f"train/images/a/{number}.jpg")
        Image.fromarray(mask).save(tmp_path / f"train/masks/a/{number}.png")
    with caplog.at_level(logging.WARNING):
        FolderDataset(tmp_path, split="train", size=16).check()
    assert "2 of 4 masks cover nothing of their picture, such as" in caplog.text
    assert "1 of 4 masks cover all of their picture, such as" in caplog.text
    # The labels of another class: no value that is named is there.
    caplog.clear()
    FolderDataset(tmp_path, split="train", size=16, mask_values=ONE).check()
    assert "4 of 4 masks cover nothing of their picture" in caplog.text


@pytest.mark.parametrize("black_is_the_object", [True, False])
def test_masks_with_the_background_in_white_are_told(tmp_path, caplog, black_is_the_object):
    for number in range(3):
        for kind in ("images", "masks"):
            (tmp_path / "train" / kind / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(32, 32)).save(tmp_path / f"train/images/a/{number}.jpg")
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[8:20, 8:20] = 255
        inverted = black_is_the_object and number > 0
        Image.fromarray(255 - mask if inverted else mask).save(
            tmp_path / f"train/masks/a/{number}.png"
        )
    with caplog.at_level(logging.WARNING):
        FolderDataset(tmp_path, split="train", size=32).check()
    told = "2 of 3 masks cover the whole border of their picture: if black is the object" in (
        caplog.text
    )
    assert told == black_is_the_object
    found = FolderDataset(tmp_path, split="train", size=32, mask_values={"foreground": [0]})
    share = found[1]["mask"].mean()
    assert abs(share - (144 / 1024 if black_is_the_object else 1 - 144 / 1024)) < 1e-6


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("orientation", sorted(TURNS))
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, bool])
def test_turned_masks_keep_their_labels(tmp_path, suffix, orientation, kind):
    """Pillow scrambles grey TIFFs that lie on their side, where it maps the file."""
    labels = np.random.default_rng(0).integers(0, 2, (5, 9)).astype(kind)
    stored = Image.fromarray(labels).transpose(TURNS[orientation])
    stored.save(tmp_path / f"m{suffix}", exif=exif(orientation))
    alpha, _ = ONE.read(read_mask_file(tmp_path / f"m{suffix}"))
    assert np.array_equal(alpha, labels)


def test_masks_are_turned_by_their_own_orientation(tmp_path):
    labels = np.zeros((6, 10), np.uint8)
    labels[0, 0] = 255
    Image.fromarray(labels).save(tmp_path / "m.png", exif=exif(6))
    turned, _ = SOFT.read(read_mask_file(tmp_path / "m.png"))
    assert turned.shape == (10, 6)
    assert turned[0, -1] == 1
