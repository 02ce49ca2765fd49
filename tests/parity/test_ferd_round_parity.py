"""A synthesis round of FERD's released code, and its reweighting, step by step (README.md says which lines)."""

from __future__ import annotations

import pytest
import torch
from closed_form import fill
from dfrd_bench.methods.data_free.ferd import FERD
from dfrd_bench.methods.data_free.ferd_released import FERDReleased, FERDReleasedConfig
from stored_case import Stored, close, feed_noise, gradients, stored
from torch import Tensor

from dfrd_bench.distillation.modes import frozen
from dfrd_bench.distillation.reweighting import class_means, distribution, probe
from dfrd_bench.problem import DatasetInfo, Precision, Problem, ThreatModel
from dfrd_bench.students.base import build_network

CLASSES = 5


@pytest.fixture(scope="module")
def synthesis() -> Stored:
    return stored("ferd-round.npz")


class Round:
    """The last of three steps of IBD_module_cmi.py's synthesis of six images, with teacher and student WideResNet-10-1."""

    def __init__(self, data: Stored) -> None:
        self.data = data
        teacher, student = (
            fill(build_network("wrn-10-1", channels=3, num_classes=CLASSES, seed=0), seed) for seed in (3, 4)
        )
        with torch.no_grad():
            teacher.bn1.weight *= 0.3
            teacher.bn1.bias *= 0.3
            teacher.fc.weight *= 3
        self.problem = Problem(
            teacher=teacher.requires_grad_(False),
            student=student,
            info=DatasetInfo(name="parity", shape=(3, 8, 8), class_names=tuple("abcde")),
            threat=ThreatModel(eps=8 / 255, step=2 / 255),
            device=torch.device("cpu"),
            precision=Precision(channels_last=False),
            seed=0,
        )

    def method(self, **changes: object) -> FERD:
        """`ferd-released` with as many steps of the bottleneck as were stored, and as large."""
        config = {"batch_size": 6, "bottleneck_steps": len(self.data["noise32"]), "bottleneck_lr": 0.5, **changes}
        return FERDReleased(self.problem, FERDReleasedConfig(**config))


@pytest.fixture
def whole(synthesis: Stored) -> Round:
    return Round(synthesis)


class TestSynthesisRound:
    def test_networks_are_the_same(self, whole: Round) -> None:
        with torch.no_grad():
            assert close(whole.problem.teacher(whole.data["view"]), whole.data["teacher_logits"])
            assert close(whole.problem.student(whole.data["view"]), whole.data["student_logits"])

    def test_every_term_of_the_generators_loss_and_its_gradient_is_theirs(
        self, whole: Round, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """IBD_module_cmi.py:204-219, split behind the last BatchNorm (wideresnet_ifd.py:142-144)."""
        view, method = whole.data["view"].clone().requires_grad_(), whole.method()
        feed_noise(monkeypatch, whole.data["noise32"])
        with frozen(method.student):
            terms = method.generator_loss(view, whole.data["labels"])
            (gradient,) = gradients(torch.stack([*terms.values()]).sum(), view)
        weights = {"adv": 1, "bn": 5, "oh": 1, "uni": 5}
        for name, weight in weights.items():
            assert terms[name].item() == pytest.approx(weight * whole.data[name].item(), rel=1e-4), name
        assert sum(term.item() for term in terms.values()) == pytest.approx(whole.data["total"].item(), rel=1e-5)
        assert close(gradient, whole.data["view_gradient"], 1e-4)

    def test_split_before_the_last_batchnorm_has_another_uniformity(
        self, whole: Round, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`ferd` takes the last convolutional block's output, as the paper's table 9 names it, before the BatchNorm."""
        feed_noise(monkeypatch, whole.data["noise32"])
        method = whole.method(layer="last")
        with frozen(method.student):
            found = method.generator_loss(whole.data["view"], whole.data["labels"])["uni"].item()
        assert found != pytest.approx(5 * whole.data["uni"].item(), rel=0.01)


class TestReweighting:
    """IBD_module_cmi.py:238-256 and test.py:230-234, with the start of PGD that theirs drew, the teacher in eval mode."""

    def vulnerability(self, whole: Round, images: Tensor, before: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
        start = whole.data["start127"].float() / 127 * whole.problem.threat.eps
        monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, *_, **__: self.copy_(start))
        margins, _ = probe(
            whole.problem, images, whole.data["labels"], steps=20, probabilities=False, generator=torch.Generator()
        )
        return class_means(-margins, whole.data["labels"], before)

    def test_vulnerability_is_that_of_the_last_augmented_batch(
        self, whole: Round, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = self.vulnerability(whole, whole.data["view"], torch.zeros(CLASSES), monkeypatch)
        assert close(found, whole.data["vulnerability"], 1e-4)

    def test_vulnerability_of_the_kept_batch_which_ferd_takes_is_another(
        self, whole: Round, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`ferd` attacks the images that enter the pool, which the student will see; theirs those of the last step, augmented."""
        found = self.vulnerability(whole, whole.data["kept"], torch.zeros(CLASSES), monkeypatch)
        assert not close(found, whole.data["vulnerability"], 0.05)

    def test_absent_classes_get_zero_where_ferd_keeps_what_it_knew(
        self, whole: Round, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Among negative D_c a zero is the largest: theirs then makes a class for which no image was made the likeliest."""
        absent = torch.bincount(whole.data["labels"], minlength=CLASSES) == 0
        assert absent.sum() == 2
        assert not whole.data["vulnerability"][absent].any()
        before = torch.arange(CLASSES) - 9.0
        found = self.vulnerability(whole, whole.data["view"], before, monkeypatch)
        assert torch.equal(found[absent], before[absent])
        assert close(found[~absent], whole.data["vulnerability"][~absent], 1e-4)

    def test_probabilities_are_theirs(self, whole: Round) -> None:
        found = distribution(whole.data["vulnerability"], "minmax")
        assert found.tolist() == pytest.approx(whole.data["probabilities"].tolist(), rel=1e-5)

    def test_the_teacher_stays_in_eval_mode_where_theirs_is_left_training(
        self, whole: Round, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """query_sample.py:117 ends with `model.train()`, so their margins are taken with the batch's statistics, which also
        move the teacher's own (IBD_module_cmi.py:239). Not followed: a teacher that changes is no teacher any more.
        """
        before = {name: value.clone() for name, value in whole.problem.teacher.state_dict().items()}
        found = self.vulnerability(whole, whole.data["view"], torch.zeros(CLASSES), monkeypatch)
        assert not close(found, whole.data["vulnerability_training_mode"], 0.05)
        after = whole.problem.teacher.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert not close(whole.data["running_mean_after"], before["bn1.running_mean"], 0.05)

    def test_method_follows_from_the_last_view_to_the_probabilities(
        self, whole: Round, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`ferd-released` as a whole: handed the kept batch, it measures on the view it saw last."""
        method = whole.method(crop_padding=0, flip=False)
        start = whole.data["start127"].float() / 127 * whole.problem.threat.eps
        monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, *_, **__: self.copy_(start))
        method.synthesis_view(whole.data["view"])
        method.after_synthesis(whole.data["kept"], whole.data["labels"])
        assert close(method.class_probabilities(), whole.data["probabilities"], 1e-4)
