"""Images held out: which, how many, and what is refused; and class-wise accuracies against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from sklearn.metrics import confusion_matrix

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.validation import attacked_logits, class_accuracies, held_out
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import TrainingProblem
from dfrd_bench.testing import toy_training_problem
from dfrd_bench.testing.untouched import condition, difference


def of_sizes(*sizes: int, seed: int = 0) -> TrainingProblem:
    """Images whose pixels are their place in the split."""
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    return replace(toy_training_problem(num_classes=len(sizes), seed=seed), images=images, labels=labels)


def places(problem: TrainingProblem) -> list[int]:
    return problem.images[:, 0, 0, 0].tolist()


class TestHeldOut:
    def test_is_its_share_of_every_class_and_the_rest_is_trained_on(self) -> None:
        training, validation = held_out(of_sizes(50, 100, 21), 0.1)
        assert torch.bincount(validation.labels).tolist() == [5, 10, 2]
        assert torch.bincount(training.labels).tolist() == [45, 90, 19]
        assert sorted(places(training) + places(validation)) == list(range(171))
        whole = of_sizes(50, 100, 21).labels
        for part in (training, validation):
            assert torch.equal(part.labels, whole[places(part)])

    def test_is_drawn_from_the_seed(self) -> None:
        drawn = [places(held_out(of_sizes(50, 100, seed=seed), 0.1)[1]) for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert drawn[0] != sorted(drawn[0])[:5] + list(range(50, 60))

    @pytest.mark.parametrize(("share", "left"), [(0.01, [1, 1, 4]), (0.99, [1, 1, 1])])
    def test_has_one_image_of_a_class_at_least_and_leaves_one(self, share: float, left: list[int]) -> None:
        training, validation = held_out(of_sizes(2, 2, 5), share)
        assert torch.bincount(training.labels).tolist() == left
        assert (torch.bincount(training.labels) + torch.bincount(validation.labels)).tolist() == [2, 2, 5]

    def test_needs_two_images_of_every_class(self) -> None:
        with pytest.raises(DfrdBenchError, match=r"has 1 image of the class 'class 1'.*needs 2 at the least") as error:
            held_out(of_sizes(4, 1, 4), 0.5)
        assert "\n" not in str(error.value)

    def test_leaves_the_rest_of_the_problem_as_it_is(self) -> None:
        problem = of_sizes(4, 4)
        training, _ = held_out(problem, 0.5)
        assert training.student is problem.student
        assert training.teacher is problem.teacher


def test_accuracies_are_those_of_a_confusion_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    labels, logits = torch.arange(40) % 4, torch.randn(40, 4, generator=generator)
    matrix = confusion_matrix(labels, logits.argmax(dim=1), normalize="true")
    np.testing.assert_allclose(class_accuracies(logits, labels), matrix.diagonal())


def test_asking_the_student_leaves_it_as_it_was_and_batches_do_not_matter() -> None:
    part = toy_training_problem()
    part.student.train()
    before, stages = condition(part.student), []
    attack = InnerAttack(problem=part, away="label", steps=2)
    whole = attacked_logits(part.student, part, attack, torch.Generator().manual_seed(0), batch_size=24)
    parts = attacked_logits(
        part.student,
        part,
        attack,
        torch.Generator().manual_seed(0),
        batch_size=5,
        progress=lambda *at: stages.append(at),
    )
    assert difference(before, condition(part.student)) is None
    assert whole.shape == parts.shape == (24, 4)
    torch.testing.assert_close(whole, parts, atol=0.05, rtol=0.05)  # the noise of the starts is another
    assert stages == [("validate", done, 5) for done in range(6)]


def test_the_attack_makes_it_worse() -> None:
    part = replace(toy_training_problem(), student=tiny.wide_resnet(seed=3))
    labels = tiny.own_labels(part.student, part.images.float() / 255)
    part = replace(part, labels=labels)
    attack = InnerAttack(problem=part, away="label", steps=5)
    logits = attacked_logits(part.student, part, attack, torch.Generator(), batch_size=24)
    assert (logits.argmax(dim=1) == labels).double().mean() < 0.8  # all are right without it
