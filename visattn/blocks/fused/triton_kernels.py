"""Passes over a map for a GPU: each reads it once, whatever is computed of it.

A map u (N, C, H, W) of any floating-point type is read tile by tile, contiguous or channels_last.
From it follow x = a u + b, the map after batch normalisation, and z = x g with a gate for each
channel, both rounded to the map's type as they are where they are stored, so that equal values are
equal here too. Sums are float32. Places p are H and W in one, P = H W of them.
"""

# ruff: noqa: N803  # constants of a kernel are capitals

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from visattn.blocks.fused import channels

statistics, affine = channels.statistics, channels.affine
of_gate, of_norm = channels.of_gate, channels.of_norm
"""Passes over numbers of channels, of which a GPU makes little."""


@triton.jit
def _offsets(n, c, p, sn, sc, sp):  # type: ignore[no-untyped-def]
    return n.to(tl.int64) * sn + c[:, None].to(tl.int64) * sc + p[None, :].to(tl.int64) * sp


@triton.jit
def _normed(u, a, b, kind: tl.constexpr):  # type: ignore[no-untyped-def]
    """X = a u + b, rounded once and then to the map's type."""
    shape: tl.constexpr = u.shape
    a = tl.broadcast_to(a[:, None], shape)
    b = tl.broadcast_to(b[:, None], shape)
    return tl.fma(u, a, b).to(kind).to(tl.float32)


@triton.jit
def _tops(  # type: ignore[no-untyped-def]
    high_ptr, low_ptr, a_ptr, b_ptr, top_ptr, C, like_ptr, BC: tl.constexpr
):  # fmt: skip
    """The maximum of x from the extremes of u, rounded as x is."""
    n, c = tl.program_id(0), tl.program_id(1) * BC + tl.arange(0, BC)
    at = n * C + c
    a, b = tl.load(a_ptr + c, c < C, 0.0), tl.load(b_ptr + c, c < C, 0.0)
    high, low = tl.load(high_ptr + at, c < C, 0.0), tl.load(low_ptr + at, c < C, 0.0)
    u = tl.where(a >= 0, high, low)
    x = _normed(u[:, None], a, b, like_ptr.dtype.element_ty)
    tl.store(top_ptr + at[:, None], x, c[:, None] < C)


