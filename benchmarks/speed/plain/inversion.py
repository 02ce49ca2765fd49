"""CMI, DeepInversion and FastDFKD, plainly."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrd_bench.distillation.contrastive import MemoryBank, ProjectionHead
from dfrd_bench.distillation.generators import initialised_from
from dfrd_bench.distillation.views import jitter, resized_crops
from dfrd_bench.problem import Problem

from .hooks import Hooks
from .losses import jensen_shannon, masked_kl, total_variation
from .trainer import PlainGenerator, PlainPool


class PlainDeepInv(PlainPool):
    """DeepInversion: the pixels are optimised."""

    def __init__(self, problem: Problem, config: Any) -> None:
        super().__init__(problem, config)
        self.hooks = Hooks(problem.teacher)

    def canvas(self, labels: Tensor) -> tuple[Any, list[dict[str, Any]]]:
        """Pixels from N(0, 1)."""
        c = self.config
        u = torch.randn((len(labels), *self.problem.shape), generator=self.rng, device=self.problem.device)
        u.requires_grad_()
        low, high = -c.pixel_mean / c.pixel_std, (1 - c.pixel_mean) / c.pixel_std

        def render() -> Tensor:
            u.data = u.data.clamp(low, high)
            images: Tensor = c.pixel_mean + c.pixel_std * u
            return images

        return render, [{"params": [u], "lr": c.pixel_lr, "betas": (c.beta1, c.beta2)}]

    def synthesis_view(self, images: Tensor) -> Tensor:
        """Jitter and flip."""
        return jitter(images, limit=self.config.jitter, flip=self.flips, generator=self.rng)

    def terms(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """BatchNorm distance, class, disagreement and image priors."""
        c = self.config
        self.hooks.activate(True)
        teacher = self.teacher(x)
        self.hooks.activate(False)
        return {
            "oh": c.lambda_oh * F.cross_entropy(teacher.float(), labels),
            "bn": c.lambda_bn * self.hooks.distance(),
            "adv": -c.lambda_adv * jensen_shannon(teacher, self.student(x), c.js_temperature),
            "tv": c.lambda_tv * total_variation(x),
            **({"l2": c.lambda_l2 * torch.norm(x, 2)} if c.lambda_l2 else {}),
        }


class PlainFast(PlainGenerator):
    """FastDFKD: a few steps from a meta-generator, by first-order MAML."""

    def __init__(self, problem: Problem, config: Any) -> None:
        super().__init__(problem, config)
        self.hooks = Hooks(problem.teacher, momentum=config.bn_momentum)
        rate = config.meta_lr or config.generator_lr * config.synthesis_steps
        self.meta_optimiser = torch.optim.Adam(self.generator.parameters(), lr=rate, betas=(0.5, 0.999))
        self.adapted = self.generator
        self.adversarial = False

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """The disagreement counts after warm-up."""
        self.adversarial = epoch >= self.config.warmup_epochs
        return super().train_epoch(epoch)

    def canvas(self, labels: Tensor) -> tuple[Any, list[dict[str, Any]]]:
        """A copy of the meta-generator is optimised."""
        self.meta_optimiser.zero_grad()
        self.adapted = copy.deepcopy(self.generator)
        return self.optimised(self.adapted, labels)

    def terms(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """BatchNorm distance with its memory of earlier rounds, class and disagreement."""
        c = self.config
        self.hooks.activate(True)
        teacher = self.teacher(x)
        self.hooks.activate(False)
        terms = {
            "oh": c.lambda_oh * F.cross_entropy(teacher.float(), labels),
            "bn": c.lambda_bn * self.hooks.distance(),
        }
        if self.adversarial:
            terms["adv"] = -c.lambda_adv * masked_kl(teacher, self.student(x))
        return terms

    def on_gradients(self) -> None:
        """The copy's gradients are added up."""
        for mine, its in zip(self.generator.parameters(), self.adapted.parameters(), strict=True):
            if mine.grad is None:
                mine.grad = torch.zeros_like(mine)
            assert its.grad is not None
            mine.grad.add_(its.grad)

    def after(self, x: Tensor, labels: Tensor) -> None:
        """The meta-generator's step."""
        self.meta_optimiser.step()
        self.hooks.remember()


class PlainCMI(PlainGenerator):
    """CMI: images that can be told apart from all made before."""

    def __init__(self, problem: Problem, config: Any) -> None:
        super().__init__(problem, config)
        self.hooks = Hooks(problem.teacher)
        with torch.no_grad():
            width = self.seen(torch.zeros(1, *problem.shape, device=problem.device))[1].shape[1]
        with initialised_from(self.rng):
            self.projection = ProjectionHead(width, config.head_dim, config.head_hidden).to(problem.device)
        self.projection_optimiser = torch.optim.Adam(self.projection.parameters(), lr=config.generator_lr)
        made = config.epochs * config.synthesis_rounds * config.batch_size
        self.bank = MemoryBank(min(config.bank_size, made), 2 * width, problem.device)

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f^T(x) and the features of its BatchNorm layers."""
        self.hooks.activate(True)
        logits = self.teacher(x)
        self.hooks.activate(False)
        return logits, self.hooks.means()

    def synthesis_view(self, images: Tensor) -> Tensor:
        """The views are taken where the losses are."""
        return images

    def local_view(self, images: Tensor) -> Tensor:
        """Resized crops."""
        area = (self.config.smallest_crop, 1.0)
        return resized_crops(images, area=area, flip=self.flips, generator=self.rng).contiguous()

    def terms(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Inversion of the global view, and the contrast of both."""
        c = self.config
        view = self.augment(x).contiguous()
        teacher, whole = self.seen(view)
        distance = self.hooks.distance()
        disagreement = masked_kl(teacher, self.student(view))
        _, local = self.seen(self.local_view(x))
        return {
            "oh": c.lambda_oh * F.cross_entropy(teacher.float(), labels),
            "bn": c.lambda_bn * distance,
            "adv": -c.lambda_adv * disagreement,
            "cr": c.lambda_cr * self.contrast(local, whole),
        }

    def contrast(self, local: Tensor, whole: Tensor) -> Tensor:
        """L_cr: the head on all features at once, then whole views without gradient."""
        past_local, past_whole = self.bank.draw(self.config.negatives, self.rng).chunk(2, dim=1)
        projected = self.projection(torch.cat([local, past_local, whole, past_whole]))
        anchors, candidates = projected.chunk(2)
        similarity = anchors.float() @ candidates.detach().float().T / self.config.contrast_temperature
        target = torch.arange(len(similarity), device=similarity.device)
        losses = F.cross_entropy(similarity, target, reduction="none")
        if len(past_local):
            return losses[: len(local)].mean() + losses[len(local) :].mean()
        return losses.mean()

    def on_gradients(self) -> None:
        """The head learns too."""
        self.projection_optimiser.step()
        self.projection_optimiser.zero_grad()

    def after(self, x: Tensor, labels: Tensor) -> None:
        """Features of the batch enter the bank."""
        with torch.no_grad(), self.problem.autocast():
            local = self.seen(self.local_view(x))[1]
            whole = self.seen(self.augment(x).contiguous())[1]
        self.bank.add(torch.cat([local, whole], dim=1))
