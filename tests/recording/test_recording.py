import copy
import gc
import io
import threading

import pytest
import timm
import torch
from torch import nn

from visattn import record, wrap
from visattn.blocks import CBAM, NonLocal
from visattn.recording import SiteMaps, find_taps
from visattn.testing import enliven


@pytest.fixture
def model():
    plain = timm.create_model("resnet10t", num_classes=5)
    return enliven(wrap(plain, "cbam", init="paper")).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 96)


def test_shapes_names_and_values(model, images):
    with torch.no_grad(), record(model) as maps:
        model(images)
    assert list(maps) == ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]
    site = maps["layer1.0"]
    assert site.channel.shape == (2, 64)
    assert site.spatial.shape == (2, 16, 24)
    assert 0 < site.channel.min() < site.channel.max() < 1
    assert repr(maps).startswith("Recording(layer1.0: channel, spatial;")


def test_the_recorded_gate_is_what_multiplies(images):
    block = enliven(CBAM(3)).eval()
    with record(block) as maps:
        y = block(images)
    (site,) = maps.values()
    torch.testing.assert_close(
        y, images * site.channel[:, :, None, None] * site.spatial[:, None], atol=1e-6, rtol=1e-5
    )


def test_outputs_are_the_same_and_no_hook_is_left(model, images):
    expected = model(images)
    with record(model):
        assert torch.equal(model(images), expected)
    with pytest.raises(RuntimeError, match="channels"), record(model):
        model(images[:, :2])
    assert not any(module._forward_hooks for module in model.modules())


def test_works_in_inference_mode_and_under_autocast(model, images):
    with torch.inference_mode(), record(model) as maps:
        model(images)
    assert maps["layer4.0"].channel.shape == (2, 512)
    with torch.autocast("cpu", dtype=torch.bfloat16), record(model) as maps:
        model(images)
    assert maps["layer4.0"].channel.dtype is torch.bfloat16


@pytest.mark.slow
def test_works_on_a_compiled_model(model, images):
    expected = model(images)
    compiled = torch.compile(model, backend="eager")
    compiled(images)
    with record(compiled) as maps:
        assert torch.equal(compiled(images), expected)
    assert list(maps) == ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]
    torch.testing.assert_close(compiled(images), expected)


def test_works_on_a_model_whose_first_compilation_is_recorded(model, images):
    expected = model(images)
    with record(model) as maps:
        assert torch.equal(torch.compile(model, backend="eager")(images), expected)
    assert maps["layer4.0"].calls == 1


@pytest.fixture
def one_process(tmp_path):
    """A process group of this process alone."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_works_in_distributed_training(model, images):
    with torch.no_grad(), record(model) as maps:
        expected = model(images)
    parallel = nn.parallel.DistributedDataParallel(model)
    with record(parallel) as found:
        y = parallel(images)
    assert torch.equal(y, expected)
    assert torch.equal(found["layer4.0"].spatial, maps["layer4.0"].spatial)
    y.sum().backward()  # the gradients are still exchanged
    assert model.layer1[0].bn2.attention.channel.fc1.weight.grad.any()
    assert not any(module._forward_hooks for module in parallel.modules())


def test_what_has_no_modules_left_says_so(model, images):
    program = torch.export.export(model, (images,)).module()
    with pytest.raises(ValueError, match="an exported program has none left"), record(program):
        pass


def test_detached_unless_told(model, images):
    with record(model) as maps:
        model(images)
    assert not maps["layer1.0"].spatial.requires_grad
    with record(model, graph=True) as maps:
        model(images)
    maps["layer1.0"].spatial.sum().backward()
    assert model.layer1[0].bn2.attention.channel.fc1.weight.grad.any()


def test_inside_another_module(model, images):
    outer = nn.ModuleDict({"backbone": model})
    with record(outer) as maps:
        outer["backbone"](images)
    assert next(iter(maps)) == "backbone.layer1.0"
    assert maps["layer1.0"] is maps["backbone.layer1.0"]
    with pytest.raises(KeyError, match=r"Did you mean 'backbone.layer\d.0'"):
        maps["layer5.0"]


def test_a_module_that_runs_twice_is_recorded_by_call(images):
    block = enliven(CBAM(3)).eval()
    with record(nn.Sequential(block, nn.ReLU(), block)) as maps:
        block(images)
        block(2 * images)
    site = maps["0"]
    assert site.calls == 2
    with pytest.raises(AttributeError, match=r"ran 2 times; choose one: .call\(0\).channel"):
        _ = site.channel
    assert not torch.equal(site.call(0).channel, site.call(1).channel)
    with pytest.raises(IndexError, match=r"got call\(2\)"):
        site.call(2)


def test_pairwise_rows_on_demand_hold_nothing_large():
    block = NonLocal(8).eval()
    with torch.no_grad(), record(block) as maps:
        block(torch.randn(1, 8, 96, 96))
    (site,) = maps.values()
    row = site.query(3, 90)
    assert row.shape == (1, 96, 96)
    torch.testing.assert_close(row.sum(), torch.tensor(1.0))
    assert site.pairwise.queries.numel() + site.pairwise.keys.numel() == 2 * 96 * 96 * 4
    with pytest.raises(IndexError, match="rows 0 to 95"):
        site.query(96, 0)
    with pytest.raises(IndexError, match="heads 0 to 0"):
        site.query(0, 0, head=1)


def test_what_a_site_does_not_have(model, images):
    with record(model) as maps:
        model(images)
    with pytest.raises(AttributeError, match="computes no pairwise; it has channel, spatial"):
        _ = maps["layer1.0"].pairwise


def test_nothing_to_record_is_an_error(model):
    with pytest.raises(ValueError, match="no attention block to record"), record(nn.ReLU()):
        pass
    with pytest.raises(RuntimeError, match="no attention block ran"), record(model):
        pass
    assert not any(module._forward_hooks for module in model.modules())


def test_nothing_is_kept_alive(model, images):
    others = [o for o in gc.get_objects() if type(o) is SiteMaps]  # of other tests
    for _ in range(3):
        with record(model) as maps:
            model(images)
    del maps
    gc.collect()
    found = [o for o in gc.get_objects() if type(o) is SiteMaps]
    assert not [o for o in found if all(o is not other for other in others)]


def test_every_tap_has_a_site(model):
    assert {site for site, _, _ in find_taps(model)} == {f"layer{i}.0" for i in range(1, 5)}


def test_threads_that_overlap_record_their_own_passes(model):
    together, found = threading.Barrier(2, timeout=30), {}

    def run(count):
        with torch.no_grad(), record(model) as maps:
            together.wait()
            model(torch.rand(count, 3, 64, 64))
            together.wait()
        found[count] = {(len(entry.channel), entry.calls) for entry in maps.values()}

    threads = [threading.Thread(target=run, args=(count,)) for count in (1, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: {(1, 1)}, 3: {(3, 1)}}


def test_a_copy_made_inside_of_a_recording_has_no_hook(model, images):
    with record(model):
        model(images)
        double, file = copy.deepcopy(model), io.BytesIO()
        torch.save(model, file)
    file.seek(0)
    for other in (double, torch.load(file, weights_only=False)):
        assert not any(module._forward_hooks for module in other.modules())
