"""ZSKT and DFHL, plainly."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrd_bench.distillation.generators import ConvGenerator, initialised_from
from dfrd_bench.distillation.views import zoom_and_rotate
from dfrd_bench.problem import Problem

from .attacks import climb
from .losses import kl
from .trainer import START_NOISE, PlainGenerator, PlainStudent


class PlainDFHL(PlainGenerator):
    """DFHL: high-entropy examples and hard labels."""

    def terms(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Smoothed cross-entropy of the student, and how unevenly it predicts."""
        c = self.config
        logits = self.student(x).float()
        classes = logits.shape[1]
        smooth = torch.full_like(logits, c.label_smoothing / (classes - 1))
        smooth.scatter_(1, labels[:, None], 1 - c.label_smoothing)
        mean = F.softmax(logits, dim=1).mean(dim=0)
        return {
            "cls": -(smooth * F.log_softmax(logits, dim=1)).sum(dim=1).mean(),
            "div": c.lambda_div * (mean * torch.log10(mean.clamp(min=torch.finfo(mean.dtype).tiny))).sum(),
        }

    def distillation_view(self, images: Tensor) -> Tensor:
        """High-entropy examples of strongly augmented images."""
        c = self.config
        moved = zoom_and_rotate(
            self.augment(images),
            crop=(c.strong_crop, 1.0),
            degrees=(-c.strong_degrees, 0.0, c.strong_degrees),
            flip=c.strong_flip,
            generator=self.rng,
        )
        noise = torch.randn(moved.shape, generator=self.rng, device=moved.device)
        strong = (moved + c.strong_noise * noise).clamp(0, 1).contiguous()
        start = strong + START_NOISE * torch.randn(strong.shape, generator=self.rng, device=strong.device)

        def entropy(x: Tensor) -> Tensor:
            with self.problem.autocast():
                z = self.student(x).float()
            return -(F.softmax(z, dim=1) * F.log_softmax(z, dim=1)).sum()

        self.student.eval()
        return climb(entropy, strong, start, eps=math.inf, step=c.attack_step, steps=c.attack_steps)

    def student_loss(self, x: Tensor, teacher_logits: Tensor) -> Tensor:
        """Cross-entropy to the teacher's decision."""
        return F.cross_entropy(self.student(x).float(), teacher_logits.topk(1, 1)[1].reshape(-1))


class PlainZSKT(PlainStudent):
    """ZSKT: generator steps against the student's, on fresh images."""

    def __init__(self, problem: Problem, config: Any) -> None:
        super().__init__(problem, config)
        with initialised_from(self.rng):
            generator = ConvGenerator(config.latent_dim, problem.shape, width=config.generator_width)
        self.generator = generator.to(problem.device)
        self.generator_optimiser = torch.optim.Adam(self.generator.parameters(), lr=config.generator_lr)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Rounds of both until the student's steps are used up."""
        c = self.config
        self.set_learning_rate(epoch)
        for group in self.generator_optimiser.param_groups:
            group["lr"] = c.generator_lr * (1 + math.cos(math.pi * epoch / c.epochs)) / 2
        adversarial, losses = [], []
        self.progress("distill", 0, c.distillation_steps)
        for step in range(c.distillation_steps):
            if step % c.student_steps == 0:
                adversarial += [self.improve_generator() for _ in range(c.generator_steps)]
            losses.append(self.distill(self.fresh_images()))
            self.progress("distill", step + 1, c.distillation_steps)
        return {"loss_adv": sum(adversarial) / len(adversarial), "loss": sum(losses) / len(losses)}

    def fresh_images(self) -> Tensor:
        """Images of new codes."""
        shape = (self.config.batch_size, self.config.latent_dim)
        codes = torch.randn(shape, generator=self.rng, device=self.problem.device)
        with self.problem.autocast():
            images: Tensor = self.generator(codes)
        return images

    def improve_generator(self) -> float:
        """A step up KL(f^T(x), f^S(x))."""
        x = self.fresh_images()
        self.student.eval()
        with self.problem.autocast():
            loss = -kl(self.teacher(x), self.student(x))
        self.generator_optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), self.config.clip_norm)
        self.generator_optimiser.step()
        self.student.train()
        return loss.item()
