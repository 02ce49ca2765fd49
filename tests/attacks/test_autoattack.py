"""Our wrapper of AutoAttack against the library called directly; the library's iterations are cut for both."""

from __future__ import annotations

import copy
import logging
import re
import warnings
from typing import Any

import pyautoattack
import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.attacks.autoattack import AttackWarning, AutoAttack, autoattack, autoattack_fast
from dfrd_bench.attacks.projected_gradient import pgd20
from dfrd_bench.attacks.remembering import Remembering
from dfrd_bench.attacks.surrogate import Surrogate
from dfrd_bench.attacks.verdict import judge
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.evaluate import evaluate_model
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel

THREAT = ThreatModel(eps=0.02, step=0.005)
IMAGES = 60
ITERATIONS = 20


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer iterations of every part of the library."""
    original = pyautoattack.AutoAttack._set_version

    def cut(self: Any, version: str = "standard") -> None:
        original(self, version)
        self.apgd.n_iter = self.apgd_targeted.n_iter = ITERATIONS
        self.fab.n_iter, self.square.n_queries = 3, 40

    monkeypatch.setattr(pyautoattack.AutoAttack, "_set_version", cut)


def attack(model: nn.Module, x: Tensor, y: Tensor, seed: int = 0, threat: ThreatModel = THREAT) -> Tensor:
    return autoattack(model, x, y, threat=threat, indices=torch.arange(len(y)), seed=seed)


@pytest.fixture
def part(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch[0][:IMAGES], batch[1][:IMAGES]


class Stub(nn.Module):
    """A network around another."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


class Probabilities(Stub):
    """Hands out probabilities where logits belong."""

    def forward(self, x: Tensor) -> Tensor:
        return (self.net(x) / 10).softmax(dim=1)


class Relaid(Stub):
    """Changes the layout inside, so that the gradient comes back in channels_last layout too."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.contiguous(memory_format=torch.channels_last))


class Randomised(Stub):
    """Another answer every time."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + torch.randn(len(x), 10)


