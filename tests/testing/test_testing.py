"""The conformance check: a method that keeps the contract passes, and each way of breaking it is named."""

from __future__ import annotations

import ast
import random
from typing import Any, ClassVar

import numpy as np
import pytest
import tiny
import torch
from pydantic import ConfigDict
from torch import Tensor
from torch.nn import functional as F

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.method import Method, MethodConfig, Reference, param
from dfrd_bench.problem import Problem, TrainingProblem
from dfrd_bench.registry import METHODS
from dfrd_bench.testing import check_method, toy_problem, toy_training_problem
from dfrd_bench.testing.advice import ADVICE
from dfrd_bench.testing.untouched import condition, difference, global_state


class NoiseConfig(MethodConfig):
    """Two epochs are enough here."""

    epochs: int = param(2, "epochs", "these tests", ge=1)


class Noise(Method):
    """Distillation on noise."""

    Config = NoiseConfig
    reference = Reference("A title", "A venue", "a link")

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.rng = torch.Generator().manual_seed(problem.seed)
        self.optimiser = torch.optim.SGD(self.student.parameters(), lr=0.1, momentum=0.9)

    def images(self, n: int) -> Tensor:
        return torch.rand(n, *self.problem.shape, generator=self.rng)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        x = self.images(8)
        loss = F.cross_entropy(self.student(x), self.problem.teacher(x).softmax(dim=1))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": float(loss.detach())}

    def sample(self, n: int) -> Tensor:
        return self.images(n)


class OnImages(Noise):
    """Distillation on the training images."""

    sees = "training images"
    problem: TrainingProblem

    def images(self, n: int) -> Tensor:
        chosen = torch.randperm(len(self.problem.labels), generator=self.rng)[:n]
        return self.problem.images[chosen].float() / 255


class Untaught(OnImages):
    """Cross-entropy on the training images."""

    has_teacher = False

    def train_epoch(self, epoch: int) -> dict[str, float]:
        chosen = torch.randperm(len(self.problem.labels), generator=self.rng)[:8]
        loss = F.cross_entropy(self.student(self.problem.images[chosen].float() / 255), self.problem.labels[chosen])
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": float(loss.detach())}


@pytest.mark.parametrize("method", [OnImages, Untaught])
def test_one_with_data_passes_too(method: type[Method]) -> None:
    check_method(method, config={"epochs": 2})


def test_a_method_that_keeps_the_contract_passes() -> None:
    before = global_state()
    check_method(Noise, config={"epochs": 2})
    assert difference(before, global_state()) is None


class Twice(OnImages):
    """Distillation from two teachers."""

    needs_natural_teacher = True

    def train_epoch(self, epoch: int) -> dict[str, float]:
        natural = self.problem.natural_teacher
        assert natural is not None
        assert natural is not self.problem.teacher
        x = self.images(8)
        assert not torch.equal(natural(x), self.problem.teacher(x))
        return super().train_epoch(epoch)


def test_one_with_two_teachers_is_given_another_as_the_second() -> None:
    check_method(Twice, config={"epochs": 2})


class TrainsTheNaturalTeachersStatistics(Twice):
    """Leaves the second teacher's running statistics moved."""

    def train_epoch(self, epoch: int) -> dict[str, float]:
        natural = self.problem.natural_teacher
        assert natural is not None
        natural.train()(self.images(8))
        natural.eval()
        return super().train_epoch(epoch)


class TwiceWithoutImages(Noise):
    """Asks for a second teacher and no images."""

    needs_natural_teacher = True


class TakesImages(OnImages):
    """It does not say what it sees."""

    sees = "nothing"


class SeesPictures(Noise):
    """It sees what there is not."""

    sees = "pictures"  # type: ignore[assignment]


class AsksNobody(Noise):
    """It says it has no teacher, and asks it."""

    has_teacher = False


class DrawsGlobally(Noise):
    """It draws from PyTorch's global source."""

    def images(self, n: int) -> Tensor:
        return torch.rand(n, *self.problem.shape)


class DrawsFromNumPy(Noise):
    """It draws from NumPy's global source."""

    def images(self, n: int) -> Tensor:
        return torch.as_tensor(np.random.rand(n, *self.problem.shape), dtype=torch.float32)  # noqa: NPY002


class DrawsFromPython(Noise):
    """It draws from Python's global source."""

    def images(self, n: int) -> Tensor:
        return super().images(n) * random.random()


