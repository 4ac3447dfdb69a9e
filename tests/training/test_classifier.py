import subprocess
import sys

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn

from visattn.data.modules import FolderData
from visattn.networks.backbone import build_backbone, wrap_calls
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.runs import claim_run, find_checkpoint, resolve_checkpoint
from visattn.training.objectives import (
    AFR,
    CrossEntropy,
    LastLayerRefit,
    LfF,
    Objective,
    WeightedSum,
)
from visattn.training.objectives.base import no_loss
from visattn.training.outcomes import SplitOutcome
from visattn.training.results import Outcomes, Results, gap_of
from visattn.training.schedule import first_step, warmup_cosine

MASK = {"block": "spatial_mask", "at": "image", "init": "paper", "width": 4, "depth": 2}


class Tiny(nn.Module):
    """Small enough to be trained in no time."""

    def __init__(self, num_classes, width=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.bn1(self.conv1(x)).relu().mean((2, 3)))


class Watching(Objective):
    """Cross-entropy that notes the progress it is told; the loss is NaN if asked for."""

    def __init__(self, *, broken=False):
        self.seen = []
        self.broken = broken
        self.inner = CrossEntropy()

    def __call__(self, model, batch, progress):
        self.seen.append(progress)
        loss, parts = self.inner(model, batch, progress)
        return (loss * torch.nan if self.broken else loss), parts


def data(folder, **options):
    return FolderData(folder, **{"size": 32, "batch_size": 4, "workers": 0, **options})


def trainer(tmp_path, **options):
    settings = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": tmp_path,
    }
    return L.Trainer(**{**settings, **options})


@pytest.fixture(autouse=True)
def _quiet():
    with quiet_lightning():
        yield


def test_attention_goes_in_by_name():
    plain = ImageClassifier("resnet10t", num_classes=3)
    cbam = ImageClassifier("resnet10t", num_classes=3, attention="cbam")
    masked = ImageClassifier("resnet10t", num_classes=3, attention=[MASK, {"block": "se"}])
    assert plain.mask_site is None
    assert cbam.mask_site is None
    assert masked.mask_site == "image"
    counts = [sum(p.numel() for p in m.parameters()) for m in (plain, cbam, masked)]
    assert counts[0] < min(counts[1:])
    logits, mask = masked.eval().masked_forward(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 3)
    assert mask.shape == (2, 32, 32)
    assert plain.eval().masked_forward(torch.randn(1, 3, 32, 32))[1] is None


def test_memory_layout_changes_no_result():
    images = torch.randn(2, 3, 40, 24)
    found = []
    for channels_last in (False, True):
        torch.manual_seed(3)
        model = ImageClassifier("resnet10t", num_classes=2, channels_last=channels_last).eval()
        found.append(model(images))
        kernel = model.model.layer1[0].conv1.weight
        assert kernel.is_contiguous(memory_format=torch.channels_last) == channels_last
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"backbone": "resnt18"}, ValueError, "did you mean resnet18"),
        ({"backbone": "torchvision.models.resnt18"}, ValueError, "did you mean resnet18"),
        ({"backbone": "no.such.module"}, ValueError, "import path of a constructor"),
        ({"backbone": "math.pi"}, ValueError, "is no constructor but float"),
        ({"backbone": "builtins.dict"}, TypeError, "must return a torch.nn.Module"),
        ({"backbone": Tiny, "backbone_options": {"depth": 3}}, TypeError, "depth"),
        ({"backbone": Tiny, "pretrained": True}, ValueError, "backbone_options"),
        ({"num_classes": 0}, ValueError, "at least 1"),
        ({"attention": "cban"}, KeyError, "Did you mean 'cbam'"),
        ({"attention": {"blok": "cbam"}}, ValueError, "which block"),
        ({"attention": {"block": "cbam", "reductoin": 8}}, ValueError, "reduction"),
        ({"attention": ["cbam"]}, TypeError, "list of mappings"),
        ({"optimizer": "adam"}, ValueError, "'adamw' or 'sgd'"),
        ({"learning_rate": 0.0}, ValueError, "above 0"),
        ({"warmup": 1.0}, ValueError, r"in \[0, 1\)"),
        ({"momentum": -0.1}, ValueError, "momentum"),
        ({"weight_decay": -1.0}, ValueError, "weight_decay"),
    ],
)
def test_a_wrong_setting_is_an_error_that_says_what_to_do(options, error, words):
    with pytest.raises(error, match=words):
        ImageClassifier(**{"backbone": "resnet10t", "num_classes": 2, **options})


