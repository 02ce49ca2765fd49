"""How a student learns from images that are nobody's data: conversions by name, and the hyper-parameters that describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from dfrd_bench.distillation.adaptive_lessons import AdaADLesson, IGDMLesson
from dfrd_bench.distillation.adversaries import Start
from dfrd_bench.distillation.class_temperatures import ABSLDLesson, ClassTemperatures, Kinds, Risk
from dfrd_bench.distillation.endurance import Count
from dfrd_bench.distillation.inner_attack import Away, InnerAttack, Mode
from dfrd_bench.distillation.label_lessons import AdversarialLesson, TradesLesson
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.distillation.teacher_lessons import ARDLesson, IADLesson, RSLADLesson
from dfrd_bench.distillation.weighting import OF_FAIRNESS, Clamp, Sizes
from dfrd_bench.method import MethodConfig, param
from dfrd_bench.problem import Problem

CONVERSION = "FERD paper, A.8"
WITH_DATA = "the method with data of that name"
FAIR = "Fair-ARD paper, eq. 5-7"
FAIR_RELEASED = "Fair-ARD released code"
LATER = "0.3.0"  # the version that brought lessons and fairness to images without data

IMPLIED: Mapping[str, Mapping[str, Any]] = {
    "rslad": {"adversarial_weight": 5 / 6},
    "ard": {"attack_start": "uniform", "attack_mode": "train", "temperature": 30.0},
    "iad": {"attack_start": "uniform", "attack_mode": "train", "temperature": 1.0},
    "absld": {"adversarial_weight": 5 / 6},
    "adaad": {},
    "igdm": {},
    "sat": {"attack_start": "uniform"},
    "trades": {},
    "soft-trades": {"robust_weight": 2.0},
}
"""The lessons that a conversion can be, and what each is by default where that is not what a data-free method has."""


LESSONS = tuple(IMPLIED)
USERS: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(("attack_steps", "attack_step", "attack_start"), (True, *LESSONS)),
    "attack_mode": LESSONS,
    "adversarial_weight": (True, "rslad", "absld"),
    "reduction": (True, "rslad", "ard", "absld"),
    "temperature": (False, "ard", "iad"),
    "alpha": ("ard",),
    "trust_exponent": ("iad",),
    "begin": ("iad",),
    "robust_weight": ("trades", "soft-trades"),
    "defer": ("soft-trades",),
    **dict.fromkeys(("temperature_rate", "temperatures", "risk"), ("absld",)),
    "gradient_weight": ("igdm",),
}
"""Which conversions a hyper-parameter is of use to."""


def _plain(conversion: Any) -> Any:
    return False if conversion == "plain" else conversion


Conversion = Annotated[
    Literal[True, False, "rslad", "ard", "iad", "absld", "adaad", "igdm", "sat", "trades", "soft-trades"],
    BeforeValidator(_plain),
]
"""True: the method's own. False, or "plain": none. A name: the lesson of the method with data that is called so; "soft-trades" is
TRADES with the teacher's answer in the label's place."""


class ConversionConfig(MethodConfig):
    """How the student learns from a batch, and how images are weighted."""

    conversion: Conversion = param(
        True,
        "robust distillation: the method's own; false (plain): as DFKD; or the lesson of rslad, ard, iad, absld, adaad, igdm, "
        "sat, trades; or soft-trades, TRADES with the teacher's answers for labels",
        CONVERSION,
    )
    attack_steps: int = param(10, "student's adversary: steps", CONVERSION, ge=1)
    attack_step: float | None = param(
        None, "student's adversary: step size; the threat model's when null", CONVERSION, gt=0
    )
    attack_start: Start = param(
        "noise", "student's adversary: from x + 0.001·N(0, I), or uniformly in the ball (ard, iad, sat)", CONVERSION
    )
    attack_mode: Mode = param(
        "eval",
        "lessons: BatchNorm under attack: eval, or train, which moves its statistics (ard, iad)",
        WITH_DATA,
        since=LATER,
    )
    adversarial_weight: float = param(5 / 6, "RSLAD: weight of the adversarial term", CONVERSION, ge=0, le=1)
    reduction: Literal["batchmean", "mean"] = param(
        "batchmean", "KL averaged over images, or over images × classes", "RSLAD released code: mean"
    )
    temperature: float = param(
        1.0, "temperature of the un-converted distillation (ard: 30, iad: 1)", "shared recipe", gt=0
    )
    alpha: float = param(
        1.0, "ard: α, weight of the distillation; 1 − α is that of the labels", WITH_DATA, since=LATER, ge=0, le=1
    )
    trust_exponent: float = param(
        0.1, "iad: the teacher is trusted by p_y(x_adv) to this power", WITH_DATA, since=LATER, ge=0
    )
    begin: float = param(
        0.3, "iad: share of the student's epochs after which it asks itself", WITH_DATA, since=LATER, ge=0, le=1
    )
    robust_weight: float = param(
        6.0,
        "trades: weight of the KL between clean and adversarial predictions (soft-trades: 2)",
        WITH_DATA,
        since=LATER,
        ge=0,
    )
    defer: bool = param(
        False,
        "soft-trades: where the teacher takes x_adv for another class, its answer there in place of the student's own",
        "ours, docs/steady.md",
        since=LATER,
    )
    temperature_rate: float = param(
        0.1, "absld: ρ, how far a class's temperature moves per epoch; falls with lr", WITH_DATA, since=LATER, ge=0
    )
    temperatures: Kinds = param(
        "own", "absld: each kind of image has its own τ, or both have the product (released)", WITH_DATA, since=LATER
    )
    risk: Risk = param("mean", "absld: a class's mean cross-entropy, or its sum (released)", WITH_DATA, since=LATER)
    gradient_weight: float = param(
        1.0,
        "igdm: weight of the matched gradients in the last epoch, reached in a straight line (IGDM from 100 classes on: 10)",
        WITH_DATA,
        since=LATER,
        ge=0,
    )
    fair: bool = param(False, "weigh images by how hard their class is", FAIR, since=LATER)
    beta: float = param(2.0, "fair: β, the exponent of a class's weight; 0 weighs all alike", FAIR, since=LATER, ge=0)
    clamp: Clamp = param("none", "fair: cut weights to [5/6, 5/2] (released)", FAIR_RELEASED, since=LATER)
    count: Count = param(
        "first", "fair: steps before the first misclassification, or all (released)", FAIR_RELEASED, since=LATER
    )
    sizes: Sizes = param(
        "own", "fair: κ by a class's own size, or as if all were equal (released)", FAIR_RELEASED, since=LATER
    )

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """What belongs to the lesson that is asked for."""
        lesson = values.get("conversion")
        return dict(IMPLIED.get(lesson, {})) if isinstance(lesson, str) else {}

    def idle(self) -> dict[str, str]:
        """What the conversion that is asked for does not use, and the class weights' own, where there are none."""
        others = [name for name, users in USERS.items() if self.conversion not in users]
        made_so = f"conversion={str(self.conversion).lower()}"
        return (
            super().idle()
            | dict.fromkeys(others, made_so)
            | ({} if self.fair else dict.fromkeys(OF_FAIRNESS, "fair=false"))
        )

    @model_validator(mode="after")
    def _fairness_needs_an_attack(self) -> ConversionConfig:
        if self.fair and self.conversion is False:
            raise ValueError(
                "fair=true weighs classes by how long they withstand the student's attack, "
                "and with conversion=false there is none"
            )
        return self