def test_gives_the_librarys_verdict_on_every_image(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    x, y = part
    library = pyautoattack.AutoAttack(net, norm="Linf", eps=THREAT.eps, device="cpu", seed=4)
    with torch.random.fork_rng():
        theirs, _ = library.run_standard_evaluation(x, y, batch_size=len(x))
    ours = attack(net, x, y, seed=4)
    survived = tiny.own_labels(net, ours) == y
    assert torch.equal(ours, theirs)
    assert 0 < survived.sum() < len(y)


def test_leaves_no_more_accuracy_than_pgd20_and_stays_in_the_ball(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    x, y = part
    x_adv = attack(net, x, y)
    by_pgd = pgd20(net, x, y, threat=THREAT, indices=torch.arange(len(y)), seed=0)
    assert (tiny.own_labels(net, x_adv) == y).sum() <= (tiny.own_labels(net, by_pgd) == y).sum()
    assert (x_adv - x).abs().max() <= THREAT.eps + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


def test_takes_a_model_and_images_in_channels_last_layout() -> None:
    plain = tiny.wide_resnet(3, 10).requires_grad_(False)
    x, threat = tiny.random_images(16, (3, 8, 8)), ThreatModel(eps=0.001, step=0.0005)
    y = tiny.own_labels(plain, x)
    expected = tiny.own_labels(plain, attack(plain, x, y, threat=threat)) == y
    assert 0 < expected.sum() < 16  # so that every part of the attack has images to work on
    changed = Relaid(plain.to(memory_format=torch.channels_last)).eval()
    for images in (x, x.to(memory_format=torch.channels_last)):
        assert torch.equal(tiny.own_labels(changed, attack(changed, images, y, threat=threat)) == y, expected)


def test_images_misclassified_from_the_start_come_back_unchanged(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    x, y = part[0][:8], (part[1][:8] + 1) % 10
    assert torch.equal(attack(net, x, y), x)


def test_leaves_the_global_random_state_alone(net: nn.Module, part: tuple[Tensor, Tensor], unmoved_rng: None) -> None:
    attack(net, part[0][:4], part[1][:4])


def test_warnings_of_the_library_become_attack_warnings(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    model = Probabilities(net).eval()
    with pytest.warns(AttackWarning, match="autoattack: .*probability distribution"):
        attack(model, part[0][:4], part[1][:4])
    assert not any(type(h).__module__.startswith("dfrd_bench") for h in logging.getLogger("auto-attack").handlers)


def test_a_well_behaved_model_gives_no_warning(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attack(net, part[0][:4], part[1][:4])


def test_warnings_reach_the_evaluation(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    with torch.random.fork_rng():
        _, _, notes = evaluate_model(
            Randomised(net).eval(),
            LabelledImages(part[0][:4], part[1][:4]),
            num_classes=10,
            threat=THREAT,
            attacks=["autoattack"],
            device=tiny.CPU,
        )
    assert any("randomized defense" in note for note in notes)


@pytest.mark.parametrize("classes", [2, 3, 4, 9])
def test_attacks_tasks_of_fewer_than_ten_classes_and_says_what_it_left_out(classes: int) -> None:
    model = tiny.SmallConv(num_classes=classes).eval().requires_grad_(False)
    x, threat = tiny.random_images(30), ThreatModel(eps=0.3, step=0.075)
    y = tiny.own_labels(model, x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AttackWarning)
        x_adv = attack(model, x, y, threat=threat)
    assert any("APGD-T" in str(w.message) for w in caught) is (classes < 4)  # its loss looks at four logits
    by_pgd = pgd20(model, x, y, threat=threat, indices=torch.arange(30), seed=0)
    survived, by_pgd_survived = ((tiny.own_labels(model, images) == y).sum() for images in (x_adv, by_pgd))
    assert survived <= by_pgd_survived + 1 < 30  # one image of grace: the iterations are cut
    assert (x_adv - x).abs().max() <= threat.eps + 1e-6


def test_record_names_version_and_library() -> None:
    stated = autoattack.parameters(THREAT)
    assert stated["version"] == "standard"
    assert stated["eps"] == THREAT.eps
    assert re.fullmatch(r"pyautoattack \d+\.\d+\.\d+", stated["library"])


@pytest.mark.parametrize(("classes", "version"), [(3, "standard without apgd-t"), (4, "standard")])
def test_a_record_calls_by_its_name_what_ran(classes: int, version: str) -> None:
    model = tiny.SmallConv(num_classes=classes).eval().requires_grad_(False)
    x = tiny.random_images(6)
    images = LabelledImages(x, tiny.own_labels(model, x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AttackWarning)
        record, _, _ = evaluate_model(
            model, images, num_classes=classes, threat=THREAT, attacks=["autoattack"], device=tiny.CPU
        )
    assert record.attacks["autoattack"].parameters["version"] == version


def survivors(model: nn.Module, images: LabelledImages, attack: AutoAttack = autoattack, **more: Any) -> Tensor:
    """Which images stand, and progress and states go where `more` says."""
    settings: dict[str, Any] = {"threat": THREAT, "device": tiny.CPU, "seed": 4, "batch_size": 25, **more}
    return attack.predict(model, images, **settings) == images.labels


def test_stands_over_several_batches_where_the_library_does(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    library = pyautoattack.AutoAttack(net, norm="Linf", eps=THREAT.eps, device="cpu", seed=4)
    with torch.random.fork_rng():
        theirs, _ = library.run_standard_evaluation(*part, batch_size=25)
    ours = survivors(net, LabelledImages(*part))
    assert torch.equal(ours, tiny.own_labels(net, theirs) == part[1])
    assert 0 < ours.sum() < IMAGES


@pytest.mark.parametrize("randomised", [False, True])
def test_only_a_network_that_answers_the_same_again_is_remembered(
    net: nn.Module, part: tuple[Tensor, Tensor], randomised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Seen(Remembering):
        def forward(self, x: Tensor) -> Tensor:
            asked.append(len(x))
            return super().forward(x)

    monkeypatch.setattr("dfrd_bench.attacks.autoattack_stages.Remembering", Seen)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", AttackWarning)
        survivors(Randomised(net).eval() if randomised else net, LabelledImages(*part))
    assert bool(asked) is not randomised


def test_tells_what_stood_after_each_stage_as_the_library_counts_it(
    net: nn.Module, part: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[dict[str, float]] = []
    monkeypatch.setattr("pyautoattack.checks.check_square_sr", lambda reached, **_: counted.append(reached))
    library = pyautoattack.AutoAttack(net, norm="Linf", eps=THREAT.eps, device="cpu", seed=4)
    with torch.random.fork_rng():
        library.run_standard_evaluation(*part, batch_size=25)
    told: list[tuple[str, float]] = []
    survivors(net, LabelledImages(*part), on_stage=lambda *stage: told.append(stage))
    assert told == [item for item in counted[0].items() if item[0] != "clean"]
    assert [name for name, _ in told] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert told[0][1] > told[-1][1] > 0


class StopError(Exception):
    """What a user's Ctrl-C is to the loop."""


@pytest.mark.parametrize("batches", [2, 6])
def test_goes_on_where_it_was_stopped_and_says_the_same(
    net: nn.Module, part: tuple[Tensor, Tensor], batches: int
) -> None:
    images, states, again = LabelledImages(*part), [], []

    def stop(arrays: dict[str, Any]) -> None:
        states.append({name: value.copy() for name, value in arrays.items()})
        if len(states) == batches:
            raise StopError

    whole: list[Any] = []
    stages: tuple[list[Any], list[Any]] = [], []
    expected = survivors(net, images, on_state=whole.append, on_stage=lambda *told: stages[0].append(told))
    with pytest.raises(StopError):
        survivors(net, images, on_state=stop)
    rest: dict[str, Any] = {"on_state": again.append, "on_stage": lambda *told: stages[1].append(told)}
    assert torch.equal(survivors(net, images, known=states[-1], **rest), expected)
    assert stages[0] == stages[1]
    assert len(states) + len(again) == len(whole)  # no batch twice, none left out


class Cramped(Stub):
    """Runs out of memory when it must differentiate more than ten images at once."""

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and len(x) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.net(x)


def test_halves_the_batch_when_memory_runs_out_and_warns(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    images = LabelledImages(*part)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AttackWarning)
        cramped = survivors(Cramped(net).eval(), images)
    said = [str(warning.message) for warning in caught]
    assert said == [f"autoattack: out of memory: batches of {n} images from apgd-ce on" for n in (12, 6)]
    assert torch.equal(cramped, survivors(net, images, batch_size=6))


@pytest.mark.parametrize("resumed", [False, True])
def test_takes_fewer_images_at_once_where_little_memory_is_free_and_says_so_once(
    net: nn.Module, part: tuple[Tensor, Tensor], resumed: bool
) -> None:
    images, states, seen = LabelledImages(*part), list[dict[str, Any]](), set[int]()

    def watched(perturb: Any, model: nn.Module, x: Tensor, y: Tensor) -> Any:
        seen.add(len(y))
        return judge(perturb, model, x, y)

    def said(**more: Any) -> int:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AttackWarning)
            survivors(net, images, **more)
        told = "autoattack: little memory is free: batches of 7 images, not 25"
        return [str(warning.message) for warning in caught].count(told)

    if resumed:  # begun while there was room
        assert said(on_state=states.append) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dfrd_bench.attacks.autoattack.fitting_batch", lambda model, x, most: min(most, 7))
        patch.setattr("dfrd_bench.attacks.campaign.judge", watched)
        assert said(known=states[1] if resumed else None, on_state=states.append) == 1
    assert max(seen) == 7
    assert said(known=states[-3]) == 1  # stopped again: there is room again, but the size stays


def test_reports_every_stage_to_its_last_image(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    calls: list[tuple[str, int, int, float]] = []
    standing = survivors(net, LabelledImages(*part), on_progress=lambda *a: calls.append(a))
    assert list(dict.fromkeys(call[0] for call in calls)) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    for name in ("apgd-ce", "apgd-t", "fab-t", "square"):
        done = [call[1:3] for call in calls if call[0] == name]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1]
    assert calls[0][2] == IMAGES
    assert calls[-1][3] == pytest.approx(standing.float().mean())


@pytest.mark.filterwarnings("ignore:.* left out .* images:dfrd_bench.attacks.verdict.AttackWarning")
def test_a_search_in_bfloat16_counts_only_what_float32_confirms(
    net: nn.Module, part: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfrd_bench.attacks.autoattack_stages.has_bfloat16_units", lambda device: True)
    x, y = part
    found: list[tuple[Tensor, Tensor]] = []
    standing = survivors(net, LabelledImages(x, y), autoattack_fast, on_broken=lambda *a: found.append(a))
    assert abs(int(standing.sum()) - int(survivors(net, LabelledImages(x, y)).sum())) <= 2
    for where, x_adv in found:
        assert (tiny.own_labels(net, x_adv) != y[where]).all()
        assert ((x_adv - x[where]).abs() <= THREAT.eps + 1e-6).all()
    assert sum(len(where) for where, _ in found) == (~standing).sum()


@pytest.mark.filterwarnings("ignore:.* left out .* images:dfrd_bench.attacks.verdict.AttackWarning")
def test_a_success_that_float32_denies_is_searched_again_in_float32(
    net: nn.Module, part: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, honest = LabelledImages(*part), Surrogate.forward

    def boasting(self: Surrogate, x: Tensor) -> Tensor:
        logits = honest(self, x)  # where it is asked for a gradient, the search believes that every image is broken
        return logits.flip(1) if self.reduced and x.requires_grad else logits

    expected = survivors(net, images, autoattack_fast)
    monkeypatch.setattr("dfrd_bench.attacks.autoattack_stages.has_bfloat16_units", lambda device: True)
    monkeypatch.setattr(Surrogate, "forward", boasting)
    assert (survivors(net, images, autoattack_fast) <= expected).all()


def test_the_fast_one_leaves_out_what_is_far_from_being_broken_and_says_so(
    net: nn.Module, part: tuple[Tensor, Tensor]
) -> None:
    images, stages = LabelledImages(*part), set[str]()
    expected = survivors(net, images)
    with pytest.warns(AttackWarning) as caught:
        standing = survivors(net, images, autoattack_fast, on_progress=lambda *a: stages.add(a[0]))
    assert stages == {"apgd-ce", "apgd-t", "apgd-t-rest", "fab-t", "square"}
    assert (standing != expected).sum() <= 1
    left = [int(re.findall(r"\d+", str(warning.message).split("left out")[1])[0]) for warning in caught]
    assert len(left) == 3
    assert max(left) < standing.sum()
    assert all(str(warning.message).startswith("autoattack-fast: ") for warning in caught)
    assert "likely" in autoattack_fast.parameters(THREAT)["search"]
    assert "search" not in autoattack.parameters(THREAT)


def test_a_network_in_training_mode_is_refused(net: nn.Module, part: tuple[Tensor, Tensor]) -> None:
    model = nn.Sequential(copy.deepcopy(net), nn.Dropout()).train()
    for any_attack in (autoattack, pgd20):
        with pytest.raises(DfrdBenchError, match="eval mode"):
            any_attack(model, *part, threat=THREAT, indices=torch.arange(IMAGES), seed=0)
