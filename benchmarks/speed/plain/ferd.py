"""FERD, plainly: the noise scale by autograd through the head, the decoupled KL over pairs, the probe by PGD."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrd_bench.distillation.reweighting import class_means, distribution
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import Problem
from dfrd_bench.students.wide_resnet import WideResNet

from .attacks import climb
from .hooks import Hooks
from .losses import decoupled_kl, kl, kl_from_uniform
from .trainer import PlainGenerator

GUARD = 1e-10


class PlainFERD(PlainGenerator):
    """`ferd` and `ferd-released`, by their configuration; the teacher is a WideResNet."""

    def __init__(self, problem: Problem, config: Any) -> None:
        super().__init__(problem, config)
        if not isinstance(problem.teacher, WideResNet):
            raise DfrdBenchError("The plain recipe of FERD splits WideResNets only: choose a WideResNet as teacher.")
        self.network = problem.teacher
        self.hooks = Hooks(problem.teacher)
        self.behind_batchnorm = config.layer == "released"
        self.gamma = config.gamma if config.utae else 0.0
        self.vulnerability = torch.zeros(problem.num_classes, device=problem.device)
        self.probabilities = super().class_probabilities()
        self.last_view = torch.empty(0)

    def class_probabilities(self) -> Tensor:
        """p of section 4.2."""
        return self.probabilities

    def synthesis_view(self, images: Tensor) -> Tensor:
        """Augmented, and remembered."""
        view = super().synthesis_view(images)
        self.last_view = view.detach()
        return view

    def features(self, x: Tensor) -> Tensor:
        """Z = f_l(x): the third block, with the BatchNorm behind it in the released variant."""
        n = self.network
        z: Tensor = n.block3(n.block2(n.block1(n.conv1(x))))
        return n.bn1(z) if self.behind_batchnorm else z

    def head(self, z: Tensor) -> Tensor:
        """f_{l+}(Z), [N, K]."""
        n = self.network
        z = z if self.behind_batchnorm else n.bn1(z)
        logits: Tensor = n.fc(F.relu(z).mean(dim=(2, 3)))
        return logits

    def terms(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Eq. 9."""
        c = self.config
        self.hooks.activate(True)
        features = self.features(x)
        z_teacher = self.head(features)
        self.hooks.activate(False)
        z_student = self.student(x)
        disagreement = kl if c.loss == "kl" else decoupled_kl
        return {
            "adv": -c.lambda_adv * disagreement(z_teacher, z_student),
            "oh": c.lambda_oh * F.cross_entropy(z_teacher.float(), labels),
            "bn": c.lambda_bn * self.hooks.distance(),
            "uni": c.lambda_uni * self.uniformity(features, labels),
        }

    def uniformity(self, features: Tensor, labels: Tensor) -> Tensor:
        """L_uni of eq. 7."""
        z = features.detach().float()
        unbiased = self.config.bottleneck_variance == "unbiased"
        variance = z.var(dim=(2, 3), unbiased=unbiased)  # [N, C]
        scale = self.noise_scale(z, variance, labels)[:, :, None, None]
        whole_batch = self.config.bottleneck_ceiling == "batch"
        ceiling = variance.max() if whole_batch else variance.max(dim=1)[0][:, None, None, None]
        mask = (scale.square() < ceiling).float()
        self.head(features * (1 - mask))  # the robust features' prediction, which the script makes and does not use
        return kl_from_uniform(self.head(features * mask))

    def noise_scale(self, z: Tensor, variance: Tensor, labels: Tensor) -> Tensor:
        """λ of eq. 4-5 after softplus, [N, C]: Adam steps, each a pass forward and back through the head."""
        c = self.config
        raw = torch.zeros(*z.shape[:2], 1, 1, device=z.device).requires_grad_()
        optimiser = torch.optim.Adam([raw], lr=c.bottleneck_lr)
        for _ in range(c.bottleneck_steps):
            scale = F.softplus(raw)
            noise = torch.randn(scale.shape, generator=self.rng, device=z.device)
            logits = self.head((z + scale * noise).clone())
            squared = scale.squeeze(-1).squeeze(-1) ** 2
            ratio = (variance + GUARD) / (squared + GUARD)
            compression = ratio - torch.log(ratio) - 1
            compression = compression.mean(1) / 2 if c.bottleneck_penalty == "half-mean" else compression.sum(1)
            loss = F.cross_entropy(logits.float(), labels, reduction="sum") + c.bottleneck_beta * compression.sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return F.softplus(raw).detach()[:, :, 0, 0]

    def after(self, x: Tensor, labels: Tensor) -> None:
        """Class weights from the teacher's margins under PGD (eq. 1-2)."""
        c, threat = self.config, self.problem.threat
        seen = (self.last_view if c.margin_images == "last" else x).contiguous()
        # the product draws in its images' channels-last order
        drawn = torch.empty_like(seen, memory_format=torch.channels_last)
        start = seen + drawn.uniform_(-threat.eps, threat.eps, generator=self.rng).contiguous()

        def objective(images: Tensor) -> Tensor:
            return F.cross_entropy(self.logits(images), labels, reduction="sum")

        x_adv = climb(objective, seen, start, eps=threat.eps, step=threat.step, steps=c.probe_steps)
        z = self.logits(x_adv).detach()
        z = F.softmax(z, dim=1) if c.margin == "probabilities" else z
        right = z.gather(1, labels[:, None])[:, 0]
        margin = right - z.clone().scatter_(1, labels[:, None], -float("inf")).max(dim=1).values
        absent = self.vulnerability if c.absent_class == "keep" else torch.zeros_like(self.vulnerability)
        self.vulnerability = class_means(-margin, labels, absent)
        self.probabilities = distribution(
            self.vulnerability, c.strategy, steps=c.probe_steps, temperature=c.class_temperature, unit=c.class_unit
        ).float()

    def logits(self, images: Tensor) -> Tensor:
        """f^T(x) in float32."""
        with self.problem.autocast():
            z: Tensor = self.teacher(images)
        return z.float()
