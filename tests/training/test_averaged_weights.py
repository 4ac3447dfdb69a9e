import copy

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_classifier import Tiny, data, trainer

from visattn.training import AveragedWeights, ImageClassifier
from visattn.training.command_line.quiet import quiet_lightning


class Noting(L.Callback):
    """Keeps the weights after each step, and those that were validated."""

    def __init__(self):
        self.after = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.after.append(copy.deepcopy(module.model.state_dict()))

    def on_validation_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0):
        self.seen = copy.deepcopy(module.model.state_dict())


def average(states, *, decay):
    """The formula, written out."""
    found = {name: value.double() for name, value in states[0].items()}
    for step, state in enumerate(states[1:], start=1):
        d = min(decay, (1 + step) / (10 + step))
        found = {name: d * value + (1 - d) * state[name] for name, value in found.items()}
    return found


def fitted(folder, tmp_path, *, epochs, decay, resumed=None, callbacks=(), **options):
    torch.manual_seed(1)
    module = ImageClassifier(Tiny, num_classes=2, learning_rate=0.05)
    noting = Noting()
    run = trainer(tmp_path, max_epochs=epochs, **options)
    run.callbacks += [noting, AveragedWeights(decay=decay), *callbacks]
    with quiet_lightning():
        run.fit(module, data(folder), ckpt_path=resumed)
    return module, noting


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_a_training_leaves_and_validates_the_average(tiny_folder, tmp_path, decay):
    module, noting = fitted(tiny_folder, tmp_path, epochs=4, decay=decay)
    assert len(noting.after) == 8
    expected = average(noting.after, decay=decay)
    for state in (module.model.state_dict(), noting.seen):
        for name, value in state.items():
            if value.dtype.is_floating_point:  # a count of batches is rounded down in each step
                torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-6)
    assert (module.model.fc.weight - noting.after[-1]["fc.weight"]).abs().max() > 1e-4
    assert (module.model.bn1.running_var - noting.after[-1]["bn1.running_var"]).abs().max() > 1e-4


def test_a_checkpoint_holds_the_average_and_what_a_training_goes_on_with(tiny_folder, tmp_path):
    keep = ModelCheckpoint(
        tmp_path, filename="{epoch}", save_top_k=-1, enable_version_counter=False
    )
    options = {"epochs": 4, "decay": 0.9, "enable_checkpointing": True}
    module, noting = fitted(tiny_folder, tmp_path, callbacks=[keep], **options)
    kept = torch.load(tmp_path / "epoch=1.ckpt", weights_only=True)
    expected = average(noting.after[:4], decay=0.9)["fc.weight"]
    torch.testing.assert_close(kept["state_dict"]["model.fc.weight"].double(), expected)
    opened = ImageClassifier.load_from_checkpoint(tmp_path / "epoch=1.ckpt", backbone=Tiny)
    assert torch.equal(opened.model.fc.weight, kept["state_dict"]["model.fc.weight"])
    again, path = tmp_path / "again", tmp_path / "epoch=1.ckpt"
    resumed, _ = fitted(tiny_folder, again, resumed=path, **options)
    for name, value in module.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value)
