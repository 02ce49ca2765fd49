"""CMI: contrastive model inversion, a generator whose images must be told apart from all images made before."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from dfrd_bench.distillation.batchnorm import InstanceMeans
from dfrd_bench.distillation.contrastive import MemoryBank, ProjectionHead, info_nce
from dfrd_bench.distillation.generators import initialised_from
from dfrd_bench.distillation.inversion import Inversion
from dfrd_bench.distillation.synthesis import SynthesisConfig, SynthesizeThenDistill
from dfrd_bench.distillation.views import resized_crops
from dfrd_bench.method import MethodConfig, Reference, param
from dfrd_bench.problem import Problem

PAPER = "Fang et al. 2021"
RELEASED = "Fang et al. 2021, released code"


class CMIConfig(SynthesisConfig):
    """CMI's hyper-parameters; the student's schedule is the shared recipe's."""

    synthesis_steps: int = param(200, "synthesis steps per round", RELEASED, ge=1)
    generator_lr: float = param(1e-3, "generator and projection head: Adam learning rate", PAPER, gt=0)
    latent_lr: float = param(1e-3, "latent codes: Adam learning rate; 0 keeps them fixed", RELEASED, ge=0)
    latent_dim: int = param(256, "length of a latent code", RELEASED, ge=1)
    lambda_bn: float = param(1.0, "weight of the BatchNorm distance", RELEASED, ge=0)
    lambda_oh: float = param(1.0, "weight of the one-hot cross-entropy", RELEASED, ge=0)
    lambda_adv: float = param(0.5, "weight of the disagreement where student and teacher agree", RELEASED, ge=0)
    lambda_cr: float = param(0.8, "weight of the contrastive loss", PAPER, ge=0)
    contrast_temperature: float = param(0.2, "temperature of the contrastive loss", RELEASED, gt=0)
    bank_size: int = param(40960, "images the memory bank remembers", RELEASED, ge=1)
    negatives: int = param(4096, "images drawn from the bank per step", RELEASED, ge=0)
    head_dim: int = param(128, "length of a projected feature (its scripts: 256)", RELEASED, ge=1)
    head_hidden: int | None = param(None, "hidden width of the head; that of the features when null", RELEASED, ge=1)
    smallest_crop: float = param(0.25, "local view: least area of the crop", RELEASED, gt=0, le=1)
    temperature: float = param(20.0, "temperature of the un-converted distillation", RELEASED, gt=0)


class InstanceDiscrimination:
    """What tells images apart: their features in the teacher, a projection head, and a bank of features of earlier images."""

    def __init__(self, problem: Problem, config: CMIConfig, rng: torch.Generator) -> None:
        self.config = config
        self.means = InstanceMeans(problem.teacher, "cmi's contrastive loss (lambda_cr)")
        with self.means.record(), torch.no_grad():
            problem.teacher(torch.zeros(1, *problem.shape, device=problem.device))
        width = self.means.width()
        with initialised_from(rng):
            self.head = ProjectionHead(width, config.head_dim, config.head_hidden).to(problem.device)
        self.optimiser = torch.optim.Adam(self.head.parameters(), lr=config.generator_lr)
        made = config.epochs * config.synthesis_rounds * config.batch_size
        self.bank = MemoryBank(min(config.bank_size, made), 2 * width, problem.device)

    def loss(self, local: Tensor, whole: Tensor, rng: torch.Generator) -> Tensor:
        """L_cr: each local view finds its whole view among those of the batch and of the bank, [N, F] twice -> scalar.

        As released: whole views send no gradient, and the bank's images are anchors too, averaged apart (that trains the head).
        """
        past_local, past_whole = self.bank.draw(self.config.negatives, rng).chunk(2, dim=1)
        anchors = self.head(torch.cat([local, past_local]))
        with torch.no_grad():
            candidates = self.head(torch.cat([whole, past_whole]))
        losses = info_nce(anchors, candidates, self.config.contrast_temperature)
        present, past = losses[: len(local)], losses[len(local) :]
        return present.mean() + past.mean() if len(past) else present.mean()

    def state_dict(self) -> dict[str, Any]:
        """Head, its optimiser and the bank."""
        return {name: getattr(self, name).state_dict() for name in ("head", "optimiser", "bank")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)


class CMI(SynthesizeThenDistill):
    """CMI: contrastive model inversion for data-free knowledge distillation."""

    Config = CMIConfig
    reference = Reference(
        "Contrastive Model Inversion for Data-Free Knowledge Distillation", "IJCAI 2021", "arXiv:2105.08584"
    )

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.cmi = c = cast(CMIConfig, config)
        self.inversion = Inversion(problem, c, owner="cmi")
        self.discrimination = InstanceDiscrimination(problem, c, self.rng) if c.lambda_cr else None

    def synthesis_view(self, images: Tensor) -> Tensor:
        """The images as they are: `generator_loss` takes two views of them."""
        return images

    def local_view(self, images: Tensor) -> Tensor:
        """A resized crop of each image, flipped or not."""
        crops = resized_crops(images, area=(self.cmi.smallest_crop, 1.0), flip=self.flips, generator=self.rng)
        return self.problem.precision.images(crops)

    def global_view(self, images: Tensor) -> Tensor:
        """The standard augmentation of each image."""
        return self.problem.precision.images(self.augment(images))

    def generator_loss(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Inversion of the global view, + λ_cr·L_cr: local views must find their global views."""
        if self.discrimination is None:
            return self.inversion(self.global_view(x), labels)
        means = self.discrimination.means
        with means.record():
            terms = self.inversion(self.global_view(x), labels)
            whole = means.features()
            self.problem.teacher(self.local_view(x))
            local = means.features()
        terms["cr"] = self.cmi.lambda_cr * self.discrimination.loss(local, whole, self.rng)
        return terms

    def optimised(self, groups: list[dict[str, Any]]) -> list[Tensor]:
        """The projection head's weights as well."""
        head = self.discrimination.head.parameters() if self.discrimination is not None else ()
        return [*super().optimised(groups), *head]

    def on_gradients(self) -> None:
        """The projection head learns along with the generator, and on from round to round."""
        if self.discrimination is not None:
            self.discrimination.optimiser.step()
            self.discrimination.optimiser.zero_grad(set_to_none=True)

    def after_synthesis(self, x: Tensor, labels: Tensor) -> dict[str, float]:
        """The kept batch enters the memory bank, as features of a local and a global view."""
        if self.discrimination is not None:
            means = self.discrimination.means
            features = []
            with torch.no_grad(), self.problem.autocast(), means.record():
                for view in (self.local_view(x), self.global_view(x)):
                    self.problem.teacher(view)
                    features.append(means.features())
            self.discrimination.bank.add(torch.cat(features, dim=1))
        return {}