def test_constructors_by_path_and_by_object():
    by_path = build_backbone("torchvision.models.resnet18", num_classes=5)
    assert by_path.fc.out_features == 5
    assert build_backbone(Tiny, num_classes=5, options={"width": 6}).bn1.num_features == 6


class InTwoStages(Objective):
    """Cross-entropy from half of the training on; notes the weights and the rate of each step."""

    stages, waits = (0.5,), True

    def __init__(self):
        self.seen = []
        self.inner = CrossEntropy()
        self.rate = None  # tells the learning rate

    def __call__(self, model, batch, progress):
        self.seen.append((progress, self.rate(), model.conv1.weight.detach().clone()))
        if progress < 0.5:
            return no_loss(model), {}
        return self.inner(model, batch, progress)


def test_a_network_that_waited_begins_a_training_of_its_own(tiny_folder, tmp_path):
    objective = InTwoStages()
    module = ImageClassifier(Tiny, num_classes=2, objective=objective, weight_decay=0.5, warmup=0.0)
    run = trainer(tmp_path, max_epochs=2, accumulate_grad_batches=2)
    objective.rate = lambda: run.optimizers[0].param_groups[0]["lr"]
    run.fit(module, data(tiny_folder))
    first = objective.seen[0][2]
    waiting = [entry for entry in objective.seen if entry[0] < 0.5]
    learning = [entry for entry in objective.seen if entry[0] >= 0.5]
    assert len(waiting) >= 2
    assert len(learning) >= 2
    assert all(rate == 0 and torch.equal(weight, first) for _, rate, weight in waiting)
    assert learning[0][1] == module.learning_rate
    assert torch.equal(learning[0][2], first)
    assert not torch.equal(module.model.conv1.weight, first)
    # What the optimiser remembers is of the steps that it took, not of the waiting.
    begun = {int(state["step"]) for state in run.optimizers[0].state.values()}
    assert begun == {run.global_step - first_step(0.5, steps=run.global_step)}


