"""What every method here shares: the student, its optimiser and schedule, and one robust distillation step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from dfrd_bench.attacks.recording import Recorder
from dfrd_bench.distillation.adversaries import DivergenceAdversary, Start
from dfrd_bench.distillation.augmentation import augment
from dfrd_bench.distillation.conversion import Distillation, PlainDistillation, RobustDistillation
from dfrd_bench.distillation.losses import FiniteLosses, backward, rslad
from dfrd_bench.distillation.schedules import cosine, set_learning_rate
from dfrd_bench.method import Method, MethodConfig, param
from dfrd_bench.problem import Problem

RECIPE = "FERD paper, section 5.1"
RELEASED = "FERD released code"
DecayFrom = Literal["warmup", "start"]
MANY_CLASSES = 100  # from which on the papers' values for CIFAR-100 apply


class DistillerConfig(MethodConfig):
    """The shared recipe for the student (FERD section 5.1 and A.8)."""

    batch_size: int = param(256, "images per step (100 classes or more: 512)", RECIPE, ge=2)
    warmup_epochs: int = param(20, "first epochs, with synthesis only", RELEASED, ge=0)
    distillation_steps: int = param(400, "student steps per epoch", RECIPE, ge=1)
    lr: float = param(0.1, "student: SGD learning rate, cosine decay to 0", RECIPE, gt=0)
    decay_from: DecayFrom = param("warmup", "where the cosine of lr begins: warmup's end, or start", "shared recipe")
    momentum: float = param(0.9, "student: SGD momentum", RECIPE, ge=0, lt=1)
    weight_decay: float = param(5e-4, "student: SGD weight decay", RECIPE, ge=0)
    crop_padding: int | None = param(
        None, "random crop's padding; when null 4, on images below 32 pixels an eighth of the height", RELEASED, ge=0
    )
    flip: bool | None = param(None, "random horizontal flip; where the dataset is mirrored when null", RELEASED)
    conversion: bool = param(True, "robust distillation (DFRD); false leaves the method as DFKD", "FERD paper, A.8")
    attack_steps: int = param(10, "student's adversary: steps", "FERD paper, A.8", ge=1)
    attack_step: float | None = param(
        None, "student's adversary: step size; the threat model's when null", "FERD paper, A.8", gt=0
    )
    attack_start: Start = param(
        "noise", "student's adversary: from x + 0.001·N(0, I), or uniformly in the ball", "FERD paper, A.8"
    )
    student_clip_norm: float | None = param(None, "largest norm of the student's gradient", "shared recipe", gt=0)
    adversarial_weight: float = param(5 / 6, "RSLAD: weight of the adversarial term", "FERD paper, A.8", ge=0, le=1)
    reduction: Literal["batchmean", "mean"] = param(
        "batchmean", "KL averaged over images, or over images × classes", "RSLAD released code: mean"
    )
    temperature: float = param(1.0, "temperature of the un-converted distillation", "shared recipe", gt=0)

    def made(self) -> dict[str, int]:
        """The student's steps."""
        return {"student steps": max(self.epochs - self.warmup_epochs, 1) * self.distillation_steps}

    @classmethod
    def for_classes(cls, num_classes: int) -> dict[str, Any]:
        """A larger batch for CIFAR-100 and Tiny-ImageNet (FERD section 5.1)."""
        return {"batch_size": 512} if num_classes >= MANY_CLASSES else {}


class Distiller(Method):
    """A method whose student learns by SGD from batches of images; how those come about is the subclass's business."""

    Config: ClassVar[type[MethodConfig]] = DistillerConfig
    replays: ClassVar[bool] = True
    """Whether every step is the same work, so that a GPU may replay it; False where Python decides anew at each."""

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.recipe = cast(DistillerConfig, config)
        self.rng = torch.Generator(problem.device).manual_seed(problem.seed)
        self.optimiser = torch.optim.SGD(
            self.student.parameters(),
            lr=self.recipe.lr,
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.weight_decay,
        )
        self.losses = FiniteLosses()
        self.distillation = self.make_distillation()
        self.recorder = Recorder(
            problem.device, generator=self.rng, networks=(problem.teacher, problem.student), possible=self.replays
        )
        self.lesson = self.recorder.of(self.gradients, self.student.parameters)

    def make_distillation(self) -> Distillation:
        """How the student learns from a batch: RSLAD on its own adversarial examples, or plainly without the conversion."""
        if not self.recipe.conversion:
            return PlainDistillation(self.recipe.temperature)
        loss = partial(rslad, adversarial_weight=self.recipe.adversarial_weight, reduction=self.recipe.reduction)
        return RobustDistillation(self.adversary(), loss)

    def adversary(self, gamma: float = 0.0) -> DivergenceAdversary:
        """The recipe's adversary; γ is the weight of its uniform-target term."""
        return DivergenceAdversary(
            problem=self.problem,
            steps=self.recipe.attack_steps,
            step=self.recipe.attack_step,
            gamma=gamma,
            start=self.recipe.attack_start,
        )

    def augment(self, images: Tensor) -> Tensor:
        """Random crop and flip, image by image; differentiable in the images [N, C, H, W]."""
        return augment(images, padding=self.recipe.crop_padding, flip=self.flips, generator=self.rng)

    def state_dict(self) -> dict[str, Any]:
        """As of any method, once all losses so far are known to be finite."""
        self.losses.check()
        return super().state_dict()

    @property
    def flips(self) -> bool:
        """Whether views may be mirrored left to right."""
        return self.problem.info.mirrored if self.recipe.flip is None else self.recipe.flip

    def set_learning_rate(self, epoch: int) -> float:
        """Cosine decay from `lr` to 0 over the epochs after warm-up, or over all; returns the rate of this epoch."""
        before = self.recipe.warmup_epochs if self.recipe.decay_from == "warmup" else 0
        rate = self.recipe.lr * cosine(max(epoch - before, 0), max(self.recipe.epochs - before, 1))
        set_learning_rate(self.optimiser, rate)
        return rate

    def distillation_view(self, images: Tensor) -> Tensor:
        """What the student is shown of images [N, C, H, W]; those themselves here."""
        return images

    def distill(self, images: Tensor) -> Tensor:
        """One step of the student on a batch [N, C, H, W]; returns the loss, a scalar on the device."""
        loss = self.losses.total(self.lesson(images), "distillation")
        if self.recipe.student_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.student_clip_norm)
        self.optimiser.step()
        return loss

    def gradients(self, images: Tensor) -> dict[str, Tensor]:
        """The student's loss on a batch, whose gradients are left at its weights; returns the terms, without a graph."""
        x = self.problem.precision.images(self.distillation_view(images))
        self.student.train()
        with self.problem.autocast():
            with torch.no_grad():
                teacher_logits = self.problem.precision.logits(self.problem.teacher, x)
            terms = self.distillation(self.student, x, teacher_logits, self.rng)
        self.optimiser.zero_grad(set_to_none=True)
        return backward(terms)


class Averages:
    """Means of named numbers over the steps of an epoch; those on a GPU are fetched once, not at every step."""

    def __init__(self) -> None:
        self._values: dict[str, list[float | Tensor]] = {}

    def add(self, numbers: Mapping[str, float | Tensor]) -> None:
        """Add one step's numbers: floats, or scalar tensors without a graph."""
        for name, value in numbers.items():
            self._values.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        """Mean per name."""
        return {name: sum(_floats(values)) / len(values) for name, values in self._values.items()}


def _floats(values: list[float | Tensor]) -> list[float]:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) < len(values):
        return [float(value) for value in values]
    fetched: list[float] = torch.stack(tensors).tolist()
    return fetched
