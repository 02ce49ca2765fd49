"""Fast: its two loops, its moving BatchNorm statistics, and its schedule."""

from __future__ import annotations

import pytest
import tiny
import torch
import toy
from dfrd_bench.methods.data_free.fast import Fast

from dfrd_bench.errors import DfrdBenchError


@pytest.mark.parametrize("rule", ["fomaml", "reptile"])
def test_resumes_exactly(rule: str) -> None:
    toy.check_resumes_exactly(Fast, meta_rule=rule, epochs=4, reset_after=2)


def test_leaves_the_teacher_alone() -> None:
    toy.check_leaves_the_teacher_alone(Fast)


@pytest.mark.parametrize(("channels", "size", "classes"), [(3, 12, 3), (1, 8, 200), (3, 64, 2)])
def test_runs_for_any_shape(channels: int, size: int, classes: int) -> None:
    toy.check_runs(Fast, channels=channels, size=size, classes=classes)


def test_losses_are_float32_under_bf16() -> None:
    toy.check_losses_are_float32_under_bf16(Fast)


def test_disagreement_counts_after_warm_up_only() -> None:
    method = toy.make(Fast, warmup_epochs=2)
    assert [("loss_adv" in method.train_epoch(epoch)) for epoch in range(3)] == [False, False, True]


def test_terms_are_their_weights_times_their_definitions() -> None:
    method = toy.make(Fast, lambda_bn=0.0, lambda_oh=0.4, lambda_adv=1.1)
    method.student.eval().requires_grad_(False)
    method.adversarial = True
    x, y = tiny.random_images(8), toy.labels_for(method)
    terms = method.generator_loss(x, y)
    p, q = method.problem.teacher(x).softmax(1), method.student(x).softmax(1)
    oh = adv = 0.0
    for i in range(8):
        oh -= float(p[i, y[i]].log()) / 8
        if p[i].argmax() == q[i].argmax():
            adv += float((p[i] * (p[i] / q[i]).log()).sum()) / 8
    assert float(terms["oh"]) == pytest.approx(0.4 * oh, rel=1e-4)
    assert float(terms["adv"]) == pytest.approx(-1.1 * adv, rel=1e-3)


def test_the_meta_gradient_is_the_sum_of_the_inner_gradients() -> None:
    method = toy.make(Fast, synthesis_steps=3)
    seen: list[list[torch.Tensor]] = []
    gather = method.on_gradients

    def watch() -> None:
        seen.append([p.grad.clone() for p in method.round.adapted.parameters()])
        gather()

    method.on_gradients = watch
    before = [p.detach().clone() for p in method.generator.parameters()]
    method.synthesize(toy.labels_for(method))
    assert len(seen) == 3
    for parameter, *steps in zip(method.generator.parameters(), *seen, strict=True):
        assert torch.allclose(parameter.grad, steps[0] + steps[1] + steps[2])
    # the inner loop leaves the meta-generator where it was; the outer step moves it
    toy.assert_same(before, list(method.generator.parameters()))
    method.after_synthesis(torch.empty(0), torch.empty(0))
    assert any(not torch.equal(a, b) for a, b in zip(before, method.generator.parameters(), strict=True))


def test_reptile_moves_the_meta_generator_towards_the_adapted_one() -> None:
    method = toy.make(Fast, meta_rule="reptile", meta_lr=1e-5)
    before = [p.detach().clone() for p in method.generator.parameters()]
    method.synthesize_one_batch()
    moved = 0
    after = method.generator.parameters()
    for old, new, adapted in zip(before, after, method.round.adapted.parameters(), strict=True):
        step, way = (new - old).detach(), (adapted - old).detach()
        clear = way.abs() > 1e-4
        assert (step[clear].sign() == way[clear].sign()).all()
        moved += int(clear.sum())
    assert moved > 100


def test_the_generator_is_kept_and_meta_lr_defaults_to_steps_times_inner_lr() -> None:
    method = toy.make(Fast, synthesis_steps=4)
    assert method.meta_optimiser.param_groups[0]["lr"] == pytest.approx(4 * 3e-3)
    generator = method.generator
    method.train_epoch(0)
    assert method.generator is generator


def test_the_first_layers_are_reset_once_and_nothing_else() -> None:
    """The linear layer and the first BatchNorm: weights from N(0, 0.02), biases 0 (fast_meta.py:30-34)."""
    method = toy.make(Fast, warmup_epochs=1, reset_after=1, meta_lr=1e-9)
    before = {name: p.detach().clone() for name, p in method.generator.named_parameters()}

    def change(name: str) -> float:
        return float((method.generator.get_parameter(name) - before[name]).detach().abs().max())

    method.train_epoch(1)
    assert change("linear.weight") < 1e-6
    method.train_epoch(2)
    assert change("linear.weight") > 0.01
    for layer in (method.generator.linear, method.generator.bn0):
        weight = layer.weight.detach()
        assert float(weight.std()) == pytest.approx(0.02, rel=0.3)
        assert abs(float(weight.mean())) < 0.02
        assert layer.bias.detach().abs().max() < 1e-6
    assert all(change(name) < 1e-6 for name in before if not name.startswith(("linear", "bn0")))


@pytest.mark.parametrize("momentum", [0.0, 0.75])
def test_batchnorm_statistics_of_all_rounds_are_remembered(momentum: float) -> None:
    """The first layer's moving mean is momentum · past + (1 − momentum) · batch, the batch being the last one rendered."""
    method = toy.make(Fast, bn_momentum=momentum)
    assert method.state_dict()["statistics"] == {"past": []}
    layer, means = method.problem.teacher.block1.layer[0].bn1, []
    hook = layer.register_forward_pre_hook(lambda module, inputs: means.append(inputs[0].detach().mean((0, 2, 3))))
    method.synthesize_one_batch()
    first = method.state_dict()["statistics"]["past"][0][0]
    torch.testing.assert_close(first, means[-1])
    method.synthesize_one_batch()
    hook.remove()
    second = method.state_dict()["statistics"]["past"][0][0]
    torch.testing.assert_close(second, momentum * first + (1 - momentum) * means[-1])
    assert (means[-1] - first).abs().max() > 1e-4


def test_an_epoch_has_as_many_rounds_as_it_is_told() -> None:
    method = toy.make(Fast, synthesis_rounds=3, epochs=2, warmup_epochs=0)
    method.train_epoch(0)
    assert len(method.pool) == 3 * method.fast.batch_size
    assert len(method.pool.labels) == 2 * 3 * method.fast.batch_size


def test_a_teacher_without_batchnorm_gets_told_what_is_missing() -> None:
    def blind() -> object:
        return tiny.problem(classes=10, teacher=tiny.SmallConv())

    with pytest.raises(DfrdBenchError, match="lambda_bn"):
        toy.make(Fast, blind())
    toy.make(Fast, blind(), lambda_bn=0.0).train_epoch(0)


def test_a_preset_moves_the_reset() -> None:
    budget = {"epochs": 40, "warmup_epochs": 5, "synthesis_steps": 30, "batch_size": 128, "distillation_steps": 60}
    assert Fast.Config.at_budget(budget) == {**budget, "reset_after": 21}  # 120·35/200 epochs
