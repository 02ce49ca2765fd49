"""A plain student step, and the plain template of synthesis, pool and distillation."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.augmentation import augment
from dfrd_bench.distillation.generators import ConvGenerator, initialise_normal, initialised_from
from dfrd_bench.distillation.pool import SyntheticPool
from dfrd_bench.method import Progress, silent
from dfrd_bench.problem import Problem

from .attacks import climb
from .losses import kl, kl_from_uniform

START_NOISE = 0.001


class Trainer(Protocol):
    """What is timed: a method, ours or plain."""

    progress: Progress

    def train_epoch(self, epoch: int) -> dict[str, float]: ...
    def distill(self, images: Tensor) -> Any: ...


class PlainStudent:
    """The student's optimiser and one robust step (FERD A.8); hyper-parameters are those of the product's `Config`."""

    def __init__(self, problem: Problem, config: Any) -> None:
        self.problem = problem
        self.config = config
        self.teacher = problem.teacher.eval().requires_grad_(True)  # no script freezes it
        self.student = problem.student
        self.rng = torch.Generator(problem.device).manual_seed(problem.seed)
        self.optimiser = torch.optim.SGD(
            self.student.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
        self.progress: Progress = silent
        self.losses: list[dict[str, float]] = []  # of every step of synthesis
        self.gamma = 0.0

    def set_learning_rate(self, epoch: int) -> None:
        """Cosine decay after warm-up, or from the start."""
        before = self.config.warmup_epochs if self.config.decay_from == "warmup" else 0
        share = max(epoch - before, 0) / max(self.config.epochs - before, 1)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.lr * (1 + math.cos(math.pi * share)) / 2

    def distillation_view(self, images: Tensor) -> Tensor:
        """What the student is shown."""
        return images

    def distill(self, images: Tensor) -> float:
        """One step of the student on a batch [N, C, H, W]; returns the loss."""
        x = self.distillation_view(images.detach()).contiguous()
        self.student.train()
        with self.problem.autocast():
            with torch.no_grad():
                logits = self.teacher(x).float()
            loss = self.student_loss(x, logits)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.student_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.config.student_clip_norm)
        self.optimiser.step()
        return float(loss.item())

    def student_loss(self, x: Tensor, teacher_logits: Tensor) -> Tensor:
        """w·KL(f^T(x), f^S(x_adv)) + (1 − w)·KL(f^T(x), f^S(x))."""
        x_adv = self.attacked(x, teacher_logits)
        clean = kl(teacher_logits, self.student(x))
        attacked = kl(teacher_logits, self.student(x_adv))
        weight = self.config.adversarial_weight
        loss: Tensor = weight * attacked + (1 - weight) * clean
        return loss

    def attacked(self, x: Tensor, teacher_logits: Tensor) -> Tensor:
        """10 steps up KL(f^T(x), f^S(x')) − γ·KL(U, f^S(x')) from x + 0.001·N(0, I)."""
        threat, config = self.problem.threat, self.config

        def objective(images: Tensor) -> Tensor:
            with self.problem.autocast():
                z = self.student(images).float()
            value = kl(teacher_logits, z, reduction="sum")
            return value - self.gamma * kl_from_uniform(z, reduction="sum") if self.gamma else value

        start = x + START_NOISE * torch.randn(x.shape, generator=self.rng, device=x.device)
        self.student.eval()
        step = threat.step if config.attack_step is None else config.attack_step
        x_adv = climb(objective, x, start, eps=threat.eps, step=step, steps=config.attack_steps)
        self.student.train()
        return x_adv

    def augment(self, images: Tensor) -> Tensor:
        """The product's random crop and flip."""
        padding = self.config.crop_padding
        padding = min(images.shape[2] // 8, 4) if padding is None else padding
        return augment(images, padding=padding, flip=self.flips, generator=self.rng)

    @property
    def flips(self) -> bool:
        """Whether views may be mirrored."""
        return self.problem.info.mirrored if self.config.flip is None else bool(self.config.flip)


class PlainPool(PlainStudent):
    """Synthesize a batch, keep the best of it, draw from all kept, distill."""

    def __init__(self, problem: Problem, config: Any) -> None:
        super().__init__(problem, config)
        capacity = config.epochs * config.synthesis_rounds * config.batch_size
        self.pool = SyntheticPool(capacity, problem.shape, problem.device)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """As the product's, without its history."""
        config = self.config
        for _ in range(config.synthesis_rounds):
            self.synthesize_one_batch()
        if epoch < config.warmup_epochs and epoch != config.epochs - 1:
            return {}
        self.set_learning_rate(epoch)
        self.progress("distill", 0, config.distillation_steps)
        losses = []
        for step in range(config.distillation_steps):
            images, _ = self.pool.draw(config.batch_size, self.rng)
            losses.append(self.distill(images))
            self.progress("distill", step + 1, config.distillation_steps)
        return {"loss": sum(losses) / len(losses)}

    def distillation_view(self, images: Tensor) -> Tensor:
        """What the student is shown."""
        return self.augment(images)

    def synthesis_view(self, images: Tensor) -> Tensor:
        """What the losses see."""
        return self.augment(images)

    def class_probabilities(self) -> Tensor:
        """p, [K]."""
        return torch.full((self.problem.num_classes,), 1 / self.problem.num_classes, device=self.problem.device)

    def canvas(self, labels: Tensor) -> tuple[Any, list[dict[str, Any]]]:
        """How to render a batch, and Adam's groups."""
        raise NotImplementedError

    def terms(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the loss of synthesis."""
        raise NotImplementedError

    def on_gradients(self) -> None:
        """Before the step is taken."""

    def after(self, x: Tensor, labels: Tensor) -> None:
        """With the batch that was kept."""

    def synthesize_one_batch(self) -> None:
        """Labels, then steps of Adam, then the best batch into the pool."""
        labels = torch.multinomial(
            self.class_probabilities(), self.config.batch_size, replacement=True, generator=self.rng
        )
        render, groups = self.canvas(labels)
        optimiser = torch.optim.Adam(groups, betas=(0.5, 0.999))
        best, least = torch.empty(0), math.inf
        self.student.eval()
        self.progress("synthesize", 0, self.config.synthesis_steps)
        for step in range(self.config.synthesis_steps):
            with self.problem.autocast():
                images = render()
                terms = self.terms(self.synthesis_view(images).contiguous(), labels)
            loss = torch.stack([term.float() for term in terms.values()]).sum()
            if loss.item() < least or not step:
                best, least = images.detach().clone(), loss.item()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.on_gradients()
            optimiser.step()
            self.losses.append({name: term.item() for name, term in terms.items()})
            self.progress("synthesize", step + 1, self.config.synthesis_steps)
        self.pool.add(best, labels)
        self.after(best, labels)
        self.student.train()


class PlainGenerator(PlainPool):
    """The template with a generator and latent codes."""

    def __init__(self, problem: Problem, config: Any) -> None:
        super().__init__(problem, config)
        self.generator = self.new_generator()

    def new_generator(self) -> nn.Module:
        """The product's generator with the product's fresh weights."""
        config, problem = self.config, self.problem
        classes = problem.num_classes if config.conditional else 0
        with initialised_from(self.rng):
            generator = ConvGenerator(
                config.latent_dim, problem.shape, num_classes=classes, width=config.generator_width
            )
            initialise_normal(generator)
        return generator.to(problem.device)

    def canvas(self, labels: Tensor) -> tuple[Any, list[dict[str, Any]]]:
        """A fresh generator where the recipe asks for it, new codes."""
        if self.config.reinitialise:
            self.generator = self.new_generator()
        return self.optimised(self.generator, labels)

    def optimised(self, generator: nn.Module, labels: Tensor) -> tuple[Any, list[dict[str, Any]]]:
        """A generator and new codes."""
        config = self.config
        generator.train()
        codes = torch.randn(len(labels), config.latent_dim, generator=self.rng, device=self.problem.device)
        groups: list[dict[str, Any]] = [{"params": list(generator.parameters()), "lr": config.generator_lr}]
        if config.latent_lr:
            codes.requires_grad_()
            groups.append({"params": [codes], "lr": config.latent_lr})
        return lambda: generator(codes, labels), groups
