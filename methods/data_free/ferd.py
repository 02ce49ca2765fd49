"""FERD: class reweighting, fairness-aware examples (FAEs) and uniform-target adversarial examples (UTAEs)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.attacks.surrogate import StandIns
from dfrd_bench.distillation.agreement import Agreement
from dfrd_bench.distillation.batchnorm import BatchNormStatistics
from dfrd_bench.distillation.bottleneck import Bottleneck, Ceiling, Noise, Penalty, Variance
from dfrd_bench.distillation.conversion import Distillation, RobustDistillation
from dfrd_bench.distillation.distiller import RELEASED
from dfrd_bench.distillation.losses import decoupled_kl, kl, kl_from_uniform_per_image
from dfrd_bench.distillation.reweighting import STEPS_BASED, Strategy, Unit, class_means, distribution, probe
from dfrd_bench.distillation.split import SplitTeacher
from dfrd_bench.distillation.synthesis import SynthesisConfig, SynthesizeThenDistill
from dfrd_bench.method import MethodConfig, Reference, param
from dfrd_bench.problem import Problem

OF_REWEIGHTING = ("margin", "margin_images", "absent_class", "probe_steps")
OF_SOFTMAX = ("class_temperature", "class_unit")


class FERDConfig(SynthesisConfig):
    """FERD's hyper-parameters; each source says whose the default is. Switches of table 3: reweighting, fae, utae."""

    conditional: bool = param(True, "append the one-hot label to the code: g(z, y)", "paper, algorithm 1")
    reinitialise: bool = param(False, "a fresh generator for every round", "paper, algorithm 1; released: true")
    # Generator (eq. 9)
    lambda_adv: float = param(1.0, "λ_adv, weight of the student-teacher disagreement", "paper, section 5.1")
    lambda_bn: float = param(5.0, "λ_bn, weight of the BatchNorm distance", "paper, section 5.1", ge=0)
    lambda_oh: float = param(1.0, "λ_oh, weight of the one-hot cross-entropy", "paper, section 5.1", ge=0)
    lambda_uni: float = param(5.0, "λ_uni, weight of the uniformity of non-robust features", "paper, section 5.1", ge=0)
    bn_models: Literal["teacher", "both"] = param("teacher", "whose BatchNorm L_bn matches", "released; paper: both")
    loss: Literal["kl", "dkl"] = param("kl", "divergence in L_adv: KL or decoupled KL", "paper, eq. 8; released: dkl")
    # Class reweighting (eq. 1-2, A.6)
    reweighting: bool = param(True, "class reweighting on", "paper, table 3")
    strategy: Strategy = param("softmax", "from vulnerability to class probabilities", "paper, section 4.2 and A.6")
    margin: Literal["logits", "probabilities"] = param("logits", "what the margin is taken of", "paper, eq. 1")
    margin_images: Literal["kept", "last"] = param(
        "kept", "whose margins count: the kept batch's, or the last step's, augmented", "ours; released: last"
    )
    absent_class: Literal["keep", "zero"] = param("keep", "D_c of a class without images", "ours; released: zero")
    class_temperature: float = param(1.0, "softmax temperature of the class probabilities", "paper, section 4.2", gt=0)
    class_unit: Unit = param(
        "logit", "unit of class_temperature: the teacher's logits', or D_c's spread", "ours: spread"
    )
    probe_steps: int = param(20, "PGD steps on the teacher behind the margins", "paper, section 4.2", ge=1)
    # Fairness-aware examples (eq. 3-7)
    fae: bool = param(True, "fairness-aware examples on; off sets λ_uni to 0", "paper, table 3")
    layer: str = param("last", "l: where the teacher is split; the last convolutional block", "paper, table 9")
    bottleneck_beta: float = param(0.3, "β of the information bottleneck", RELEASED, ge=0)
    bottleneck_lr: float = param(0.1, "Adam learning rate of the noise scale λ_r", RELEASED, gt=0)
    bottleneck_steps: int = param(50, "Adam steps of the noise scale λ_r", RELEASED, ge=1)
    bottleneck_penalty: Penalty = param("half-mean", "compression over channels", "released, with its β; eq. 5: sum")
    bottleneck_ceiling: Ceiling = param("image", "largest variance of the image, or batch", "eq. 6; released: batch")
    bottleneck_noise: Noise = param("channel", "ε of eq. 4, per channel or position", f"{RELEASED}; Kim et al. 2021")
    bottleneck_variance: Variance = param("biased", "v_c over the positions", "ours; released: unbiased")
    # Uniform-target adversarial examples and distillation (eq. 10-11)
    utae: bool = param(True, "uniform-target adversarial examples on; off sets γ to 0", "paper, table 3")
    gamma: float = param(0.5, "γ, weight of the uniform-target constraint", "paper, section 5.1", ge=0)
    attack_model: Literal["student", "teacher"] = param("student", "who UTAEs attack", "released; eq. 10: teacher")
    adversarial_weight: float = param(1 / 6, "λ2 of eq. 11; λ1 is the rest", "paper, section 5.1", ge=0, le=1)

    def idle(self) -> dict[str, str]:
        """What belongs to a component that is switched off, or has no weight."""
        off = super().idle()
        if not self.fae or not self.lambda_uni:
            of_fae = ["layer", *(name for name in type(self).model_fields if name.startswith("bottleneck_"))]
            off |= dict.fromkeys(of_fae, "lambda_uni=0" if self.fae else "fae=false")
        if not self.fae:
            off["lambda_uni"] = "fae=false"
        if not self.lambda_bn:
            off["bn_models"] = "lambda_bn=0"
        if not self.utae:
            off["gamma"] = "utae=false"
        if self.conversion is not True:
            off |= dict.fromkeys(("utae", "gamma", "attack_model"), f"conversion={str(self.conversion).lower()}")
        if not self.reweighting or self.strategy == "uniform":
            made_so = "strategy=uniform" if self.reweighting else "reweighting=false"
            off |= dict.fromkeys((*OF_REWEIGHTING, *OF_SOFTMAX, *(() if self.reweighting else ("strategy",))), made_so)
        elif self.strategy != "softmax":
            off |= dict.fromkeys(OF_SOFTMAX, f"strategy={self.strategy}")
        return off


