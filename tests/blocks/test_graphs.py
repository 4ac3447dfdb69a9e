"""Blocks in programs that others make of a model: torch.fx, TorchScript, quantisation."""

import copy
import io

import pytest
import torch
from each_block import EACH_COMPILED
from quick import slow_but
from torch import fx, nn
from torch.ao import quantization
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names
from torchvision.models.quantization import mobilenet_v2

from visattn import record, wrap
from visattn.blocks import block_entry, block_names
from visattn.blocks.attended import attended
from visattn.recording import find_taps
from visattn.testing import enliven
from visattn.testing.graphs import check_graph_trains, check_graphs, check_prepared

OPTIONS = (
    *(("aa", o) for o in ({"stride": 2}, {"relative": False}, {"upsilon": 1})),
    *(("axial", {"position": position, "heads": 2}) for position in ("sine", "learned")),
    ("bam", {"variant": "official"}),
    ("cbam", {"variant": "timm"}),
    *(("ge", o) for o in ({"mlp": False}, {"extent": 2, "gather": "mean", "init": "identity"})),
    *(("gc", {"fuse": fuse}) for fuse in ("scale", "both")),
    *(("latents", o) for o in ({"depth": 0}, {"heads": 2, "position": "sine"})),
    ("linear", {"features": "elu"}),
    ("local", {"stride": 2}),
    *(("mhsa", {"position": position}) for position in ("none", "learned", "sine")),
    ("mhsa", {"stride": 2}),
    *(("nonlocal", {"pairwise": name}) for name in ("gaussian", "dot", "concatenation")),
    ("nonlocal", {"subsample": True, "norm": False}),
    ("polarized", {"order": "sequential"}),
    *(("residual_attention", {"attention": name}) for name in ("channel", "spatial")),
    ("scse", {"combine": "max"}),
    ("sk", {"split_input": True}),
    *(("splat", o) for o in ({"radix": 1}, {"groups": 2, "stride": 2})),
    *(("spatial_mask", {"form": form}) for form in ("residual", "annealed")),
    ("spatial_mask", {"hard": True, "erode": 1, "detach": True, "init": "identity"}),
    ("triplet", {"spatial": False}),
)
UNSCRIPTABLE = {
    *("aa", "axial", "bat", "bottleneck", "cot", "criss_cross", "danet", "double", "fca", "halo"),
    *("lambda", "latents", "linear", "local", "mhsa", "mlca", "nonlocal", "outlook"),
    *("residual_attention", "scsa", "spatial_mask"),
}


@pytest.fixture
def x():
    return torch.randn(2, 16, 9, 7)


@pytest.fixture
def wrapped(name):
    """A ResNet of torchvision with the block at its own place, as training would leave it."""
    model = wrap(enliven(resnet18(num_classes=3)), name, init="paper")
    return enliven(model, seed=1).eval()


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_every_option_goes_into_a_graph(name, options, x):
    block = enliven(block_entry(name).factory(16, **options)).eval()
    check_graphs(block, x)
    check_graph_trains(block, x)


@pytest.mark.parametrize("name", EACH_COMPILED)
def test_torchvisions_feature_extractor(name, wrapped):
    in_training, in_evaluation = get_graph_node_names(wrapped)
    assert in_training == in_evaluation
    places = ["layer1", "layer3", "fc"]
    extract = create_feature_extractor(wrapped, return_nodes=places).eval()
    expected = {}
    for place in places:
        module = wrapped.get_submodule(place)
        module.register_forward_hook(lambda _, __, y, place=place: expected.update({place: y}))
    for size in ((64, 64), (75, 50)):
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            found, _ = extract(images), wrapped(images)
        assert all(torch.equal(found[place], expected[place]) for place in places)


def test_a_block_in_a_network_of_ones_own_and_its_graph_in_a_file(x):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = block_entry("axial").factory(16)
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            return self.head(self.attention(x).mean((2, 3)))

    net, file = enliven(Net()).eval(), io.BytesIO()
    torch.save(fx.symbolic_trace(net), file)
    file.seek(0)
    graph = torch.load(file, weights_only=False)
    assert torch.equal(graph(x), net(x))
    with record(graph) as maps:
        graph(x)
    (site,) = maps.values()
    assert site.pairwise.query_size == (9, 7)


def test_what_a_schedule_sets_is_no_constant_of_the_graph(x):
    block = enliven(block_entry("spatial_mask").factory(16, form="annealed")).eval()
    graph = fx.symbolic_trace(block)
    block.set_leak(0.25)
    assert not torch.equal(block(x), x)
    assert torch.equal(graph(x), block(x))


def test_hooks_run_when_the_graph_runs_and_not_before(x):
    block = enliven(block_entry("se").factory(16)).eval()
    block.gate.tap.register_forward_hook(lambda *_: 2 * _[2])
    assert torch.equal(fx.symbolic_trace(block)(x), block(x))


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*quant_min:UserWarning")
@pytest.mark.parametrize(
    "name", slow_but(["cbam", "nonlocal", "mhsa", "residual_attention"], ["nonlocal"])
)
def test_quantisation_is_prepared_with_the_attention(name, wrapped):
    images = torch.randn(1, 3, 64, 64)
    check_prepared(wrapped, images)
    count = len(list(find_taps(wrapped)))
    eager = copy.deepcopy(wrapped)
    eager.qconfig = quantization.get_default_qconfig("x86")
    eager = quantization.prepare(eager)
    with torch.no_grad():
        assert torch.equal(eager(images), wrapped(images))
    assert len(list(find_taps(eager))) == count


@pytest.mark.parametrize("name", ["se"])
def test_fusing_modules_around_attention_is_an_error(name, wrapped):
    with pytest.raises((AssertionError, NotImplementedError), match="Attended"):
        quantization.fuse_modules(wrapped, [["layer1.0.conv2", "layer1.0.bn2"]], inplace=True)
    assert len(list(attended(wrapped))) == 8


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.parametrize("name", block_names())
def test_scripts(name, x):
    block = enliven(block_entry(name).factory(16)).eval()
    if name not in UNSCRIPTABLE:
        torch.testing.assert_close(torch.jit.script(block)(x), block(x))
    else:
        with pytest.raises(
            RuntimeError, match=r"torch\.jit\.script can't compile .*torch\.jit\.trace"
        ):
            torch.jit.script(block)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.parametrize("name", ["se"])
def test_a_wrapped_model_refuses_to_be_scripted_and_stays(name, wrapped):
    images = torch.randn(1, 3, 64, 64)
    expected = wrapped(images)
    with pytest.raises(RuntimeError, match="a module with attention that wrap put in"):
        torch.jit.script(wrapped)
    assert torch.equal(wrapped(images), expected)
    assert len(list(attended(wrapped))) == 8


@pytest.mark.parametrize("place", [None, "conv", "stage"])
def test_torchvisions_quantisable_models_are_fused_with_the_attention_or_refuse(place):
    model = wrap(enliven(mobilenet_v2(num_classes=3)), "se", at=place, init="paper").eval()
    images = torch.randn(1, 3, 64, 64)
    expected = model(images)
    if place == "stage":
        model.fuse_model()
    else:
        with pytest.raises(RuntimeError, match=r"attention .* would be lost.*at='stage'"):
            model.fuse_model()
    torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=1e-5)
