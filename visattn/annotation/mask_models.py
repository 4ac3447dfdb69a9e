"""Masks from networks: a trained mask of ours, salient-object networks, DeepLab, SAM."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.annotation.shapes import Box, Pixels
from visattn.basics.modes import evaluating
from visattn.data.folders import IMAGENET_MEAN, IMAGENET_STD
from visattn.data.preparation import preparation
from visattn.networks.mask_pass import find_mask_tap, predict_mask, sharpened

MasksOf = Callable[[Tensor], Tensor]
"""Pictures (N, 3, H, W) in [0, 1] to masks (N, 1, H, W) in [0, 1]."""
Salience = Callable[[Pixels, Box | None], npt.NDArray[np.float32]]
"""A picture (H, W, 3), and where the object is if that is known, to a mask (H, W) in [0, 1]."""

_DEEPLAB_SIDE, _U2NET_SIDE, _MULTIPLE = 520, 320, 32


def masks_of_network(network: nn.Module, facts: Mapping[str, Any]) -> MasksOf:
    """The spatial mask of a network, sharp enough to cut out with, at the pictures' size.

    The network sees pictures as in its training: square ones at its size, others at that size of
    their short side where it was trained on crops.

    Raises:
        ValueError: The network has no spatial mask.
    """
    find_mask_tap(network)  # an error now, not after reading
    prepared, side = preparation(facts), facts.get("size")
    mean, std = (torch.tensor(prepared[name]).view(-1, 1, 1) for name in ("mean", "std"))

    def masks_of(pictures: Tensor) -> Tensor:
        device = next((p.device for p in network.parameters()), pictures.device)
        images = ((pictures - mean.to(pictures)) / std.to(pictures)).to(device)
        if side is not None:
            images = resized(images, _seen_size(images.shape[-2:], side, fit=prepared["fit"]))
        with torch.no_grad(), evaluating(network):
            logits = predict_mask(network, images).float()
        return sharpened(resized(logits, pictures.shape[-2:])).to(pictures)

    return masks_of


def open_checkpoint(file: str | Path) -> Salience:
    """The mask of a checkpoint that ``visattn fit`` wrote of a network with a spatial mask.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is none, or has no spatial mask.
    """
    from visattn.networks.loading import load_classifier

    if not Path(file).is_file():
        raise FileNotFoundError(f"no checkpoint at {file}")
    network, facts = load_classifier(file)
    return _on_one(masks_of_network(_on_device(network), facts))


def open_onnx(file: str | Path) -> Salience:
    """A salient-object network as ONNX, such as U²-Net: pictures (1, 3, H, W) to (1, 1, H, W).

    Pictures are stretched to the size that the file says (320 where it says none) and normalised
    with ImageNet's mean and std, as U²-Net wants them. Of several outputs the first one counts;
    it is scaled to [0, 1] by its own range, as the authors do.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: onnxruntime is missing.
        ValueError: Its input or output is another.
    """
    runtime = _extra("onnxruntime")
    if not Path(file).is_file():
        raise FileNotFoundError(f"no ONNX file at {file}")
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    if len(session.get_inputs()) != 1 or len(given.shape) != 4 or given.shape[1] not in (3, "3"):
        raise ValueError(
            f"{file} must take one picture (1, 3, H, W), it takes "
            f"{[(entry.name, entry.shape) for entry in session.get_inputs()]}"
        )
    height, width = (n if isinstance(n, int) else _U2NET_SIDE for n in given.shape[2:])

    def masks_of(pictures: Tensor) -> Tensor:
        images = resized(_imagenet(pictures), (height, width))
        found = torch.from_numpy(session.run(None, {given.name: images.numpy()})[0]).float()
        if found.ndim != 4 or found.shape[1] != 1:
            raise ValueError(
                f"{file} must give a mask (1, 1, H, W), its first output is {tuple(found.shape)}"
            )
        low, high = found.amin((1, 2, 3), keepdim=True), found.amax((1, 2, 3), keepdim=True)
        scaled = (found - low) / (high - low).clamp(min=1e-6)
        return resized(scaled, pictures.shape[-2:])

    return _on_one(masks_of)


def open_rembg(name: str) -> Salience:
    """A model of rembg by its name, such as ``u2net`` or ``isnet-general-use``.

    Raises:
        ImportError: rembg is missing.
    """
    rembg = _extra("rembg")
    session = rembg.new_session(name)

    def salience(picture: Pixels, box: Box | None) -> npt.NDArray[np.float32]:
        mask = np.asarray(rembg.remove(picture, session=session, only_mask=True))
        plane = mask if mask.ndim == 2 else mask[..., -1]
        return np.asarray(plane / 255, dtype=np.float32)

    return salience


def open_deeplab(file: str | Path) -> Salience:
    """Torchvision's DeepLabV3 with a file of weights; whatever is not its class 0 is the object.

    Backbone (ResNet-50, ResNet-101, MobileNetV3) and classes are seen from the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no weights of such a network.
    """
    from torchvision.models import segmentation

    if not Path(file).is_file():
        raise FileNotFoundError(f"no weights at {file}")
    weights = torch.load(file, map_location="cpu", weights_only=True)
    weights = weights.get("model", weights) if isinstance(weights, dict) else {}
    if "classifier.4.weight" not in weights:
        raise ValueError(
            f"{file} holds no weights of torchvision's DeepLabV3 (classifier.4.weight)"
        )
    backbone = "mobilenet_v3_large"
    if "backbone.layer1.0.conv1.weight" in weights:
        backbone = "resnet101" if "backbone.layer3.22.conv1.weight" in weights else "resnet50"
    network = getattr(segmentation, f"deeplabv3_{backbone}")(
        weights=None,
        weights_backbone=None,
        num_classes=len(weights["classifier.4.weight"]),
        aux_loss=any(name.startswith("aux_classifier.") for name in weights),
    )
    network.load_state_dict(weights)
    network = _on_device(network).eval()

    def masks_of(pictures: Tensor) -> Tensor:
        device = next(network.parameters()).device
        size = _seen_size(pictures.shape[-2:], _DEEPLAB_SIDE, fit="crop")
        with torch.no_grad():
            logits = network(resized(_imagenet(pictures), size).to(device))["out"].float()
        return resized(1 - logits.softmax(dim=1)[:, :1], pictures.shape[-2:]).to(pictures)

    return _on_one(masks_of)


def open_sam(folder: str) -> Salience:
    """SAM of the package transformers, from a folder or the name of a model.

    It is asked for what is in the box, or else at the picture's centre; of its three answers the
    one is taken that it thinks best.

    Raises:
        ImportError: transformers is missing.
        OSError: There is no such model.
    """
    transformers = _extra("transformers")
    network = _on_device(transformers.SamModel.from_pretrained(folder)).eval()
    processor = transformers.SamProcessor.from_pretrained(folder)

    def salience(picture: Pixels, box: Box | None) -> npt.NDArray[np.float32]:
        height, width = picture.shape[:2]
        asked: dict[str, Any] = {"input_points": [[[width / 2, height / 2]]]}
        if box is not None:
            left, top, right, bottom = box
            asked = {
                "input_boxes": [[[left * width, top * height, right * width, bottom * height]]]
            }
        inputs = processor(images=picture, return_tensors="pt", **asked)
        device = next(network.parameters()).device
        with torch.no_grad():
            found = network(**inputs.to(device), multimask_output=True)
        masks = processor.image_processor.post_process_masks(
            found.pred_masks.cpu(), inputs["original_sizes"], inputs["reshaped_input_sizes"]
        )[0][0]
        best = int(found.iou_scores[0, 0].argmax())
        return np.asarray(masks[best], dtype=np.float32)

    return salience


def one_by_one(salience: Salience | Callable[[Pixels, None], npt.NDArray[Any]]) -> MasksOf:
    """What makes one mask at a time, for batches of pictures."""

    def masks_of(pictures: Tensor) -> Tensor:
        found = []
        for picture in (pictures * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
            mask = salience(np.ascontiguousarray(picture), None)
            found.append(torch.from_numpy(np.asarray(mask, dtype=np.float32)))
        return torch.stack(found)[:, None].to(pictures)

    return masks_of


def resized(planes: Tensor, size: Sequence[int]) -> Tensor:
    """Planes (N, C, H, W) at another size, without aliasing."""
    if tuple(planes.shape[-2:]) == tuple(size):
        return planes
    shrinks = planes.shape[-1] > size[-1]
    return F.interpolate(
        planes, size=tuple(size), mode="bilinear", align_corners=False, antialias=shrinks
    )


def _seen_size(size: Sequence[int], side: int, *, fit: str) -> tuple[int, int]:
    """The size at which a network sees a picture of another shape than the square."""
    height, width = size
    if fit == "stretch" or height == width:
        return side, side
    scale = side / min(height, width) / _MULTIPLE
    long, short = max(1, round(max(height, width) * scale)) * _MULTIPLE, side
    return (long, short) if height > width else (short, long)


def _on_one(masks_of: MasksOf) -> Salience:
    def salience(picture: Pixels, box: Box | None) -> npt.NDArray[np.float32]:
        planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        return np.asarray(masks_of(planes[None].float() / 255)[0, 0].cpu(), dtype=np.float32)

    return salience


def _imagenet(pictures: Tensor) -> Tensor:
    mean, std = (torch.tensor(v).view(-1, 1, 1).to(pictures) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (pictures - mean) / std


def _on_device(network: Any) -> Any:
    return network.to("cuda" if torch.cuda.is_available() else "cpu")


def _extra(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"this needs the package {package}, which cannot be imported ({error}); install the "
            "extra: pip install 'visattn[masks]'"
        ) from error
