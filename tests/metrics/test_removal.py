"""ROAD: the filling against a dense solver and the authors' code, the value against a loop."""

import numpy as np
import pytest
import torch

from visattn.metrics import linear_imputation, road


def scene(count, size, *, seed=0):
    """Smooth images with a little noise, and a third to nine tenths of the pixels removed."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    images = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    images = images + 0.05 * torch.randn(images.shape, generator=generator)
    order = torch.rand(count, 5, 5, generator=generator)
    order = torch.nn.functional.interpolate(order[:, None], size=size, mode="bicubic")[:, 0]
    levels = torch.linspace(0.3, 0.9, count)
    known = torch.stack([o > o.quantile(level) for o, level in zip(order, levels, strict=True)])
    return images, known


def filled_by_hand(image, known):
    """The equations one by one, in a dense matrix."""
    height, width = known.shape
    places = [(y, x) for y in range(height) for x in range(width) if not known[y, x]]
    number = {place: index for index, place in enumerate(places)}
    matrix, right = np.zeros((len(places),) * 2), np.zeros((len(places), len(image)))
    for (y, x), row in number.items():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                other = (y + dy, x + dx)
                if (dy, dx) == (0, 0) or not (0 <= other[0] < height and 0 <= other[1] < width):
                    continue
                weight = 1 / 6 if 0 in (dy, dx) else 1 / 12
                matrix[row, row] += weight
                if other in number:
                    matrix[row, number[other]] -= weight
                else:
                    right[row] += weight * image[:, other[0], other[1]].numpy()
    solved = np.linalg.solve(matrix, right)
    result = image.double().numpy().copy()
    for (y, x), row in number.items():
        result[:, y, x] = solved[row]
    return result


@pytest.mark.parametrize("size", [(12, 12), (9, 17), (1, 20), (2, 3)])
def test_the_filling_solves_the_equations(size):
    images, known = scene(4, size)
    known[:, 0, 0] = True
    found = linear_imputation(images, known, tolerance=1e-7)
    for row in range(4):
        expected = filled_by_hand(images[row], known[row])
        np.testing.assert_allclose(found[row], expected, atol=1e-4)
        assert torch.equal(found[row][:, known[row]], images[row][:, known[row]])


def test_the_tolerance_that_road_uses_is_far_below_its_noise():
    images, known = scene(4, (64, 64))
    default = linear_imputation(images, known)
    exact = linear_imputation(images.double(), known, tolerance=1e-10)
    assert (default - exact).abs().max() < 0.01


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_the_authors_code_fills_the_same():
    peer = pytest.importorskip("pytorch_grad_cam.metrics.road")
    images, known = scene(3, (20, 28), seed=1)
    fill = peer.NoisyLinearImputer(noise=0)
    found = linear_imputation(images, known, tolerance=1e-7)
    for row in range(3):
        expected = fill(images[row], known[row].float())
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-4)


def test_filling_edge_cases():
    constant = torch.full((1, 2, 6, 6), 3.0)
    lone = torch.zeros(1, 6, 6, dtype=torch.bool)
    lone[0, 5, 0] = True
    torch.testing.assert_close(linear_imputation(constant, lone), constant)
    images = torch.randn(1, 2, 6, 6)
    everywhere = torch.ones(1, 6, 6, dtype=torch.bool)
    assert torch.equal(linear_imputation(images, everywhere), images)
    one = linear_imputation(images, lone)
    expected = images[:, :, 5:, :1].expand_as(images)
    torch.testing.assert_close(one, expected, rtol=0, atol=2e-3)
    with pytest.raises(ValueError, match="without a known pixel"):
        linear_imputation(images, ~everywhere)
    with pytest.raises(ValueError, match="of the same size"):
        linear_imputation(images, lone[:, 1:])


def model(images):
    """Two classes, told by the left and the right half."""
    halves = images.mean(1).unflatten(2, (2, -1)).sum((1, 3))
    return halves * 2


def test_combined_share_by_share():
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(3, 1, 6, 8, generator=generator)
    saliency = torch.randint(0, 9, (3, 6, 8), generator=generator).float()
    shares, labels = (0.25, 0.5, 0.9), torch.tensor([0, 1, 0])
    found = road(model, images, saliency, classes=labels, shares=shares, noise=0, batch_size=4)
    for row in range(3):
        places = sorted(range(48), key=lambda p: -float(saliency[row].flatten()[p]))
        differences = []
        for column, share in enumerate(shares):
            count, values = round(share * 48), []
            for removed in (places[:count], places[48 - count :]):
                known = torch.ones(48, dtype=torch.bool)
                known[removed] = False
                filled = filled_by_hand(images[row], known.view(6, 8))
                logits = model(torch.as_tensor(filled)[None])[0]
                values.append(float(logits.softmax(0)[labels[row]]))
            assert found.most_relevant[row, column].item() == pytest.approx(values[0], abs=1e-3)
            assert found.least_relevant[row, column].item() == pytest.approx(values[1], abs=1e-3)
            differences.append((values[1] - values[0]) / 2)
        assert found.combined[row].item() == pytest.approx(sum(differences) / 3, abs=1e-3)


def test_a_map_of_what_the_model_reads_beats_its_opposite():
    generator = torch.Generator().manual_seed(4)
    images = 0.03 * torch.randn(8, 1, 16, 16, generator=generator)
    images[:, :, 4:10, 2:6] += 1.5
    right = torch.zeros(8, 16, 16)
    right[:, 4:10, 2:6] = 1
    good = road(model, images, right).combined
    assert good.mean() > 0.1
    assert road(model, images, 1 - right).combined.mean() < -0.1
    noise = torch.rand(8, 16, 16, generator=generator)
    assert road(model, images, noise).combined.mean().abs() < good.mean() / 3


def test_the_noise_depends_on_the_seed_alone():
    images, saliency = torch.randn(5, 1, 8, 8), torch.rand(5, 8, 8)
    options = {"noise": 1.0, "shares": [0.5]}
    first = road(model, images, saliency, **options, batch_size=3)
    again = road(model, images, saliency, **options, batch_size=64)
    other = road(model, images, saliency, **options, seed=1)
    torch.testing.assert_close(first.combined, again.combined, rtol=0, atol=1e-3)
    assert not torch.allclose(first.combined, other.combined, atol=1e-3)


def test_mistakes():
    images, saliency = torch.randn(1, 1, 4, 4), torch.rand(1, 4, 4)
    for shares in ((), (0.0,), (0.5, 1.0)):
        with pytest.raises(ValueError, match=r"each in \(0, 1\)"):
            road(model, images, saliency, shares=shares)
    with pytest.raises(ValueError, match="noise"):
        road(model, images, saliency, noise=-1)
    with pytest.raises(ValueError, match="one pixel"):
        road(lambda x: x.flatten(1), images[..., :1, :1], saliency[..., :1, :1])