@triton.jit
def _moments(  # type: ignore[no-untyped-def]
    u_ptr, pivot_ptr, sum_ptr, square_ptr, high_ptr, low_ptr, C, P, sn, sc, sp,
    BC: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    n, c = tl.program_id(0), tl.program_id(1) * BC + tl.arange(0, BC)
    pivot = tl.load(pivot_ptr + c, c < C, 0.0)
    total, square = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    high = tl.full((BC,), float("-inf"), tl.float32)
    low = tl.full((BC,), float("inf"), tl.float32)
    for start in range(0, P, BP):
        p = start + tl.arange(0, BP)
        inside = (c[:, None] < C) & (p[None, :] < P)
        u = tl.load(u_ptr + _offsets(n, c, p, sn, sc, sp), inside, 0.0).to(tl.float32)
        v = tl.where(inside, u - pivot[:, None], 0.0)
        total += tl.sum(v, 1)
        square += tl.sum(v * v, 1)
        high = tl.maximum(high, tl.max(tl.where(inside, u, float("-inf")), 1))
        low = tl.minimum(low, tl.min(tl.where(inside, u, float("inf")), 1))
    at = n * C + c
    tl.store(sum_ptr + at, total, c < C)
    tl.store(square_ptr + at, square, c < C)
    tl.store(high_ptr + at, high, c < C)
    tl.store(low_ptr + at, low, c < C)


@triton.jit
def _pools(  # type: ignore[no-untyped-def]
    u_ptr, a_ptr, b_ptr, g_ptr, d_ptr, highest_ptr, sum_ptr, other_ptr, C, P, sn, sc, sp,
    BACK: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    """Over the channels of each place: sum and maximum of z, or sum of d z and count of maxima."""
    n, p = tl.program_id(0), tl.program_id(1) * BP + tl.arange(0, BP)
    kind: tl.constexpr = u_ptr.dtype.element_ty
    total = tl.zeros((BP,), tl.float32)
    other = tl.full((BP,), 0.0 if BACK else float("-inf"), tl.float32)
    if BACK:
        highest = tl.load(highest_ptr + n * P + p, p < P, 0.0)
    for start in range(0, C, BC):
        c = start + tl.arange(0, BC)
        inside = (c[:, None] < C) & (p[None, :] < P)
        where = _offsets(n, c, p, sn, sc, sp)
        u = tl.load(u_ptr + where, inside, 0.0).to(tl.float32)
        x = _normed(u, tl.load(a_ptr + c, c < C, 0.0), tl.load(b_ptr + c, c < C, 0.0), kind)
        z = (x * tl.load(g_ptr + n * C + c, c < C, 0.0)[:, None]).to(kind).to(tl.float32)
        if BACK:
            d = tl.load(d_ptr + where, inside, 0.0).to(tl.float32)
            total += tl.sum(tl.where(inside, d * z, 0.0), 0)
            other += tl.sum((inside & (z == highest[None, :])).to(tl.float32), 0)
        else:
            total += tl.sum(tl.where(inside, z, 0.0), 0)
            other = tl.maximum(other, tl.max(tl.where(inside, z, float("-inf")), 0))
    tl.store(sum_ptr + n * P + p, total, p < P)
    tl.store(other_ptr + n * P + p, other, p < P)


@triton.jit
def _gate(  # type: ignore[no-untyped-def]
    u_ptr, a_ptr, b_ptr, g_ptr, s_ptr, y_ptr, C, P, sn, sc, sp,
    PLACES: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    n, c = tl.program_id(0), tl.program_id(1) * BC + tl.arange(0, BC)
    p = tl.program_id(2) * BP + tl.arange(0, BP)
    kind: tl.constexpr = u_ptr.dtype.element_ty
    inside = (c[:, None] < C) & (p[None, :] < P)
    where = _offsets(n, c, p, sn, sc, sp)
    u = tl.load(u_ptr + where, inside, 0.0).to(tl.float32)
    x = _normed(u, tl.load(a_ptr + c, c < C, 0.0), tl.load(b_ptr + c, c < C, 0.0), kind)
    y = x * tl.load(g_ptr + n * C + c, c < C, 0.0)[:, None]
    if PLACES:
        y = y.to(kind).to(tl.float32) * tl.load(s_ptr + n * P + p, p < P, 0.0)[None, :]
    tl.store(y_ptr + where, y.to(kind), inside)


@triton.jit
def _of_z(  # type: ignore[no-untyped-def]
    d, x, g, n, p, P, s_ptr, even_ptr, highest_ptr, share_ptr,
    PLACES: tl.constexpr, kind: tl.constexpr,
):  # fmt: skip
    """The gradient for z: d s, an even part, and a share for each maximum of a place."""
    if PLACES:
        at = n * P + p
        z = (x * g[:, None]).to(kind).to(tl.float32)
        d = d * tl.load(s_ptr + at, p < P, 0.0)[None, :]
        d += tl.load(even_ptr + at, p < P, 0.0)[None, :]
        is_highest = z == tl.load(highest_ptr + at, p < P, 0.0)[None, :]
        d += tl.where(is_highest, tl.load(share_ptr + at, p < P, 0.0)[None, :], 0.0)
    return d


@triton.jit
def _channel_sums(  # type: ignore[no-untyped-def]
    u_ptr, d_ptr, a_ptr, b_ptr, mean_ptr, g_ptr, s_ptr, even_ptr, highest_ptr, share_ptr,
    top_ptr, sum_ptr, product_ptr, count_ptr, tops_ptr, C, P, sn, sc, sp,
    PLACES: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    """Of each channel: sums of the gradient for z, and of u - mean, the maxima of x apart."""
    n, c = tl.program_id(0), tl.program_id(1) * BC + tl.arange(0, BC)
    kind: tl.constexpr = u_ptr.dtype.element_ty
    at = n * C + c
    a, b = tl.load(a_ptr + c, c < C, 0.0), tl.load(b_ptr + c, c < C, 0.0)
    mean, g = tl.load(mean_ptr + c, c < C, 0.0), tl.load(g_ptr + at, c < C, 0.0)
    top = tl.load(top_ptr + at, c < C, 0.0)
    total, product = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    count, tops = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    for start in range(0, P, BP):
        p = start + tl.arange(0, BP)
        inside = (c[:, None] < C) & (p[None, :] < P)
        where = _offsets(n, c, p, sn, sc, sp)
        u = tl.load(u_ptr + where, inside, 0.0).to(tl.float32)
        d = tl.load(d_ptr + where, inside, 0.0).to(tl.float32)
        x = _normed(u, a, b, kind)
        d = _of_z(d, x, g, n, p, P, s_ptr, even_ptr, highest_ptr, share_ptr, PLACES, kind)
        d = tl.where(inside, d, 0.0)
        centred = u - mean[:, None]
        total += tl.sum(d, 1)
        product += tl.sum(d * centred, 1)
        if PLACES:
            is_top = (inside & (x == top[:, None])).to(tl.float32)
            count += tl.sum(is_top, 1)
            tops += tl.sum(is_top * centred, 1)
    tl.store(sum_ptr + at, total, c < C)
    tl.store(product_ptr + at, product, c < C)
    if PLACES:
        tl.store(count_ptr + at, count, c < C)
        tl.store(tops_ptr + at, tops, c < C)


@triton.jit
def _of_map(  # type: ignore[no-untyped-def]
    u_ptr, d_ptr, a_ptr, b_ptr, mean_ptr, g_ptr, s_ptr, even_ptr, highest_ptr, share_ptr,
    top_ptr, even_c_ptr, share_c_ptr, first_ptr, second_ptr, du_ptr, C, P, sn, sc, sp,
    PLACES: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    """The gradient for u: a (dx - first - (u - mean) second)."""
    n, c = tl.program_id(0), tl.program_id(1) * BC + tl.arange(0, BC)
    p = tl.program_id(2) * BP + tl.arange(0, BP)
    kind: tl.constexpr = u_ptr.dtype.element_ty
    at = n * C + c
    inside = (c[:, None] < C) & (p[None, :] < P)
    where = _offsets(n, c, p, sn, sc, sp)
    a, b = tl.load(a_ptr + c, c < C, 0.0), tl.load(b_ptr + c, c < C, 0.0)
    mean, g = tl.load(mean_ptr + c, c < C, 0.0), tl.load(g_ptr + at, c < C, 0.0)
    u = tl.load(u_ptr + where, inside, 0.0).to(tl.float32)
    d = tl.load(d_ptr + where, inside, 0.0).to(tl.float32)
    x = _normed(u, a, b, kind)
    d = _of_z(d, x, g, n, p, P, s_ptr, even_ptr, highest_ptr, share_ptr, PLACES, kind)
    d = d * g[:, None] + tl.load(even_c_ptr + at, c < C, 0.0)[:, None]
    if PLACES:
        is_top = x == tl.load(top_ptr + at, c < C, 0.0)[:, None]
        d += tl.where(is_top, tl.load(share_c_ptr + at, c < C, 0.0)[:, None], 0.0)
    d -= tl.load(first_ptr + c, c < C, 0.0)[:, None]
    d -= (u - mean[:, None]) * tl.load(second_ptr + c, c < C, 0.0)[:, None]
    tl.store(du_ptr + where, (d * a[:, None]).to(kind), inside)


def moments(u: Tensor, *, centred: bool, extremes: bool) -> tuple[Tensor, ...]:
    """Of each channel of each map (N, C): mean, squares of u less it, maximum, minimum of u.

    Without ``centred`` the squares may be anything, and so for the extremes.
    """
    pivot = u[0, :, 0, 0].float().contiguous()
    sums, squares, high, low = (_channels(u) for _ in range(4))
    _run(_moments, u, [u, pivot, sums, squares, high, low], by="channels")
    sums = sums.double()  # what follows is a number a channel, and differences that cancel
    shift = sums / (u.shape[2] * u.shape[3])
    return pivot + shift, (squares - sums * shift).clamp_(min=0), high, low


def tops(u: Tensor, a: Tensor, b: Tensor, high: Tensor, low: Tensor) -> Tensor:
    """The maximum of x in each channel of each map (N, C): equal to x at its place."""
    found, width = _channels(u), min(64, triton.next_power_of_2(u.shape[1]))
    grid = u.shape[0], triton.cdiv(u.shape[1], width)
    with torch.cuda.device_of(u):
        _tops[grid](high, low, a, b, found, u.shape[1], u, BC=width, enable_fp_fusion=False)
    return found


def place_pools(u: Tensor, a: Tensor, b: Tensor, g: Tensor) -> Tensor:
    """Of each place: mean and maximum of z over the channels, (2, N, P)."""
    total, highest = _places(u), _places(u)
    given = [u, a, b, g, u, highest, total, highest]
    _run(_pools, u, given, by="places", BACK=False)
    return torch.stack((total / u.shape[1], highest))


def place_sums(
    u: Tensor, d: Tensor, a: Tensor, b: Tensor, g: Tensor, highest: Tensor
) -> tuple[Tensor, Tensor]:
    """Of each place (N, P): the sum of d z, and how many channels have the maximum."""
    total, count = _places(u), _places(u)
    _run(_pools, u, [u, a, b, g, d, highest, total, count], by="places", BACK=True)
    return total, count


def gated(
    u: Tensor, a: Tensor, b: Tensor, g: Tensor, s: Tensor | None, out: Tensor | None = None
) -> Tensor:
    """``x g``, times a gate s (N, P) for each place if there is one; into ``out``, perhaps u."""
    y = torch.empty_like(u) if out is None else out
    _run(_gate, u, [u, a, b, g, g if s is None else s, y], by="tiles", PLACES=s is not None)
    return y


def channel_sums(
    u: Tensor, d: Tensor, affine: tuple[Tensor, ...], g: Tensor, of_places: tuple[Tensor, ...],
    top: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Of each channel of each map (N, C): see the kernel.

    ``affine`` is a, b and the mean (C,); ``of_places``, (N, P), is the gate s, the even part, the
    maximum and the share of the gradient for z, or nothing; ``top`` is the maximum of x (N, C).
    """
    found = [_channels(u) for _ in range(4)]
    given = [u, d, *affine, g, *(of_places or (g,) * 4), top, *found]
    _run(_channel_sums, u, given, by="channels", PLACES=bool(of_places))
    return found[0], found[1], found[2], found[3]


def map_gradient(
    u: Tensor, d: Tensor, affine: tuple[Tensor, ...], g: Tensor, of_places: tuple[Tensor, ...],
    of_channels: tuple[Tensor, ...], of_norm: tuple[Tensor, Tensor],
) -> Tensor:  # fmt: skip
    """The gradient for u.

    As for `channel_sums`; ``of_channels``, (N, C), is the maximum of x, the even part and the share
    of the gradient for x, and ``of_norm``, (C,), what the normalisation takes off.
    """
    du = torch.empty_like(u)
    given = [u, d, *affine, g, *(of_places or (g,) * 4), *of_channels, *of_norm, du]
    _run(_of_map, u, given, by="tiles", PLACES=bool(of_places))
    return du


def laid_out(u: Tensor) -> Tensor:
    """U as it is, or contiguous if it is neither that nor channels_last."""
    return u if u.is_contiguous(memory_format=torch.channels_last) else u.contiguous()


def _channels(u: Tensor) -> Tensor:
    return u.new_empty(u.shape[:2], dtype=torch.float32)


def _places(u: Tensor) -> Tensor:
    return u.new_empty((u.shape[0], u.shape[2] * u.shape[3]), dtype=torch.float32)


def _run(kernel: Any, u: Tensor, given: list[Tensor], *, by: str, **options: bool) -> None:
    """Launch over every channel, every place or every tile of a map."""
    count, channels, height, width = u.shape
    places = height * width
    contiguous = u.is_contiguous()
    strides = (channels * places, places, 1) if contiguous else (channels * places, 1, channels)
    bc, bp = {
        ("channels", True): (4, 512), ("channels", False): (64, 32),
        ("places", True): (16, 128), ("places", False): (128, 16),
        ("tiles", True): (4, 512), ("tiles", False): (128, 16),
    }[by, contiguous]  # fmt: skip
    bc, bp = min(bc, triton.next_power_of_2(channels)), min(bp, triton.next_power_of_2(places))
    over_c, over_p = triton.cdiv(channels, bc), triton.cdiv(places, bp)
    grid = {"channels": (count, over_c), "places": (count, over_p)}.get(by, (count, over_c, over_p))
    with torch.cuda.device_of(u):
        kernel[grid](
            *given, channels, places, *strides, **options, BC=bc, BP=bp, enable_fp_fusion=False
        )
