"""Every lesson's loss per image against the formula in SciPy, and what its gradients may depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest
import tiny
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy
from torch import Tensor, nn

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.label_lessons import AdversarialLesson, NaturalLesson, TradesLesson
from dfrd_bench.distillation.lessons import Attacked, Batch, Lesson
from dfrd_bench.distillation.losses import kl
from dfrd_bench.distillation.teacher_lessons import ARDLesson, IADLesson, RSLADLesson, divergence
from dfrd_bench.problem import Precision, Problem

N, K = 6, 4
LABELS = torch.tensor([0, 1, 2, 3, 3, 0])


@dataclass
class Mirrored:
    """An attack that turns images into their negatives."""

    problem: Problem

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> Attacked:
        return Attacked(1 - batch.x, torch.arange(float(N)))


@pytest.fixture
def problem() -> Problem:
    return replace(tiny.problem(), precision=Precision(channels_last=False))


@pytest.fixture
def attack(problem: Problem) -> InnerAttack:
    return cast(InnerAttack, Mirrored(problem))


@pytest.fixture
def student() -> nn.Module:
    return tiny.SmallConv(num_classes=K, seed=1)


@pytest.fixture
def batch(problem: Problem) -> Batch:
    x = tiny.random_images(N)
    return Batch(x, LABELS, problem.teacher(x).detach())


@dataclass(frozen=True)
class Answers:
    """Logits of the networks on clean and adversarial images, in float64."""

    teacher: np.ndarray
    asked: np.ndarray
    clean: np.ndarray
    adversarial: np.ndarray

    def ce(self, logits: np.ndarray, temperature: float = 1) -> np.ndarray:
        return -log_softmax(logits / temperature, axis=1)[np.arange(N), LABELS]

    def smoothed(self, logits: np.ndarray) -> np.ndarray:
        """Cross-entropy to a target with 0.2 spread over all classes."""
        target = np.full((N, K), 0.2 / K)
        target[np.arange(N), LABELS] += 0.8
        return -(target * log_softmax(logits, axis=1)).sum(axis=1)

    def kl(self, p: np.ndarray, q: np.ndarray, temperature: float = 1) -> np.ndarray:
        return temperature**2 * entropy(softmax(p / temperature, axis=1), softmax(q / temperature, axis=1), axis=1)


@pytest.fixture
def answers(problem: Problem, student: nn.Module, batch: Batch) -> Answers:
    with torch.no_grad():
        given = (problem.teacher(batch.x), problem.teacher(1 - batch.x), student(batch.x), student(1 - batch.x))
    return Answers(*(logits.double().numpy() for logits in given))


def trust(a: Answers) -> np.ndarray:
    """a of IAD: the teacher's probability of the label on the adversarial image, to the power 0.1."""
    return softmax(a.asked, axis=1)[np.arange(N), LABELS] ** 0.1


def changed(a: Answers) -> np.ndarray:
    """Which adversarial images the teacher takes for another class; some of these, and not all."""
    other = a.teacher.argmax(axis=1) != a.asked.argmax(axis=1)
    assert 0 < other.sum() < N
    return other


LESSONS: dict[str, tuple[Callable[[InnerAttack], Lesson], Callable[[Answers], np.ndarray]]] = {
    "natural": (lambda attack: NaturalLesson(attack.problem.precision), lambda a: a.ce(a.clean)),
    "sat": (AdversarialLesson, lambda a: a.ce(a.adversarial)),
    "trades": (lambda t: TradesLesson(t, 6.0), lambda a: a.ce(a.clean) + 6 * a.kl(a.clean, a.adversarial)),
    "natural, smoothed": (lambda t: NaturalLesson(t.problem.precision, 0.2), lambda a: a.smoothed(a.clean)),
    "sat, smoothed": (lambda t: AdversarialLesson(t, 0.2), lambda a: a.smoothed(a.adversarial)),
    "trades, smoothed": (
        lambda t: TradesLesson(t, 3.5, 0.2),
        lambda a: a.smoothed(a.clean) + 3.5 * a.kl(a.clean, a.adversarial),
    ),
    "trades in one batch": (
        lambda t: TradesLesson(t, 3.5, one_batch=True),
        lambda a: a.ce(a.clean) + 3.5 * a.kl(a.clean, a.adversarial),
    ),
    "soft trades": (
        lambda t: TradesLesson(t, 2.0, taught=True),
        lambda a: a.kl(a.teacher, a.clean) + 2 * a.kl(a.clean, a.adversarial),
    ),
    "soft trades, deferring": (
        lambda t: TradesLesson(t, 2.0, taught=True, defers=True),
        lambda a: (
            a.kl(a.teacher, a.clean)
            + 2 * np.where(changed(a), a.kl(a.asked, a.adversarial), a.kl(a.clean, a.adversarial))
        ),
    ),
    "ard": (ARDLesson, lambda a: a.kl(a.teacher, a.adversarial, 30)),
    "ard, released": (lambda t: ARDLesson(t, reduction="mean"), lambda a: a.kl(a.teacher, a.adversarial, 30) / K),
    "ard with labels": (
        lambda t: ARDLesson(t, temperature=5, alpha=0.7, label_temperature=2),
        lambda a: 0.7 * a.kl(a.teacher, a.adversarial, 5) + 0.3 * a.ce(a.clean, 2),
    ),
    "ard with labels, smoothed": (
        lambda t: ARDLesson(t, temperature=5, alpha=0.7, label_temperature=2, smoothing=0.2),
        lambda a: 0.7 * a.kl(a.teacher, a.adversarial, 5) + 0.3 * a.smoothed(a.clean / 2),
    ),
    "iad before it asks itself": (
        lambda t: IADLesson(t, introspection=False),
        lambda a: a.kl(a.teacher, a.adversarial),
    ),
    "iad": (
        IADLesson,
        lambda a: a.kl(a.teacher, a.adversarial) + (1 - trust(a)) * a.kl(a.clean, a.adversarial),
    ),
    "iad, partial trust": (
        lambda t: IADLesson(t, temperature=3, partial_trust=True),
        lambda a: trust(a) * a.kl(a.teacher, a.adversarial, 3) + (1 - trust(a)) * a.kl(a.clean, a.adversarial),
    ),
    "rslad": (RSLADLesson, lambda a: (5 * a.kl(a.teacher, a.adversarial) + a.kl(a.teacher, a.clean)) / 6),
    "rslad, released": (
        lambda t: RSLADLesson(t, reduction="mean"),
        lambda a: (5 * a.kl(a.teacher, a.adversarial) + a.kl(a.teacher, a.clean)) / 6 / K,
    ),
}


