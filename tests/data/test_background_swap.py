"""Backgrounds swapped without a halo: the tensors', the arrays' and albumentations' form."""

import numpy as np
import pytest
import torch
from PIL import Image

from visattn.data import (
    BackgroundSwap,
    Item,
    PictureBackgrounds,
    RemovedForegrounds,
    composite,
    fill,
    foreground_colours,
    remove_foreground,
    swap_backgrounds,
)
from visattn.data.decoding import Decoded
from visattn.data.moving import moved_aside
from visattn.data.optional import albumentations as A, cv2

RED = np.array([1.0, 0.0, 0.0])
GREEN = np.array([0.0, 1.0, 0.0])
BLUE = np.array([0.0, 0.0, 1.0])


def soft_disc(side=32, *, radius=9.0, blur=3.0):
    """Alpha of a disc with a soft edge, exact 0 and 1 away from it."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.clip((radius - np.hypot(y, x)) / blur + 0.5, 0, 1).astype(np.float32)


def mixture(alpha, foreground, background):
    return (alpha[..., None] * foreground + (1 - alpha[..., None]) * background).astype(np.float32)


def tensor(array):
    """(H, W, C) or (H, W) to (1, C, H, W)."""
    planes = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1), np.float32))[None]


def array(batch):
    return batch[0].permute(1, 2, 0).numpy()


# ---------------------------------------------------------------- an independent reference


def reference_fill(values, weights):
    """Push and pull written out pixel by pixel; values (H, W), weights (H, W)."""
    height, width = values.shape
    if max(height, width) == 1:
        return values
    half = ((height + 1) // 2, (width + 1) // 2)
    coarse, trust = np.zeros(half), np.zeros(half)
    for i in range(half[0]):
        for j in range(half[1]):
            block = np.s_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            total = weights[block].sum()
            coarse[i, j] = (values[block] * weights[block]).sum() / total if total > 0 else 0.0
            trust[i, j] = min(1.0, total)
    coarse = reference_fill(coarse, trust)
    filled = np.zeros_like(values)
    for y in range(height):
        for x in range(width):
            # Centres of fine pixels lie at (y + 1/2) / 2 - 1/2 in the coarse grid.
            u = np.clip((y + 0.5) / 2 - 0.5, 0, half[0] - 1)
            v = np.clip((x + 0.5) / 2 - 0.5, 0, half[1] - 1)
            i, j = int(u), int(v)
            k, m = min(i + 1, half[0] - 1), min(j + 1, half[1] - 1)
            a, b = u - i, v - j
            above = (
                (1 - a) * (1 - b) * coarse[i, j]
                + (1 - a) * b * coarse[i, m]
                + a * (1 - b) * coarse[k, j]
                + a * b * coarse[k, m]
            )
            filled[y, x] = weights[y, x] * values[y, x] + (1 - weights[y, x]) * above
    return filled


@pytest.mark.parametrize("shape", [(8, 8), (7, 12), (1, 9), (16, 5), (1, 1)])
def test_fill_equals_the_formula(shape):
    draw = np.random.default_rng(0)
    values, weights = draw.random(shape), np.clip(draw.random(shape) * 2 - 1, 0, 1)
    if not weights.any():
        weights[:] = 1
    expected = reference_fill(values, weights)
    found = fill(tensor(values), weights=tensor(weights))
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-5)
    colours = np.repeat(values[..., None], 3, 2).astype(np.float32)
    picture = fill(colours, weights=weights.astype(np.float32))
    np.testing.assert_allclose(picture[..., 1], expected, atol=1e-5)


@pytest.mark.parametrize("rim", [0, 1, 2])
@pytest.mark.parametrize("shape", [(24, 24), (13, 22)])
def test_arrays_and_tensors_agree(shape, rim):
    draw = np.random.default_rng(1)
    picture, other = draw.random((2, *shape, 3)).astype(np.float32)
    mask = np.clip(
        cv2.GaussianBlur(draw.random(shape).astype(np.float32), (9, 9), 2) * 4 - 1.5, 0, 1
    )
    assert 0.05 < mask.mean() < 0.95
    found = composite(picture, mask, other, rim=rim)
    expected = array(composite(tensor(picture), tensor(mask), tensor(other), rim=rim))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        remove_foreground(picture, mask, rim=rim),
        array(remove_foreground(tensor(picture), tensor(mask), rim=rim)),
        atol=1e-5,
    )


def test_composite_equals_the_formula():
    """Flat colours: F and B are known, so the result is alpha F + (1 - alpha) B', exactly."""
    alpha = soft_disc()
    draw = np.random.default_rng(0)
    other = draw.random((32, 32, 3)).astype(np.float32)
    picture = mixture(alpha, RED, GREEN)
    expected = mixture(alpha, RED, other)
    found = array(composite(tensor(picture), tensor(alpha), tensor(other)))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # The naive form alpha I + (1 - alpha) B' is far from it at the edge: the test can fail.
    assert np.abs(mixture(alpha, picture, other) - expected).max() > 0.2


