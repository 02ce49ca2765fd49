"""The average of weights, by hand and as the student's in the end; and the one cycle of the learning rate."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfrd_bench.distillation.averaging import WeightAverage
from dfrd_bench.distillation.learner import Learner
from dfrd_bench.distillation.schedules import one_cycle
from dfrd_bench.registry import METHODS
from dfrd_bench.testing import check_method, problem_for, tiny_config
from dfrd_bench.testing.untouched import difference


def learner(name: str, **settings: Any) -> Learner:
    method = METHODS.get(name)
    made: Learner = method(problem_for(method), tiny_config(method, settings))
    return made


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


class TestWeightAverage:
    def test_is_the_weighted_sum_of_every_state_seen(self) -> None:
        model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        average = WeightAverage(model, decay=0.3)
        history = [copy.deepcopy(model.state_dict())]
        for _ in range(6):
            for tensor in model.state_dict().values():
                tensor.add_(1) if tensor.dtype == torch.int64 else tensor.normal_()
            average.update(model)
            history.append(copy.deepcopy(model.state_dict()))
        decays = [min(0.3, (1 + n) / (10 + n)) for n in range(6)]  # 0.1, 0.18, 0.25, 0.3, 0.3, 0.3
        weights = [math.prod(decays)]
        weights += [(1 - decays[n]) * math.prod(decays[n + 1 :]) for n in range(6)]
        assert sum(weights) == pytest.approx(1)
        for name, value in average.model.state_dict().items():
            if value.is_floating_point():
                torch.testing.assert_close(
                    value, sum(w * state[name] for w, state in zip(weights, history, strict=True))
                )
            else:
                assert value == 6

    def test_without_decay_is_the_last_state(self) -> None:
        model = nn.Linear(2, 2)
        average = WeightAverage(model, decay=0.0)
        nn.init.constant_(model.weight, 7.0)
        average.update(model)
        assert torch.equal(average.model.weight, model.weight)
        assert average.model.weight is not model.weight


class TestStudent:
    @pytest.mark.parametrize("name", ["natural", "trades", "fair-rslad"])
    def test_has_after_the_last_epoch_the_average_of_its_states_after_every_step(self, name: str) -> None:
        averaged, plain = learner(name, epochs=2, ema=0.8), learner(name, epochs=2)
        mean, states = WeightAverage(plain.student, 0.8), []
        plain.optimiser.register_step_post_hook(lambda *_: states.append(weights(plain.student)))
        for epoch in range(2):
            numbers = averaged.train_epoch(epoch)
            assert numbers == plain.train_epoch(epoch)  # the average teaches nothing
            if epoch == 0:
                assert difference(weights(averaged.student), weights(plain.student)) is None
        assert len(states) == 2 * plain.batches
        for state in states:
            plain.student.load_state_dict(state)
            mean.update(plain.student)
        assert difference(weights(averaged.student), weights(mean.model)) is None
        assert difference(weights(averaged.student), states[-1]) is not None

    def test_has_no_average_unless_it_is_asked_for(self) -> None:
        assert learner("trades").ema is None
        assert "ema" not in learner("trades").state_dict()

    def test_keeps_the_contract_with_an_average_and_one_cycle(self) -> None:
        check_method(METHODS.get("natural"), config={"ema": 0.9, "schedule": "cycle"})

    @pytest.mark.parametrize(("name", "smoothing"), [("trades", 0.1), ("sat", 0.0)])
    def test_a_state_kept_in_a_file_brings_everything_back(self, name: str, smoothing: float) -> None:
        settings = {"epochs": 2, "ema": 0.9, "schedule": "cycle", "label_smoothing": smoothing}
        whole, stopped, resumed = (learner(name, **settings) for _ in range(3))
        for training in (whole, stopped):
            training.train_epoch(0)
        kept = io.BytesIO()
        torch.save(stopped.state_dict(), kept)
        kept.seek(0)
        assert difference(resumed.state_dict(), stopped.state_dict()) is not None
        resumed.load_state_dict(torch.load(kept, weights_only=True))
        assert difference(resumed.state_dict(), stopped.state_dict()) is None
        assert resumed.train_epoch(1) == whole.train_epoch(1)
        assert difference(resumed.state_dict(), whole.state_dict()) is None
        assert whole.ema is not None
        assert whole.ema.updates == 2 * whole.batches


def test_learning_rate_rises_in_a_line_and_falls_to_zero() -> None:
    assert [one_cycle(p, 0.2) for p in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert one_cycle(0, 0) == 1


def test_the_cycle_is_walked_step_by_step_over_the_whole_training() -> None:
    made, rates = learner("natural", epochs=3, lr=0.4, schedule="cycle", lr_warmup=0.25), []
    made.optimiser.register_step_pre_hook(lambda *_: rates.append(made.optimiser.param_groups[0]["lr"]))
    last = [made.train_epoch(epoch)["lr"] for epoch in range(3)]
    steps = 3 * made.batches
    assert made.batches == 3
    assert rates == pytest.approx([0.4 * one_cycle(step / (steps + 1), 0.25) for step in range(1, steps + 1)])
    assert last == rates[2::3]
    assert max(rates) == rates[2] == pytest.approx(0.4, rel=0.02)
