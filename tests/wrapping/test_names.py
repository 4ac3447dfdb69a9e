"""One name for one tensor, whoever asks; files of the plain model and of earlier versions load."""

import copy
import multiprocessing
import os

import pytest
import timm
import torch
import torch.distributed as dist
from quick import slow_but
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.func import functional_call

from visattn import backbone_names, backbone_state_dict, unwrap, wrap
from visattn.blocks.attended import attended, base_of
from visattn.testing import enliven
from visattn.testing.model_case import ModelCase
from visattn.testing.transport_promises import survives_sharding

CASES = {  # block, place: after a BN, around a block that holds another unit, instead of a conv
    "branch": ("se", {}),
    "block": ("cbam", {"at": "block"}),
    "image": ("spatial_mask", {"at": "image"}),
    "instead": ("mhsa", {"init": "paper", "stages": [4]}),
}

ONE_OF_A_KIND = ("cbam", "nonlocal", "mhsa", "sk", "spatial_mask", "abn")


def plain_model():
    return enliven(timm.create_model("test_resnet", num_classes=5)).eval()


@pytest.fixture(params=CASES)
def model(request):
    block, options = CASES[request.param]
    return enliven(wrap(plain_model(), block, **options)).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 48, 48)


@pytest.mark.parametrize("model", slow_but(CASES, ["image", "instead"]), indirect=True)
def test_all_say_the_same_names(model, images):
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    assert set(tensors) == set(model.state_dict())
    assert set(torch.export.export(model, (images,)).state_dict) == set(tensors)


def test_functional_call_takes_the_state_dict(model, images):
    expected = model(images)
    torch.testing.assert_close(functional_call(model, model.state_dict(), images), expected)
    zeros = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    assert functional_call(model, zeros, images).abs().max() == 0
    assert torch.equal(model(images), expected)


def test_a_plain_optimisers_state_goes_by_names(model):
    plain = unwrap(copy.deepcopy(model))
    moments = {name: torch.rand_like(p) for name, p in plain.named_parameters()}
    names = backbone_names(model)
    aside = {name for name in moments if name not in names}
    ours = {names[name]: value for name, value in moments.items() if name in names}
    own = dict(model.named_parameters())
    assert all(own[name].shape == value.shape for name, value in ours.items())
    assert aside <= set(backbone_state_dict(model))


def earlier(model):
    """The state dict as versions wrote it that named no base."""
    names = {own: plain for plain, own in backbone_names(model).items()}
    state = {names.get(name, name): value for name, value in model.state_dict().items()}
    return {name.replace(".base.", "."): value for name, value in state.items()}


def test_state_dicts_of_earlier_versions_load(model, images):
    state = earlier(model)
    assert not any(".base." in name for name in state)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.zero_()
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    torch.testing.assert_close(other(images), model(images))


def test_units_of_units_keep_names_apart(images):
    plain = plain_model()
    model = wrap(copy.deepcopy(plain), {"block": "se", "branch": "cbam"})
    wrap(model, "eca", stack=True)
    assert backbone_state_dict(model).keys() == plain.state_dict().keys()
    assert str(plain.load_state_dict(backbone_state_dict(model))).startswith("<All keys")
    assert torch.equal(model.eval()(images), plain(images))
    inner = [base_of(unit) for unit in attended(model)]
    assert any(type(base).__name__ == "Attended" for base in inner)


def _check_sharding(block):
    torch.manual_seed(0)
    survives_sharding(ModelCase(plain_model(), torch.randn(2, 3, 48, 48), block))


def _check_fsdp1(block):
    model = enliven(wrap(plain_model(), block)).eval()
    names = sorted(dict(model.named_parameters()))
    plain = {name: value.clone() for name, value in model.state_dict().items()}
    model = FullyShardedDataParallel(model, device_id="cpu", use_orig_params=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.randn(2, 3, 48, 48)).square().mean().backward()
    optimiser.step()
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    spread = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    first = dist.get_rank() == 0
    state = get_model_state_dict(model, options=whole)
    moments = get_optimizer_state_dict(model, optimiser, options=whole)
    set_model_state_dict(model, dict(plain) if first else {}, options=spread)
    set_optimizer_state_dict(model, optimiser, dict(moments) if first else {}, options=spread)
    back = get_model_state_dict(model, options=whole)
    if first:
        assert set(state) == set(plain)
        assert sorted(moments["state"]) == names
        assert all(torch.equal(back[name], value) for name, value in plain.items())
        assert any(not torch.equal(state[name], plain[name]) for name in names)


def _process(rank, path, check, blocks, queue):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    block = ""
    try:
        for block in blocks:
            check(block)
        queue.put("fine")
    except BaseException as error:
        queue.put(f"{block}: {type(error).__name__}: {error}")
        raise
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "blocks"),
    [(_check_sharding, ONE_OF_A_KIND), (_check_fsdp1, ["cbam"])],
    ids=["FSDP2", "FSDP1"],
)
def test_two_processes_train_a_sharded_model_and_its_checkpoints_load(check, blocks, tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    path = tmp_path / "rendezvous"
    workers = [
        context.Process(target=_process, args=(rank, path, check, blocks, queue))
        for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    answers = [queue.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    assert answers == ["fine", "fine"]
