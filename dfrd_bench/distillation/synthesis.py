"""The template most data-free methods share: synthesize a batch, keep it, draw from all kept, distill."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.distiller import RECIPE, RELEASED, Distiller, DistillerConfig
from dfrd_bench.distillation.generators import ConvGenerator, initialise_normal, initialised_from
from dfrd_bench.distillation.losses import backward
from dfrd_bench.distillation.modes import frozen
from dfrd_bench.distillation.pool import SyntheticPool
from dfrd_bench.distillation.tally import Averages
from dfrd_bench.method import MethodConfig, param
from dfrd_bench.problem import Problem

Canvas = tuple[Callable[[], Tensor], list[dict[str, Any]]]
"""A function that renders the batch being optimised, and Adam's parameter groups behind it (with "betas" where they differ)."""


class PoolConfig(DistillerConfig):
    """The shared recipe for a pool that grows by one batch per epoch."""

    synthesis_steps: int = param(200, "synthesis steps per round", RECIPE, ge=1)
    synthesis_rounds: int = param(1, "synthesis rounds per epoch, each adding a batch to the pool", RECIPE, ge=1)

    def made(self) -> dict[str, int]:
        """The images that the pool is given, and the optimiser's steps on batches of them: passes through the teacher."""
        rounds = self.epochs * self.synthesis_rounds
        made = {"synthetic images": rounds * self.batch_size, "synthesis steps": rounds * self.synthesis_steps}
        return {**made, **super().made()}


class SynthesisConfig(PoolConfig):
    """The shared recipe for synthesis with a generator (FERD section 5.1 and released code)."""

    generator_lr: float = param(2e-3, "generator: Adam learning rate", RECIPE, gt=0)
    latent_lr: float = param(0.015, "latent codes: Adam learning rate; 0 keeps them fixed", RELEASED, ge=0)
    latent_dim: int = param(100, "length of a latent code", RELEASED, ge=1)
    generator_width: int = param(64, "channels of the generator's last hidden layer", RELEASED, ge=1)
    reinitialise: bool = param(True, "a fresh generator, N(0, 0.02), for every synthesis round", RELEASED)
    conditional: bool = param(False, "append the one-hot label to the code: g(z, y)", "FERD paper, algorithm 1")


