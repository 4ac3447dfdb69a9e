"""Random trees, kinds of files and encodings of masks: read rightly, or refused with the name.

A few examples of each in every run of the tests, 250 with
``pytest tests/fuzzing tests/data/test_fuzzing.py --hypothesis-profile=long``.
"""

import io
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from hypothesis import assume, given, strategies as st
from PIL import Image
from writing import TURNS, exif, packed, photo, png

from visattn.data import FolderDataset, MaskValues, PictureDataset
from visattn.data.checking import check_items
from visattn.data.decoding import Decoder
from visattn.data.layout import MASK_SUFFIXES, PICTURE_SUFFIXES, Item
from visattn.data.masks import read_mask_file

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF"}


@contextmanager
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# ---------------------------------------------------------------- masks


@st.composite
def label_maps(draw):
    """Labels (H, W) of a few values below some bound, and one of them."""
    height, width = draw(st.integers(2, 12)), 8 * draw(st.integers(1, 2))
    bound = draw(st.sampled_from([2, 4, 16, 256]))
    values = draw(st.lists(st.integers(0, bound - 1), min_size=2, max_size=5, unique=True))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    labels = random.choice(values, (height, width))
    return labels, values[draw(st.integers(0, len(values) - 1))], bound


def as_grey(labels, path, draw):
    Image.fromarray(labels.astype(np.uint8)).save(path)


def as_colour(labels, path, draw):
    Image.fromarray(labels.astype(np.uint8)).convert("RGB").save(path)


def as_opaque(labels, path, draw):
    mode = draw(st.sampled_from(["LA", "RGBA"]))
    Image.fromarray(labels.astype(np.uint8)).convert(mode).save(path)


def as_16_bits(labels, path, draw):
    Image.fromarray(labels.astype(np.uint16)).save(path)


def as_palette(labels, path, draw):
    """Indices, of colours that are no greys, in a file of as few bits as hold them."""
    image = Image.fromarray(labels.astype(np.uint8), "P")
    image.putpalette([part for v in range(256) for part in (v, 255 - v, (7 * v + 1) % 256)])
    image.save(path)


def as_grey_palette(labels, path, draw):
    """Greys in any order, as an optimiser makes them."""
    greys = draw(st.permutations(np.unique(labels).tolist()))
    indices = np.searchsorted(np.sort(greys), labels)
    indices = np.argsort(greys)[indices]
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette([int(grey) for grey in greys for _ in range(3)])
    image.save(path)


def as_array(labels, path, draw):
    kinds = ["u1", "u2", "i2", "<i4", ">i4", "i8", "f4", "f8"]
    np.save(path.with_suffix(".npy"), labels.astype(draw(st.sampled_from(kinds))))


def as_32_bits(labels, path, draw):
    kind = draw(st.sampled_from([np.int32, np.float32]))
    Image.fromarray(labels.astype(kind)).save(path.with_suffix(".tif"))


def as_few_bits(labels, path, draw):
    depth = next(d for d in (1, 2, 4, 8) if labels.max() < 2**d)
    rows = labels.astype(np.uint8) if depth == 8 else packed(labels, depth=depth)
    png(path, rows, depth=depth)


def as_turned(labels, path, draw):
    """Stored as a camera lying on its side does, in a format that says so."""
    orientation = draw(st.sampled_from(sorted(TURNS)))
    path = path.with_suffix(draw(st.sampled_from([".png", ".tif"])))
    stored = Image.fromarray(labels.astype(np.uint8)).transpose(TURNS[orientation])
    stored.save(path, exif=exif(orientation))


def as_one_bit(labels, path, draw):
    assume(labels.max() < 2)
    path = path.with_suffix(draw(st.sampled_from([".png", ".tif", ".bmp"])))
    Image.fromarray(labels.astype(bool)).save(path)


ENCODERS = [
    *(as_grey, as_colour, as_opaque, as_16_bits, as_palette, as_grey_palette, as_array),
    *(as_32_bits, as_few_bits, as_turned, as_one_bit),
]


@given(label_maps(), st.sampled_from(ENCODERS), st.data())
def test_labels_come_back_from_every_encoding(found, encode, data):
    labels, chosen, _ = found
    with folder() as at:
        encode(labels, at / "m.png", data.draw)
        (path,) = at.iterdir()
        alpha, unknown = MaskValues(foreground=(chosen,)).read(read_mask_file(path))
        assert np.array_equal(alpha, labels == chosen)
        assert not unknown.any()
        # Everything above 0 is the object: the same in every reading that has an order.
        if encode is not as_grey_palette or 0 in labels:
            above, _ = MaskValues(threshold=0).read(read_mask_file(path))
            assert np.array_equal(above, labels > 0)


def soft_grey(alpha, path, draw):
    mode = draw(st.sampled_from(["L", "RGB", "RGBA"]))
    Image.fromarray(alpha).convert(mode).save(path)


def soft_16_bits(alpha, path, draw):
    Image.fromarray(alpha.astype(np.uint16) * 257).save(path)


def soft_shape(alpha, path, draw):
    assume(alpha.min() != alpha.max())
    colour = draw(st.tuples(*[st.integers(0, 255)] * 3))
    shape = Image.new("RGB", alpha.shape[::-1], colour)
    shape.putalpha(Image.fromarray(alpha))
    shape.save(path)


def soft_floats(alpha, path, draw):
    shares = alpha.astype(np.float32) / 255
    if draw(st.booleans()):
        np.save(path.with_suffix(".npy"), shares)
    else:
        Image.fromarray(shares).save(path.with_suffix(".tif"))


