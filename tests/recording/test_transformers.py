import copy
import math
import threading
from math import prod

import pytest
import timm
import torch
import torchvision
from recording.small_transformers import OPTIONS, small
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from visattn import record, wrap
from visattn.recording import record_any
from visattn.recording.network_maps import layer_table, maps_of
from visattn.recording.tokens.token_map import TokenMap


def recorded(model, images):
    with torch.no_grad(), record(model) as maps:
        model(images)
    return maps


def explicit(model, images):
    """What timm's networks multiply the values with when they don't use the fused kernel."""
    model, caught = copy.deepcopy(model), {}
    for path, module in model.named_modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
        if path.endswith("attn_drop"):
            name = path.removesuffix(".attn_drop")
            module.register_forward_hook(
                lambda _, given, out, name=name: caught.update({name: out})
            )
    with torch.no_grad():
        model(images)
    return caught


@pytest.mark.parametrize("name", OPTIONS)
def test_weights_are_the_explicit_softmax(name):
    model, images = small(name)
    with torch.no_grad():
        expected = model(images)
        with record(model) as maps:
            assert torch.equal(model(images), expected)
    assert not maps.refused
    true = explicit(model, images)
    assert set(true) <= set(maps)
    for site, weights in true.items():
        found = maps[site].pairwise
        rows = found.scores.rows(torch.arange(found.scores.count))
        torch.testing.assert_close(rows, weights.reshape(rows.shape), atol=1e-5, rtol=0)
        every = found.rows(range(found.tokens))
        torch.testing.assert_close(
            found.received(),
            every.mean((1, 2))[:, len(found.key_prefix) :].view(2, *found.key_size),
        )


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - {"mobilevit_xxs"}))
def test_tokens_lie_where_changed_pixels_say(name):
    """Pixels that change at a place change that query's scores and that key's, most of all."""
    model, images = small(name)
    before = recorded(model, images[:1])
    site, found = next((s, m.pairwise) for s, m in before.items() if min(m.pairwise.query_size) > 1)
    height, width = found.query_size
    up, along = images.shape[2] / height, images.shape[3] / width
    for y, x in ((0, 0), (height - 1, 1), (height // 2, width - 1)):
        other = images[:1].clone()
        part = other[
            ..., round(y * up) : round((y + 1) * up), round(x * along) : round((x + 1) * along)
        ]
        part.copy_(torch.randn_like(part))
        row, column = _most_changed(found, recorded(model, other)[site].pairwise)
        near = 2 if name.startswith("maxvit") else 1  # its first convolutions see far
        assert abs(row // width - y) <= near
        assert abs(row % width - x) <= near
        there = (column // found.key_size[1] + 0.5, column % found.key_size[1] + 0.5)
        for key, place, few, many in zip(
            there, (y, x), found.key_size, found.query_size, strict=True
        ):
            assert abs(key / few - (place + 0.5) / many) <= (near + 0.5) / few


def _most_changed(before, after):
    """The query and the key whose scores differ most, whatever the softmax makes of the others."""
    rows = [m.rows(range(m.tokens))[0].double() for m in (before, after)]
    rows = [r[:, len(before.query_prefix) :, len(before.key_prefix) :] for r in rows]
    moved = (rows[1].clamp(min=1e-30) / rows[0].clamp(min=1e-30)).log()
    moved = torch.where(rows[0] > 1e-9, moved, torch.nan)
    moved = (moved - moved.nanmedian(-1, keepdim=True).values).abs()
    of_rows, of_columns = (moved.nanmedian(axis).values.mean(0) for axis in (-1, 1))
    return int(of_rows.argmax()), int(of_columns.argmax())


def test_windows_and_shifts_are_put_back():
    """Swin's windows of 4 x 4, shifted by 2, on a grid of 16 x 16."""
    model, images = small("swin_tiny_patch4_window7_224")
    maps, true = recorded(model, images), explicit(model, images)
    for site, shift in (("layers.0.blocks.0.attn", 0), ("layers.0.blocks.1.attn", 2)):
        whole, windows = torch.zeros(2, 2, 256, 256), true[site].view(2, 16, 2, 16, 16)
        for window in range(16):
            own = [
                (window // 4 * 4 + t // 4 + shift) % 16 * 16 + (window % 4 * 4 + t % 4 + shift) % 16
                for t in range(16)
            ]
            for t, place in enumerate(own):
                whole[:, :, place, own] = windows[:, window, :, t]
        found = maps[site].pairwise
        assert found.query_size == found.key_size == (16, 16)
        torch.testing.assert_close(found.rows(range(256)), whole, atol=1e-5, rtol=0)
        torch.testing.assert_close(maps[site].query(3, 9), whole[:, :, 57].mean(1).view(2, 16, 16))


def test_class_token_and_registers_are_known():
    model, images = small("vit_small_patch14_reg4_dinov2")
    site = recorded(model, images)["blocks.1.attn"]
    names = ("cls_token", *(f"reg_token.{n}" for n in range(4)))
    assert site.pairwise.query_prefix == site.pairwise.key_prefix == names
    assert (site.pairwise.heads, site.pairwise.query_size) == (3, (4, 4))
    weights = explicit(model, images)["blocks.1.attn"]
    for name, token in (("cls_token", 0), ("reg_token.2", 3)):
        expected = weights[:, 1, token, 5:].view(2, 4, 4)
        torch.testing.assert_close(site.token(name, head=1), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(site.heat, weights.mean((1, 2))[:, 5:].view(2, 4, 4))
    with pytest.raises(KeyError, match=r"No token 'mask' asks here; there is cls_token, reg_token"):
        site.token("mask")
    with pytest.raises(IndexError, match="rows 0 to 3"):
        site.query(4, 0)
    with pytest.raises(IndexError, match="heads 0 to 2"):
        site.query(0, 0, head=3)
    with pytest.raises(IndexError, match="tokens 0 to 20"):
        site.pairwise.rows([21])


def test_a_class_token_that_asks_alone():
    model, images = small("cait_xxs24_224")
    site = recorded(model, images)["blocks_token_only.0.attn"]
    assert site.pairwise.query_prefix == ("cls_token",)
    assert (site.pairwise.query_size, site.pairwise.key_size) == ((0, 0), (4, 4))
    assert site.token("cls_token").shape == (2, 4, 4)
    with pytest.raises(IndexError, match="the tokens that ask are cls_token"):
        site.query(0, 0)


def test_keys_of_a_coarser_grid_and_pictures_that_are_no_squares():
    model, _ = small("pvt_v2_b0")
    found = recorded(model, torch.randn(2, 3, 64, 96))["stages.0.blocks.0.attn"].pairwise
    assert (found.query_size, found.key_size) == ((16, 24), (2, 3))


def test_nothing_of_all_pairs_is_held():
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for part in out if isinstance(out, tuple) else (out,):
                if isinstance(part, torch.Tensor):
                    self.size = max(self.size, part.numel())
            return out

    options = {**OPTIONS["vit_tiny_patch16_224"], "patch_size": 1, "embed_dim": 3}
    model = timm.create_model("vit_tiny_patch16_224", **options).eval()
    with torch.no_grad(), Largest() as seen:
        with record(model) as maps:
            model(torch.randn(1, 3, 32, 32))
        row = maps["blocks.0.attn"].query(3, 30)
        maps["blocks.0.attn"].token("cls_token")
    assert row.shape == (1, 32, 32)
    assert not maps["blocks.0.attn"].pairwise.held
    assert seen.size < 1025 * 1025


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224", "pvt_v2_b0"])
def test_the_fused_kernel_runs_while_rows_are_recorded_and_without_recording_nothing_else(name):
    class Said(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.names = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    def run():
        with torch.no_grad(), Said() as said:
            model(images)
        return said.names

    model, images = small(name)
    before = run()
    fused = [word for word in before if "scaled_dot_product" in word]
    assert fused
    assert not any("softmax" in word for word in before)
    with record(model) as maps:
        during = run()
    assert [word for word in during if "scaled_dot_product" in word] == fused
    assert not any("softmax" in word for word in during)
    assert run() == before
    assert len(maps) == len(fused)


@pytest.mark.parametrize(
    ("build", "size", "grid"),
    [
        (
            lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3),
            32, (4, 4),
        ),
        (
            lambda: torchvision.models.SwinTransformer([4, 4], 12, [2], [2], [4, 4], num_classes=3),
            64, (16, 16),
        ),
    ],
    ids=["vit", "swin"],
)  # fmt: skip
def test_torchvision(build, size, grid):
    model = build().eval()
    with torch.no_grad():
        images = torch.randn(2, 3, size, size)
        expected = model(images)
        with record(model) as maps:
            assert torch.equal(model(images), expected)
    assert len(maps) == 2
    for site in maps.values():
        assert site.pairwise.query_size == grid
        assert isinstance(site.pairwise, TokenMap)
        rows = site.pairwise.rows(range(site.pairwise.tokens))
        torch.testing.assert_close(rows.sum(-1), torch.ones(rows.shape[:-1]))


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_hugging_face(kernel):
    library = pytest.importorskip("transformers")
    options = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    options |= {"intermediate_size": 32, "image_size": 32, "patch_size": 8}
    model = library.ViTModel(library.ViTConfig(**options, attn_implementation=kernel)).eval()
    images = torch.randn(2, 3, 32, 32)
    maps = recorded(model, images)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        true = model(images, output_attentions=True).attentions
    assert len(maps) == len(true) == 2
    for site, weights in zip(maps.values(), true, strict=True):
        assert site.pairwise.query_prefix == ("cls_token",)
        torch.testing.assert_close(site.pairwise.rows(range(17)), weights, atol=1e-5, rtol=0)


def test_what_cannot_be_recorded_says_why():
    xcit = timm.create_model(
        "xcit_nano_12_p16_224", img_size=32, depth=2, embed_dim=24, num_heads=3
    )
    maps = recorded(xcit.eval(), torch.randn(1, 3, 32, 32))
    assert list(maps) == ["cls_attn_blocks.0.attn", "cls_attn_blocks.1.attn"]
    assert maps.refused["blocks.0.attn"] == "its weights are between channels, not between places"
    with pytest.raises(KeyError, match="can't be recorded: its weights are between channels"):
        maps["blocks.0.attn"]
    coat = timm.create_model("coat_lite_tiny", img_size=64).eval()
    with pytest.raises(RuntimeError, match=r"factoratt_crpe: .*: it sums up all places once"):
        recorded(coat, torch.randn(1, 3, 64, 64))


def test_tokens_of_no_picture_are_known_by_number():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    maps = recorded(model, torch.randn(3, 5, 16))
    found = maps["layers.1.self_attn"].pairwise
    assert found.rows([0, 4]).shape == (3, 2, 2, 5)
    assert maps["layers.1.self_attn"].heat_kind is None
    assert not maps.heats()
    assert found.token("token 3").shape == (3, 0, 0)


def test_softmax_as_a_module_and_pictures_cut_by_reshaping():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.qkv = nn.Linear(192, 16), nn.Linear(16, 48)
            self.cls = nn.Parameter(torch.randn(1, 1, 16))
            self.positions = nn.Parameter(torch.randn(1, 13, 16))
            self.attend, self.drop = nn.Softmax(dim=-1), nn.Dropout(0.1)

        def forward(self, x):
            x = x.reshape(len(x), 3, 3, 8, 4, 8).permute(0, 2, 4, 3, 5, 1).reshape(len(x), 12, 192)
            x = torch.cat([self.cls.expand(len(x), -1, -1), self.embed(x)], 1) + self.positions
            q, k, v = (y.unflatten(-1, (2, 8)).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
            return self.drop(self.attend(torch.matmul(q, k.transpose(-1, -2)) / 8)) @ v

    (site,) = recorded(Net().train(), torch.randn(2, 3, 24, 32)).values()
    assert (site.pairwise.query_size, site.pairwise.query_prefix) == ((3, 4), ("cls",))
    torch.testing.assert_close(site.pairwise.rows(3).sum(-1), torch.ones(2, 2, 1))


def test_half_precision_is_computed_in_single():
    model, images = small("vit_tiny_patch16_224")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = recorded(model, images)
    rows = maps["blocks.0.attn"].pairwise.rows([0])
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 3, 1))
    maps = recorded(model.bfloat16(), images.bfloat16())
    assert maps["blocks.1.attn"].heat.dtype == torch.float32


def test_nothing_is_left_behind_and_threads_record_their_own():
    model, images = small("vit_tiny_patch16_224")
    with pytest.raises(AssertionError), record(model):
        model(images[..., :16])
    together, found = threading.Barrier(2, timeout=30), {}

    def run(count):
        with torch.no_grad(), record(model) as maps:
            together.wait()
            model(torch.rand(count, 3, 32, 32))
            together.wait()
        found[count] = {(entry.pairwise.images, entry.calls) for entry in maps.values()}

    threads = [threading.Thread(target=run, args=(count,)) for count in (1, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: {(1, 1)}, 3: {(3, 1)}}
    assert not torch.overrides._get_current_function_mode_stack()
    assert not any(module._forward_hooks for module in model.modules())


def test_a_compiled_model_is_recorded():
    model, images = small("vit_tiny_patch16_224")
    expected = recorded(model, images)["blocks.1.attn"].heat
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        compiled(images)
    torch.testing.assert_close(recorded(compiled, images)["blocks.1.attn"].heat, expected)


def test_weights_are_those_of_the_pass_whatever_is_trained_later():
    model, images = small("cait_xxs24_224")  # its heads are mixed by weights that are trained
    maps = recorded(model, images)
    before = maps["blocks.0.attn"].heat
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(maps["blocks.0.attn"].heat, before)


def test_dropped_weights_are_given_whole():
    model, images = small("swinv2_tiny_window8_256")
    model.layers[0].blocks[0].attn.attn_drop.p = 0.5
    maps = recorded(model.train(), images)
    rows = maps["layers.0.blocks.0.attn"].pairwise.rows(range(256))
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 2, 256))


def test_a_wrapped_transformer_gives_both():
    model, images = small("pvt_v2_b0")
    wrap(model, "cbam", at="stage", stages=[2])
    maps = recorded(model, images)
    assert {kind for site in maps.values() for kind in site.kinds.values()} == {
        "channel", "spatial", "pairwise"
    }  # fmt: skip


def test_weights_by_hand():
    """One head, one token beside two patches, queries and keys known."""

    class Hand(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(1, 1, 1, bias=False)
            self.token = nn.Parameter(torch.tensor([[[2.0]]]))
            nn.init.ones_(self.patches.weight)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([x, self.token.expand(len(x), -1, -1)], 1)  # behind the patches
            weights = (x @ x.transpose(-2, -1) / 2).softmax(-1)
            return weights @ x

    maps = recorded(Hand(), torch.tensor([[[[0.0, 1.0]]]]))
    (site,) = maps.values()
    assert (site.pairwise.query_size, site.pairwise.query_prefix) == ((1, 2), ("token",))
    e = math.e
    whole = torch.tensor([e**2, 1, e]) / (1 + e + e**2)
    torch.testing.assert_close(site.pairwise.rows(0)[0, 0, 0], whole)
    torch.testing.assert_close(site.token("token"), whole[1:].view(1, 1, 2))
    second = torch.tensor([e, 1, e**0.5]) / (1 + e**0.5 + e)
    torch.testing.assert_close(site.query(0, 1), second[1:].view(1, 1, 2))
    assert prod(site.heat.shape) == 2


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_small_patch16_dinov3"])
def test_maps_to_draw_are_there_without_anything_inserted(name):
    model, images = small(name)
    maps = recorded(model, images)
    found = maps_of(model, images)
    assert list(found.maps) == [f"{site}, received" for site in maps]
    for site, heat in zip(maps, found.maps.values(), strict=True):
        assert torch.equal(heat, maps[site].heat)
    assert all(site in layer_table(model, images) for site in maps)


def test_a_network_without_attention_leaves_a_recording_empty():
    model = timm.create_model("test_resnet", num_classes=3).eval()
    with record_any(model) as maps, torch.no_grad():
        model(torch.randn(1, 3, 64, 64))
    assert len(maps) == 0
    assert list(maps_of(model, torch.randn(1, 3, 64, 64), otherwise="grad_cam").maps) == [
        "Grad-CAM, layer4"
    ]


def test_attention_that_cannot_be_recorded_is_said_where_maps_are_drawn():
    model = timm.create_model("edgenext_xx_small", num_classes=3).eval()
    images = torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r"can't be recorded \(.*between channels.*Grad-CAM"):
        maps_of(model, images)
    assert "between channels" in layer_table(model, images)


@pytest.mark.parametrize("form", ["bhij", "bijh"])
def test_scores_of_einstein_sums(form):
    """In whatever order the sum has its axes."""

    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.qkv = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 48)

        def forward(self, images):
            tokens = self.patches(images).flatten(2).mT
            query, key, value = self.qkv(tokens).view(len(tokens), -1, 3, 2, 8).unbind(2)
            scores = torch.einsum(f"bihd,bjhd->{form}", query, key) * 8**-0.5
            weights = scores.softmax(form.index("j"))
            self.weights = weights.permute([form.index(axis) for axis in "bhij"])
            return torch.einsum(f"{form},bjhd->bihd", weights, value).flatten(2)

    torch.manual_seed(0)
    model = Sums().eval()
    (found,) = recorded(model, torch.randn(2, 3, 32, 48)).values()
    assert found.pairwise.query_size == (4, 6)
    torch.testing.assert_close(found.pairwise.rows(range(24)), model.weights)


@pytest.mark.parametrize("channels", [1, 4])
def test_pictures_of_any_channels_are_cut_into_patches(channels):
    """By moving numbers alone, as libraries without a convolution do."""

    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attend = nn.Linear(64 * channels, 16), nn.MultiheadAttention(16, 2)

        def forward(self, images):
            cells = images.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))  # N, C, h, 8, w, 8
            tokens = self.embed(cells.permute(2, 4, 0, 3, 5, 1).flatten(3).flatten(0, 1))
            return self.attend(tokens, tokens, tokens)[0]

    (found,) = recorded(Cut().eval(), torch.randn(2, channels, 32, 48)).values()
    assert found.pairwise.query_size == found.pairwise.key_size == (4, 6)
