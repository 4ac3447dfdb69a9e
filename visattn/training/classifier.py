"""An image classifier with attention, trained by Lightning."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal, Self, final

import lightning as L
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from visattn.blocks.attended import attended, block_of
from visattn.blocks.masks.spatial_mask import SpatialMask
from visattn.metrics import chance_level, mask_iou
from visattn.networks.backbone import (
    build_backbone,
    classifier_paths,
    load_weights,
    named_by,
    put_attention,
)
from visattn.networks.loading import STANDS_ALONE
from visattn.networks.weight_files import FACTS
from visattn.recording import record
from visattn.training.batches import as_batch
from visattn.training.checks import NotFinite, check_finite, check_in
from visattn.training.data_facts import data_facts, names_of_tests
from visattn.training.needs import check_needs, check_seen, masks_in
from visattn.training.objectives import CrossEntropy, Objective
from visattn.training.optimisation import named_optimizer, own_optimizer, scheduled, tell_anew
from visattn.training.outcomes import Columns, SplitOutcome, is_adversarial, split_outcome
from visattn.training.processes import allow_unused_parameters
from visattn.training.schedule import first_step, training_steps
from visattn.wrapping.finetuning import freeze_backbone

Batch = dict[str, Tensor]
OBJECTIVE = "visattn_objective"
"""Where a checkpoint holds the state of the objective, under the name of its class."""

_MEAN: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
_TOLD = ("lr", "weight_decay", "momentum", "nesterov")
_CHECKED_EVERY = 20  # batches; looking at a number makes a GPU wait


@final
class ImageClassifier(L.LightningModule):
    """A network from normalised images to logits, with attention put in by name.

    The optimiser's learning rate rises over the first ``warmup`` of the steps and falls to zero
    along half a cosine; where the objective has stages, in each of them. Weight decay leaves norms,
    biases and scalars alone. Logged are ``train/loss`` and the objective's parts, ``val/accuracy``,
    and for each test split ``test/SPLIT/accuracy`` and, where the network has a spatial mask and
    the images have masks, ``test/SPLIT/mask_iou``.

    A checkpoint holds all that is needed to build the network again, the names of the classes and
    how images were prepared (``data_facts``): ``ImageClassifier.load_from_checkpoint(path)``. What
    was given as a Python object (a constructor, an objective) cannot be written into a checkpoint:
    pass it again when loading.

    Args:
        backbone: A timm name, the import path of a constructor such as
            ``torchvision.models.resnet18``, or a constructor.
        num_classes: Number of logits; on the command line it comes from the data.
        pretrained: Start from timm's weights for ImageNet.
        backbone_options: Further arguments for the backbone.
        attention: What `visattn.wrap` puts in: a block's name, or a mapping with ``block`` and
            any of ``at``, ``stages``, ``every``, ``init`` and the block's own options, or a list
            of these.
        weights: Start from the weights in this file and not from timm's: a state dict as .pth or
            .safetensors, or a checkpoint, of the same network without attention, which goes in
            afterwards. On the command line, pictures are normalised as for these weights, unless
            ``data.mean`` and ``data.std`` say how.
        new_classifier: Leave the classifier out of that, for other classes; if None, where the
            file has none for as many classes.
        init_from: What ``weights`` was called before.
        freeze: ``"backbone"`` trains the attention and what ``unfrozen`` names, see
            `visattn.freeze_backbone`.
        unfrozen: Names of modules, or globs; the classifier if None.
        objective: What to train on; cross-entropy by default.
        optimizer: ``"adamw"`` or ``"sgd"`` (with Nesterov momentum), or a class of one's own, which
            is given all parameters that train and has its own learning rate, weight decay and
            momentum: those below are then not used.
        lr_scheduler: A scheduler class, which goes on by epoch, in place of warmup and cosine.
        learning_rate: Its highest value.
        attention_learning_rate: The same for the attention; ``learning_rate`` if None.
        weight_decay: On kernels and matrices only.
        momentum: Of SGD.
        warmup: Share of the training in which the learning rate rises.
        channels_last: Memory layout of network and images; faster for convolutions, same results.

    Raises:
        ValueError: If a name or a value is none that there is.
        KeyError: If the block is unknown.

    Example:
        >>> model = ImageClassifier("resnet10t", num_classes=8, attention={"block": "se"})
        >>> model(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        backbone: str | Callable[..., nn.Module] = "resnet18",
        *,
        num_classes: int,
        pretrained: bool = False,
        backbone_options: dict[str, Any] | None = None,
        attention: str | dict[str, Any] | list[dict[str, Any]] | None = None,
        weights: str | None = None,
        new_classifier: bool | None = None,
        init_from: str | None = None,
        freeze: Literal["backbone"] | None = None,
        unfrozen: list[str] | None = None,
        objective: Objective | None = None,
        optimizer: Literal["adamw", "sgd"] | OptimizerCallable = "adamw",
        lr_scheduler: LRSchedulerCallable | None = None,
        learning_rate: float = 1e-3,
        attention_learning_rate: float | None = None,
        weight_decay: float = 0.05,
        momentum: float = 0.9,
        warmup: float = 0.05,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        own_rate = learning_rate if attention_learning_rate is None else attention_learning_rate
        check_in("(0, inf)", learning_rate=learning_rate, attention_learning_rate=own_rate)
        check_in("[0, inf)", weight_decay=weight_decay)
        check_in("[0, 1)", momentum=momentum, warmup=warmup)
        if not callable(optimizer) and optimizer not in ("adamw", "sgd"):
            raise ValueError(f"optimizer must be 'adamw' or 'sgd', or a class, got {optimizer!r}")
        if callable(optimizer) and attention_learning_rate is not None:
            raise ValueError(
                "attention_learning_rate is for the optimizers adamw and sgd; one of a class of "
                "your own has one rate, its lr"
            )
        if freeze not in (None, "backbone"):
            raise ValueError(f"freeze must be 'backbone' or nothing, got {freeze!r}")
        if unfrozen is not None and freeze is None:
            raise ValueError(f"unfrozen={unfrozen} has no effect without freeze='backbone'")
        if None not in (weights, init_from):
            raise ValueError("weights and init_from are two names of one option: give weights")
        weights = init_from if weights is None else weights
        if new_classifier and weights is None:
            raise ValueError("new_classifier has no effect without weights: it is new anyway")
        self.save_hyperparameters()
        # Described, by the command line, or left out.
        for name in ("backbone", "objective", "optimizer", "lr_scheduler"):
            if not isinstance(self.hparams.get(name), (str, dict, type(None))):
                self.hparams.pop(name)
        self.hparams.update(STANDS_ALONE)
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.learning_rate = learning_rate
        self.attention_learning_rate = attention_learning_rate
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.warmup = warmup
        self.channels_last = channels_last
        self.objective: Objective = objective or CrossEntropy()
        self.data_facts: dict[str, Any] = {}
        self.model = build_backbone(
            backbone,
            num_classes=num_classes,
            pretrained=pretrained and weights is None,
            options=backbone_options,
        )
        self._inherited: list[str] | None = None
        if weights is not None:
            self._inherited = load_weights(
                self.model, weights, num_classes=num_classes, new_classifier=new_classifier
            )
            if self._inherited is None and new_classifier is None:
                rank_zero_info(f"a new classifier: {weights} has none for {num_classes} classes")
        if freeze is not None and unfrozen is None:
            unfrozen = list(classifier_paths(self.model, num_classes=num_classes))
        put_attention(self.model, attention)
        if freeze is not None:
            freeze_backbone(self.model, train=unfrozen or ())
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.val_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.val_mask_iou = MeanMetric(nan_strategy="ignore")
        self.outcomes: dict[str, SplitOutcome] = {}
        self._tests: list[Columns] = []
        self._steps = math.nan
        self._begins: set[int] = set()
        self._schedule: Any = None
        self._masks_seen: Tensor | None = None
        self._not_finite = NotFinite()

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **options: Any) -> Self:
        """As Lightning's; all weights are the checkpoint's own, and no others are fetched first.

        Nothing is unpickled but tensors and plain values, and a constructor that the checkpoint
        names, and not ``backbone`` here, must be declared to give a network.
        """
        options = {"weights_only": True, **STANDS_ALONE, **options}
        with nullcontext() if "backbone" in options else named_by(checkpoint_path):
            return super().load_from_checkpoint(checkpoint_path, *args, **options)

    @property
    def mask_site(self) -> str | None:
        """Where the (first) spatial mask stands, as a recording calls it; None without one."""
        masks = (unit for unit in attended(self.model) if isinstance(block_of(unit), SpatialMask))
        return next((unit.visattn.site for unit in masks), None)

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]; 0 outside of one."""
        return 0.0 if math.isnan(self._steps) else min(1.0, self.global_step / self._steps)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of normalised images (N, 3, H, W)."""
        return self.model(self._laid_out(images))

    def masked_forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, and the spatial mask (N, H, W) that was used, or None without one."""
        site = self.mask_site
        if site is None:
            return self(images), None
        with record(self.model) as maps:
            logits = self(images)
        return logits, maps[site].spatial

    def setup(self, stage: str) -> None:
        """Prepare for several processes."""
        allow_unused_parameters(self.trainer)

    def on_fit_start(self) -> None:
        """Refuse data that lack what the objective needs, or of other classes than at the start."""
        check_needs(self.objective, self.trainer)
        found = data_facts(getattr(self.trainer, "datamodule", None)).get("class_names")
        if self._inherited and found and self._inherited != found:
            raise ValueError(
                f"the classifier in model.weights is for {', '.join(self._inherited)}, the data "
                f"have {', '.join(found)}: set model.new_classifier: true to begin with a new one"
            )

    def on_train_start(self) -> None:
        """Note how long the training is, and let today's options count."""
        steps = training_steps(self.trainer)
        self._steps = steps
        self.objective.prepare(learning_rate=self.learning_rate)
        self._begins = {first_step(share, steps=steps) for share in self.objective.stages}
        self._masks_seen = torch.zeros((), dtype=torch.long, device=self.device)
        self._tell_optimizer_anew()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Let the optimiser forget, where the objective begins another training."""
        if self.global_step in self._begins:
            self.trainer.optimizers[0].state.clear()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The objective's loss."""
        batch = as_batch(batch)
        batch["image"] = self._laid_out(batch["image"])
        if self._masks_seen is not None and self.objective.needs:
            self._masks_seen += masks_in(batch)
        loss, parts = self.objective(self.model, batch, self.progress)
        if batch_idx % _CHECKED_EVERY == 0:
            where = {"epoch": self.current_epoch, "batch": batch_idx}
            check_finite(loss, parts, **where, learning_rate=self.learning_rate)
        size = len(batch["image"])
        for name, value in {"loss": loss.detach(), **parts}.items():
            self.log(f"train/{name}", value, **_MEAN, batch_size=size)
        return loss

    def on_train_epoch_end(self) -> None:
        """Refuse to go on without the masks that the objective needs."""
        # One batch of a quick run says nothing of the others.
        quick = getattr(self.trainer, "fast_dev_run", False)
        if self._masks_seen is not None and self.objective.needs and not quick:
            seen = self.trainer.strategy.reduce(self._masks_seen, reduce_op="sum")
            check_seen(self.objective, seen)
        self._masks_seen = None

    def on_train_epoch_start(self) -> None:
        """Log the learning rate at the start of the epoch."""
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.log("train/learning_rate", rate, sync_dist=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Accuracy on the validation split; where there are masks to compare, their IoU."""
        batch = as_batch(batch)
        logits, mask = self.masked_forward(batch["image"])
        self._not_finite.count(logits)
        self.val_accuracy(logits, batch["label"])
        size = len(logits)
        known = ~batch["mask"].isnan().any() if "mask" in batch else False
        if mask is not None and known and mask.shape[-2:] == batch["mask"].shape[-2:]:
            self.val_mask_iou(mask_iou(mask.float(), batch["mask"]))
            self.log("val/mask_iou", self.val_mask_iou, on_epoch=True, batch_size=size)
        self.log("val/accuracy", self.val_accuracy, on_epoch=True, prog_bar=True, batch_size=size)

    def on_validation_epoch_end(self) -> None:
        """Refuse answers that are no numbers."""
        self._not_finite.check("validation", strategy=self.trainer.strategy)

    def on_predict_epoch_end(self) -> None:
        """The same."""
        self._not_finite.check("prediction", strategy=self.trainer.strategy)

    def on_test_start(self) -> None:
        """Begin anew."""
        self.outcomes = {}
        self._tests = [Columns().to(self.device) for _ in names_of_tests(self.trainer)]

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """What is measured of each image; the mask IoU is NaN where there is none."""
        batch = as_batch(batch)
        logits, mask = self.masked_forward(batch["image"])
        self._not_finite.count(logits)
        true = batch.get("mask")
        ious = shares = torch.full((len(logits),), torch.nan, device=logits.device)
        if true is not None:
            shares = chance_level(true)
            if mask is not None and mask.shape[-2:] == true.shape[-2:]:
                ious = mask_iou(mask.float(), true)
        found = {"index": batch["index"], "label": batch["label"], "prediction": logits.argmax(1)}
        found |= {"mask_iou": ious, "mask_share": shares}
        self._tests[dataloader_idx].update(found)
        return found

    def on_test_epoch_end(self) -> None:
        """Put each split together; log its accuracy and, where there is one, its mask IoU.

        The accuracy of a split ``..._adversarial`` is no mean over images: see `SplitOutcome`.
        """
        self._not_finite.check("test", strategy=self.trainer.strategy)
        loaders = self.trainer.test_dataloaders
        for place, name in enumerate(names_of_tests(self.trainer)):
            if not self._tests[place].update_called:
                continue
            dataset = loaders[place].dataset if isinstance(loaders, list) else None
            outcome = split_outcome(self._tests[place].compute(), split=name, dataset=dataset)
            self.outcomes[name] = outcome
            if not is_adversarial(name):
                self.log(f"test/{name}/accuracy", outcome.accuracy.value, sync_dist=True)
            if outcome.iou is not None:
                self.log(f"test/{name}/mask_iou", outcome.iou.mean, sync_dist=True)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Class, probabilities, row of the dataset, and the mask where the network has one."""
        batch = as_batch(batch, labelled=False)
        logits, mask = self.masked_forward(batch["image"])
        self._not_finite.count(logits)
        found = {
            "index": batch["index"],
            "prediction": logits.argmax(1),
            "probabilities": logits.float().softmax(1),
        }
        return found if mask is None else {**found, "mask": mask}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimiser, and its learning rate by step."""
        optimizer = self._build_optimizer()
        if callable(self.optimizer):
            self.learning_rate = optimizer.param_groups[0]["lr"]
            name = type(optimizer).__name__
            rank_zero_info(f"optimizer {name} with its own lr, {self.learning_rate:g}")
        self._schedule, settings = scheduled(
            optimizer,
            self.lr_scheduler,
            steps=training_steps(self.trainer),
            warmup=self.warmup,
            stages=self.objective.stages,
            waits=self.objective.waits,
        )
        return {"optimizer": optimizer, "lr_scheduler": settings}

    def _build_optimizer(self) -> torch.optim.Optimizer:
        if callable(self.optimizer):
            return own_optimizer(self.model, self.optimizer)
        return named_optimizer(
            self.model,
            self.optimizer,
            momentum=self.momentum,
            fused=self.device.type == "cpu",  # on a GPU it forbids clipping in half precision
            learning_rate=self.learning_rate,
            attention_learning_rate=self.attention_learning_rate,
            weight_decay=self.weight_decay,
        )

    def _tell_optimizer_anew(self) -> None:
        """Let today's options count, not those that a checkpoint brings back."""
        schedules = [found.scheduler for found in self.trainer.lr_scheduler_configs]
        if self._schedule is None or self._schedule not in schedules:
            return  # a learning-rate finder is at work
        optimizer = self.trainer.optimizers[0]
        if callable(self.optimizer):
            groups = [{"lr": self.learning_rate} for _ in optimizer.param_groups]
        else:
            fresh = self._build_optimizer().param_groups
            groups = [{name: g[name] for name in _TOLD if name in g} for g in fresh]
        tell_anew(optimizer, self._schedule, groups=groups)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down the classes' names, how images were prepared, the objective's state."""
        facts = data_facts(getattr(self._trainer, "datamodule", None))
        checkpoint[FACTS] = facts or self.data_facts
        checkpoint[OBJECTIVE] = {type(self.objective).__name__: self.objective.state_dict()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read them again; for a training that goes on, the state of its objective too."""
        self.data_facts = checkpoint.get(FACTS, {})
        state = checkpoint.get(OBJECTIVE, {}).get(type(self.objective).__name__)
        if state and self._trainer is not None and self._trainer.state.fn == "fit":
            self.objective.load_state_dict(state)

    def _laid_out(self, images: Tensor) -> Tensor:
        if not self.channels_last:
            return images
        return images.contiguous(memory_format=torch.channels_last)