def soft_palette(alpha, path, draw):
    as_grey_palette(alpha, path, draw)


SOFT_ENCODERS = [soft_grey, soft_16_bits, soft_shape, soft_floats, soft_palette]


@given(st.integers(0, 9999), st.sampled_from(SOFT_ENCODERS), st.data())
def test_soft_masks_come_back_from_every_encoding(seed, encode, data):
    random = np.random.default_rng(seed)
    alpha = random.integers(0, 256, random.integers(2, 12, 2), dtype=np.uint8)
    alpha.flat[0] = 255
    with folder() as at:
        encode(alpha, at / "m.png", data.draw)
        (path,) = at.iterdir()
        found, _ = MaskValues().read(read_mask_file(path))
        assert np.array_equal(np.rint(found * 255), alpha)
        hard, _ = MaskValues(threshold=127).read(read_mask_file(path))
        assert np.array_equal(hard, alpha > 127)


# ---------------------------------------------------------------- folders


@st.composite
def damages(draw):
    """What happened to a file: nothing, mostly."""
    kind = draw(
        st.sampled_from(["none", "none", "none", "cut", "zeros", "bytes", "other", "empty"])
    )
    return kind, draw(st.floats(0, 1)), draw(st.binary(min_size=1, max_size=8))


def picture_bytes(suffix, *, side, mode):
    image = Image.fromarray(photo(side, side)).convert(mode)
    stream = io.BytesIO()
    if FORMATS[suffix] in ("JPEG", "BMP") and mode not in ("L", "RGB"):
        image = image.convert("RGB")
    if FORMATS[suffix] == "WEBP" and mode not in ("RGB", "RGBA"):
        image = image.convert("RGB")
    image.save(stream, FORMATS[suffix])
    return stream.getvalue()


def damaged(data, damage):
    kind, share, other = damage
    place = int(share * len(data))
    return {
        "none": data,
        "cut": data[:place],
        "zeros": data[:place] + bytes(len(data) - place),
        "bytes": data[:place] + other + data[place + len(other) :],
        "other": other,
        "empty": b"",
    }[kind]


def outcome(function):
    """What comes out, or the error of bad input; any other is a fault."""
    try:
        return function(), None
    except (ValueError, FileNotFoundError) as error:
        return None, error


@given(
    st.sampled_from(sorted(FORMATS)),
    st.sampled_from(["RGB", "L", "RGBA", "LA", "P", "1", "CMYK"]),
    st.integers(2, 40),
    damages(),
)
def test_what_the_check_passes_is_decoded_and_nothing_else(suffix, mode, side, damage):
    assume(mode != "CMYK" or suffix in (".jpg", ".tif"))
    with folder() as at:
        path = at / f"a{suffix}"
        path.write_bytes(damaged(picture_bytes(suffix, side=side, mode=mode), damage))
        found = check_items([Item(path)])
        decoded, error = outcome(lambda: Decoder(16)(Item(path)))
        assert len(found) == (error is not None)
        if error is None:
            assert decoded.image.shape == (16, 16, 3)
            assert damage[0] not in ("empty", "other")
        else:
            assert str(path) in str(error)
            assert "\n" not in str(error)
        if damage[0] == "none":
            assert found == []


NAMES = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1, max_size=12
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 120)
SUFFIXES = st.sampled_from([".png", ".PNG", ".jpg", ".npy", ".txt", ".heic", ""])
LEAVES = st.tuples(NAMES, SUFFIXES, st.sampled_from(["picture", "empty", "folder", "link", "loop"]))


def put(at, name, suffix, kind):
    path = at / f"{name}{suffix}"
    if path.is_symlink() or path.exists():
        return
    if kind == "picture":
        if suffix == ".npy":
            np.save(path, np.eye(8, dtype=bool))
        else:
            path.write_bytes(GOOD)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(at if kind == "link" else path)


GOOD = picture_bytes(".png", side=8, mode="RGB")


@given(st.dictionaries(NAMES, st.tuples(st.lists(LEAVES, max_size=4), st.lists(LEAVES, max_size=3)),
                       min_size=1, max_size=3))  # fmt: skip
def test_random_trees_are_read_whole_or_refused(tree):
    """Every visible picture of a class folder is an item, or an error says what is wrong."""
    with folder() as root:
        for name, (pictures, masks) in tree.items():
            for kind, leaves in (("images", pictures), ("masks", masks)):
                (root / "train" / kind / name).mkdir(parents=True, exist_ok=True)
                for leaf in leaves:
                    put(root / "train" / kind / name, *leaf)
        visible = [
            path
            for path in (root / "train" / "images").glob("*/*")
            if path.suffix.lower() in PICTURE_SUFFIXES
            and not path.is_dir()
            and not path.name.startswith(".")
            and not path.parent.name.startswith(".")
        ]
        data, error = outcome(lambda: FolderDataset(root, split="train", size=4))
        if data is None:
            assert str(error)
            return
        assert {item.path for item in data.items} == set(visible)
        masks = [item.mask_path for item in data.items if item.mask_path is not None]
        assert all(path.suffix.lower() in MASK_SUFFIXES for path in masks)
        problems = check_items(data.items)
        assert all("\n" not in problem for problem in problems)
        broken = sum(outcome(lambda row=row: data.decoded(row))[1] is not None
                     for row in range(len(data)))  # fmt: skip
        assert bool(broken) == bool(problems)
        assert broken <= len(problems) <= 2 * broken
        assert len(PictureDataset(root / "train" / "images", size=4)) >= len(visible)