@pytest.mark.parametrize("name", LESSONS)
def test_the_loss_of_every_image_is_the_formulas(
    name: str, attack: InnerAttack, student: nn.Module, batch: Batch, answers: Answers
) -> None:
    make, formula = LESSONS[name]
    found = make(attack)(student, batch, torch.Generator())
    assert all(term.shape == (N,) for term in found.terms.values())
    total = torch.stack(list(found.terms.values())).sum(dim=0)
    np.testing.assert_allclose(total.detach().numpy(), formula(answers), rtol=1e-3, atol=1e-6)
    if not name.startswith("natural"):
        assert found.withstood is not None
        assert found.withstood.tolist() == list(range(N))


def gradient(lesson: Lesson, student: nn.Module, batch: Batch) -> Tensor:
    """Of the mean loss, in all of the student's weights."""
    found = lesson(student, batch, torch.Generator())
    loss = torch.stack(list(found.terms.values())).sum(dim=0).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(student.parameters()))])


@pytest.mark.parametrize(
    ("name", "depends"), [("ard", False), ("rslad", False), ("ard with labels", True), ("iad", True), ("sat", True)]
)
def test_labels_matter_to_the_gradient_only_where_the_loss_has_them(
    name: str, depends: bool, attack: InnerAttack, student: nn.Module, batch: Batch
) -> None:
    lesson, other = LESSONS[name][0](attack), replace(batch, labels=(LABELS + 1) % K)
    assert torch.equal(gradient(lesson, student, batch), gradient(lesson, student, other)) is not depends


def test_iad_whose_teacher_is_trusted_wholly_is_ard_at_its_temperature(
    attack: InnerAttack, student: nn.Module, batch: Batch
) -> None:
    iad, ard = IADLesson(attack, exponent=0.0), ARDLesson(attack, temperature=1.0)
    torch.testing.assert_close(gradient(iad, student, batch), gradient(ard, student, batch))
    assert not torch.allclose(gradient(IADLesson(attack), student, batch), gradient(ard, student, batch))


def test_introspection_teaches_through_the_clean_prediction_too(
    attack: InnerAttack, problem: Problem, student: nn.Module, batch: Batch
) -> None:
    """Without the gradient of f^S(x) the loss would have another."""
    lesson = IADLesson(attack)
    whole = gradient(lesson, student, batch)

    def half(x: Tensor) -> Tensor:
        logits: Tensor = student(x)
        return logits.detach() if torch.equal(x, batch.x) else logits

    found = lesson(cast(Any, half), batch, torch.Generator())
    loss = torch.stack(list(found.terms.values())).sum(dim=0).mean()
    detached = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(student.parameters()))])
    assert (whole - detached).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["ard", "iad before it asks itself", "iad", "rslad"])
def test_the_students_statistics_see_the_adversarial_batch_and_then_the_clean_one(
    name: str, attack: InnerAttack, batch: Batch
) -> None:
    student, seen = tiny.wide_resnet(seed=2).train(), []
    layer = next(m for m in student.modules() if isinstance(m, nn.BatchNorm2d))
    student.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    before = int(layer.num_batches_tracked)
    LESSONS[name][0](attack)(student, batch, torch.Generator())
    assert int(layer.num_batches_tracked) == before + 2
    assert torch.equal(seen[0], 1 - batch.x)
    assert torch.equal(seen[1], batch.x)


@pytest.mark.parametrize(("one_batch", "passes"), [(True, [2 * N]), (False, [N, N])])
def test_trades_normalises_clean_and_adversarial_images_together_or_apart(
    attack: InnerAttack, batch: Batch, one_batch: bool, passes: list[int]
) -> None:
    student, seen = tiny.wide_resnet(seed=2).train(), []
    student.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    TradesLesson(attack, 6.0, one_batch=one_batch)(student, batch, torch.Generator())
    assert [len(x) for x in seen] == passes
    assert torch.equal(torch.cat(seen), torch.cat([batch.x, 1 - batch.x]))


@pytest.mark.parametrize("reduction", ["batchmean", "mean"])
def test_a_divergence_per_image_averages_to_the_scalar_one(reduction: Any) -> None:
    p, q = torch.randn(2, N, K)
    each = divergence(p, q, temperature=3.0, reduction=reduction)
    torch.testing.assert_close(each.mean(), kl(p, q, temperature=3.0, reduction=reduction))
