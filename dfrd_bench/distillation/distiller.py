"""What every method here shares: the student, its optimiser and schedule, and one robust distillation step."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from dfrd_bench.attacks.recording import Recorder
from dfrd_bench.distillation.adversaries import DivergenceAdversary
from dfrd_bench.distillation.augmentation import augment
from dfrd_bench.distillation.class_temperatures import ABSLDLesson
from dfrd_bench.distillation.conversion import (
    Distillation,
    ImageByImage,
    LessonDistillation,
    PlainDistillation,
    SoftLabelDistillation,
)
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.distillation.losses import FiniteLosses, backward
from dfrd_bench.distillation.nulls import shared_nulls
from dfrd_bench.distillation.recipes import ConversionConfig, lesson_in, lesson_of
from dfrd_bench.distillation.schedules import cosine, set_learning_rate
from dfrd_bench.distillation.tally import Averages
from dfrd_bench.distillation.weighting import ClassDifficulty
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.method import Method, MethodConfig, param
from dfrd_bench.problem import DatasetInfo, Problem, ThreatModel

RECIPE = "FERD paper, section 5.1"
RELEASED = "FERD released code"
DecayFrom = Literal["warmup", "start"]
MANY_CLASSES = 100  # from which on the papers' values for CIFAR-100 apply


class DistillerConfig(ConversionConfig):
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
    student_clip_norm: float | None = param(None, "largest norm of the student's gradient", "shared recipe", gt=0)

    def stands_for(self, info: DatasetInfo, threat: ThreatModel) -> dict[str, Any]:
        """Of the adversary's step, the padding of crops and flips."""
        return shared_nulls(dict(self), info, threat)

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
        self.named_lesson = lesson_of(self.recipe, problem)
        lesson = self.named_lesson
        self.temperatures = lesson.temperatures if isinstance(lesson, ABSLDLesson) else None
        self.distillation: Distillation | ImageByImage = (
            self.make_distillation() if self.named_lesson is None else LessonDistillation(self.named_lesson)
        )
        self.weighting = self.make_weighting() if self.recipe.fair else None
        self.by_image = self.named_lesson is not None or self.weighting is not None
        self.learnt = Averages()
        self.learning = False
        self.epoch = 0
        self.recorder = Recorder(
            problem.device, generator=self.rng, networks=(problem.teacher, problem.student), possible=self.replays
        )
        self.lesson = self.recorder.of(self.gradients, self.student.parameters)

    def make_distillation(self) -> Distillation:
        """The method's own way to learn from a batch: RSLAD on adversarial examples, or plainly without the conversion."""
        if not self.recipe.conversion:
            return PlainDistillation(self.recipe.temperature)
        return self.converted(self.adversary())

    def converted(self, adversary: DivergenceAdversary) -> SoftLabelDistillation:
        """The recipe's loss on what an adversary makes."""
        return SoftLabelDistillation.of(
            adversary,
            adversarial_weight=self.recipe.adversarial_weight,
            reduction=self.recipe.reduction,
            count=self.recipe.count,
        )

    def make_weighting(self) -> ClassDifficulty:
        """Classes weighted by how long the student withstands the conversion's own attack on their images.

        Raises:
            DfrdBenchError: the method's own distillation has no loss per image.
        """
        if not isinstance(self.distillation, ImageByImage):
            raise DfrdBenchError(
                f"fair=true cannot weigh images in {type(self).__name__}'s own distillation: "
                "take a lesson that can, e.g. conversion=rslad or conversion=ard."
            )
        return ClassDifficulty.by(self.recipe, self.problem)

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

    def decayed(self, epoch: int) -> float:
        """By what lr, and other rates that fall with it, are multiplied: a cosine from 1 to 0 over the epochs after warm-up,
        or over all.
        """
        before = self.recipe.warmup_epochs if self.recipe.decay_from == "warmup" else 0
        return cosine(max(epoch - before, 0), max(self.recipe.epochs - before, 1))

    def set_learning_rate(self, epoch: int) -> float:
        """That of an epoch, which is returned."""
        rate = self.recipe.lr * self.decayed(epoch)
        set_learning_rate(self.optimiser, rate)
        return rate

    def begin_epoch(self, epoch: int) -> float:
        """Call first in an epoch in which the student learns: sets the rate and the lesson; returns the rate."""
        self.learning, self.epoch = True, epoch
        if self.named_lesson is not None:
            before, epochs = self.recipe.warmup_epochs, self.recipe.epochs
            now = lesson_in(self.named_lesson, max(epoch - before, 0), max(epochs - before, 1), self.recipe.begin)
            self.distillation = LessonDistillation(now)
        return self.set_learning_rate(epoch)

    def end_epoch(self) -> dict[str, float]:
        """Call last in such an epoch: the next one's class weights come from this one; returns numbers for the history.

        They are a lesson's terms, τ of each class under ABSLD's, κ and ω of each where the method is fair, and the share
        `relabelled` of the images whose class is not the one they were made for.
        """
        numbers = self.learnt.means()
        self.learnt, self.learning = Averages(), False
        if self.temperatures is not None:
            numbers |= self.temperatures.end_epoch(self.recipe.temperature_rate * self.decayed(self.epoch + 1))
        return {**numbers, **(self.weighting.end_epoch() if self.weighting is not None else {})}

    def distillation_view(self, images: Tensor) -> Tensor:
        """What the student is shown of images [N, C, H, W]; those themselves here."""
        return images

    def distill(self, images: Tensor, made_for: Tensor | None = None) -> Tensor:
        """One step of the student; returns the loss, a scalar on the device.

        Args:
            images: [N, C, H, W].
            made_for: the classes [N] they were made for, where there are such.
        """
        # by image it is not replayed: class weights are others in each epoch
        terms = self.gradients_by_image(images, made_for) if self.by_image else self.lesson(images)
        loss = self.losses.total(terms, "distillation")
        if self.recipe.student_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.student_clip_norm)
        self.optimiser.step()
        return loss

    def gradients(self, images: Tensor) -> dict[str, Tensor]:
        """The student's loss on a batch, whose gradients are left at its weights; returns the terms, without a graph."""
        x, teacher_logits = self.shown(images)
        with self.problem.autocast():
            terms = cast(Distillation, self.distillation)(self.student, x, teacher_logits, self.rng)
        self.optimiser.zero_grad(set_to_none=True)
        return backward(terms)

    def shown(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the student, in train mode from now on, is shown of a batch, and the teacher's logits for it [N, K]."""
        x = self.problem.precision.images(self.distillation_view(images))
        self.student.train()
        with torch.no_grad():
            return x, self.problem.precision.logits(self.problem.teacher, x)

    def gradients_by_image(self, images: Tensor, made_for: Tensor | None) -> dict[str, Tensor]:
        """As `gradients`, of a batch with labels, each image weighted by its class's difficulty.

        An image's label is the class that the teacher takes it for: the one it was made for, or else what it has become.
        """
        if not self.learning:
            raise DfrdBenchError(
                f"{type(self).__name__}.train_epoch must begin with begin_epoch and end with end_epoch: "
                "fair=true and the lessons of conversion=… need both."
            )
        x, teacher_logits = self.shown(images)
        labels = teacher_logits.argmax(dim=1)
        weights = torch.ones(len(x), device=x.device) if self.weighting is None else self.weighting.of(labels)
        by_image, batch = cast(ImageByImage, self.distillation), Batch(x, labels, teacher_logits)
        with self.problem.autocast():
            terms, withstood = by_image.weighted(self.student, batch, weights, self.rng)
        if self.weighting is not None:
            self.weighting.observe(labels, withstood)
        if self.named_lesson is not None:
            self.learnt.add({f"loss_{name}": term.detach() for name, term in terms.items()})
        if made_for is not None:
            self.learnt.add({"relabelled": (labels != made_for).float().mean()})
        self.optimiser.zero_grad(set_to_none=True)
        return backward(terms)
