"""Pictures of every kind are read as a person sees them, wherever they are read."""

import logging

import numpy as np
import pytest
from PIL import Image
from writing import TURNS, exif, packed, photo, png

from visattn.data import BackgroundSwap, PictureBackgrounds
from visattn.data.checking import check_items
from visattn.data.decoding import Decoder
from visattn.data.files.pictures import UnreadableFileError, read_picture
from visattn.data.layout import Item

RAMP = np.linspace(0, 255, 32, dtype=np.uint8)[None].repeat(32, 0)


def read(path):
    return np.asarray(read_picture(path).image)


@pytest.mark.parametrize(
    ("suffix", "values"),
    [
        ("png", RAMP.astype(np.uint16) * 257),
        ("tif", RAMP.astype(np.uint16) * 257),
        ("tif", (RAMP / 255).astype(np.float32)),
    ],
    ids=["16 bits", "16 bits TIFF", "floats"],
)
def test_wide_pictures_are_their_8_bit_twins(tmp_path, suffix, values):
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read(tmp_path / f"a.{suffix}"), np.repeat(RAMP[..., None], 3, 2))


def test_16_bits_of_the_other_byte_order_and_white_as_zero(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / "a.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tif") as file:
        assert file.tag_v2[262] == 0
    assert np.array_equal(read(tmp_path / "a.tif")[..., 0], 255 - RAMP)
    Image.frombytes("I;16B", (32, 32), (RAMP.astype(">u2") * 257).astype(">u2").tobytes()).save(
        tmp_path / "b.tif"
    )
    assert np.array_equal(read(tmp_path / "b.tif")[..., 0], RAMP)


def test_16_bit_colours(tmp_path):
    wide = photo(8, 8).astype(np.uint16) * 257
    png(tmp_path / "a.png", wide.astype(">u2").reshape(8, -1).view(np.uint8), depth=16, colour=2)
    assert np.array_equal(read(tmp_path / "a.png"), photo(8, 8))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (RAMP.astype(np.int32), "found 32 "),
        (RAMP.astype(np.float32), "from 0 .black. to 1 .white., found 0 to 255"),
        (np.where(RAMP > 200, np.nan, RAMP / 255).astype(np.float32), "found nan to nan"),
        (RAMP.astype(np.uint16), "found none above 255"),
    ],
    ids=["32 bits", "floats to 255", "NaN", "8 bits in 16"],
)
def test_ranges_that_are_not_known_are_refused(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableFileError, match=rf"a\.tif: .*{message}"):
        read_picture(tmp_path / "a.tif")
    assert len(check_items([Item(tmp_path / "a.tif")])) == 1


def half_transparent():
    """Red on the left, nothing on the right, half of red between."""
    rgba = np.zeros((8, 12, 4), np.uint8)
    rgba[:, :, 0] = 255
    rgba[:, :4, 3], rgba[:, 4:8, 3] = 255, 128
    return Image.fromarray(rgba)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_transparency_lies_on_white(tmp_path, suffix):
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    half_transparent().save(tmp_path / f"a.{suffix}", **options)
    found = read(tmp_path / f"a.{suffix}")
    assert (found[:, :4] == (255, 0, 0)).all()
    assert (np.abs(found[:, 4:8].astype(int) - (255, 127, 127)) <= 1).all()
    assert (found[:, 8:] == 255).all()


@pytest.mark.parametrize("kind", ["palette", "gif", "LA", "grey value", "colour", "2 bits", "16"])
def test_transparency_of_every_kind_lies_on_white(tmp_path, kind):
    grey = np.full((8, 8), 85, np.uint8)
    grey[:, 4:] = 0  # the right half is transparent
    path = tmp_path / ("a.gif" if kind == "gif" else "a.png")
    seen = 85
    if kind in ("palette", "gif"):
        indices = Image.fromarray(np.where(grey > 0, np.uint8(1), np.uint8(0)), "P")
        indices.putpalette([0, 0, 0, 85, 85, 85])
        indices.save(path, transparency=0)
    elif kind == "LA":
        alpha = Image.fromarray(np.where(grey > 0, np.uint8(255), np.uint8(0)))
        Image.merge("LA", [Image.fromarray(grey), alpha]).save(path)
    elif kind == "grey value":
        Image.fromarray(grey).save(path, transparency=0)
    elif kind == "colour":
        Image.fromarray(grey).convert("RGB").save(path, transparency=(0, 0, 0))
    elif kind == "2 bits":  # 1 of 3 is seen, 2 of 3 is transparent
        labels = np.where(grey > 0, 1, 2)
        png(path, packed(labels, depth=2), depth=2, extra=[(b"tRNS", b"\0\x02")])
    else:
        wide = (np.where(grey > 0, 85, 1).astype(np.uint16) * 257).astype(">u2")
        png(path, wide.view(np.uint8), depth=16, extra=[(b"tRNS", b"\x01\x01")])
    found = read(path)
    assert (found[:, :4] == seen).all()
    assert (found[:, 4:] == 255).all()


