"""Whether ours and the plain recipe compute the same: their losses, step by step, from the same weights and draws.

Signs of gradients amplify rounding errors: a pixel whose gradient is nearly zero is pushed the other way, and after a few steps
of a student at its full learning rate the losses of two correct programs differ in the second digit. So synthesis runs freely,
which also compares the gradients of all earlier steps, but at a tenth of its learning rates (Adam's first steps are signs as
well), and each student step of the plain recipe begins with the images, the weights, the optimiser's state and the random state
that ours began with; what it did to the weights is compared too. For the same reason attacks take few steps here.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .cases import Case
from .trainers import ours, plain

TOLERANCE = 1e-4
SYNTHESIS = ("generator_loss", "terms")  # what ours and the plain recipe call a step's loss
STUDENT = ("distillation_view", "distill")
FEW = {"attack_steps": 2, "probe_steps": 5}
RATES = ("generator_lr", "latent_lr", "pixel_lr")


@dataclass(frozen=True)
class Agreement:
    """How far the numbers of a method are apart.

    Attributes:
        method: its name.
        steps: how many steps were compared.
        difference: the largest difference of a number, relative to the sum of the step's numbers without their signs.
        where: stage, step and number of the largest.
    """

    method: str
    steps: int
    difference: float
    where: str

    @property
    def holds(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.difference <= TOLERANCE


@dataclass
class Notes:
    """What a training did.

    Attributes:
        steps: of every step its stage and its numbers.
        states: before every call of `STUDENT`: its argument, the student, its optimiser and the random source.
    """

    steps: list[tuple[str, dict[str, float]]] = field(default_factory=list)
    states: list[tuple[Tensor, Any, Any, Tensor]] = field(default_factory=list)


def agreement(case: Case, method: str, *, steps: int = 2, epochs: int = 2, **changes: Any) -> Agreement:
    """Train both for a few epochs of a few steps, and compare.

    Args:
        case: in float32, or the difference means little.
        method: which.
        steps: of synthesis, and of the student, per epoch.
        epochs: how many.
        changes: hyper-parameters beside.
    """
    short = {
        **{"epochs": epochs, "warmup_epochs": 0, "synthesis_rounds": 1, "synthesis_steps": steps},
        **{"distillation_steps": steps, "generator_steps": 1, "student_steps": 1, **FEW},
        **{name: rate / 10 for name, rate in case.config(method) if name in RATES},
        **changes,
    }
    mine, theirs = Notes(), Notes()
    with case.precision.backends():
        noted: Any = ours(case, method, **short)
        noted.recorder.possible = False  # numbers are noted in the middle of a step, where a replay has none
        train(noted, epochs, mine)
        train(plain(case, method, **short), epochs, theirs, like=mine)
    return compared(method, mine, theirs)


def train(trainer: Any, epochs: int, notes: Notes, like: Notes | None = None) -> None:
    """Train and note; with `like`, what concerns the student begins where that training began it."""

    def synthesis(function: Any) -> Any:
        def noted(x: Tensor, labels: Tensor) -> Any:
            terms = function(x, labels)
            notes.steps.append(("synthesis", {name: number(term) for name, term in terms.items()}))
            return terms

        return noted

    def student(function: Any, stage: str) -> Any:
        def noted(images: Tensor, *about: Any) -> Any:
            if like is not None:
                images = resume(trainer, like.states[len(notes.states)])
            notes.states.append(state_of(trainer, images))
            before = parameters_of(trainer)
            value = function(images, *about)
            numbers = {"mean": number(value.mean())} if stage == "view" else {"loss": number(value)}
            if stage == "student":
                numbers["update"] = number((parameters_of(trainer) - before).norm())
            notes.steps.append((stage, numbers))
            return value

        return noted

    for name in SYNTHESIS:
        if hasattr(trainer, name):
            setattr(trainer, name, synthesis(getattr(trainer, name)))
    for name, stage in zip(STUDENT, ("view", "student"), strict=True):
        if hasattr(trainer, name):
            setattr(trainer, name, student(getattr(trainer, name), stage))
    for epoch in range(epochs):
        numbers = trainer.train_epoch(epoch)
        if not any(
            stage == "synthesis" for stage, _ in notes.steps
        ):  # ZSKT's generator, whose steps are its own business
            notes.steps.append(("generator", {"adv": numbers["loss_adv"]}))


def state_of(trainer: Any, images: Tensor) -> tuple[Tensor, Any, Any, Tensor]:
    """Copies of all that a student step depends on."""
    student = {name: value.clone() for name, value in trainer.student.state_dict().items()}
    return images.detach().clone(), student, copy.deepcopy(trainer.optimiser.state_dict()), trainer.rng.get_state()


def resume(trainer: Any, state: tuple[Tensor, Any, Any, Tensor]) -> Tensor:
    """Put it back; returns the images."""
    images, student, optimiser, rng = state
    trainer.student.load_state_dict(student)
    trainer.optimiser.load_state_dict(copy.deepcopy(optimiser))
    trainer.rng.set_state(rng)
    return images.contiguous()


def parameters_of(trainer: Any) -> Tensor:
    """All weights of the student in one vector, in the order of their indices whatever their layout."""
    return torch.cat([p.detach().contiguous().flatten() for p in trainer.student.parameters()])


def number(value: float | Tensor) -> float:
    """A scalar tensor, or a float."""
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


def compared(method: str, mine: Notes, theirs: Notes) -> Agreement:
    """The largest difference; infinite where steps or their numbers are not the same."""
    if [(stage, n.keys()) for stage, n in mine.steps] != [(stage, n.keys()) for stage, n in theirs.steps]:
        return Agreement(method, len(mine.steps), float("inf"), "which steps there are")
    worst, where = 0.0, ""
    for step, ((stage, one), (_, other)) in enumerate(zip(mine.steps, theirs.steps, strict=True)):
        size = max(sum(map(abs, one.values())), sum(map(abs, other.values())), 1e-12)
        for name in one:
            difference = abs(one[name] - other[name]) / size
            if not difference <= worst:  # a NaN is the worst
                worst = difference if difference == difference else float("inf")
                where = f"{stage}, step {step}, {name}"
    return Agreement(method, len(mine.steps), worst, where)
