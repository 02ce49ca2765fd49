"""DeepInversion against both released versions, the authors' and Fang et al.'s: terms, priors, steps, and where we differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dfrd_bench.methods.data_free.deepinv import DeepInv, DeepInvConfig
from scipy.spatial.distance import jensenshannon
from tiny_networks import TinyNet, fill, problem, step_losses, stored
from torch import Tensor, nn

from dfrd_bench.distillation.losses import js, total_variation

RELEASED = stored("deepinv")
YIN = {"teacher": RELEASED["nv/teacher"], "student": RELEASED["nv/student"]}
LEAST, MOST = 0.01, 0.99  # where released code clips probabilities


class Standardised(nn.Module):
    """A network of images in [0, 1] made of one of pixels on Fang et al.'s scale (here (x − 0.5)/0.25)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net((x - 0.5) / 0.25)
        return logits


def yin(**settings: float) -> DeepInv:
    """Ours, with the networks and the image size of the authors' script."""
    return DeepInv(problem(YIN, classes=10, size=32), DeepInvConfig(epochs=1, batch_size=2, **settings))


def fang(steps: int, **settings: float) -> DeepInv:
    """Ours, starting at the pixels at which Fang et al.'s synthesizer was started; without student and jitter."""
    tiny = problem(RELEASED)
    teacher = Standardised(tiny.teacher).eval().requires_grad_(False)
    method = DeepInv(
        type(tiny)(**{**vars(tiny), "teacher": teacher}),
        DeepInvConfig(
            epochs=1, batch_size=4, synthesis_steps=steps, lambda_adv=0, lambda_tv=0, lambda_l2=0, jitter=0, **settings
        ),
    )
    drawn = method.canvas

    def canvas(labels: Tensor) -> object:
        render, groups = drawn(labels)
        with torch.no_grad():
            groups[0]["params"][0].copy_(RELEASED["fang/start"])
        return render, groups

    method.canvas = canvas  # type: ignore[assignment, method-assign]
    return method


class TestTheAuthorsTerms:
    @pytest.mark.parametrize("term", ["oh", "bn", "tv", "l2"])
    def test_each_has_the_released_value(self, term: str) -> None:
        method = yin(lambda_bn=1, lambda_oh=1, lambda_tv=1, lambda_l2=1, lambda_adv=0)
        terms = method.generator_loss(RELEASED["nv/x"], RELEASED["nv/label"])
        torch.testing.assert_close(terms[term], RELEASED[f"nv/{term}"], rtol=1e-4, atol=1e-5)

    def test_their_sum_has_the_released_gradient(self) -> None:
        method = yin(lambda_bn=10, lambda_oh=1, lambda_tv=2.5e-5, lambda_l2=0.01, lambda_adv=0)
        x = RELEASED["nv/x"].clone().requires_grad_()
        total = torch.stack([*method.generator_loss(x, RELEASED["nv/label"]).values()]).sum()
        total.backward()
        torch.testing.assert_close(total.detach(), RELEASED["nv/total"], rtol=1e-4, atol=0)
        torch.testing.assert_close(x.grad, RELEASED["nv/gradient"], rtol=1e-3, atol=1e-6)

    def test_total_variation_shrinks_with_the_scale_of_the_pixels(self) -> None:
        """Released code takes it of standardised pixels, ours of the image in [0, 1]: with the unit 0.25 of `pixel_std`, the same
        λ_tv = 2.5e-5 weighs a quarter here.
        """
        u = RELEASED["fang/start"]
        torch.testing.assert_close(total_variation(0.5 + 0.25 * u), total_variation(u) / 4)

    def test_fang_et_als_total_variation_is_another_one(self) -> None:
        """Theirs is the mean absolute difference (`criterions.py:40-50`), weighted 0.001 in one repository and 0 in the other
        (`datafree_kd.py`); ours is the authors' sum of norms.
        """
        u = RELEASED["fang/start"].numpy()
        parts = (
            u[..., 1:] - u[..., :-1],
            u[..., 1:, :] - u[..., :-1, :],
            u[..., 1:, :-1] - u[..., :-1, 1:],
            u[..., 1:, 1:] - u[..., :-1, :-1],
        )
        assert float(RELEASED["fang/tv"]) == pytest.approx(sum(np.abs(p).mean() for p in parts), rel=1e-4)
        assert float(total_variation(RELEASED["fang/start"])) == pytest.approx(
            sum(np.sqrt((p**2).sum()) for p in parts), rel=1e-5
        )


def released_divergence(p_logits: Tensor, q_logits: Tensor) -> float:
    """½·KL(M, P) + ½·KL(M, Q) of clipped probabilities at T = 3, mean over images, in NumPy."""
    p, q = ((logits / 3).softmax(dim=1).double().numpy() for logits in (p_logits, q_logits))
    m = ((p + q) / 2).clip(LEAST, MOST)
    p, q = p.clip(LEAST, MOST), q.clip(LEAST, MOST)
    return float(((m * np.log(m / p)).sum() + (m * np.log(m / q)).sum()) / 2 / len(m))