class HidesItsGlobalDraws(Noise):
    """It draws from the global source and puts that back."""

    def images(self, n: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            return torch.rand(n, *self.problem.shape)


class ChangesTheDtype(Noise):
    """It changes the default dtype while it samples."""

    def sample(self, n: int) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return super().sample(n)


class StopsGradients(Noise):
    """It leaves gradient mode off."""

    def sample(self, n: int) -> Tensor:
        torch.set_grad_enabled(False)
        return super().sample(n)


class SetsThreads(Noise):
    """It sets the number of threads."""

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        torch.set_num_threads(torch.get_num_threads() + 1)


class TrainsTheTeachersStatistics(Noise):
    """It runs the teacher in train mode."""

    def train_epoch(self, epoch: int) -> dict[str, float]:
        self.problem.teacher.train()
        numbers = super().train_epoch(epoch)
        self.problem.teacher.eval()
        return numbers


class LeavesTheTeacherTraining(Noise):
    """It leaves the teacher in train mode."""

    def sample(self, n: int) -> Tensor:
        self.problem.teacher.train()
        return super().sample(n)


class ThawsTheTeacher(Noise):
    """It lets the teacher collect gradients."""

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        problem.teacher.requires_grad_(True)


class LeavesAHook(Noise):
    """It leaves a hook on the teacher."""

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        problem.teacher.register_forward_hook(lambda *_: None)


class ForgetsItsOptimiser(Noise):
    """It leaves its optimiser out of its state."""

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().state_dict().items() if name != "optimiser"}

    def load_state_dict(self, state: Any) -> None:
        self.student.load_state_dict(state["student"])
        self.rng.set_state(state["rng"])


class ForgetsANumber(Noise):
    """Its step size is an attribute of a type that is not kept."""

    scale = 1.0

    def train_epoch(self, epoch: int) -> dict[str, float]:
        self.scale *= 0.5
        for group in self.optimiser.param_groups:
            group["lr"] = 0.1 * self.scale
        return super().train_epoch(epoch)


class RestoresNothing(Noise):
    """It saves its state and does not load it."""

    def load_state_dict(self, state: Any) -> None:
        pass


class SavesObjects(Noise):
    """Its state holds an object that only pickle can read."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "config": self.config}


class IgnoresTheSeed(Noise):
    """It has one seed for all."""

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.rng.manual_seed(0)


class ReturnsNaN(Noise):
    """Its loss is not a number."""

    def train_epoch(self, epoch: int) -> dict[str, float]:
        return {**super().train_epoch(epoch), "extra": float("nan")}


class ReturnsTensors(Noise):
    """Its numbers are tensors."""

    def train_epoch(self, epoch: int) -> Any:
        return {"loss": torch.tensor(super().train_epoch(epoch)["loss"])}


class ReturnsTheEpoch(Noise):
    """It uses a name of the history."""

    def train_epoch(self, epoch: int) -> dict[str, float]:
        return {**super().train_epoch(epoch), "epoch": epoch}


class SamplesBeyondOne(Noise):
    """Its images are in [-1, 1]."""

    def sample(self, n: int) -> Tensor:
        return 2 * self.images(n) - 1


class SamplesTooMany(Noise):
    """It gives the images it has, however many were asked for."""

    def sample(self, n: int) -> Tensor:
        return self.images(8)


class SamplesSquares(Noise):
    """It takes the height for the width."""

    def sample(self, n: int) -> Tensor:
        return self.images(n).transpose(2, 3)


class KnowsOneShape(Noise):
    """It takes every image for 8x8 and grey."""

    def images(self, n: int) -> Tensor:
        return torch.rand(n, 1, 8, 8, generator=self.rng)


class TrainsNothing(Noise):
    """It forgets the optimiser's step."""

    def train_epoch(self, epoch: int) -> dict[str, float]:
        self.student(self.images(8))  # BatchNorm statistics move, weights do not
        return {}


class DivergesQuietly(Noise):
    """Its student is lost, and its numbers do not say so."""

    def train_epoch(self, epoch: int) -> dict[str, float]:
        super().train_epoch(epoch)
        with torch.no_grad():
            next(self.student.parameters()).fill_(float("nan"))
        return {"progress": 1.0}


class ReplacesTheStudent(Noise):
    """It trains a student of its own."""

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.student = toy_problem(problem.shape, problem.num_classes, problem.seed).student
        self.optimiser = torch.optim.SGD(self.student.parameters(), lr=0.1)


class Refuses(Noise):
    """It needs something that this teacher lacks."""

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        raise DfrdBenchError("needs a transformer")


class Undocumented(Noise):
    pass


class Unreferenced(Noise):
    """It names no paper."""

    reference: ClassVar[Any] = "arXiv:1234.56789"


class UnexplainedConfig(MethodConfig):
    """A field is bare."""

    strength: float = 1.0


