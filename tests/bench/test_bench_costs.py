"""What visattn bench measures, and how it says what it can't."""

import csv
import weakref
from contextlib import nullcontext

import pytest
import torch
from quick import slow_but
from torch import nn

from visattn.bench.measuring import Condition, measure
from visattn.bench.steps import Stepper, peak_bytes
from visattn.bench.subjects import Subject, blocks_alone, models_with
from visattn.bench.timing import Scatter, interleaved, spread
from visattn.cli import main

CPU = torch.device("cpu")
CONTIGUOUS = Condition("float32", "contiguous")
TINY = """
from torch import nn

def net():
    layers = {"conv": nn.Conv2d(3, 16, 3), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
    return nn.Sequential(nn.ModuleDict(layers)["conv"], *list(layers.values())[1:])

def scale(channels, *, by=1.0):
    return nn.Conv2d(channels, channels, 1)

number = 3
"""


@pytest.fixture
def users_own(tmp_path, monkeypatch):
    (tmp_path / "users_own.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


class Hungry(nn.Module):
    def forward(self, x):
        return x * torch.ones(10**6).add_(1).sum()


def test_everyone_begins_a_round_in_turn():
    seen = []
    runs = {name: lambda name=name: seen.append(name) for name in "abc"}
    taken = interleaved(runs, rounds=3, now=iter(range(1000)).__next__)
    assert "".join(seen) == "cab" + "abc" + "bca" + "cab"
    assert taken == {"a": [1, 1, 1], "b": [1, 1, 1], "c": [1, 1, 1]}
    assert spread([], over=[]) is None


def test_a_short_run_is_repeated_and_each_round_has_its_memory_anew():
    seen, given = [], []
    clock = iter(0.005 * tick for tick in range(1000)).__next__

    def before():
        given.append(weakref.ref(held := nn.Identity()))
        return held

    def run():
        seen.append(given[-1]() is not None)

    taken = interleaved({"a": run}, rounds=2, now=clock, before=before)
    assert seen == [True] * (1 + 2 * (1 + 4))  # 5 ms, four of which are 20; one is to warm up
    assert taken == {"a": [pytest.approx(0.005 / 4)] * 2}
    assert [ref() for ref in given] == [None] * 3
    scatter = Scatter()
    first, second = scatter(), scatter()
    assert [len(t) for t in first] != [len(t) for t in second]
    assert {t.data_ptr() for t in first}.isdisjoint(t.data_ptr() for t in second)


def test_what_a_step_holds_is_counted_to_the_byte():
    x = torch.ones(1, 4, 8, 8)
    step = Stepper(Hungry(), x.requires_grad_(True))
    assert 4 * 10**6 <= peak_bytes(step.step, device=CPU) <= 4 * 10**6 + 10**4
    linear = Stepper(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid()), x.detach())
    assert linear.kept_bytes() == 2 * x.nbytes  # the convolution's input and the sigmoid's output


def test_ours_holds_no_weights_of_all_places_by_all_places():
    copied, ours, timms = blocks_alone(["nonlocal"], shape=(1, 8, 48, 48))[:3]
    weights = 48**4 * 4  # many more than each thread's room for some of them
    x = torch.randn(1, 8, 48, 48, requires_grad=True)
    assert Stepper(timms.module, x).peak_bytes() > 2 * weights
    assert Stepper(ours.module, x).peak_bytes() < 0.5 * weights
    assert Stepper(copied.module, x).kept_bytes() == 0
    assert (ours.peer, ours.parameters) == (timms.name, timms.parameters)


@pytest.mark.parametrize("precision", slow_but(["float32", "bf16"], ["float32"]))
def test_ratios_of_a_model_with_each_block_at_its_sites(precision):
    subjects = models_with("resnet10t", ["se", "bam:stages=[1]"], size=(3, 32, 32))
    names = {s.name: s.sites for s in subjects if "plain form" not in s.name}
    assert names == {"plain": 0, "se": 4, "se of timm": 4, "bam:stages=[1]": 1}
    x = torch.randn(2, 3, 32, 32)
    way = Condition(precision, "channels_last")
    costs = {cost.subject.name: cost for cost in measure(subjects, x, [way], rounds=1)}
    assert costs["plain"].step.median == costs["plain"].kept == costs["plain"].peak == 1
    assert costs["se of timm"].kept > 1
    assert costs["se"].step_of_peer is not None
    assert costs["bam:stages=[1]"].forward_of_peer is None


