"""What a captioner may look at: any CNN of timm's, with attention in it or without."""

import pytest
import torch
from torch import nn

from visattn import backbone_state_dict, unwrap
from visattn.cli import main
from visattn.tasks.captioning.features import map_features
from visattn.tasks.captioning.module import CaptionerModule

TINY = (
    "--data.size=48",
    "--data.train=8",
    "--data.val=4",
    "--data.test=4",
    "--data.pieces=1",
    "--data.batch_size=4",
    "--trainer.max_epochs=1",
)


def test_attention_is_wrapped_into_the_backbone_and_changes_nothing_at_first():
    torch.manual_seed(0)
    plain = CaptionerModule(words=14, hidden=16)
    torch.manual_seed(0)
    wrapped = CaptionerModule(words=14, hidden=16, attention={"block": "cbam", "at": "block"})
    state = backbone_state_dict(wrapped)
    assert set(state) == set(plain.state_dict())
    assert len(wrapped.state_dict()) > len(state)
    images = torch.rand(2, 3, 64, 64)
    plain.load_state_dict(state)
    (first, size), (second, again) = (m.eval().model.encode(images) for m in (plain, wrapped))
    assert size == again == (16, 16)
    assert torch.equal(first.states, second.states)
    unwrap(wrapped.model.features.network)
    assert set(wrapped.state_dict()) == set(state)


def test_without_attention_keys_and_random_numbers_are_those_of_the_features_alone():
    torch.manual_seed(3)
    features, _ = map_features("resnet10t", reduction=4)
    after = torch.rand(1)
    torch.manual_seed(3)
    wanted, _ = map_features("resnet10t", reduction=4, attention=None)
    assert torch.equal(torch.rand(1), after)
    names = {name.partition(".")[0] for name in features.state_dict()}
    assert names == {"network"}
    for name, value in features.state_dict().items():
        assert torch.equal(value, wanted.state_dict()[name])
    assert features.training
    assert all(module.training for module in features.modules())
    norms = [module for module in features.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(int(norm.num_batches_tracked) == 0 for norm in norms)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("backbone=resnt10t", "unknown backbone 'resnt10t'; did you mean resnet10t"),
        ("backbone=swin_tiny_patch4_window7_224", "Give a CNN of timm's"),
        ("attention=cban", "cbam"),
        ("attention={blok: se}", "attention must say which block"),
        ("reduction=3", "not at reduction=3"),
    ],
)
def test_what_cannot_be_built_is_told_in_a_sentence(option, message, tmp_path, capsys):
    words = ["fit", "-c", "captioning/soft", f"--runs={tmp_path}", *TINY, f"--model.{option}"]
    assert main(words) != 0
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert "Traceback" not in error


def test_a_map_with_channels_last_is_refused(monkeypatch):
    class Last(nn.Module):
        def forward(self, images):
            return [images.permute(0, 2, 3, 1).repeat(1, 1, 1, 32)]

    real = CaptionerModule(words=14).model.features.network
    last = Last()
    last.feature_info = real.feature_info
    made = iter((real, last))
    monkeypatch.setattr(
        "visattn.tasks.captioning.features.timm.create_model", lambda *_, **__: next(made)
    )
    monkeypatch.setattr(real.feature_info, "reduction", lambda: [4])
    with pytest.raises(ValueError, match=r"one map \(N, 64, h, w\), got \[\(1, 96, 64, 96"):
        map_features("resnet10t", reduction=4)


def test_a_wrapped_captioner_trains_and_captions_at_the_size_of_its_training(
    tmp_path, capsys, monkeypatch
):
    words = ["-c", "captioning/soft", f"--runs={tmp_path}", *TINY, "--model.attention=se"]
    assert main(["fit", *words]) == 0
    model = tmp_path / "captioning_soft" / "version_0" / "checkpoints" / "last.ckpt"
    trained = torch.load(model, weights_only=True)
    assert trained["hyper_parameters"]["attention"] == "se"
    seen = []
    encode = CaptionerModule.load_from_checkpoint(model).model.__class__.encode

    def spied(self, images):
        seen.append(tuple(images.shape[2:]))
        return encode(self, images)

    monkeypatch.setattr("visattn.sequence.Captioner.encode", spied)
    assert main(["caption", f"--model={model}"]) == 0
    assert set(seen) == {(48, 48)}
    assert main(["caption", f"--model={model}", "--size=64"]) == 0
    assert seen[-1] == (64, 64)
    capsys.readouterr()
    assert main(["translate", "I love you", f"--model={model}"]) == 1
    wanted = "is of the task captioning; expected a checkpoint that visattn fit -c translation/"
    assert wanted in capsys.readouterr().err