class Unexplained(Noise):
    """Its hyper-parameter has no meaning."""

    Config = UnexplainedConfig


class ThawedConfig(MethodConfig):
    """It may be changed."""

    model_config = ConfigDict(frozen=False)


class Thawed(Noise):
    """Its hyper-parameters may change."""

    Config = ThawedConfig


class ImpossibleConfig(NoiseConfig):
    """Its default is out of its range."""

    share: float = param(2.0, "a share", "these tests", le=1)


class Impossible(Noise):
    """Its default value is refused."""

    Config = ImpossibleConfig


BROKEN = {
    DrawsGlobally: r"changed PyTorch's random state",
    DrawsFromNumPy: r"changed NumPy's random state",
    DrawsFromPython: r"changed Python's random state",
    HidesItsGlobalDraws: r"the same seed gave another student .* draw random numbers from a torch\.Generator",
    ChangesTheDtype: r"changed the default dtype",
    StopsGradients: r"changed whether gradients are recorded",
    SetsThreads: r"changed the number of threads",
    TrainsTheTeachersStatistics: r"changed the teacher: its weight or buffer .*running_mean",
    TrainsTheNaturalTeachersStatistics: r"changed the teacher: its weight or buffer natural\..*running_mean",
    TwiceWithoutImages: r"needs_natural_teacher is for methods that see the training images",
    LeavesTheTeacherTraining: r"changed the teacher: its mode",
    ThawsTheTeacher: r"changed the teacher: its requires_grad",
    LeavesAHook: r"changed the teacher: its set of hooks",
    ForgetsItsOptimiser: r"ended with another state student .* state_dict\(\) must hold all that changes in training",
    ForgetsANumber: r"ended with another state .* state_dict\(\) must hold all that changes in training",
    RestoresNothing: r"load_state_dict\(\) did not restore state student conv1\.weight",
    SavesObjects: r"saving its state with torch\.save and loading it with weights_only=True",
    IgnoresTheSeed: r"another seed gave the same student",
    ReturnsNaN: r"returned extra = nan: every number must be finite",
    ReturnsTensors: r"must return a dict\[str, float\]; 'loss' is a Tensor",
    ReturnsTheEpoch: r"returned 'epoch', a name the history itself uses",
    SamplesBeyondOne: r"pixels must be in \[0, 1\], not in \[-0\.9",
    SamplesTooMany: r"sample\(1\) must return 1 to 1 float images \(1, 8, 8\), not torch\.float32 \(8, 1, 8, 8\)",
    SamplesSquares: r"must return 1 to 1 float images \(3, 12, 16\)",
    KnowsOneShape: r"fails on images \(3, 12, 12\) of 3 classes: RuntimeError",
    TrainsNothing: r"the student's weights did not change",
    DivergesQuietly: r"the student's weights are no longer finite",
    ReplacesTheStudent: r"student must stay problem\.student",
    Refuses: r"fails on images \(1, 8, 8\) of 10 classes: DfrdBenchError: needs a transformer",
    TakesImages: r"fails on images .* AttributeError: 'Problem' object has no attribute 'labels'",
    SeesPictures: r"sees must be one of \('nothing', 'training images'\), not 'pictures'",
    AsksNobody: r"TypeError: a method with has_teacher = False asked the teacher",
    Undocumented: r"has no docstring",
    Unreferenced: r"reference must be a Reference",
    Unexplained: r"Config\.strength has no description or no source",
    Thawed: r"Config must stay frozen",
    Impossible: r"fails building its Config from its own defaults",
}


