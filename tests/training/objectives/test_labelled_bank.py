import pytest
import torch

from visattn.training.objectives.labelled_bank import LabelledBank


def batch(*values, labelled=None):
    images = torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()
    masks = torch.zeros(len(values), 1, 2, 2)
    masks[[not known for known in labelled or [True] * len(values)]] = torch.nan
    return images, masks


def test_keeps_labelled_images_only():
    bank = LabelledBank()
    bank.add(*batch(1.0, 2.0, 3.0, labelled=[True, False, True]), torch.tensor([7, 8, 9]))
    images, masks, labels = bank.draw(2)
    assert labels.tolist() == [-1, -1]
    assert sorted(images[:, 0, 0, 0].tolist()) == [1.0, 3.0]
    assert masks.shape == (2, 1, 2, 2)
    assert not masks.isnan().any()


def test_a_partly_labelled_image_is_labelled():
    images, masks = batch(1.0, labelled=[False])
    masks[0, 0, 0, 0] = 1
    bank = LabelledBank()
    bank.add(images, masks, torch.tensor([0]))
    assert len(bank) == 1


def test_a_new_view_takes_the_place_of_the_old_one():
    bank = LabelledBank()
    bank.add(*batch(1.0), torch.tensor([7]))
    bank.add(*batch(2.0), torch.tensor([7]))
    assert len(bank) == 1
    assert bank.draw(1)[0].unique().item() == 2


def test_keeps_the_classes():
    images, masks = batch(1.0, 2.0, 3.0, labelled=[True, False, True])
    bank = LabelledBank()
    bank.add(images, masks, torch.arange(3), labels=torch.tensor([10, 20, 30]))
    drawn = bank.draw(2)
    found = {(image[0, 0, 0].item(), label.item()) for image, _, label in zip(*drawn, strict=True)}
    assert found == {(1.0, 10), (3.0, 30)}


def test_draws_each_once_before_any_twice():
    bank = LabelledBank()
    bank.add(*batch(1.0, 2.0, 3.0), torch.arange(3))
    drawn = bank.draw(7)[0][:, 0, 0, 0].tolist()
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [1.0, 2.0, 3.0]
    assert len(drawn) == 7


def test_capacity_holds_and_new_images_get_in():
    bank = LabelledBank(capacity=4)
    for row in range(20):
        bank.add(*batch(float(row)), torch.tensor([row]))
        assert len(bank) == min(row + 1, 4)
        assert row in bank.draw(4)[0][:, 0, 0, 0].tolist()


def test_holds_copies():
    images, masks = batch(1.0)
    bank = LabelledBank()
    bank.add(images, masks, torch.tensor([0]))
    images.zero_()
    assert bank.draw(1)[0].unique().item() == 1


def test_wrong_use_says_what_is_right():
    with pytest.raises(ValueError, match="nothing to draw from"):
        LabelledBank().draw(1)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        LabelledBank(0)
