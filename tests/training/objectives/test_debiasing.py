"""Published ways past a shortcut without groups, against cases worked by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visattn.training.objectives import AFR, CLAD, FGCCDB, JTT, LfF
from visattn.training.objectives.debiasing.fg_ccdb import cell_weights
from visattn.training.objectives.last_layer import last_linear


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))


def batch(count=8, seed=1):
    """The first channel tells the class of all but the first image: the shortcut."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    shown = labels.clone()
    shown[0] = 1
    images = 0.1 * torch.randn(count, 3, 2, 2, generator=generator)
    images[:, 0] += (2.0 * shown - 1).view(-1, 1, 1)
    masks = torch.zeros(count, 1, 2, 2)
    masks[..., 0] = 1
    return {"image": images, "label": labels, "mask": masks, "index": torch.arange(count)}


def trained(objective, model, data, *, until, steps=40):
    """What a first part of the training leaves in an objective."""
    for step in range(steps):
        model.zero_grad()
        objective(model, data, until * step / steps)[0].backward()
    return objective


def test_jtt_weighs_what_the_first_network_gets_wrong():
    data, model = batch(), network()
    objective = trained(JTT(T=0.5, lambda_up=5.0, learning_rate=0.05), model, data, until=0.5)
    assert all(not p.grad.any() for p in model.parameters())  # it waits
    loss, parts = objective(model, data, 0.6)
    losses = F.cross_entropy(model(data["image"]), data["label"], reduction="none")
    weights = torch.tensor([5.0, 1, 1, 1, 1, 1, 1, 1])  # the exception alone was told wrong
    torch.testing.assert_close(loss, (losses * weights).sum() / 12)
    assert parts["error_set"] == 1 / 8
    objective.companion.begin_anew()  # the error set is settled
    assert objective(model, data, 0.7)[1]["error_set"] == 1 / 8


def test_lff_follows_the_losses_of_both_networks():
    data, model = batch(4), network()
    objective = LfF(q=0.7, alpha=0.7, learning_rate=0.01)
    weights, means = [], None
    for step in range(2):
        logits = objective.companion.of(model)(data["image"]), model(data["image"])
        now = torch.stack([F.cross_entropy(x, data["label"], reduction="none") for x in logits])
        means = now if means is None else 0.7 * means + 0.3 * now
        top = torch.stack([means[:, k::2].amax(1) for k in range(2)], 1)  # of each class
        biased, debiased = means / top[:, data["label"]]
        weights = biased / (biased + debiased)
        loss, _ = objective(model, data, 0.1 * step)
        torch.testing.assert_close(loss, (weights * now[1]).mean())
    assert not torch.allclose(weights, torch.full((4,), 0.5))  # the biased network went ahead


def test_afr_refits_the_last_layer_where_the_training_did_badly():
    data, model = batch(10), network()
    objective = AFR(refit=0.5, held_out=0.5, gamma=4.0, reg_coeff=0.1)
    held = (torch.arange(10) * 0.6180339887498949) % 1 < 0.5
    first = F.cross_entropy(model(data["image"])[~held], data["label"][~held])
    torch.testing.assert_close(objective(model, data, 0.4)[0], first)
    loss, _ = objective(model, data, 0.6)
    loss.backward()
    layer = last_linear(model)
    assert layer.weight.grad.any()
    assert model[1].weight.grad is None
    labels, logits = data["label"][held], model(data["image"])[held]
    sure = logits.softmax(1)[range(len(labels)), labels]
    sizes = labels.bincount()[labels]
    raw = torch.exp(-4 * sure.detach()) / sizes
    losses = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(loss, (raw / raw.sum() * losses).sum())
    with torch.no_grad():
        layer.weight += 0.1
    moved = objective(model, data, 0.7)[0]
    losses = F.cross_entropy(model(data["image"])[held], labels, reduction="none")
    wanted = (raw / raw.sum() * losses).sum() + 0.1 * layer.weight.numel() * 0.01
    torch.testing.assert_close(moved, wanted)


def test_fg_ccdb_makes_answer_and_class_independent():
    counts = torch.tensor([[6.0, 1, 0], [3.0, 5, 4]])
    mass = counts * cell_weights(counts)
    shares = torch.tensor([7 / 19, 12 / 19])
    torch.testing.assert_close(mass[:, 0], shares)
    torch.testing.assert_close(mass[:, 1], shares)
    assert mass[0, 2] == 0  # nothing can be weighed there
    data, model = batch(12), network()
    options = {"bias": 0.5, "gamma": 0.99, "beta": 0.5, "learning_rate": 0.05}
    objective = trained(FGCCDB(**options), model, data, until=0.5, steps=80)
    loss, parts = objective(model, data, 0.6)
    losses = F.cross_entropy(model(data["image"]), data["label"], reduction="none")
    # Cells (s, y): five of six of class 0 as (0, 0), the exception as (1, 0), six as (1, 1).
    weights = torch.where(data["label"] == 0, 5 / 12 / 5, 7 / 12 / 6)
    weights[0] = 7 / 12
    torch.testing.assert_close(loss, (weights * losses).sum() / weights.sum())
    assert parts["conflicting"] == 1 / 12


def test_clad_contrasts_two_backgrounds_of_one_object():
    data, model = batch(4), network()
    data["mask"][3] = torch.nan  # without a mask: as it is
    torch.manual_seed(5)
    loss, parts = CLAD(contrast_weight=0.0)(model, data, 0.0)
    torch.testing.assert_close(loss, F.cross_entropy(model(data["image"]), data["label"]))
    torch.manual_seed(5)
    loss, parts = CLAD(contrast_weight=2.0)(model, data, 0.0)
    torch.testing.assert_close(loss, parts["cross_entropy"] + 2 * parts["contrast"])
    assert parts["contrast"] > 0
    loss.backward()
    assert model[1].weight.grad.any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: JTT(T=0.5, learning_rate=0.05),
        lambda: LfF(learning_rate=0.05),
        lambda: AFR(refit=0.5, held_out=0.5),
        lambda: FGCCDB(bias=0.5, gamma=0.9, learning_rate=0.05),
    ],
    ids=["jtt", "lff", "afr", "fg_ccdb"],
)
def test_a_state_goes_on(make):
    data, model = batch(10), network()
    whole = trained(make(), model, data, until=0.4, steps=8)
    resumed = make()
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for progress in (0.4, 0.45, 0.6, 0.7):
        losses = [objective(model, data, progress) for objective in (whole, resumed)]
        assert torch.equal(losses[0][0], losses[1][0])
        assert losses[0][1] == losses[1][1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: JTT(T=1.0), r"T must be in \(0, 1\)"),
        (lambda: JTT(lambda_up=0.5), "lambda_up must be at least 1"),
        (lambda: LfF(q=0.0), r"q must be in \(0, 1\]"),
        (lambda: AFR(gamma=-1.0), "gamma must be at least 0"),
        (lambda: FGCCDB(beta=2.0), r"beta must be in \(0, 1\]"),
        (lambda: CLAD(temperature=0.0), "temperature must be above 0"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()