@pytest.mark.parametrize(("method", "message"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_each_broken_rule_is_named(method: type[Method], message: str) -> None:
    before = global_state()
    with pytest.raises(AssertionError, match=rf"^{method.__name__}\b.*{message}") as caught:
        check_method(method, config={"epochs": 2})
    assert ("\nFor example: " in str(caught.value)) == (
        method is not Refuses
    )  # what it lacks, no line of code gives it
    assert difference(before, global_state()) is None


def test_what_is_no_method_is_refused() -> None:
    with pytest.raises(AssertionError, match="is not a subclass of Method"):
        check_method(dict)  # type: ignore[arg-type]


def test_one_epoch_cannot_show_a_stop() -> None:
    with pytest.raises(ValueError, match="at least 2 epochs, not 1"):
        check_method(Noise, config={"epochs": 1})


class TestToyTrainingProblem:
    def test_is_the_toy_problem_with_images_that_tell_their_class(self) -> None:
        plain, found = toy_problem((1, 8, 8), 4, seed=3), toy_training_problem((1, 8, 8), 4, seed=3, images=40)
        assert difference(condition(plain.student), condition(found.student)) is None
        assert (found.images.dtype, found.images.shape, found.labels.tolist()) == (
            *(torch.uint8, (40, 1, 8, 8)),
            [0, 1, 2, 3] * 10,
        )
        x = found.images.float()
        means = torch.stack([x[found.labels == k].mean(dim=0) for k in range(4)])
        nearest = (x[:, None] - means).flatten(2).norm(dim=2).argmin(dim=1)
        assert (nearest == found.labels).float().mean() > 0.9


class TestToyProblem:
    def test_is_always_the_same(self) -> None:
        one, two = toy_problem((3, 12, 8), 3, seed=5), toy_problem((3, 12, 8), 3, seed=5)
        assert difference(condition(one.teacher), condition(two.teacher)) is None
        assert difference(condition(one.student), condition(two.student)) is None

    def test_a_seed_changes_the_student_alone(self) -> None:
        one, two = toy_problem(seed=0), toy_problem(seed=1)
        assert difference(condition(one.teacher), condition(two.teacher)) is None
        assert difference(condition(one.student), condition(two.student)) is not None
        assert two.seed == 1

    @pytest.mark.parametrize(("shape", "classes"), [((1, 8, 8), 10), ((3, 12, 16), 2), ((3, 32, 32), 100)])
    def test_networks_take_its_images_and_the_teacher_answers_variedly(
        self, shape: tuple[int, int, int], classes: int
    ) -> None:
        problem = toy_problem(shape, classes)
        x = torch.rand(64, *shape, generator=torch.Generator().manual_seed(0))
        logits = problem.teacher(x)
        assert logits.shape == problem.student(x).shape == (64, classes)
        assert not problem.teacher.training
        assert not any(p.requires_grad for p in problem.teacher.parameters())
        assert logits.std(dim=0).min() > 0.01


@pytest.mark.parametrize("example", [example for _, example in ADVICE])
def test_every_line_of_example_is_python(example: str) -> None:
    inside = f"def f():\n    {example}"
    ast.parse(inside)


def test_the_line_of_example_is_of_the_rule_that_is_broken() -> None:
    with pytest.raises(AssertionError, match=r"\nFor example: noise = torch\.randn\(n, generator=self\.rng\)$"):
        check_method(DrawsGlobally, config={"epochs": 2})
    with pytest.raises(AssertionError, match=r"\nFor example: return images\.clamp\(0, 1\)$"):
        check_method(SamplesBeyondOne, config={"epochs": 2})


def test_the_command_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tiny.command("check", "noise")
    assert (kept.code, kept.err) == (0, "")
    assert "noise keeps the contract" in kept.out
    monkeypatch.setattr(METHODS, "names", lambda: ["mine"])
    monkeypatch.setattr(METHODS, "get", lambda _name: SamplesBeyondOne)
    broken = tiny.command("check", "mine")
    assert (broken.code, broken.out) == (1, "")
    assert broken.err.startswith("mine breaks the contract: SamplesBeyondOne.sample: pixels must be in [0, 1]")
    assert broken.err.endswith("For example: return images.clamp(0, 1)\n")
    assert tiny.command("check", "mine", "--set", "epochs=1").err == (
        "Error: check_method needs at least 2 epochs, not 1\n"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gama=1", "Unknown hyper-parameter of ferd 'gama'. Did you mean 'gamma'?"),
        ("gamma=abc", "Bad value for ferd: gamma = 'abc' should be a valid number"),
        ("batch_size=0", "Bad value for ferd: batch_size = 0 should be greater than or equal to 2."),
    ],
)
def test_a_wrong_setting_of_the_check_is_the_callers_and_one_line(given: str, message: str) -> None:
    refused = tiny.command("check", "ferd", "--set", given)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert refused.err.startswith(f"Error: {message}")
    name, _, value = given.partition("=")
    with pytest.raises(DfrdBenchError):
        check_method(METHODS.get("ferd"), config={name: value if value == "abc" else int(value)})


def test_debug_shows_where_the_broken_rule_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "names", lambda: ["mine"])
    monkeypatch.setattr(METHODS, "get", lambda _name: SamplesBeyondOne)
    plain, debugged = (tiny.command("check", "mine", *words).err for words in ((), ("--debug",)))
    assert debugged.endswith(plain)
    assert "Traceback (most recent call last):" in debugged
    assert "in _check_images" in debugged
    monkeypatch.setattr(METHODS, "get", lambda _name: Raises)
    assert "in train_epoch\n    raise ZeroDivisionError" in tiny.command("check", "mine", "--debug").err


class Raises(Noise):
    """Cannot train."""

    def train_epoch(self, epoch: int) -> dict[str, float]:
        raise ZeroDivisionError
