"""Training a robust teacher on real images: adversarial training and TRADES, with averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.attacks.projected_gradient import ascend, cross_entropy
from dfrd_bench.distillation.augmentation import augment
from dfrd_bench.distillation.losses import kl_per_image
from dfrd_bench.distillation.schedules import one_cycle, set_learning_rate
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.images import LabelledImages
from dfrd_bench.method import MethodConfig, Progress, Resumable, param, silent
from dfrd_bench.problem import DatasetInfo, Precision, ThreatModel
from dfrd_bench.students.base import build_network

_TRICKS = "Pang et al. 2021, Bag of Tricks for Adversarial Training"
_TRADES = "Zhang et al. 2019, TRADES, section 5"
_AVERAGING = "Rebuffi et al. 2021, Data Augmentation Can Improve Robustness"


class TeacherConfig(MethodConfig):
    """Hyper-parameters of robust training; the defaults are the literature's for CIFAR-10."""

    method: Literal["at", "trades"] = param("trades", "adversarial training, or TRADES", _TRADES)
    epochs: int = param(110, "passes over the training images", _TRICKS, ge=1)
    batch_size: int = param(128, "images per step", _TRICKS, ge=2)
    lr: float = param(0.1, "highest learning rate of SGD", _TRICKS, gt=0)
    warmup: float = param(0.1, "share of the steps in which lr rises, before it falls", "common practice", ge=0, lt=1)
    momentum: float = param(0.9, "Nesterov momentum of SGD", _TRICKS, gt=0, lt=1)
    weight_decay: float = param(5e-4, "weight decay of SGD", _TRICKS, ge=0)
    beta: float = param(6.0, "weight of TRADES's KL term", _TRADES, ge=0)
    label_smoothing: float = param(0.0, "share of the label spread over all classes", _TRICKS, ge=0, lt=1)
    inner_steps: int = param(10, "PGD steps per adversarial example", _TRADES, ge=1)
    inner_step: float | None = param(None, "length of a PGD step; the threat model's when unset", _TRADES, gt=0, le=1)
    ema: float = param(0.995, "decay of the weight average per step; 0: none", _AVERAGING, ge=0, lt=1)
    padding: int = param(4, "black pixels around an image before its random crop", _TRICKS, ge=0)


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """The inner maximisation of robust training: PGD in eval mode, so that it never moves BatchNorm statistics.

    Attributes:
        eps: radius of the L∞ ball.
        step: length of one step.
        steps: number of steps.
        precision: arithmetic of its forward passes.
        generator: of the random starts.
    """

    eps: float
    step: float
    steps: int
    precision: Precision
    generator: torch.Generator

    def against_label(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Images of high cross-entropy, from a uniformly random start in the ball (Madry et al. 2018, section 2.1)."""
        noise = self.eps * (2 * torch.rand(x.shape, generator=self.generator, device=x.device) - 1)
        with evaluating(model):
            return self._ascend(lambda images: cross_entropy(self.precision.logits(model, images), y), x, noise)

    def against_clean(self, model: nn.Module, x: Tensor) -> Tensor:
        """Images whose prediction is far from x's in KL, from x + 0.001·N(0, I) (Zhang et al. 2019, algorithm 1)."""
        noise = 0.001 * torch.randn(x.shape, generator=self.generator, device=x.device)
        with evaluating(model):
            with torch.no_grad():
                clean = self.precision.logits(model, x)
            return self._ascend(lambda images: kl_per_image(clean, self.precision.logits(model, images)), x, noise)

    def _ascend(self, objective: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor) -> Tensor:
        return ascend(objective, x, eps=self.eps, step=self.step, steps=self.steps, start=x + noise)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside, the previous mode afterwards."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def adversarial_training_loss(
    model: nn.Module, x: Tensor, y: Tensor, adversary: Adversary, config: TeacherConfig
) -> Tensor:
    """Cross-entropy on adversarial examples (Madry et al. 2018, eq. 2.1)."""
    x_adv = adversary.against_label(model, x, y)
    return F.cross_entropy(adversary.precision.logits(model, x_adv), y, label_smoothing=config.label_smoothing)


