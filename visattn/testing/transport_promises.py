"""The promises of a wrapped model about copies, files and parallel training."""

import copy
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from visattn.recording import find_taps
from visattn.testing.keys import attention_keys
from visattn.testing.model_case import ModelCase
from visattn.testing.outputs import check_copies, close, seeded
from visattn.wrapping.insertion import attention_parameters
from visattn.wrapping.weights import load_attention, save_attention


def survives_copies(case: ModelCase) -> None:
    """``copy.deepcopy`` and ``torch.save`` (pickle) give a model with the same outputs."""
    check_copies(case.live, case.images)


def survives_safetensors(case: ModelCase) -> None:
    """All weights, or attention's alone, go through a file into a model wrapped afresh."""
    from safetensors.torch import load_model, save_model

    expected = seeded(case.live, case.images)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.safetensors")
        fresh = case.wrapped("paper").eval()
        if list(attention_keys(fresh)):
            load_attention(fresh, save_attention(case.live, path))
        assert torch.equal(seeded(fresh, case.images), expected), "an adapter changes the output"
        for tensor in (*fresh.parameters(), *fresh.buffers()):
            tensor.detach().zero_()
        save_model(case.live, path)
        load_model(fresh, path)
        assert torch.equal(seeded(fresh, case.images), expected), "safetensors changes the output"


def survives_batchnorm_conversion(case: ModelCase) -> None:
    """``SyncBatchNorm.convert_sync_batchnorm`` keeps keys, and outputs as in the plain model.

    It drops the activation of modules that are a BN and an activation in one, such as some of
    timm's; their outputs aren't compared.
    """
    model = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(case.live)).eval()
    assert list(model.state_dict()) == list(case.live.state_dict()), "other keys"
    plain = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(case.plain)).eval()
    expected = seeded(case.plain.eval(), case.images)
    if torch.allclose(seeded(plain, case.images), expected, atol=1e-4, rtol=1e-3):
        close(seeded(model, case.images), seeded(case.live, case.images), "SyncBatchNorm")


def survives_averaging(case: ModelCase) -> None:
    """An exponential moving average takes attention's entries along."""
    model = copy.deepcopy(case.live)
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    mean.update_parameters(model)
    with torch.no_grad():
        for parameter in attention_parameters(model):
            parameter.add_(1.0)
    mean.update_parameters(model)
    averaged, before, after = (m.state_dict() for m in (mean.module, case.live, model))
    assert list(averaged) == list(after), "other keys"
    for name in attention_keys(model):
        if after[name].is_floating_point():
            close(averaged[name], (before[name] + after[name]) / 2, f"the average of {name}")


def survives_parallel_training(case: ModelCase) -> None:
    """``DistributedDataParallel`` gives the same outputs and the same gradients."""
    if not torch.distributed.is_available():
        return
    unused = any(getattr(tap, "kind", "") == "class_logits" for _, _, tap in find_taps(case.live))
    bare = copy.deepcopy(case.live)
    bare(case.images).square().mean().backward()
    with process_group():
        parallel = DistributedDataParallel(copy.deepcopy(case.live), find_unused_parameters=unused)
        y = parallel(case.images)
        close(y.detach(), seeded(bare, case.images), "DistributedDataParallel")
        with warnings.catch_warnings():  # that gradients of channels-last kernels are copied
            warnings.simplefilter("ignore")
            y.square().mean().backward()
        inside = dict(parallel.module.named_parameters())
        for name, parameter in bare.named_parameters():
            ours = inside[name].grad
            assert (ours is None) == (parameter.grad is None), f"gradient of {name}"
            if ours is not None and parameter.grad is not None:
                close(ours, parameter.grad, f"the gradient of {name}")
        del parallel


def survives_sharding(case: ModelCase) -> None:
    """`fully_shard` (FSDP2) trains it; a distributed checkpoint of weights and moments comes back.

    In the process group that there is, of any number of processes, or in one of this process.
    """
    if not torch.distributed.is_available():
        return
    from torch.distributed.checkpoint import load, save
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.fsdp import fully_shard

    with process_group(), tempfile.TemporaryDirectory() as own:
        model = copy.deepcopy(case.live)
        names = {name for name, p in model.named_parameters() if p.requires_grad}
        entries = set(model.state_dict())
        fully_shard(model)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        close(seeded(model, case.images), seeded(case.live, case.images), "fully_shard")
        with warnings.catch_warnings():  # that nothing may be written into an output that is a view
            warnings.simplefilter("ignore")
            total = sum(p.sum() for p in model.parameters() if p.requires_grad)
            (model(case.images).square().mean() + 0 * total).backward()  # moments for unused ones
        optimiser.step()
        state, moments = get_state_dict(model, optimiser)
        assert state.keys() == entries, "sharding changes the names"
        assert set(moments["state"]) <= names, "the optimiser's names are others"
        folder = [own]
        torch.distributed.broadcast_object_list(folder)
        save({"model": state, "optimiser": moments}, checkpoint_id=folder[0])
        expected = seeded(model, case.images)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        kept: dict[str, Any] = {
            "model": model.state_dict(),
            "optimiser": get_state_dict(model, optimiser)[1],
        }
        load(kept, checkpoint_id=folder[0])
        set_state_dict(
            model,
            optimiser,
            model_state_dict=kept["model"],
            optim_state_dict=kept["optimiser"],
        )
        close(seeded(model, case.images), expected, "a distributed checkpoint")
        torch.distributed.barrier()


@contextmanager
def process_group() -> Iterator[None]:
    """The process group that there is, or one of this process alone."""
    if torch.distributed.is_initialized():
        yield
        return
    hook, store = sys.excepthook, torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
        sys.excepthook = hook


TRANSPORT_PROMISES: tuple[Callable[[ModelCase], None], ...] = (
    survives_copies,
    survives_safetensors,
    survives_batchnorm_conversion,
    survives_averaging,
    survives_parallel_training,
    survives_sharding,
)
"""What `visattn.testing.check_wrapped` checks beside the promises about the model itself."""
