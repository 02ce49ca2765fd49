"""DFHL: hard labels stolen on high-entropy examples carry the shape of a robust teacher's decision boundary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from pydantic import field_validator
from torch import Tensor

from dfrd_bench.distillation.adversaries import EntropyAscent
from dfrd_bench.distillation.conversion import Distillation, HardLabelDistillation, PlainDistillation
from dfrd_bench.distillation.distiller import MANY_CLASSES
from dfrd_bench.distillation.losses import imbalance, smoothed_cross_entropy
from dfrd_bench.distillation.synthesis import SynthesisConfig, SynthesizeThenDistill
from dfrd_bench.distillation.views import zoom_and_rotate
from dfrd_bench.method import MethodConfig, Reference, param
from dfrd_bench.problem import Problem

PAPER = "Yuan et al. 2024"
RELEASED = "Yuan et al. 2024, released code"


class DFHLConfig(SynthesisConfig):
    """DFHL's hyper-parameters; the student's schedule is the shared recipe's, without warm-up."""

    warmup_epochs: int = param(0, "no warm-up: images are made for the student, which must learn", RELEASED, ge=0)
    synthesis_steps: int = param(10, "synthesis steps per round (CIFAR-100: 15)", PAPER, ge=1)
    generator_lr: float = param(2e-3, "generator: Adam learning rate (CIFAR-100: 5e-3)", PAPER, gt=0)
    latent_lr: float = param(0.01, "latent codes: Adam learning rate (CIFAR-100: 0.015)", PAPER, ge=0)
    latent_dim: int = param(256, "length of a latent code", RELEASED, ge=1)
    reinitialise: bool = param(False, "the generator is kept from round to round", RELEASED)
    label_smoothing: float = param(0.2, "smoothing of the pseudo-labels (CIFAR-100: 0.02)", PAPER, ge=0, lt=1)
    lambda_div: float = param(3.0, "weight of the class diversity", PAPER, ge=0)
    attack_steps: int = param(10, "high-entropy examples: ascent steps", PAPER, ge=1)
    attack_step: float = param(0.03, "high-entropy examples: step size", PAPER, gt=0)
    strong_crop: float = param(0.95, "strong augmentation: least side of the centre crop", RELEASED, gt=0, le=1)
    strong_degrees: float = param(15.0, "strong augmentation: rotation by −, 0 or +", RELEASED, ge=0)
    strong_flip: bool = param(True, "strong augmentation: flips, also where the dataset is not mirrored", RELEASED)
    strong_noise: float = param(0.001, "strong augmentation: standard deviation of the noise", RELEASED, ge=0)
    conversion: Literal[False] = param(False, "not converted: DFHL is robust distillation already", PAPER)
    adversarial_weight: float = param(5 / 6, "not used: DFHL is not converted", "–", ge=0, le=1)
    reduction: Literal["batchmean", "mean"] = param("batchmean", "not used: DFHL is not converted", "–")
    soft_labels: bool = param(False, "learn the teacher's probabilities instead of its decisions", "option")

    @field_validator("conversion", mode="before")
    @classmethod
    def _robust_already(cls, conversion: Any) -> Any:
        if conversion in (False, "plain"):
            return False
        raise ValueError(
            "should be False: DFHL is robust distillation already, its high-entropy examples are its attack"
        )

    def idle(self) -> dict[str, str]:
        """What other methods' conversions use, but for the steps of its own attack; and the temperature of hard labels."""
        off = {name: why for name, why in super().idle().items() if name not in ("attack_steps", "attack_step")}
        return off | ({} if self.soft_labels else {"temperature": "soft_labels=false"})

    @classmethod
    def for_classes(cls, num_classes: int) -> dict[str, Any]:
        """The paper's values for CIFAR-100."""
        own = {"synthesis_steps": 15, "generator_lr": 5e-3, "latent_lr": 0.015, "label_smoothing": 0.02}
        return {**super().for_classes(num_classes), **(own if num_classes >= MANY_CLASSES else {})}

    @classmethod
    def at_budget(cls, budget: Mapping[str, Any]) -> dict[str, Any]:
        """The dataset's budget, less the warm-up."""
        return {**super().at_budget(budget), "warmup_epochs": 0}


class DFHL(SynthesizeThenDistill):
    """DFHL: data-free hard-label robustness stealing."""

    Config = DFHLConfig
    reference = Reference("Data-Free Hard-Label Robustness Stealing Attack", "AAAI 2024", "arXiv:2312.05924")

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.dfhl = c = cast(DFHLConfig, config)
        self.high_entropy = EntropyAscent(problem=problem, steps=c.attack_steps, step=c.attack_step)

    def generator_loss(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """L_cls + λ·L_div: the student sees the wanted classes, and all of them. The teacher is not asked."""
        logits = self.student(x)
        return {
            "cls": smoothed_cross_entropy(logits, labels, self.dfhl.label_smoothing),
            "div": self.dfhl.lambda_div * imbalance(logits),
        }

    def distillation_view(self, images: Tensor) -> Tensor:
        """High-entropy examples, from strongly augmented images."""
        strong = self.problem.precision.images(self.strongly_augmented(self.augment(images)))
        return self.high_entropy(self.student, strong, self.rng)

    def strongly_augmented(self, images: Tensor) -> Tensor:
        """Zoom, flips, rotation and a little noise, [N, C, H, W] in [0, 1]."""
        c = self.dfhl
        moved = zoom_and_rotate(
            images,
            crop=(c.strong_crop, 1.0),
            degrees=(-c.strong_degrees, 0.0, c.strong_degrees),
            flip=c.strong_flip,
            generator=self.rng,
        )
        noise = torch.randn(moved.shape, generator=self.rng, device=moved.device)
        return (moved + c.strong_noise * noise).clamp(0, 1)

    def make_distillation(self) -> Distillation:
        """Cross-entropy to the teacher's decisions on those examples, or KL to its probabilities."""
        c = cast(DFHLConfig, self.config)
        return PlainDistillation(c.temperature) if c.soft_labels else HardLabelDistillation()