@pytest.mark.parametrize("kind", [AFR, LastLayerRefit])
def test_a_last_layer_is_refitted_with_a_schedule_of_its_own(kind, tiny_folder, tmp_path):
    objective = kind(refit=0.6)
    module = ImageClassifier(Tiny, num_classes=2, objective=objective, warmup=0.0)
    run = trainer(tmp_path, max_epochs=5)
    rates, refits = [], []

    class Noting(L.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"] / module.learning_rate)
            refits.append(module.progress >= 0.6)

    run.callbacks.append(Noting())
    run.fit(module, data(tiny_folder))
    assert refits == [False] * 6 + [True] * 4
    expected = [(1 + np.cos(np.pi * step / 6)) / 2 for step in range(6)]
    expected += [(1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)]
    np.testing.assert_allclose(rates, expected, atol=1e-9)
    # Adam knows of the last layer's steps in the refit, and of no other gradient.
    state = run.optimizers[0].state
    assert set(state) == {module.model.fc.weight, module.model.fc.bias}
    assert {int(known["step"]) for known in state.values()} == {4}


@pytest.mark.parametrize("own", [None, 0.004])
def test_a_network_beside_learns_as_fast_as_the_model(tiny_folder, tmp_path, own):
    beside = LfF(learning_rate=own)
    module = ImageClassifier(
        Tiny, num_classes=2, objective=WeightedSum([beside]), learning_rate=0.02, warmup=0.0
    )
    trainer(tmp_path, max_epochs=1).fit(module, data(tiny_folder))
    highest = own or 0.02
    steps = module.global_step
    last = highest * (1 + np.cos(np.pi * (steps - 1) / steps)) / 2
    assert beside.companion._optimizer.param_groups[0]["lr"] == pytest.approx(last)


def test_schedule_rises_and_falls_to_zero():
    factor = warmup_cosine(steps=100, warmup=0.1)
    values = [factor(step) for step in range(101)]
    np.testing.assert_allclose(values[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(values[10:], (1 + np.cos(np.pi * np.arange(91) / 90)) / 2, atol=1e-9)
    assert warmup_cosine(steps=3, warmup=0.0)(0) == 1.0


def test_wrap_calls_copy_what_they_are_given():
    given = {"block": "se"}
    (call,) = wrap_calls(given)
    call["block"] = "cbam"
    assert given == {"block": "se"}


def test_training_logs_and_tells_the_progress(tiny_folder, tmp_path):
    watching = Watching()
    model = ImageClassifier(Tiny, num_classes=2, objective=watching, optimizer="sgd")
    run = trainer(tmp_path, max_epochs=2)
    run.fit(model, datamodule=data(tiny_folder))
    assert watching.seen == [0.0, 0.25, 0.5, 0.75]
    logged = {"train/loss", "train/cross_entropy", "train/learning_rate", "val/accuracy"}
    assert logged <= run.callback_metrics.keys()


def test_a_loss_that_is_no_number_stops_the_training(tiny_folder, tmp_path):
    model = ImageClassifier(Tiny, num_classes=2, objective=Watching(broken=True))
    with pytest.raises(ValueError, match=r"lower model\.learning_rate"):
        trainer(tmp_path).fit(model, datamodule=data(tiny_folder))


def test_an_endless_training_is_refused(tiny_folder, tmp_path):
    model = ImageClassifier(Tiny, num_classes=2)
    with pytest.raises(ValueError, match=r"set trainer\.max_epochs"):
        trainer(tmp_path, max_epochs=-1).fit(model, datamodule=data(tiny_folder))


@pytest.mark.parametrize("attention", [None, MASK])
def test_outcomes_are_what_the_network_predicts(tiny_folder, tmp_path, attention):
    model = ImageClassifier(Tiny, num_classes=2, attention=attention)
    folder, outcomes = data(tiny_folder), Outcomes()
    run = trainer(tmp_path, callbacks=[outcomes])
    run.test(model, datamodule=folder, verbose=False)
    assert list(outcomes.splits) == ["test_rand", "test_same"]
    model.eval()
    for name, outcome in outcomes.splits.items():
        items = [folder.dataset(name)[row] for row in range(4)]
        images = torch.stack([item["image"] for item in items])
        with torch.no_grad():
            logits, mask = model.masked_forward(images)
        labels = [item["label"] for item in items]
        assert outcome.label.tolist() == labels
        assert outcome.prediction.tolist() == logits.argmax(1).tolist()
        hits = np.mean([p == t for p, t in zip(logits.argmax(1).tolist(), labels, strict=True)])
        assert outcome.accuracy.value == hits
        assert run.callback_metrics[f"test/{name}/accuracy"].item() == pytest.approx(hits)
        assert outcome.names == ("0.png", "1.png", "0.png", "1.png")
        if mask is None:
            assert outcome.iou is None
            assert f"test/{name}/mask_iou" not in run.callback_metrics
            continue
        true = np.stack([item["mask"][0].numpy() >= 0.5 for item in items])
        found = mask.numpy() >= 0.5
        ious = (true & found).sum((1, 2)) / (true | found).sum((1, 2))
        np.testing.assert_allclose(outcome.mask_iou.numpy(), ious)
        assert outcome.iou.mean == pytest.approx(ious.mean())
        assert run.callback_metrics[f"test/{name}/mask_iou"].item() == pytest.approx(ious.mean())
        assert outcome.chance == pytest.approx(true.mean())


def test_a_test_without_the_callback_logs_the_same(tiny_folder, tmp_path):
    model, outcomes = ImageClassifier(Tiny, num_classes=2, attention=MASK), Outcomes()
    logged = []
    for callbacks in ([outcomes], []):
        run = trainer(tmp_path, callbacks=callbacks)
        run.test(model, datamodule=data(tiny_folder), verbose=False)
        logged.append({name: value.item() for name, value in run.callback_metrics.items()})
    names = [f"test/test_{n}/{m}" for n in ("rand", "same") for m in ("accuracy", "mask_iou")]
    assert sorted(logged[0]) == sorted(names)
    assert logged[0] == logged[1]
    for name, outcome in outcomes.splits.items():
        assert outcome.accuracy.value == logged[0][f"test/{name}/accuracy"]


def split(labels, predictions, names):
    nothing = torch.full((len(labels),), torch.nan)
    return SplitOutcome(
        label=torch.tensor(labels),
        prediction=torch.tensor(predictions),
        mask_iou=nothing,
        mask_share=nothing,
        index=torch.arange(len(labels)),
        names=names,
    )


def test_background_gap_needs_the_same_foregrounds():
    same = split([0, 1, 1, 0], [0, 1, 1, 0], ("a", "b", "c", "d"))
    rand = split([0, 1, 1, 0], [0, 1, 0, 1], ("a", "b", "c", "d"))
    other = split([0, 1, 1, 0], [0, 1, 0, 1], ("a", "b", "c", "e"))
    assert gap_of({"mixed_same": same, "mixed_rand": rand}).value == 0.5
    assert gap_of({"test_rand": rand, "test_same": same}).value == 0.5
    assert gap_of({"mixed_same": same, "mixed_rand": other}) is None
    assert gap_of({"mixed_same": same, "test_rand": rand}) is None
    assert gap_of({"original": same}) is None


def test_results_as_plain_values():
    same = split([0, 1, 1, 0], [0, 1, 1, 0], ("a", "b", "c", "d"))
    found = Results.of({"mixed_same": same}).as_dict()
    assert found["background_gap"] is None
    assert found["splits"]["mixed_same"]["accuracy"]["value"] == 1.0
    assert "mask_iou" not in found["splits"]["mixed_same"]
    empty = Results.of({"nothing": split([], [], ())}).as_dict()
    assert empty["splits"]["nothing"]["accuracy"]["value"] is None


def test_a_checkpoint_stands_alone(tiny_folder, tmp_path):
    model = ImageClassifier(
        "resnet10t", num_classes=2, attention=MASK, objective=CrossEntropy(label_smoothing=0.2)
    )
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(model, datamodule=data(tiny_folder))
    run.save_checkpoint(tmp_path / "a.ckpt")
    images = torch.randn(2, 3, 32, 32)
    again = ImageClassifier.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    torch.testing.assert_close(again.eval()(images), model.eval()(images), rtol=0, atol=0)
    assert again.data_facts["class_names"] == ["a", "b"]
    assert again.data_facts["size"] == 32
    assert len(again.data_facts["mean"]) == 3
    assert again.mask_site == "image"


def test_a_constructor_is_given_again_when_loading(tiny_folder, tmp_path):
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(ImageClassifier(Tiny, num_classes=2), datamodule=data(tiny_folder))
    run.save_checkpoint(tmp_path / "a.ckpt")
    again = ImageClassifier.load_from_checkpoint(tmp_path / "a.ckpt", backbone=Tiny)
    assert isinstance(again.model, Tiny)


def test_predictions(tiny_folder, tmp_path):
    folder = data(tiny_folder, predict_folder=tiny_folder / "val" / "images" / "b")
    model = ImageClassifier(Tiny, num_classes=2, attention=MASK)
    (batch,) = trainer(tmp_path).predict(model, datamodule=folder)
    assert batch["index"].tolist() == [0, 1]
    torch.testing.assert_close(batch["probabilities"].sum(1), torch.ones(2))
    assert batch["prediction"].tolist() == batch["probabilities"].argmax(1).tolist()
    assert batch["mask"].shape == (2, 32, 32)


def test_runs_do_not_overwrite_each_other(tmp_path):
    assert [claim_run(tmp_path, name="x") for _ in range(3)] == [0, 1, 2]
    (tmp_path / "x" / "version_10").mkdir()
    assert claim_run(tmp_path, name="x") == 11
    with pytest.raises(ValueError, match="plain folder name"):
        claim_run(tmp_path, name="../x")


def test_the_newest_checkpoint_is_found(tmp_path):
    for version, names in ((2, ["last", "best"]), (10, ["last"])):
        folder = tmp_path / "x" / f"version_{version}" / "checkpoints"
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.ckpt").touch()
    (tmp_path / "x" / "version_11").mkdir()
    assert find_checkpoint(tmp_path, name="x").parent.parent.name == "version_10"
    best = resolve_checkpoint("best", folder=tmp_path, name="x")
    assert best.parent.parent.name == "version_2"
    assert resolve_checkpoint(best, folder=tmp_path, name="y") == best
    with pytest.raises(FileNotFoundError, match="runs there: x"):
        resolve_checkpoint("last", folder=tmp_path, name="y")
    with pytest.raises(FileNotFoundError, match="last or best"):
        resolve_checkpoint("no.ckpt", folder=tmp_path, name="x")


PROBE = """
import ctypes, os
from visattn.training.command_line.process import tune_process
print(*tune_process(), sep=",")
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before, size = resident(), 200_000_000
block = libc.malloc(size)
ctypes.memset(block, 1, size)
libc.free(block)
print(resident() - before > size // 2, os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "allocator,openmp\nTrue passive\n"),
        ({"OMP_WAIT_POLICY": "active"}, "allocator\nTrue active\n"),
        ({"VISATTN_TUNE_PROCESS": "0"}, "\nFalse None\n"),
        ({"MALLOC_TRIM_THRESHOLD_": "100000"}, "openmp\nFalse passive\n"),
    ],
)
def test_a_tuned_process_keeps_its_memory(environment, expected):
    if not hasattr(__import__("ctypes").CDLL(None), "gnu_get_libc_version"):
        pytest.skip("another C library than glibc")
    ours = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**ours, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == expected