def test_unmixing_keeps_the_texture_inside():
    alpha = soft_disc(64, radius=20)
    texture = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    picture = mixture(alpha, texture, GREEN)
    colours = array(
        foreground_colours(
            tensor(picture), tensor(alpha), backgrounds=tensor(mixture(alpha * 0, RED, GREEN))
        )
    )
    inside = cv2.erode(alpha, np.ones((3, 3))) == 1
    np.testing.assert_allclose(colours[inside], texture[inside], atol=1e-6)


def test_hard_masks_that_are_a_pixel_too_wide_leave_no_rim():
    """GrabCut's fault: the outermost ring of the mask is background."""
    true = (soft_disc(32, radius=8, blur=1e-3) > 0.5).astype(np.float32)
    wide = cv2.dilate(true, np.ones((3, 3)))
    picture = mixture(true, RED, GREEN)
    other = np.broadcast_to(BLUE, picture.shape).astype(np.float32)
    swapped = array(composite(tensor(picture), tensor(wide), tensor(other), rim=1))
    assert swapped[..., 1].max() < 0.02
    careless = array(composite(tensor(picture), tensor(wide), tensor(other), rim=0))
    assert careless[..., 1].max() > 0.9


def test_removed_foreground_shows_nothing_of_it():
    alpha = soft_disc()
    removed = array(remove_foreground(tensor(mixture(alpha, RED, GREEN)), tensor(alpha)))
    assert np.abs(removed - GREEN).max() < 0.02
    rows = np.linspace(0, 1, 32, dtype=np.float32)[:, None, None] * np.ones((1, 32, 3), np.float32)
    continued = array(remove_foreground(tensor(mixture(alpha, RED, rows)), tensor(alpha)))
    assert np.abs(continued - rows).max() < 0.25  # a slope is continued, roughly


# ---------------------------------------------------------------- batches


def batch(count=4, side=24):
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, side, side, generator=draw)
    masks = torch.from_numpy(soft_disc(side, radius=6)).expand(count, 1, side, side).clone()
    return images, masks


def test_batch_equals_one_by_one():
    images, masks = batch()
    swapped, source = swap_backgrounds(
        images, masks, generator=torch.Generator().manual_seed(3), flip=False
    )
    assert (source != torch.arange(4)).all()
    removed = remove_foreground(images, masks)
    for row in range(4):
        expected = composite(
            images[row : row + 1], masks[row : row + 1], removed[source[row]][None]
        )
        torch.testing.assert_close(swapped[row : row + 1], expected)


def test_batch_depends_on_the_generator_alone():
    images, masks = batch(16)

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return swap_backgrounds(images, masks, generator=generator, shift=0.3, probability=0.5)

    first, second, other = draw(1), draw(1), draw(2)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])
    kept = first[1] == torch.arange(16)
    assert 2 <= int(kept.sum()) <= 14
    assert torch.equal(first[0][kept], images[kept])