def trades_loss(model: nn.Module, x: Tensor, y: Tensor, adversary: Adversary, config: TeacherConfig) -> Tensor:
    """CE(f(x), y) + β·KL(f(x) ‖ f(x_adv)) (Zhang et al. 2019, eq. 5).

    Both halves go through the network as one batch: BatchNorm's statistics are those of clean and adversarial images.
    """
    x_adv = adversary.against_clean(model, x)
    clean, adversarial = adversary.precision.logits(model, torch.cat([x, x_adv])).chunk(2)
    natural = F.cross_entropy(clean, y, label_smoothing=config.label_smoothing)
    return natural + config.beta * kl_per_image(clean, adversarial).mean()


LOSSES = {"at": adversarial_training_loss, "trades": trades_loss}


class WeightAverage:
    """Exponential moving average of a network's weights and BatchNorm statistics (Rebuffi et al. 2021).

    After n updates the decay is at most (1 + n) / (10 + n), so that the initial weights are forgotten early.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the network's present state; counters are copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        now = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                average.lerp_(now[name], 1 - decay)
            else:
                average.copy_(now[name])

    def state_dict(self) -> dict[str, Any]:
        """The averages and how many updates made them."""
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.updates = state["updates"]


class TeacherTraining(Resumable):
    """Robust training of one network on labelled images, epoch by epoch; it can be stopped after any and go on.

    Every random draw (weights, order, augmentation, starts) comes from the seed; the global random state stays as it was.

    Attributes:
        model: the network in training.
        average: its averaged weights; `average.model` is the teacher, in eval mode.
        progress: called after each step within an epoch.
    """

    def __init__(
        self,
        images: LabelledImages,
        info: DatasetInfo,
        *,
        architecture: str,
        config: TeacherConfig,
        threat: ThreatModel,
        seed: int,
        device: torch.device,
        precision: Precision,
    ) -> None:
        """Build the network and move the images into the device's memory.

        Args:
            images: to train on, [N, C, H, W].
            info: their shape and classes, and whether they may be mirrored.
            architecture: a name of `dfrd-bench list students`.
            config: the hyper-parameters.
            threat: the ball the network must withstand.
            seed: of every random draw.
            device: where to train.
            precision: arithmetic of forward passes; the weights are float32.

        Raises:
            DfrdBenchError: no such architecture.
        """
        network = build_network(architecture, channels=info.shape[0], num_classes=info.num_classes, seed=seed)
        self.images = LabelledImages(images.images.to(device), images.labels.to(device))
        self.mirrored = info.mirrored
        self.device = device
        self.config = config
        self.model = precision.place(network, device).train()
        self.average = WeightAverage(self.model, config.ema)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.adversary = Adversary(
            eps=threat.eps,
            step=config.inner_step or threat.step,
            steps=config.inner_steps,
            precision=precision,
            generator=self.generator,
        )
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=True,
        )
        self.progress: Progress = silent

    @property
    def batches(self) -> int:
        """Steps per epoch. No batch has a single image: BatchNorm cannot take one where a feature map is a single position."""
        return max(1, min(math.ceil(len(self.images) / self.config.batch_size), len(self.images) // 2))

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Go once through the training images (epochs are counted from 0) and return the mean loss."""
        config, images = self.config, self.images
        total = torch.zeros((), device=self.device)
        self.progress("training", 0, self.batches)
        order = torch.randperm(len(images), generator=self.generator, device=self.device)
        for position, index in enumerate(order.tensor_split(self.batches)):
            steps = epoch * self.batches + position + 1
            progress = steps / (config.epochs * self.batches + 1)
            set_learning_rate(self.optimizer, config.lr * one_cycle(progress, config.warmup))
            x = augment(images.floats(index), padding=config.padding, flip=self.mirrored, generator=self.generator)
            loss = LOSSES[config.method](self.model, x, images.labels[index], self.adversary, config)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.average.update(self.model)
            total += loss.detach() * len(index)
            self.progress("training", position + 1, self.batches)
        if not math.isfinite(loss_of_epoch := total.item() / len(images)):
            raise DfrdBenchError(
                f"The teacher's loss is {loss_of_epoch} in epoch {epoch + 1}: training diverged. "
                f"Begin again with a lower learning rate (--set lr=…, now {config.lr}) and another --output."
            )
        return {"loss": loss_of_epoch}