def test_nothing_to_be_seen_is_refused(tmp_path):
    rgba = np.dstack([photo(8, 8), np.zeros((8, 8), np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    with pytest.raises(UnreadableFileError, match="every pixel transparent"):
        read_picture(tmp_path / "a.png")


def test_opaque_alpha_changes_nothing(tmp_path):
    pixels = photo(8, 8)
    Image.fromarray(pixels).convert("RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png"), pixels)


def test_cmyk_is_read(tmp_path):
    for name in ("a.jpg", "a.tif"):
        Image.fromarray(photo()).convert("CMYK").save(tmp_path / name)
        assert np.abs(read(tmp_path / name).astype(int) - photo()).mean() < 4


@pytest.mark.parametrize("orientation", [1, *TURNS])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_orientation_is_applied_once(tmp_path, orientation, suffix):
    """To pictures, to backgrounds, and where a large JPEG is decoded at a part of its size."""
    upright = np.zeros((96, 64, 3), np.uint8)
    upright[:32, :16] = 255
    stored = Image.fromarray(upright)
    if orientation in TURNS:
        stored = stored.transpose(TURNS[orientation])
    path = tmp_path / f"a.{suffix}"
    stored.save(path, exif=exif(orientation))
    found = read_picture(path)
    assert found.size == (64, 96)
    assert np.abs(np.asarray(found.image).astype(int) - upright).mean() < 4
    part = read_picture(path, least=4)
    assert part.size == (64, 96)
    assert np.abs(np.asarray(part.image.resize((64, 96))).astype(int) - upright).mean() < 12
    background = PictureBackgrounds(tmp_path)[0]
    assert np.abs(background.astype(int) - upright).mean() < 4


def test_exif_that_is_broken_says_nothing(tmp_path):
    for number, body in enumerate((b"Exif\0\0MM\0*", b"Exif\0\0Exif\0\0", b"x")):
        name = f"{number}.jpg"
        Image.fromarray(photo()).save(tmp_path / name, exif=body)
        assert read_picture(tmp_path / name).size == (32, 24)


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("shape", [(64, 48), (48, 48)])
def test_masks_have_an_orientation_of_their_own(tmp_path, orientation, shape):
    upright = np.full(shape, 30, np.uint8)
    upright[4:20, 4:16] = 220
    mask = np.where(upright > 99, 255, 0).astype(np.uint8)
    for name, pixels in {"p.png": upright, "m.png": mask}.items():
        stored = Image.fromarray(pixels).transpose(TURNS[orientation])
        stored.save(tmp_path / name, exif=exif(orientation))
    item = Item(tmp_path / "p.png", tmp_path / "m.png")
    assert check_items([item]) == []
    decoded = Decoder(48)(item)
    assert np.array_equal(decoded.image[..., 0] > 125, decoded.alpha > 127)


def test_a_mask_without_orientation_beside_one_with_it_is_told(tmp_path, caplog):
    for orientation, side, told in ((3, 20, 1), (6, 16, 1), (6, 20, 0), (1, 16, 0)):
        pixels = Image.fromarray(photo(side, 16))
        stored = pixels.transpose(TURNS[orientation]) if orientation > 1 else pixels
        stored.save(tmp_path / "p.jpg", exif=exif(orientation))
        mask = np.zeros((side, 16), np.uint8)
        mask[:4] = 255
        Image.fromarray(mask).save(tmp_path / "m.png")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert check_items([Item(tmp_path / "p.jpg", tmp_path / "m.png")]) == []
        assert caplog.text.count("1 of 1 masks say no orientation") == told
    # Drawn on the stored pixels, it fits in size alone: refused, with what to do.
    stored = Image.fromarray(photo(20, 16)).transpose(TURNS[6])
    stored.save(tmp_path / "p.jpg", exif=exif(6))
    Image.new("L", stored.size).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=r"m\.png: the mask is .* it fits the picture as it"):
        Decoder(8)(Item(tmp_path / "p.jpg", tmp_path / "m.png"))


def test_backgrounds_are_read_as_pictures_are(tmp_path):
    half_transparent().save(tmp_path / "a.png")
    assert (PictureBackgrounds(tmp_path)[0][:, 8:] == 255).all()
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"cannot read the background .*a\.png"):
        BackgroundSwap(tmp_path, p=1.0)(
            image=photo(8, 8), mask=np.pad(np.full((4, 4), 255, np.uint8), 2)
        )


def test_interpolation_is_pillow_s_and_the_mask_follows(tmp_path):
    Image.fromarray(photo(90, 60)).save(tmp_path / "p.png")
    plane = np.zeros((90, 60), np.uint8)
    plane[20:70, 15:45] = 255
    Image.fromarray(plane).save(tmp_path / "m.png")
    item = Item(tmp_path / "p.png", tmp_path / "m.png")
    seen = {}
    for name, way in (("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
        seen[name] = Decoder(32, fit="stretch", interpolation=name)(item)
        picture = Image.open(item.path).resize((32, 32), way)
        assert (seen[name].image == np.array(picture)).all()
        mask = np.array(Image.fromarray(plane.astype(np.float32)).resize((32, 32), way))
        assert np.abs(seen[name].alpha - mask.clip(0, 255)).max() <= 0.5001
    assert (seen["bilinear"].image != seen["bicubic"].image).any()
    with pytest.raises(ValueError, match="interpolation must be 'bilinear' or 'bicubic'"):
        Decoder(32, interpolation="cubic")


def test_one_page_or_an_error(tmp_path):
    pages = [Image.fromarray(photo(seed=seed)) for seed in (0, 1, 2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UnreadableFileError, match=r"expected one picture, found 3 \(TIFF\)"):
        read_picture(tmp_path / "a.tif")
    # A small version beside the picture is none.
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=[pages[1]])
    assert np.array_equal(read(tmp_path / "b.tif"), photo())
    pages[0].save(tmp_path / "c.jpg", "MPO", save_all=True, append_images=pages[1:], quality=95)
    assert np.abs(read(tmp_path / "c.jpg").astype(int) - photo()).mean() < 4
