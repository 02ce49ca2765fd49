"""What every method with data shares: passes over the training images, augmented, and one weighted step of the student."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from dfrd_bench.distillation.adversaries import Start
from dfrd_bench.distillation.augmentation import augment
from dfrd_bench.distillation.averaging import WeightAverage
from dfrd_bench.distillation.endurance import Count
from dfrd_bench.distillation.inner_attack import Away, InnerAttack, Mode
from dfrd_bench.distillation.lessons import Batch, Lesson, PerImage
from dfrd_bench.distillation.losses import FiniteLosses
from dfrd_bench.distillation.nulls import shared_nulls
from dfrd_bench.distillation.schedules import one_cycle, set_learning_rate
from dfrd_bench.distillation.tally import Averages
from dfrd_bench.distillation.weighting import OF_FAIRNESS, Clamp, ClassDifficulty, Sizes, Uniform, Weighting
from dfrd_bench.method import Method, MethodConfig, param
from dfrd_bench.problem import DatasetInfo, Problem, Sees, ThreatModel, TrainingProblem

RECIPE = "Fair-ARD paper, section 4.1"
FAIR = "Fair-ARD paper, eq. 5-7"
FAIR_RELEASED = "Fair-ARD released code"
AVERAGING = "Rebuffi et al. 2021, Data Augmentation Can Improve Robustness"
TRICKS = "Pang et al. 2021, Bag of Tricks for Adversarial Training"
Shares = tuple[Annotated[float, Field(ge=0, le=1)], ...]
"""Of the epochs, as points in time."""


class LearnerConfig(MethodConfig):
    """The shared recipe for a student that learns from the training images (Fair-ARD, section 4.1)."""

    epochs: int = param(200, "passes over the training images", "original settings", ge=1)
    batch_size: int = param(128, "images per step", RECIPE, ge=2)
    lr: float = param(0.1, "student: SGD learning rate, at its highest", RECIPE, gt=0)
    schedule: Literal["steps", "cycle"] = param(
        "steps",
        "lr falls at each of decay_at; or in one cycle rises over lr_warmup and falls along a cosine to 0",
        RECIPE,
    )
    decay: float = param(0.1, "what lr is multiplied by at each of decay_at", "original settings", gt=0, le=1)
    decay_at: Shares = param((0.5, 0.75), "after which shares of the epochs lr falls", "original settings")
    lr_warmup: float = param(0.1, "cycle: share of the steps in which lr rises", "common practice", ge=0, lt=1)
    momentum: float = param(0.9, "student: SGD momentum", RECIPE, ge=0, lt=1)
    nesterov: bool = param(False, "Nesterov's momentum (Fair-ARD's released code: true)", RECIPE)
    weight_decay: float = param(2e-4, "student: SGD weight decay", RECIPE, ge=0)
    ema: float = param(
        0.0,
        "decay per step of the average of the weights that the student has in the end; 0: none",
        AVERAGING,
        ge=0,
        lt=1,
    )
    crop_padding: int | None = param(
        None, "random crop's padding; when null 4, on images below 32 pixels an eighth of the height", "all", ge=0
    )
    flip: bool | None = param(None, "random horizontal flip; where the dataset is mirrored when null", "all")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> LearnerConfig:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self

    def idle(self) -> dict[str, str]:
        """What belongs to the schedule that is not asked for."""
        others = ("lr_warmup",) if self.schedule == "steps" else ("decay", "decay_at")
        return super().idle() | dict.fromkeys(others, f"schedule={self.schedule}")

    def stands_for(self, info: DatasetInfo, threat: ThreatModel) -> dict[str, Any]:
        """Of the adversary's step, the padding of crops and flips."""
        return shared_nulls(dict(self), info, threat)


class LabelledConfig(LearnerConfig):
    """The recipe of those in whose loss the labels stand."""

    label_smoothing: float = param(0.0, "share of the label that is spread over all classes", TRICKS, ge=0, lt=1)


class AttackedConfig(LearnerConfig):
    """The recipe of those that attack the student meanwhile, and so can weigh classes by how they withstand that."""

    attack_steps: int = param(10, "student's adversary: steps", RECIPE, ge=1)
    attack_step: float | None = param(
        None, "student's adversary: step size; the threat model's when null", RECIPE, gt=0
    )
    attack_start: Start = param("noise", "student's adversary: from x + 0.001·N(0, I), or uniformly in the ball", "all")
    attack_mode: Mode = param("eval", "BatchNorm under attack: eval, or train, which moves its statistics", "all")
    fair: bool = param(False, "weigh images by how hard their class is: X becomes Fair-X", FAIR)
    beta: float = param(2.0, "fair: β, the exponent of a class's weight; 0 weighs all alike", FAIR, ge=0)
    clamp: Clamp = param("none", "fair: cut weights to [5/6, 5/2] (released)", FAIR_RELEASED)
    count: Count = param("first", "fair: steps before the first misclassification, or all (released)", FAIR_RELEASED)
    sizes: Sizes = param("own", "fair: κ by a class's own size, or as if all were equal (released)", FAIR_RELEASED)

    def idle(self) -> dict[str, str]:
        """The class weights' own, where there are none."""
        return super().idle() | ({} if self.fair else dict.fromkeys(OF_FAIRNESS, "fair=false"))


