import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visattn.blocks import SpatialMask
from visattn.training.objectives import CrossEntropy, MaskedFocus, Objective

SIZE = 16


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def scenes(count, *, follow):
    """Squares whose stripes say the class, before a plain colour that follows the class or not.

    Class 0 has horizontal stripes, class 1 vertical ones; the background is one of two colours,
    the class's own in ``follow`` of the images.
    """
    labels = torch.randint(0, 2, (count,))
    shown = torch.where(torch.rand(count) < follow, labels, 1 - labels)
    colours = torch.tensor([[1.5, 0.0, -1.5], [-1.5, 0.0, 1.5]])
    images = colours[shown].view(count, 3, 1, 1).expand(-1, -1, SIZE, SIZE).clone()
    masks = torch.zeros(count, 1, SIZE, SIZE)
    stripes = torch.tensor([1.0, -1.0]).repeat(4)
    for image, mask, label in zip(images, masks, labels, strict=True):
        y, x = torch.randint(0, SIZE - 8, (2,)).tolist()
        pattern = stripes.view(-1, 1) if label == 0 else stripes.view(1, -1)
        image[:, y : y + 8, x : x + 8] = pattern.expand(8, 8)
        mask[:, y : y + 8, x : x + 8] = 1
    images += 0.2 * torch.randn_like(images)
    return {"image": images, "label": labels, "mask": masks, "index": torch.arange(count)}


def unlabelled(batch, *, keep):
    masks = batch["mask"].clone()
    masks[keep:] = torch.nan
    return {**batch, "mask": masks}