def lesson_of(config: ConversionConfig, problem: Problem) -> Lesson | None:
    """The lesson that the conversion names; None where it is the method's own, or there is none."""
    c = config

    def attack(away: Away) -> InnerAttack:
        return InnerAttack.of(c, problem, away)

    match c.conversion:
        case "rslad":
            return RSLADLesson(attack("teacher"), c.adversarial_weight, c.reduction)
        case "ard":
            return ARDLesson(
                attack("label"),
                temperature=c.temperature,
                alpha=c.alpha,
                label_temperature=c.temperature,
                reduction=c.reduction,
            )
        case "iad":
            return IADLesson(attack("label"), temperature=c.temperature, exponent=c.trust_exponent)
        case "absld":
            temperatures = ClassTemperatures(problem.num_classes, problem.device, kinds=c.temperatures, risk=c.risk)
            return ABSLDLesson(attack("teacher"), temperatures, c.adversarial_weight, c.reduction)
        case "adaad":
            return AdaADLesson(attack("gap"))
        case "igdm":
            return IGDMLesson(attack("gap"), c.gradient_weight)
        case "sat":
            return AdversarialLesson(attack("label"))
        case "trades":
            return TradesLesson(attack("clean"), c.robust_weight)
        case "soft-trades":
            return TradesLesson(attack("clean"), c.robust_weight, taught=True, defers=c.defer)
    return None


def lesson_in(lesson: Lesson, epoch: int, epochs: int, begin: float) -> Lesson:
    """The lesson in an epoch of all in which the student learns.

    IAD's is without introspection before a share `begin` of them; the weight of IGDM's gradients grows over them in a line.
    """
    if isinstance(lesson, IADLesson):
        return replace(lesson, introspection=epoch >= round(begin * epochs))
    if isinstance(lesson, IGDMLesson):
        return replace(lesson, weight=lesson.weight * (epoch + 1) / epochs)
    return lesson
