"""FRL-ARD (our reading): ARD, and classes with large errors on validation images weigh more."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from pydantic import model_validator

from dfrd_bench.distillation.inner_attack import Away, InnerAttack
from dfrd_bench.distillation.margins import ClassMargins
from dfrd_bench.distillation.multipliers import ErrorMultipliers
from dfrd_bench.distillation.validation import attacked_logits, class_accuracies, held_out
from dfrd_bench.distillation.weighting import Weighting
from dfrd_bench.method import MethodConfig, param
from dfrd_bench.problem import Problem, TrainingProblem

from .ard import ARD, ARDConfig
from .fair_ard import FAIR_ARD

RELEASED = "FRL (Xu et al. 2021), released code"


class FRLARDConfig(ARDConfig):
    """ARD's hyper-parameters, and FRL's."""

    tolerance: float = param(0.1, "δ: how far above the mean a class's error may be", RELEASED, ge=0)
    rate: float = param(0.05, "ρ₁: how fast weights follow the errors; 0 is ARD", RELEASED, ge=0)
    margin_rate: float = param(
        0.0, "ρ₂: how fast margins ε_c do (ReMargin: 0.2, with δ = 0.07)", "Fair-ARD: reweighting", ge=0
    )
    validation_share: float = param(
        0.06, "share of every class held out for validation", f"{RELEASED}: 300 of 5,000", gt=0, lt=1
    )
    validation_steps: int = param(20, "steps of the PGD attack on validation images", RELEASED, ge=1)

    @model_validator(mode="after")
    def _one_kind_of_weights(self) -> FRLARDConfig:
        if self.fair:
            raise ValueError("frl-ard has class weights of its own: take fair-ard for those by κ")
        return self


class FRLARD(ARD):
    """FRL-ARD (our reading; no code was released): ARD with FRL's class weights from robust errors on validation images.

    Fair-ARD's paper compares with it (section 5.2, table 4) without details. FRL has multipliers on natural and on boundary
    errors, for the two terms of TRADES; ARD at α = 1 has one term, and here one family of multipliers, on the robust error.
    FRL tunes a robust network for 40 epochs; here the student is trained from scratch by ARD's schedule, and ρ is constant.
    """

    Config = FRLARDConfig
    reference = FAIR_ARD
    weighting: ErrorMultipliers

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        c = cast(FRLARDConfig, config)
        training, self.validation = held_out(cast(TrainingProblem, problem), c.validation_share)
        self.margins = ClassMargins(problem.num_classes, problem.device)
        self.measuring = torch.Generator(problem.device).manual_seed(problem.seed)
        super().__init__(training, config)

    def make_weighting(self) -> Weighting:
        """FRL's multipliers."""
        c = cast(FRLARDConfig, self.config)
        k, device = self.problem.num_classes, self.problem.device
        return ErrorMultipliers(k, device, tolerance=c.tolerance, rate=c.rate, margin_rate=c.margin_rate)

    def attack(self, away: Away) -> InnerAttack:
        """ARD's, within the margins of each class where these are moved."""
        moved = cast(FRLARDConfig, self.config).margin_rate > 0
        return replace(super().attack(away), margins=self.margins if moved else None)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Weights and margins from validation images, then one pass over the others."""
        c, part = cast(FRLARDConfig, self.config), self.validation
        attack = InnerAttack(problem=part, away="label", steps=c.validation_steps, step=c.attack_step, start="uniform")
        logits = attacked_logits(
            self.student, part, attack, self.measuring, batch_size=c.batch_size, progress=self.progress
        )
        robust, right = class_accuracies(logits, part.labels), logits.argmax(dim=1) == part.labels
        self.weighting.update(1 - robust, 1 - float(right.double().mean()))
        numbers = {f"validation/{k}": value for k, value in enumerate(robust.tolist())}
        if c.margin_rate:
            threat, radii = part.threat, self.weighting.radii
            longest = float(radii.max()) * threat.eps / 4 / (c.attack_step or threat.step)
            self.margins.set(radii, torch.full_like(radii, longest))
            numbers |= self.margins.numbers()
        return {**super().train_epoch(epoch), **numbers}