class TestDisagreement:
    """Ours is the Jensen-Shannon divergence that the paper names. The released ones exchange M with P and Q, and clip."""

    def test_both_released_versions_reverse_and_clip(self) -> None:
        of_fang = released_divergence(RELEASED["js/teacher"], RELEASED["js/student"])
        assert float(RELEASED["js/value"]) == pytest.approx(of_fang, rel=1e-4)
        of_yin = released_divergence(RELEASED["nv/teacher_logits"], RELEASED["nv/student_logits"])
        assert float(RELEASED["nv/compete"]) == pytest.approx(1 - of_yin, rel=1e-4)

    def test_ours_is_the_divergence_at_temperature_3_and_differs_from_theirs(self) -> None:
        p, q = ((RELEASED[f"js/{who}"].double() / 3).softmax(dim=1).numpy() for who in ("teacher", "student"))
        exact = np.mean([jensenshannon(a, b) ** 2 for a, b in zip(p, q, strict=True)])
        ours = js(RELEASED["js/teacher"], RELEASED["js/student"], temperature=DeepInvConfig(epochs=1).js_temperature)
        assert float(ours) == pytest.approx(exact, rel=1e-5)
        assert abs(float(ours) - float(RELEASED["js/value"])) > 0.01

    def test_they_agree_where_the_networks_nearly_do(self) -> None:
        """To second order both directions are ⅛ of the χ² distance; no probability is below the clip here."""
        teacher, student = RELEASED["js/near/teacher"].double(), RELEASED["js/near/student"].double()
        assert (teacher / 3).softmax(dim=1).min() > LEAST
        ours = js(teacher, student, temperature=3.0)
        assert float(ours) == pytest.approx(float(RELEASED["js/near/value"]), rel=1e-3)

    def test_with_200_classes_the_clipped_one_is_no_divergence_any_more(self) -> None:
        """At T = 3 hardly a probability of a not very confident network is above 0.01; all others are taken for 0.01. What is
        left is negative for networks that differ, and pulls elsewhere.
        """
        student = RELEASED["js/many/student"].clone().requires_grad_()
        ours = js(RELEASED["js/many/teacher"], student, temperature=3.0)
        ours.backward()
        assert student.grad is not None
        assert RELEASED["js/many/value"] < 0 < float(ours.detach())
        alike = torch.nn.functional.cosine_similarity(student.grad, RELEASED["js/many/gradient"], dim=1)
        assert alike.max() < 0.5


class TestFangEtAlsSteps:
    def test_the_pixels_go_the_released_way(self) -> None:
        """10·L_bn + CE, Adam 0.1 with β = (0.5, 0.99), pixels clipped to [0, 1] after every step; and the scale of the pixels."""
        method = fang(4)
        losses = step_losses(method)
        images, _ = method.synthesize(RELEASED["fang/labels"])
        assert losses == pytest.approx(RELEASED["fang/losses"].tolist(), rel=1e-3)
        torch.testing.assert_close(images, RELEASED["fang/after3"], rtol=1e-3, atol=2e-3)

    def test_the_released_code_keeps_the_last_images_and_ours_the_best(self) -> None:
        """Both versions mean to keep the images of the least loss, but what they keep is a name for the pixels that Adam goes
        on changing in place (`best_inputs = inputs.data`); here the first of three steps was by far the best. We copy.
        """
        assert RELEASED["rising/losses"].argmin() == 0
        assert (RELEASED["rising/kept"] - RELEASED["rising/first"]).abs().max() > 0.4
        assert RELEASED["nv/rising_losses"].argmin() == 0
        assert bool(RELEASED["nv/returned_is_last"])
        images, _ = fang(3, pixel_lr=5.0).synthesize(RELEASED["fang/labels"])
        torch.testing.assert_close(images, RELEASED["rising/first"])

    def test_one_repository_also_pushes_the_students_statistics_away(self) -> None:
        """Fast-Datafree subtracts 0.001 times the student's L_bn (`deepinversion.py:101`); CMI's repository, the paper and ours
        do not. The rest of its loss is ours, with its own divergence in place of ours.
        """
        tiny = problem(RELEASED)
        tiny.student.eval()
        method = DeepInv(tiny, DeepInvConfig(epochs=1, batch_size=4, lambda_tv=0, jitter=0))
        x, labels = RELEASED["fang/start"], RELEASED["fang/labels"]
        terms = method.generator_loss(x, labels)
        theirs = -released_divergence(tiny.teacher(x), tiny.student(x).detach())
        assert -theirs == pytest.approx(float(RELEASED["fast/js"]), rel=1e-3)
        pushed = 10 * 0.001 * float(RELEASED["fast/student_r_feature"])
        expected = float(terms["oh"] + terms["bn"]) + theirs - pushed
        assert float(RELEASED["fast/loss"]) == pytest.approx(expected, rel=1e-5)


def test_networks_are_those_that_were_stored() -> None:
    """The logits of the stored weights, so that a difference elsewhere is not the networks'."""
    net = TinyNet(3, 10)
    fill(net, RELEASED["nv/teacher"])
    torch.testing.assert_close(net.eval()(RELEASED["nv/x"]).detach(), RELEASED["nv/teacher_logits"])
