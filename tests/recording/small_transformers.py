"""Small transformers of many kinds, for tests to record."""

import timm
import torch

_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
_SWIN = {"img_size": 64, "embed_dim": 12, "depths": (2, 2), "num_heads": (2, 2), "window_size": 4}
_FOUR = {"depths": (1,) * 4, "num_heads": (1, 1, 2, 2), "embed_dims": (8, 8, 16, 16)}

OPTIONS = {
    "vit_tiny_patch16_224": _VIT,
    "vit_small_patch14_reg4_dinov2": _VIT,
    "vit_small_patch16_dinov3": _VIT,
    "deit_tiny_distilled_patch16_224": _VIT,
    "beit_base_patch16_224": _VIT,
    "eva02_tiny_patch14_224": _VIT,
    "cait_xxs24_224": _VIT,
    "convit_tiny": {**_VIT, "local_up_to_layer": 1},
    "samvit_base_patch16_224": {
        **_VIT, "img_size": 64, "window_size": 4, "global_attn_indexes": (1,)
    },
    "swin_tiny_patch4_window7_224": _SWIN,
    "swinv2_tiny_window8_256": _SWIN,
    "swinv2_cr_tiny_224": _SWIN,
    "pvt_v2_b0": _FOUR,
    "twins_svt_small": {**_FOUR, "img_size": 64, "depths": (2,) * 4, "wss": (4,) * 4},
    "maxvit_pico_rw_256": {"img_size": 64, "embed_dim": (32,) * 4, "depths": (1,) * 4},
    "coatnet_nano_rw_224": {"img_size": 64, "embed_dim": (32,) * 4, "depths": (1,) * 4},
    "mobilevit_xxs": {},
    "levit_128s": {
        "img_size": 64, "embed_dim": (16, 32, 32), "num_heads": (2,) * 3, "depth": (1,) * 3
    },
    "hiera_tiny_224": {"img_size": 64, "embed_dim": 12, "stages": (1,) * 4},
    "tiny_vit_5m_224": {
        "depths": (1,) * 4, "embed_dims": (8, 16, 16, 32), "num_heads": (1,) * 4,
        "window_sizes": (4, 4, 4, 2),
    },
}  # fmt: skip
"""What makes a network of timm's small, by its name."""


def small(name):
    """The network with random weights, and random images for it."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3, **OPTIONS[name]).eval()
    size = OPTIONS[name].get("img_size", 64)
    return model, torch.randn(2, 3, size, size)
