"""Asking a classifier about changed images: the class of the whole image, and its probability."""

from collections.abc import Callable
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.logits import class_probabilities, main_output
from visattn.metrics.inputs import check_finite, check_size, read_maps

Model = Callable[[Tensor], Tensor]
Baseline = Literal["zero", "mean", "blur"]


@final
class Probe:
    """A classifier, images and their maps, checked; asked for a class as the images change.

    The arguments are those of ``deletion``.

    Attributes:
        images: The images, detached.
        maps: The maps (N, H, W) on the images' device, detached.
    """

    def __init__(
        self,
        model: Model,
        images: Tensor,
        saliency: Tensor,
        *,
        batch_size: int,
        multilabel: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if isinstance(model, nn.Module) and model.training:
            raise ValueError(
                "the model is in training mode, in which its answer to an image depends on the "
                "others of the batch: call model.eval() first"
            )
        if not isinstance(images, Tensor) or not images.dtype.is_floating_point:
            kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
            raise TypeError(
                "images must be a torch tensor of floating point, as the model takes it, not "
                f"{kind}"
            )
        if images.ndim != 4 or 0 in images.shape[1:]:
            raise ValueError(f"images must be (N, C, H, W), not {tuple(images.shape)}")
        maps = read_maps(saliency, what="saliency").to(images.device)
        if len(maps) != len(images):
            raise ValueError(
                f"one map an image was expected: {len(images)} images, {len(maps)} maps"
            )
        check_size(maps, like=images, of="the images are")
        check_finite(maps, what="saliency")
        self.images = images.detach()
        self.maps = maps
        self._model, self._batch_size, self._multilabel = model, batch_size, multilabel

    def whole(self, classes: Tensor | None) -> tuple[Tensor, Tensor]:
        """The classes (N,) by which images are judged, and their probabilities on the whole images.

        Without ``classes`` they are those that the model predicts. Both are on the CPU, the
        probabilities in double precision.
        """
        if classes is not None:
            classes = torch.as_tensor(classes).detach().cpu()
            if classes.dtype.is_floating_point or classes.dtype in (torch.bool, torch.complex64):
                raise TypeError(f"classes must be integers, not {classes.dtype}")
            if classes.shape != self.images.shape[:1]:
                raise ValueError(
                    f"classes must be ({len(self.images)},), one an image, not"
                    f" {tuple(classes.shape)}"
                )
            classes = classes.long()
        if not len(self.images):
            return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.float64)
        parts = self.images.split(self._batch_size)
        shares = torch.cat([self._answer(part) for part in parts])
        if classes is None:
            classes = shares.argmax(1)
        elif int(classes.min()) < 0 or int(classes.max()) >= shares.shape[1]:
            raise ValueError(
                f"the model has the classes 0 to {shares.shape[1] - 1}; classes go from "
                f"{int(classes.min())} to {int(classes.max())}"
            )
        return classes, shares.gather(1, classes[:, None])[:, 0]

    def changed(
        self, build: Callable[[Tensor], Tensor], classes: Tensor, *, variants: int
    ) -> Tensor:
        """Probabilities (N, T) of the images' classes (N,) on T variants of each, on the CPU.

        Few are held at a time: ``build`` makes the images (n, C, H, W) of some pairs (n, 2) of an
        image and a variant.
        """
        pairs = torch.cartesian_prod(torch.arange(len(classes)), torch.arange(variants))
        found = [torch.zeros(0, dtype=torch.float64)]
        for chosen in pairs.split(self._batch_size):
            if len(chosen):
                shares = self._answer(build(chosen))
                found.append(shares.gather(1, classes[chosen[:, :1]])[:, 0])
        return torch.cat(found).view(len(classes), variants)

    def _answer(self, images: Tensor) -> Tensor:
        """Probabilities (n, K) in double precision, on the CPU."""
        count = len(images)
        with torch.inference_mode():
            outputs = self._model(images)
            logits = main_output(outputs)
            if logits is None or logits.ndim not in (1, 2) or len(logits) != count:
                came = type(outputs).__name__ if logits is None else tuple(logits.shape)
                raise ValueError(
                    f"the model must return logits ({count}, classes) for {count} images, or one "
                    f"logit an image; it returned {came}"
                )
            shares = class_probabilities(logits, multilabel=self._multilabel).cpu().double()
        return shares.clone()


def baseline_images(images: Tensor, baseline: Baseline | Tensor) -> Tensor:
    r"""What stands in the place of a removed pixel.

    Args:
        images: Images (N, C, H, W).
        baseline: ``"zero"``, the tensor's 0, which for normalised images is the data set's mean
            colour; ``"mean"``, each image's own mean colour; ``"blur"``, the image blurred by a
            Gaussian with a standard deviation of 1/16 of the shorter side; or images that
            broadcast to these.

    Returns:
        Images (N, C, H, W).

    Raises:
        ValueError: If the word is unknown or the images don't broadcast.

    Example:
        >>> baseline_images(torch.tensor([[[[0.0, 1.0]]]]), "mean").tolist()
        [[[[0.5, 0.5]]]]
    """
    if isinstance(baseline, Tensor):
        given = baseline.detach().to(images)
        try:
            return given.broadcast_to(images.shape)
        except RuntimeError as error:
            raise ValueError(
                f"baseline of shape {tuple(given.shape)} doesn't broadcast to the images of shape "
                f"{tuple(images.shape)}"
            ) from error
    if baseline == "zero":
        return torch.zeros_like(images)
    if baseline == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    if baseline == "blur":
        return _blurred(images, deviation=min(images.shape[2:]) / 16)
    known = ", ".join(map(repr, get_args(Baseline)))
    raise ValueError(f"baseline must be one of {known}, or images, not {baseline!r}")


def falling_order(maps: Tensor) -> Tensor:
    """Place of each pixel (N, P) when the pixels are sorted by falling value.

    The sort is stable: equal values stay in reading order.

    Example:
        >>> falling_order(torch.tensor([[[0.1, 0.9], [0.9, 0.5]]])).tolist()
        [[3, 0, 1, 2]]
    """
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _blurred(images: Tensor, *, deviation: float) -> Tensor:
    """A Gaussian blur; the image is mirrored at its edges."""
    for dim in (2, 3):
        radius = min(int(3 * deviation + 0.5), images.shape[dim] - 1)
        offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
        kernel = torch.exp(-(offsets**2) / (2 * deviation**2))
        kernel = kernel / kernel.sum()
        moved = images.transpose(dim, 3)
        flat = F.pad(moved.flatten(0, 2)[:, None], (radius, radius), mode="reflect")
        images = F.conv1d(flat, kernel[None, None])[:, 0].view(moved.shape).transpose(dim, 3)
    return images