class PoolDistiller(Distiller):
    """Each epoch: synthesize a batch → add it to the pool → draw from the pool → perturb → distill.

    What a batch is made of is the subclass's business (`canvas`); for a generator see `SynthesizeThenDistill`. A method
    overrides what is its own: `generator_loss` always; `class_probabilities`, `synthesis_view`, `on_gradients`,
    `after_synthesis`, `distillation_view` or `make_distillation` where it differs from the shared recipe.
    """

    Config: ClassVar[type[MethodConfig]] = PoolConfig
    synthesis: PoolConfig

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.synthesis = cast(PoolConfig, config)
        epochs, warmup = self.synthesis.epochs, self.synthesis.warmup_epochs
        if 1 < epochs <= warmup:
            self.cautions = (f"the student learns in the last of {epochs} epochs only: warmup_epochs is {warmup}",)
        capacity = epochs * self.synthesis.synthesis_rounds * self.synthesis.batch_size
        self.pool = SyntheticPool(capacity, problem.shape, problem.device)
        self.inversion_step = self.recorder.of(dict)

    @abstractmethod
    def canvas(self, labels: Tensor) -> Canvas:
        """What synthesis of images of the given classes [N] optimises."""

    @abstractmethod
    def generator_loss(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Named terms, already weighted, to be decreased by the synthesis of images x [N, C, H, W] of classes labels [N].

        The student is in eval mode and neither network collects gradients for its weights.
        """

    def class_probabilities(self) -> Tensor:
        """p, [K]: how often each class is to be synthesized; uniform here."""
        return torch.full((self.problem.num_classes,), 1 / self.problem.num_classes, device=self.problem.device)

    def synthesis_view(self, images: Tensor) -> Tensor:
        """What `generator_loss` sees of the images being optimised [N, C, H, W]; augmented here."""
        return self.augment(images)

    def distillation_view(self, images: Tensor) -> Tensor:
        """What the student is shown of images drawn from the pool [N, C, H, W]; augmented here."""
        return self.augment(images)

    def on_gradients(self) -> None:
        """Called in every synthesis step once gradients are there, before the step is taken."""

    def after_synthesis(self, x: Tensor, labels: Tensor) -> dict[str, float]:
        """Called with the batch that was kept, student and teacher as in `generator_loss`; returns numbers for the history."""
        return {}

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One epoch of the template."""
        rounds = Averages()
        for _ in range(self.synthesis.synthesis_rounds):
            rounds.add(self.synthesize_one_batch())
        numbers = rounds.means()
        if epoch >= self.synthesis.warmup_epochs or epoch == self.synthesis.epochs - 1:
            numbers["lr"] = self.begin_epoch(epoch)
            averages = Averages()
            self.progress("distill", 0, self.synthesis.distillation_steps)
            for step in range(self.synthesis.distillation_steps):
                images, made_for = self.pool.draw(self.synthesis.batch_size, self.rng)
                averages.add({"loss": self.distill(images, made_for)})
                self.progress("distill", step + 1, self.synthesis.distillation_steps)
            numbers |= averages.means() | self.end_epoch()
        return numbers

    def synthesize_one_batch(self) -> dict[str, float]:
        """Draw labels, optimise a batch for them, keep the best version of it in the pool."""
        labels = torch.multinomial(
            self.class_probabilities().float(), self.synthesis.batch_size, replacement=True, generator=self.rng
        )
        x, numbers = self.synthesize(labels)
        self.pool.add(x, labels)
        with frozen(self.student):
            return numbers | self.after_synthesis(x, labels)

    def synthesize(self, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Optimise a batch of the given classes [N]; returns the images of the step with the least loss, and mean losses."""
        render, groups = self.canvas(labels)
        optimiser = torch.optim.Adam(groups, betas=(0.5, 0.999))
        best = torch.zeros((len(labels), *self.problem.shape), device=labels.device)
        least = torch.full((), float("inf"), device=labels.device)

        def step() -> dict[str, Tensor]:
            with self.problem.autocast():
                images = render()
                terms = self.generator_loss(self.problem.precision.images(self.synthesis_view(images)), labels)
            optimiser.zero_grad(set_to_none=True)
            found = backward(terms)
            total = torch.stack([term.float() for term in found.values()]).sum()
            better = total < least
            best.copy_(torch.where(better, images.detach(), best))
            least.copy_(torch.where(better, total, least))
            return found

        work = self.inversion_step.anew(step, lambda: self.optimised(groups))
        averages = Averages()
        self.progress("synthesize", 0, self.synthesis.synthesis_steps)
        with frozen(self.student):
            for number in range(self.synthesis.synthesis_steps):
                terms = work()
                self.losses.total(terms, "synthesis")
                self.on_gradients()
                optimiser.step()
                averages.add({f"loss_{name}": term for name, term in terms.items()})
                self.progress("synthesize", number + 1, self.synthesis.synthesis_steps)
        return best, averages.means()

    def optimised(self, groups: list[dict[str, Any]]) -> list[Tensor]:
        """Everything that a synthesis step leaves gradients at, given Adam's parameter groups."""
        return [leaf for group in groups for leaf in group["params"]]

    def sample(self, n: int) -> Tensor:
        """The newest synthetic images [n, C, H, W] of the pool."""
        return self.pool.latest(n)


class SynthesizeThenDistill(PoolDistiller):
    """The template with a generator: what is optimised is its weights and the latent codes fed to it."""

    Config: ClassVar[type[MethodConfig]] = SynthesisConfig
    synthesis: SynthesisConfig

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.generator = self.new_generator()

    def canvas(self, labels: Tensor) -> Canvas:
        """The generator, fresh where the recipe asks for it, and new latent codes."""
        if self.synthesis.reinitialise:
            self.generator = self.new_generator()
        return self.generator_canvas(self.generator, labels)

    def generator_canvas(self, generator: nn.Module, labels: Tensor) -> Canvas:
        """A given generator and new latent codes."""
        config = self.synthesis
        generator.train()
        codes = torch.randn(len(labels), config.latent_dim, generator=self.rng, device=self.problem.device)
        groups: list[dict[str, Any]] = [{"params": list(generator.parameters()), "lr": config.generator_lr}]
        if config.latent_lr:
            codes.requires_grad_()
            groups.append({"params": [codes], "lr": config.latent_lr})
        return lambda: cast(Tensor, generator(codes, labels)), groups

    def new_generator(self) -> nn.Module:
        """A generator with fresh weights from the method's random source."""
        with initialised_from(self.rng):
            generator = ConvGenerator(
                self.synthesis.latent_dim,
                self.problem.shape,
                num_classes=self.problem.num_classes if self.synthesis.conditional else 0,
                width=self.synthesis.generator_width,
            )
            initialise_normal(generator)
        return self.problem.precision.place(generator, self.problem.device)