def test_batch_donors_are_even_and_never_oneself():
    images, masks = batch(5, side=8)
    masks = torch.zeros_like(masks)
    masks[..., 2:5, 2:5] = 1
    counts = torch.zeros(5, 5)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        _, source = swap_backgrounds(images, masks, generator=generator)
        counts[torch.arange(5), source] += 1
    assert counts.diagonal().sum() == 0
    off = counts[~torch.eye(5, dtype=torch.bool)]
    assert off.min() > 60  # 100 expected, standard deviation 8.7
    assert off.max() < 140


def test_batch_leaves_what_it_cannot_swap():
    images, masks = batch(5)
    masks[0] = torch.nan  # unlabelled
    masks[1] = 0  # nothing to put anywhere
    masks[2] = 1  # no background to give, and none to see
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        swapped, source = swap_backgrounds(images, masks, generator=generator)
        assert torch.equal(swapped[:2], images[:2])
        assert source[:2].tolist() == [0, 1]
        torch.testing.assert_close(swapped[2], images[2])
        assert not {0, 2} & set(source[3:].tolist())
        assert swapped.isfinite().all()


def test_batch_without_donors_is_itself():
    images, masks = batch(1)
    swapped, source = swap_backgrounds(images, masks)
    assert torch.equal(swapped, images)
    assert source.tolist() == [0]
    empty, none = swap_backgrounds(images[:0], masks[:0])
    assert empty.shape == (0, 3, 24, 24)
    assert len(none) == 0


def test_batch_with_single_unknown_pixels():
    images, masks = batch()
    known = masks.clone()
    masks[:, :, 12, 12] = torch.nan  # inside the disc: its neighbours say 1
    generator = torch.Generator().manual_seed(0)
    found, _ = swap_backgrounds(images, masks, generator=generator)
    expected, _ = swap_backgrounds(images, known, generator=generator.manual_seed(0))
    torch.testing.assert_close(found, expected)


def test_batch_from_given_backgrounds():
    images, masks = batch()
    pool = torch.stack([torch.full((3, 24, 24), float(level)) for level in (5, 7)])
    swapped, source = swap_backgrounds(images, masks, backgrounds=pool)
    corner = swapped[:, :, 0, 0]
    assert torch.equal(corner, pool[source][:, :, 0, 0])
    _, source = swap_backgrounds(images, masks, backgrounds=pool, probability=0.0)
    assert source.tolist() == [-1] * 4


def test_batch_flips_and_shifts_only_the_background():
    images, masks = batch(2)
    masks[:] = 0
    masks[:, :, 8:16, 8:16] = 1
    ramp = torch.arange(24.0).expand(1, 3, 24, 24)
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(60):
        swapped, _ = swap_backgrounds(
            images, masks, backgrounds=ramp, generator=generator, rim=0, shift=0.25
        )
        torch.testing.assert_close(swapped[:, :, 8:16, 8:16], images[:, :, 8:16, 8:16])
        row = swapped[0, 0, 0]
        steps = row.diff()
        assert set(steps.abs().tolist()) <= {0.0, 1.0}
        seen.add((float(row[0]), float(steps.median())))
    assert {sign for _, sign in seen} == {1.0, -1.0}
    assert len({start for start, _ in seen}) > 6


def test_what_was_in_the_middle_is_moved_aside():
    dots = torch.zeros(40, 1, 21, 21)
    dots[..., 10, 10] = 1
    moved = moved_aside(dots, shift=(0.3, 0.4), generator=torch.Generator().manual_seed(0))
    assert moved.sum((1, 2, 3)).eq(1).all()
    rows, columns = moved[:, 0].nonzero()[:, 1:].T - 10
    way = (rows.square() + columns.square()).float().sqrt() / 21
    assert way.min() > 0.3 - 0.04
    assert way.max() < 0.4 + 0.04
    assert {(int(r), int(c)) for r, c in zip(rows.sign(), columns.sign(), strict=True)} >= {
        *((r, c) for r in (-1, 1) for c in (-1, 1))
    }