class Learner(Method):
    """A method whose student learns from the training images by SGD; how, is the lesson that the subclass makes.

    Where images come from × how the student learns from a batch (`make_lesson`) × how images are weighted (`make_weighting`).

    Attributes:
        asks_about_clean: whether the lesson needs the teacher's predictions on the clean batch (`Batch.taught`).
    """

    Config: ClassVar[type[MethodConfig]] = LearnerConfig
    sees: ClassVar[Sees] = "training images"
    asks_about_clean: ClassVar[bool] = True
    problem: TrainingProblem

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.recipe = cast(LearnerConfig, config)
        self.rng = torch.Generator(problem.device).manual_seed(problem.seed)
        self.optimiser = torch.optim.SGD(
            self.student.parameters(),
            lr=self.recipe.lr,
            momentum=self.recipe.momentum,
            nesterov=self.recipe.nesterov,
            weight_decay=self.recipe.weight_decay,
        )
        self.ema = WeightAverage(self.student, self.recipe.ema) if self.recipe.ema else None
        if self.ema is not None:
            update, student = self.ema.update, self.student
            self.optimiser.register_step_post_hook(lambda *_: update(student))
        self.losses = FiniteLosses()
        self.lesson = self.make_lesson()
        self.weighting = self.make_weighting()

    @abstractmethod
    def make_lesson(self) -> Lesson:
        """How the student learns from a batch."""

    def make_weighting(self) -> Weighting:
        """How images are weighted: by their class's difficulty where the method is fair, else all the same."""
        c = self.config
        if not isinstance(c, AttackedConfig) or not c.fair:
            return Uniform()
        return ClassDifficulty.by(c, self.problem)

    def attack(self, away: Away) -> InnerAttack:
        """The recipe's attack on the student."""
        return InnerAttack.of(cast(AttackedConfig, self.config), self.problem, away)

    def lesson_at(self, epoch: int) -> Lesson:
        """The lesson of an epoch; here always the same."""
        return self.lesson

    def learning_rate(self, epoch: float) -> float:
        """Of the step after so many epochs."""
        return self.recipe.lr * self.decayed(epoch)

    def decayed(self, epoch: float) -> float:
        """By what lr, and other rates that fall with it, are multiplied: `decay` for each share of the epochs that is over, or
        where in its one cycle lr is.
        """
        c = self.recipe
        if c.schedule == "cycle":
            step = round(epoch * self.batches) + 1
            return one_cycle(step / (c.epochs * self.batches + 1), c.lr_warmup)
        over = sum(epoch >= round(share * c.epochs) for share in c.decay_at)
        return c.decay**over

    @property
    def batches(self) -> int:
        """Steps per epoch. No batch has a single image: BatchNorm cannot take one where a feature map is a single position."""
        count = len(self.problem.labels)
        return max(1, min(math.ceil(count / self.recipe.batch_size), count // 2))

    def draw(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One shuffled pass: batches of nearly equal size, augmented images [N, C, H, W] in [0, 1] and labels [N]."""
        device = self.problem.device
        order = torch.randperm(len(self.problem.labels), generator=self.rng, device=device)
        for index in order.tensor_split(self.batches):
            yield self.augment(self.problem.images[index].float() / 255), self.problem.labels[index]

    def augment(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Random crop and flip, image by image; drawn from the method's own source, or from another."""
        return augment(
            images,
            padding=self.recipe.crop_padding,
            flip=self.problem.info.mirrored if self.recipe.flip is None else self.recipe.flip,
            generator=generator or self.rng,
        )

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training images; after the last the student has its averaged weights, if it has any."""
        rate, lesson = self.learning_rate(epoch), self.lesson_at(epoch)
        averages = Averages()
        self.progress("distill", 0, self.batches)
        for step, (images, labels) in enumerate(self.draw()):
            rate = self.learning_rate(epoch + step / self.batches)
            set_learning_rate(self.optimiser, rate)
            averages.add(self.learn(lesson, images, labels))
            self.progress("distill", step + 1, self.batches)
        if self.ema is not None and epoch == self.recipe.epochs - 1:
            self.student.load_state_dict(self.ema.model.state_dict())
        return {**averages.means(), "lr": rate, **self.weighting.end_epoch()}

    def learn(self, lesson: Lesson, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step of the student on a batch; returns the loss and its terms, weighted, scalars on the device."""
        problem = self.problem
        x = problem.precision.images(images)
        self.student.train()
        taught = None
        if self.has_teacher and self.asks_about_clean:
            with torch.no_grad():
                taught = problem.precision.logits(problem.teacher, x)
        found = lesson(self.student, Batch(x, labels, taught), self.rng)
        weights = self.weighting.of(labels, found.withstood)
        terms = {name: (weights * term).mean() for name, term in found.terms.items()} | self.batch_terms(labels, found)
        terms = self.balanced(terms)
        loss = self.losses.total(terms, "distillation")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.observe(labels, found)
        return {"loss": loss.detach(), **{f"loss_{name}": term.detach() for name, term in terms.items()}}

    def batch_terms(self, labels: Tensor, found: PerImage) -> dict[str, Tensor]:
        """Terms of the loss that are not a mean over images, scalars; here none."""
        return {}

    def observe(self, labels: Tensor, found: PerImage) -> None:
        """Learn from how a batch fared, after the step."""
        self.weighting.observe(labels, found.withstood)

    def balanced(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of a step's loss, scalars, as they are added up; here as the lesson and the weighting made them."""
        return terms

    def state_dict(self) -> dict[str, Any]:
        """As of any method, once all losses so far are known to be finite."""
        self.losses.check()
        return super().state_dict()

    def sample(self, n: int) -> Tensor:
        """n training images [n, C, H, W], augmented from a random source of their own."""
        generator = torch.Generator(self.problem.device).manual_seed(self.problem.seed)
        return self.augment(self.problem.images[:n].float() / 255, generator)
