"""ZSKT: a generator searches for images on which student and teacher disagree, and the student learns from them."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from dfrd_bench.distillation.distiller import Distiller, DistillerConfig
from dfrd_bench.distillation.generators import ConvGenerator, initialised_from
from dfrd_bench.distillation.losses import backward, kl
from dfrd_bench.distillation.modes import frozen
from dfrd_bench.distillation.schedules import cosine, set_learning_rate
from dfrd_bench.distillation.tally import Averages
from dfrd_bench.method import MethodConfig, Reference, param
from dfrd_bench.problem import Problem

PAPER = "Micaelli & Storkey 2019"
RELEASED = "Micaelli & Storkey 2019, released code"
MANY_CLASSES = 200  # those of Tiny-ImageNet, where "the distilled student performs extremely poorly" (FERD, A.5)


class ZSKTConfig(DistillerConfig):
    """ZSKT's hyper-parameters; the student's schedule is the shared recipe's."""

    warmup_epochs: int = param(0, "no warm-up: nothing is stored", PAPER, ge=0, le=0)
    crop_padding: int | None = param(None, "not used: images are fresh and not augmented", PAPER, ge=0)
    flip: bool | None = param(None, "not used: images are fresh and not augmented", PAPER)
    generator_steps: int = param(5, "n_G, generator steps per round (paper: 1)", "shared recipe: 200 an epoch", ge=1)
    student_steps: int = param(10, "n_S, student steps per round", PAPER, ge=1)
    generator_lr: float = param(1e-3, "generator: Adam learning rate, cosine decay to 0", PAPER, gt=0)
    clip_norm: float = param(5.0, "largest norm of the generator's gradient", RELEASED, gt=0)
    student_clip_norm: float | None = param(5.0, "largest norm of the student's gradient", RELEASED, gt=0)
    latent_dim: int = param(100, "length of a latent code", PAPER, ge=1)
    generator_width: int = param(64, "channels of the generator's last hidden layer", "shared recipe", ge=1)

    @classmethod
    def at_budget(cls, budget: Any) -> dict[str, Any]:
        """The dataset's budget, less the warm-up, with as many generator steps as it has synthesis steps."""
        values = {**super().at_budget(budget), "warmup_epochs": 0}
        if {"synthesis_steps", "distillation_steps"} <= budget.keys():
            steps = budget.get("synthesis_rounds", 1) * budget["synthesis_steps"]
            rounds = budget["distillation_steps"] / cls.model_fields["student_steps"].default
            values["generator_steps"] = max(round(steps / rounds), 1)
        return values

    def made(self) -> dict[str, int]:
        """The generator's steps; every step of either network sees fresh images, which nobody keeps."""
        rounds = self.epochs * -(-self.distillation_steps // self.student_steps)
        return {"synthesis steps": rounds * self.generator_steps, **super().made()}


class ZSKT(Distiller):
    """ZSKT: zero-shot knowledge transfer via adversarial belief matching."""

    Config = ZSKTConfig
    reference = Reference(
        "Zero-shot Knowledge Transfer via Adversarial Belief Matching", "NeurIPS 2019", "arXiv:1905.09768"
    )

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.zskt = c = cast(ZSKTConfig, config)
        with initialised_from(self.rng):
            generator = ConvGenerator(c.latent_dim, problem.shape, width=c.generator_width)
        self.generator = problem.precision.place(generator, problem.device)
        if problem.num_classes >= MANY_CLASSES:
            self.cautions = (f"ZSKT barely learns with {problem.num_classes} classes (FERD, A.5)",)
        self.generator_optimiser = torch.optim.Adam(self.generator.parameters(), lr=c.generator_lr)
        self.belief_matching = self.recorder.of(self.disagreement, self.generator.parameters)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Rounds of n_G generator steps and n_S student steps on fresh images, until the student's steps are used up."""
        c = self.zskt
        rate = self.begin_epoch(epoch)
        set_learning_rate(self.generator_optimiser, c.generator_lr * cosine(epoch, c.epochs))
        averages = Averages()
        self.progress("distill", 0, c.distillation_steps)
        for step in range(c.distillation_steps):
            if step % c.student_steps == 0:
                for _ in range(c.generator_steps):
                    averages.add({"loss_adv": self.improve_generator()})
            averages.add({"loss": self.distill(self.fresh_images(c.batch_size).detach())})
            self.progress("distill", step + 1, c.distillation_steps)
        return {**averages.means(), "lr": rate, **self.end_epoch()}

    def fresh_images(self, n: int) -> Tensor:
        """Images [n, C, H, W] from new latent codes; batch statistics in the generator, as in training."""
        codes = torch.randn(n, self.zskt.latent_dim, generator=self.rng, device=self.problem.device)
        with self.problem.autocast():
            images: Tensor = self.generator(codes)
        return images

    def improve_generator(self) -> Tensor:
        """One step on −KL(f^T(x), f^S(x)), gradient norm clipped; returns the loss."""
        with frozen(self.student):
            loss = self.losses.total(self.belief_matching(), "generator")
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), self.zskt.clip_norm)
        self.generator_optimiser.step()
        return loss

    def disagreement(self) -> dict[str, Tensor]:
        """The generator's loss on fresh images, whose gradients are left at its weights."""
        x = self.problem.precision.images(self.fresh_images(self.zskt.batch_size))
        with self.problem.autocast():
            terms = {"adv": -kl(self.problem.teacher(x), self.student(x))}
        self.generator_optimiser.zero_grad(set_to_none=True)
        return backward(terms)

    def sample(self, n: int) -> Tensor:
        """n images [n, C, H, W] of the generator as it is now, from codes of their own (training is not disturbed)."""
        codes = torch.randn(n, self.zskt.latent_dim, generator=torch.Generator().manual_seed(self.problem.seed))
        was_training = self.generator.training
        self.generator.eval()
        with torch.no_grad():
            images: Tensor = self.generator(codes.to(self.problem.device))
        self.generator.train(was_training)
        return images