def test_compiled_code_is_measured_beside_eager_code(monkeypatch, capsys):
    monkeypatch.setattr(torch, "compile", nn.Sequential)  # takes a while by itself
    what = ["--block", "se", "--shape", "1,16,6,6", "--layout=contiguous"]
    assert main(["bench", *what, "--compile", "--rounds=2"]) == 0
    eager, compiled = capsys.readouterr().out.split("float32, contiguous, ")[1:]
    assert compiled.startswith("compiled: over a copy of the map")
    assert "over timm's block, eager" not in eager
    table = compiled.partition("over timm's block, eager")[2]
    rows = [line for line in table.splitlines() if line.startswith("se")]
    assert len(rows) == 2
    assert all(float(ratio) > 0 for row in rows for ratio in row.split()[-2:])


def test_a_step_trains_under_its_context():
    entered = []

    def context():
        entered.append(1)
        return nullcontext()

    module = nn.Conv2d(3, 2, 1)
    before = module.weight.detach().clone()
    Stepper(module, torch.ones(1, 3, 4, 4), None, context).step()
    assert entered == [1]
    assert not torch.equal(module.weight, before)


def test_a_subject_that_cannot_run_is_named():
    subjects = [Subject("plain", nn.Identity()), Subject("odd", nn.Linear(5, 5))]
    with pytest.raises(ValueError, match=r"odd can't run on \(1, 3, 4, 4\) in float32"):
        next(measure(subjects, torch.ones(1, 3, 4, 4), [CONTIGUOUS], rounds=1))


@pytest.mark.slow
def test_models_and_blocks_of_others(users_own, tmp_path, capsys):
    blocks = ["users_own.scale:at=0", "torchvision.ops.SqueezeExcitation:squeeze_channels=4,at=0"]
    alone = ["--block", "timm.layers.EcaModule", "eca", "--shape", "1,8,6,6", "--block=simam"]
    (tmp_path / "page.md").write_text("# Mine\n<!-- table -->\n<!-- end -->\n")
    words = ["--batch=2", "--size=16", "--rounds=2", "--out=found", "--readme=page.md"]
    assert main(["bench", "users_own.net", *blocks, *alone, *words]) == 0
    with open("found/bench.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["layout"] for row in rows} == {"contiguous", "channels_last"}
    names = {row["block"] for row in rows} - {"eca, plain form", "simam, plain form"}
    assert names >= {"plain", "scale:at=0", "copy", "EcaModule", "eca", "eca of timm", "simam"}
    for row in rows:
        assert float(row["step_low"]) <= float(row["step"]) <= float(row["step_high"])
    assert (tmp_path / "found" / "bench.png").stat().st_size > 10_000
    assert "| eca of timm | float32, contiguous, eager |" in (tmp_path / "page.md").read_text()
    said = capsys.readouterr().out
    assert "over a copy of the map" in said
    assert "medians of 2 rounds" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name what to measure: visattn bench resnet50 se cbam"),
        (["resnet18"], "name a block, too: visattn bench resnet18 cbam"),
        (["resnt50", "se"], "did you mean resnet50"),
        (["nothing.ckpt", "se"], "no checkpoint at nothing.ckpt"),
        (["users_own.number", "se"], "users_own.number is no constructor but int"),
        (["users_own.nett", "se"], "users_own has no 'nett'; did you mean net?"),
        (["users_own.net", "cban"], "Did you mean 'cbam'"),
        (["users_own.net", "timm.layers.Ecamodule"], "did you mean EcaModule"),
        (["users_own.net", "se:at=0,red=4"], "no option 'red'"),
        (["users_own.net", "se", "--size=0"], "size must be at least 1"),
        (["users_own.net", "se", "--rounds=-1"], "rounds must be at least 0"),
        (["users_own.net", "se", "--precision=fp16"], "precision must be one of float32, bf16"),
        (["users_own.net", "se", "--layout=nhwc"], "layout must be one of contiguous"),
        (["users_own.net", "se", "--device=tpu"], "device 'tpu' can't be used here"),
        (["--block", "se"], "--block needs --shape"),
        (["--shape", "8,256,56"], "N,C,H,W such as 8,256,56,56, got '8,256,56'"),
        (["--block", "se:[", "--shape", "1,8,4,4"], "expected se:OPTION=VALUE"),
        (["--block", "se:red=3", "--shape", "1,8,4,4"], "se:red=3 can't run alone"),
    ],
)
def test_a_mistake_is_told(words, message, users_own, capsys):
    assert main(["bench", *words]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