class FERD(SynthesizeThenDistill):
    """FERD: fairness-enhanced data-free robustness distillation."""

    Config = FERDConfig
    reference = Reference(
        "FERD: Fairness-Enhanced Data-Free Adversarial Robustness Distillation",
        "ICLR 2026",
        "https://openreview.net/forum?id=jGXTx64gal, arXiv:2509.20793",
    )

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.ferd = c = cast(FERDConfig, config)
        models = [problem.teacher, problem.student] if c.bn_models == "both" else [problem.teacher]
        self.statistics = [BatchNormStatistics(m, "ferd's L_bn (lambda_bn)") for m in models] if c.lambda_bn else []
        self.split = SplitTeacher(problem.teacher, self.split_layer()) if c.fae and c.lambda_uni else None
        if self.split is not None:
            self.split.need_positions(problem.shape, "ferd's L_uni (off with fae=false)")
        self.bottleneck = Bottleneck(**{n.removeprefix("bottleneck_"): v for n, v in c if n.startswith("bottleneck_")})
        # D_c (eq. 2), at first 0; or κ_c (eq. 26), at first K: a class of which nothing is known has not fallen
        unknown = float(c.probe_steps) if c.strategy in STEPS_BASED else 0.0
        self.vulnerability = torch.full((problem.num_classes,), unknown, device=problem.device)
        self.agreement = Agreement(problem.num_classes, problem.device)
        self.stand_ins = StandIns()
        self.last_view: list[Tensor] = []  # what the generator's loss saw last; no part of the state
        self.probabilities = super().class_probabilities()

    def class_probabilities(self) -> Tensor:
        """p of section 4.2: uniform at first, then by vulnerability."""
        return self.probabilities

    def generator_loss(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """λ_adv·L_adv + λ_bn·L_bn + λ_oh·L_oh + λ_uni·L_uni (eq. 9).

        L_adv enters with a minus: the paper prints KL(f^T, f^S) in a sum that is minimised, and wants it to "encourage
        divergence", which only the negative sign does. A negative λ_adv gives the printed one.
        """
        c, teacher = self.ferd, self.problem.teacher
        with ExitStack() as recording:
            if self.split is not None:
                recording.enter_context(self.split.record())
            for statistics in self.statistics:
                recording.enter_context(statistics.record())
            watched = self.student.forward if c.bn_models == "both" else self.student  # a compiled call hides layers
            z_teacher, z_student = teacher(x), watched(x)
        terms = {"adv": -c.lambda_adv * self.disagreement(z_teacher, z_student)}
        terms["oh"] = c.lambda_oh * F.cross_entropy(z_teacher.float(), labels)
        if c.lambda_bn:
            terms["bn"] = c.lambda_bn * torch.stack([s.distance() for s in self.statistics]).sum()
        if self.split is not None:
            terms["uni"] = c.lambda_uni * self.uniformity(self.split, labels)
        return terms

    def split_layer(self) -> str:
        """l of eq. 3, by name."""
        return self.ferd.layer

    def synthesis_view(self, images: Tensor) -> Tensor:
        """As always, and remembered."""
        view = super().synthesis_view(images)
        self.last_view = [view.detach()]
        return view

    def disagreement(self, z_teacher: Tensor, z_student: Tensor) -> Tensor:
        """L_adv of eq. 8: logits [N, K] twice -> scalar."""
        if self.ferd.loss == "kl":
            return kl(z_teacher, z_student)
        return decoupled_kl(z_teacher, z_student, (z_teacher.float() / 100).softmax(dim=1))

    def uniformity(self, split: SplitTeacher, labels: Tensor) -> Tensor:
        """L_uni = KL(U, f_{l+}(Z_nr)) (eq. 7): what the non-robust features of the recorded pass predict, a scalar."""
        scale = self.bottleneck.noise_scale(split.head, split.features, labels, self.rng)
        non_robust = self.bottleneck.non_robust(scale, split.features) * split.features
        return kl_from_uniform_per_image(split.head(non_robust)).mean()

    def after_synthesis(self, x: Tensor, labels: Tensor) -> dict[str, float]:
        """Reweight the classes by the teacher's margins on the attacked batch (eq. 1-2, A.6)."""
        c = self.ferd
        if c.reweighting and c.strategy != "uniform":
            softmax = c.margin == "probabilities"
            seen = self.last_view[0] if c.margin_images == "last" else x
            margins, steps = probe(
                self.problem,
                seen,
                labels,
                steps=c.probe_steps,
                probabilities=softmax,
                generator=self.rng,
                stand_ins=self.stand_ins,
            )
            values = steps if c.strategy in STEPS_BASED else -margins
            absent = self.vulnerability if c.absent_class == "keep" else torch.zeros_like(self.vulnerability)
            self.vulnerability = class_means(values, labels, absent)
            self.probabilities = distribution(
                self.vulnerability, c.strategy, steps=c.probe_steps, temperature=c.class_temperature, unit=c.class_unit
            ).float()
        with torch.no_grad():
            agree = self.agreement.add(self.problem.precision.logits(self.problem.teacher, x), labels)
        weights = {f"p/{k}": float(share) for k, share in enumerate(self.probabilities)}
        entropy = float(torch.special.entr(self.probabilities).sum())
        return {"agree": float(agree), "p_entropy": entropy, **weights}

    def findings(self) -> tuple[str, ...]:
        """The classes that D_c judges by images that are not of them."""
        failed = self.agreement.failed() if self.ferd.reweighting else {}
        if not failed:
            return ()
        names = self.problem.info.class_names
        shares = ", ".join(f"{names[k]} ({100 * share:.0f} %)" for k, share in failed.items())
        return (
            f"synthesis failed for {len(failed)} of {len(names)} classes, for which the class weights then mean little: "
            f"share of the images made for a class that the teacher takes for it: {shares}",
        )

    def make_distillation(self) -> Distillation:
        """λ1·KL(f^T(x_F), f^S(x_F)) + λ2·KL(f^T(x_F), f^S(x_U)) (eq. 11), on UTAEs (eq. 10)."""
        c = cast(FERDConfig, self.config)
        if not c.conversion:
            return super().make_distillation()
        gamma = c.gamma if c.utae else 0.0
        on_student = self.converted(self.adversary(gamma))
        if c.attack_model == "student":
            return on_student

        def attack(student: nn.Module, x: Tensor, teacher_logits: Tensor, generator: torch.Generator) -> Tensor:
            return on_student.adversary(self.problem.teacher, x, teacher_logits, generator)

        return RobustDistillation(attack, on_student.loss)
