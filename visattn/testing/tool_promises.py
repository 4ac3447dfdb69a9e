"""The promises of a wrapped model about the tools that people hand it to."""

import copy
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import torch
from timm.utils import reparameterize_model
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import symbolic_trace

from visattn.blocks.attended import attended
from visattn.blocks.loading import differences, made_of
from visattn.recording import find_taps, record
from visattn.testing.graphs import check_graphs, check_prepared
from visattn.testing.keys import attention_keys
from visattn.testing.model_case import ModelCase
from visattn.testing.outputs import close, seeded
from visattn.wrapping.weights import load_attention, save_attention


def has_one_name_for_a_tensor(case: ModelCase) -> None:
    """`functional_call` takes the state dict, uses all of it, and leaves the model as it was."""
    model = copy.deepcopy(case.live)
    tensors: dict[str, Tensor] = dict(model.named_parameters(remove_duplicate=False))
    tensors |= dict(model.named_buffers(remove_duplicate=False))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    strange = sorted(state.keys() - tensors.keys())
    assert not strange, f"the state dict has names that no parameter or buffer has: {strange[:3]}"
    expected = seeded(model, case.images)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.zero_()
        torch.manual_seed(0)
        answer = functional_call(model, state, (case.images.clone(),))
    close(answer, expected, "functional_call")
    assert not any(value.any() for value in model.state_dict().values()), "values are left behind"


def is_folded_or_refuses(case: ModelCase) -> None:
    """Timm's `reparameterize_model` keeps attention and outputs, or says that it would be lost."""
    model = copy.deepcopy(case.live)
    count, expected = len(list(attended(model))), seeded(model, case.images)
    folded: list[nn.Module] = []
    refused = _refusal(lambda: folded.append(reparameterize_model(model)))
    if folded:
        assert len(list(attended(folded[0]))) == count, "folding drops attention"
        close(seeded(folded[0], case.images), expected, "folding")
    else:
        assert "would be lost" in refused, f"folding fails: {refused}"
        assert torch.equal(seeded(model, case.images), expected), "a refusal changes the model"


def gives_graphs(case: ModelCase) -> None:
    """``torch.fx`` and ``torch.jit.trace`` keep outputs, ``prepare_fx`` attention, too."""
    try:
        symbolic_trace(copy.deepcopy(case.plain))
    except Exception:
        return  # nor does the plain model go through torch.fx
    check_graphs(case.live, case.images)
    check_prepared(case.live, case.images)


def is_recorded_in_threads(case: ModelCase) -> None:
    """Recordings of two threads that overlap hold each thread's own maps."""
    if not list(find_taps(case.live)):
        return
    batches = (case.images[:1], torch.cat([case.images, case.images]))
    together, found = threading.Barrier(2, timeout=60), {}

    def run(batch: Tensor) -> None:
        with record(case.live) as maps:
            together.wait()
            seeded(case.live, batch)
            together.wait()
        found[len(batch)] = maps

    threads = [threading.Thread(target=run, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(batches), "a recording fails beside another thread's"
    for batch in batches:
        with record(case.live) as alone:
            seeded(case.live, batch)
        for site, entry in alone.items():
            theirs = found[len(batch)][site].values
            assert {tap: len(v) for tap, v in theirs.items()} == {
                tap: len(v) for tap, v in entry.values.items()
            }, f"recordings of threads mix at {site}"
            for tap, (value, *_) in entry.values.items():
                if isinstance(value, Tensor):
                    close(theirs[tap][0], value, f"{tap} of {site} beside another thread")


def compares_options(case: ModelCase) -> None:
    """Attention made with another ``init`` is refused, and a refused file changes nothing."""
    other = copy.deepcopy(case.start)
    pairs = zip(attended(case.live), attended(other), strict=True)
    if not any(differences(made_of(one), made_of(two)) for one, two in pairs):
        return  # blocks that know no init
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "attention.safetensors"
        if attention_keys(case.live):
            save_attention(case.live, path)
            refused = _refusal(lambda: load_attention(other, path))
            assert "init" in refused, f"load_attention takes another init: {refused}"
    for name, value in other.state_dict().items():
        assert torch.equal(value, before[name]), f"a refused file changes {name}"
    refused = _refusal(lambda: other.load_state_dict(case.live.state_dict()))
    assert "init" in refused, f"load_state_dict takes another init: {refused}"


def _refusal(load: Callable[[], object]) -> str:
    """What the error says, or that there is none."""
    try:
        load()
    except (ValueError, RuntimeError) as error:
        return str(error)
    return "no error"


TOOL_PROMISES: tuple[Callable[[ModelCase], None], ...] = (
    has_one_name_for_a_tensor,
    is_folded_or_refuses,
    gives_graphs,
    is_recorded_in_threads,
    compares_options,
)
"""What `visattn.testing.check_wrapped` checks about tools."""