class Head(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.features = nn.Conv2d(channels, 16, 3, padding=1)
        self.classes = nn.Linear(16, 2)

    def forward(self, x):
        return self.classes(torch.relu(self.features(x)).mean((2, 3)))


def network(**options):
    options = {"hard": True, "detach": True, "width": 8, "depth": 2} | options
    return nn.Sequential(SpatialMask(3, **options), Head())


def parameters_with_gradient(module):
    return {
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().max() > 0
    }


class Seen(nn.Module):
    """A mask's network that keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.mask = SpatialMask(3, width=8, depth=2, detach=True)
        self.shown = []

    def forward(self, images):
        self.shown.append(images)
        return self.mask(images).mean((2, 3))


@pytest.mark.parametrize("neighbours", [0.0, 1.0])
def test_neighbours_are_objects_beside_the_one_that_is_meant(neighbours):
    torch.manual_seed(0)
    images, masks = torch.zeros(6, 3, 32, 32), torch.zeros(6, 1, 32, 32)
    masks[..., 14:18, 14:18] = 1
    images += masks  # white squares on black
    batch = {"image": images, "mask": masks, "index": torch.arange(6)}
    batch["label"] = torch.tensor([0, 1, 2, 0, 1, 2])
    model = Seen()
    MaskedFocus(labelled=6, swap=0.0, neighbours=neighbours)(model, batch, 0.5)
    labelled = model.shown[0]
    beside = (labelled * (1 - masks)).sum((1, 2, 3))
    assert torch.equal(labelled[:3], images[:3])
    assert beside[:3].eq(0).all()
    assert (beside[3:] > 10).all() == bool(neighbours)
    torch.testing.assert_close(labelled * masks, images)


def test_cross_entropy_is_the_loss_of_the_images_as_they_are():
    batch, model = scenes(8, follow=1.0), Head()
    logits = model(batch["image"])
    loss, parts = CrossEntropy()(model, batch, 0.5)
    torch.testing.assert_close(loss, F.cross_entropy(logits, batch["label"]))
    torch.testing.assert_close(parts["cross_entropy"], loss.detach())
    assert not parts["cross_entropy"].requires_grad
    smooth, _ = CrossEntropy(label_smoothing=0.2)(model, batch, 0.5)
    expected = 0.9 * F.cross_entropy(logits, batch["label"])
    expected = expected + 0.1 * F.cross_entropy(logits, 1 - batch["label"])
    torch.testing.assert_close(smooth, expected)


def test_with_all_masks_it_classifies_from_the_first_step():
    model, batch = network(), scenes(8, follow=1.0)
    loss, parts = MaskedFocus()(model, batch, 0.0)
    assert set(parts) == {"cross_entropy", "mask", "labelled_mask"}
    torch.testing.assert_close(loss.detach(), sum(parts.values()))
    loss.backward()
    assert {"0.branch.head.weight", "1.classes.weight"} <= parameters_with_gradient(model)


def test_weights_of_the_parts():
    batch = unlabelled(scenes(8, follow=1.0), keep=2)
    loss, parts = MaskedFocus(mask_weight=0.5)(network(), batch, 0.9)
    expected = parts["cross_entropy"] + 0.5 * parts["mask"] + 0.5 * parts["labelled_mask"]
    torch.testing.assert_close(loss.detach(), expected)


def test_warmup_trains_the_mask_only_and_runs_nothing_else():
    model, batch = network(), unlabelled(scenes(8, follow=1.0), keep=2)
    ran = []
    model[1].register_forward_hook(lambda *_: ran.append(1))
    loss, parts = MaskedFocus(warmup=0.2)(model, batch, 0.19)
    loss.backward()
    assert set(parts) == {"labelled_mask"}
    assert not ran
    assert all(name.startswith("0.") for name in parameters_with_gradient(model))
    loss, parts = MaskedFocus(warmup=0.2)(model, batch, 0.2)
    loss.backward()
    assert set(parts) == {"labelled_mask", "cross_entropy", "mask"}
    assert "1.classes.weight" in parameters_with_gradient(model)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_labelled_images_are_remembered():
    model, objective = network(), MaskedFocus()
    known, unknown = scenes(4, follow=1.0), unlabelled(scenes(4, follow=1.0), keep=0)
    before, _ = objective(model, unknown, 0.0)
    assert before.item() == 0
    before.backward()  # nothing to learn yet, and nothing breaks
    assert not parameters_with_gradient(model)
    objective(model, known, 0.0)
    after, _ = objective(model, unknown, 0.0)
    after.backward()
    assert parameters_with_gradient(model)


def test_nothing_is_learned_before_the_first_mask_and_it_must_come():
    model, objective = network(), MaskedFocus(warmup=0.1)
    batch = unlabelled(scenes(4, follow=1.0), keep=0)
    loss, parts = objective(model, batch, 0.5)  # as after a resume, the bank being empty
    assert loss.item() == 0
    assert set(parts) == {"labelled_mask"}
    many = {name: value.repeat_interleave(500, 0) for name, value in batch.items()}
    with pytest.raises(ValueError, match="none of the first 2004 training images has a mask"):
        objective(model, many, 0.5)


def test_autocast_keeps_every_gradient():
    model, batch = network(), unlabelled(scenes(8, follow=1.0), keep=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = MaskedFocus()(model, batch, 0.5)
    loss.backward()
    assert loss.dtype == torch.float32
    assert {"0.branch.down.0.0.weight", "1.features.weight"} <= parameters_with_gradient(model)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_predicted_masks_can_be_left_out_of_the_mask_loss():
    batch = unlabelled(scenes(8, follow=1.0), keep=4)
    torch.manual_seed(1)
    model = network()

    def mask_part(weight, masks):
        torch.manual_seed(2)
        objective = MaskedFocus(predicted_weight=weight, swap=0.0)
        return objective(model, {**batch, "mask": masks}, 0.9)[1]["mask"]

    logits = model[0].logits(batch["image"][:4])
    only_given = mask_part(0.0, batch["mask"])
    entropy = F.binary_cross_entropy_with_logits(logits, batch["mask"][:4])
    mask = torch.sigmoid(logits)
    overlap = (mask * batch["mask"][:4]).sum((1, 2, 3))
    total = (mask + batch["mask"][:4]).sum((1, 2, 3))
    expected = entropy + (1 - (2 * overlap + 1) / (total + 1)).mean()
    torch.testing.assert_close(only_given, expected.detach())
    assert mask_part(1.0, batch["mask"]) != only_given


def test_single_pixels_may_be_unlabelled():
    batch = scenes(4, follow=1.0)
    batch["mask"][:, :, ::3] = torch.nan
    model = network()
    loss, _ = MaskedFocus()(model, batch, 0.5)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("keep", [8, 3])
def test_mask_on_early_features(keep):
    stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    model = nn.Sequential(stem, SpatialMask(8, width=4, depth=2, detach=True), Head(8))
    loss, parts = MaskedFocus()(model, unlabelled(scenes(8, follow=1.0), keep=keep), 0.5)
    loss.backward()
    assert all(value.isfinite() for value in parts.values())
    assert {"1.branch.head.weight", "2.classes.weight"} <= parameters_with_gradient(model)


def test_an_annealed_mask_is_closed_along_the_way():
    model, batch = network(form="annealed", hard=False), scenes(4, follow=1.0)
    leaks = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        MaskedFocus()(model, batch, progress)
        leaks.append(model[0].leak.item())
    assert leaks == [1.0, 0.5, 0.0, 0.0]


def test_a_mask_that_the_class_loss_reaches_is_warned_of_once():
    batch, objective = scenes(4, follow=1.0), MaskedFocus()
    with pytest.warns(UserWarning, match="class loss reaches the spatial mask at '0'"):
        objective(network(detach=False), batch, 0.0)
    objective(network(detach=False), batch, 0.5)  # warnings are errors here


def test_an_open_mask_needs_no_detaching():
    """Self-training: what is multiplied by 1 widens no mask."""
    model, batch = network(form="annealed", hard=False, detach=False), scenes(4, follow=1.0)
    MaskedFocus(anneal=False)(model, batch, 0.5)
    with pytest.warns(UserWarning, match="class loss reaches"):
        MaskedFocus()(model, batch, 0.5)


def test_consistency_is_the_divergence_from_the_images_as_they_are():
    model, batch = network().eval(), scenes(8, follow=1.0)
    torch.manual_seed(1)
    plain, parts = MaskedFocus()(model, batch, 0.5)
    assert "consistency" not in parts
    torch.manual_seed(1)
    seen = []
    model[1].register_forward_hook(lambda _, __, logits: seen.append(logits))
    loss, parts = MaskedFocus(consistency_weight=2.0)(model, batch, 0.5)
    swapped, own = (F.log_softmax(logits, 1) for logits in seen)
    torch.testing.assert_close(own, F.log_softmax(model(batch["image"]), 1))
    expected = F.kl_div(own, swapped, log_target=True, reduction="batchmean") / 2
    expected = expected + F.kl_div(swapped, own, log_target=True, reduction="batchmean") / 2
    assert expected > 0
    torch.testing.assert_close(parts["consistency"], expected.detach())
    torch.testing.assert_close(loss, plain + 2 * expected)


def test_consistency_that_is_off_takes_no_pass():
    model, batch = network(), scenes(8, follow=1.0)
    passes = []
    model[1].register_forward_hook(lambda *_: passes.append(1))
    MaskedFocus()(model, batch, 0.5)
    assert len(passes) == 1
    MaskedFocus(consistency_weight=1.0)(model, batch, 0.5)
    assert len(passes) == 3


def test_a_model_without_a_mask_is_told_so():
    with pytest.raises(ValueError, match="no spatial mask to train"):
        MaskedFocus()(Head(), scenes(2, follow=1.0), 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup": 1.0}, r"warmup must be in \[0, 1\), got 1.0"),
        ({"swap": 1.5}, r"swap must be in \[0, 1\], got 1.5"),
        ({"label_smoothing": -0.1}, "label_smoothing must be in"),
        ({"labelled": 1}, "labelled must be at least 2"),
        ({"mask_weight": -1.0}, "mask_weight must be at least 0"),
        ({"bank": 0}, "capacity must be at least 1"),
        ({"rim": -3}, "rim must be at least 0, got -3"),
        ({"shift": 2.0}, r"shift must be in \[0, 1\), got 2.0"),
        ({"consistency_weight": -1.0}, "consistency_weight must be at least 0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        MaskedFocus(**options)


def train(model, objective: Objective, *, steps):
    data = unlabelled(scenes(160, follow=1.0), keep=16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(steps):
        rows = torch.randperm(160)[:32]
        loss, _ = objective(
            model, {name: value[rows] for name, value in data.items()}, step / steps
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def accuracy(model, batch):
    return (model(batch["image"]).argmax(1) == batch["label"]).float().mean().item()


@pytest.mark.slow
def test_judges_the_object_where_the_background_always_told_the_class():
    """Masks for 10 % of the images; the backgrounds of the test images all tell the other class."""
    adversarial = scenes(100, follow=0.0)
    plain = train(Head(), CrossEntropy(), steps=60)
    assert accuracy(plain, adversarial) < 0.3
    focused = train(network(), MaskedFocus(warmup=0.3, shift=0.0), steps=160)
    assert accuracy(focused, adversarial) > 0.95
    found, true = focused[0].logits(adversarial["image"]) > 0, adversarial["mask"] > 0.5
    assert (found & true).sum() / (found | true).sum() > 0.9