def test_batch_refuses_what_does_not_fit():
    images, masks = batch()
    with pytest.raises(ValueError, match=r"masks \(N, 1, H, W\).*\(4, 3, 24, 24\) and \(4, 24"):
        swap_backgrounds(images, masks[:, 0])
    with pytest.raises(ValueError, match=r"backgrounds \(M, 3, 24, 24\)"):
        swap_backgrounds(images, masks, backgrounds=torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match=r"probability must lie in \[0, 1\], got 2"):
        swap_backgrounds(images, masks, probability=2)
    with pytest.raises(ValueError, match="rim"):
        swap_backgrounds(images, masks, rim=-1)
    with pytest.raises(ValueError, match="shift"):
        swap_backgrounds(images, masks, shift=1.5)


def test_batch_under_autocast_and_grad():
    images, masks = batch()
    masks.requires_grad_()
    plain, _ = swap_backgrounds(images, masks, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, _ = swap_backgrounds(images, masks, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cast, plain)
    assert not plain.requires_grad


# ---------------------------------------------------------------- the transform


def green_picture(alpha):
    return np.rint(mixture(alpha, RED, GREEN) * 255).astype(np.uint8)


def blue(side=32):
    return np.broadcast_to(np.array([0, 0, 255], np.uint8), (side, side, 3)).copy()


def as_bytes(alpha):
    return np.rint(alpha * 255).astype(np.uint8)


def test_transform_leaves_no_green():
    alpha = soft_disc(48, radius=12, blur=6)
    mask = as_bytes(alpha)
    result = BackgroundSwap([blue()], p=1.0)(image=green_picture(mask / 255), mask=mask)
    assert result["image"].dtype == np.uint8
    assert result["image"][..., 1].max() <= 1
    expected = mixture(mask / 255, RED, BLUE) * 255
    assert np.abs(result["image"] - expected).max() <= 1.5
    assert np.array_equal(result["mask"], mask)


def test_transform_with_float_pictures_and_masks():
    alpha = soft_disc()
    picture = mixture(alpha, RED, GREEN)
    result = BackgroundSwap([blue()], p=1.0)(image=picture, mask=alpha[..., None])
    assert result["image"].dtype == np.float32
    np.testing.assert_allclose(result["image"], mixture(alpha, RED, BLUE), atol=1e-4)
    assert result["mask"].shape == (32, 32, 1)


@pytest.mark.parametrize("mask", [None, np.zeros((32, 32), np.uint8)])
def test_transform_leaves_pictures_without_mask(mask):
    picture = green_picture(soft_disc())
    given = {"image": picture} | ({} if mask is None else {"mask": mask})
    assert np.array_equal(BackgroundSwap([blue()], p=1.0)(**given)["image"], picture)


def test_transform_never_applied_is_the_identity():
    picture, mask = green_picture(soft_disc()), as_bytes(soft_disc())
    swap = A.Compose([BackgroundSwap([blue()], p=0.0)])
    for _ in range(10):
        assert np.array_equal(swap(image=picture, mask=mask)["image"], picture)


def test_transform_is_applied_as_often_as_p_says():
    picture, mask = green_picture(soft_disc(8, radius=2)), as_bytes(soft_disc(8, radius=2))
    swap = A.Compose([BackgroundSwap([blue()], p=0.3)], seed=0)
    swapped = sum(swap(image=picture, mask=mask)["image"][0, 0, 2] == 255 for _ in range(400))
    assert 85 <= swapped <= 155  # 120 expected, standard deviation 9.2


def test_transform_repeats_under_a_seed():
    draw = np.random.default_rng(0)
    pool = draw.integers(0, 255, (5, 40, 60, 3)).astype(np.uint8)
    picture, mask = green_picture(soft_disc()), as_bytes(soft_disc())

    def run(seed):
        swap = A.Compose([BackgroundSwap(list(pool), p=0.7), A.HorizontalFlip()], seed=seed)
        return np.stack([swap(image=picture, mask=mask)["image"] for _ in range(6)])

    assert np.array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


def test_transform_in_a_pipeline_keeps_mask_and_picture_together():
    """Red is the object and nothing else is: after any geometry the red share is the mask."""
    mask = as_bytes(soft_disc(48, radius=12, blur=6))
    picture = green_picture(mask / 255)
    pipeline = A.Compose(
        [
            A.HorizontalFlip(),
            BackgroundSwap([blue()], p=1.0),
            A.RandomCrop(40, 40),
            A.Affine(rotate=(-30, 30), translate_percent=(-0.2, 0.2), p=1.0),
            A.RandomBrightnessContrast(brightness_limit=0, contrast_limit=0, p=1.0),
        ],
        mask_interpolation=cv2.INTER_LINEAR,
        seed=0,
    )
    for _ in range(10):
        result = pipeline(image=picture, mask=mask)
        difference = result["image"][..., 0].astype(int) - result["mask"].astype(int)
        assert np.abs(difference).max() <= 2
        assert result["image"][..., 1].max() <= 2


def test_transform_does_not_write_to_its_input():
    picture, mask = green_picture(soft_disc()), as_bytes(soft_disc())
    before = picture.copy(), mask.copy()
    BackgroundSwap([blue()], p=1.0)(image=picture, mask=mask)
    assert np.array_equal(picture, before[0])
    assert np.array_equal(mask, before[1])


def test_transform_from_a_folder_and_its_dictionary(tmp_path):
    Image.fromarray(blue(64)).save(tmp_path / "sea.png")
    swap = BackgroundSwap(str(tmp_path), p=1.0)
    mask = as_bytes(soft_disc())
    picture = green_picture(mask / 255)
    assert swap(image=picture, mask=mask)["image"][..., 1].max() <= 1
    again = A.from_dict(A.to_dict(swap))
    assert isinstance(again, BackgroundSwap)
    assert (again.backgrounds, again.rim, again.p) == (str(tmp_path), 1, 1.0)


def test_backgrounds_of_a_folder(tmp_path):
    Image.fromarray(np.zeros((700, 1400, 3), np.uint8)).save(tmp_path / "large.jpg")
    pool = PictureBackgrounds(tmp_path)
    assert len(pool) == 1
    assert pool[0].shape == (256, 512, 3)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        PictureBackgrounds(tmp_path / "nowhere")
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot read the background .*broken\.png"):
        PictureBackgrounds(tmp_path)[0]


def test_backgrounds_from_other_pictures(tmp_path):
    mask = as_bytes(soft_disc())
    decoded = [Decoded(green_picture(mask / 255), mask), Decoded(blue(), None)]
    items = [Item(tmp_path / "a.png", tmp_path / "m.png"), Item(tmp_path / "b.png")]
    pool = RemovedForegrounds(items, decode=decoded.__getitem__)
    assert len(pool) == 1  # the one with a mask
    assert np.abs(pool[0].astype(int) - (0, 255, 0)).max() <= 5
    with pytest.raises(ValueError, match="need masks, and no picture has one"):
        RemovedForegrounds(items[1:], decode=decoded.__getitem__)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 1.5}, r"(?s)p\n.*less than or equal to 1"),
        ({"rim": -1}, "rim"),
        ({"crop": (0.0, 1.0)}, "crop needs"),
        ({"crop": (0.9, 0.5)}, "crop needs"),
    ],
)
def test_transform_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        BackgroundSwap([blue()], **options)


def test_transform_without_backgrounds():
    with pytest.raises(ValueError, match="at least one background"):
        BackgroundSwap([])
