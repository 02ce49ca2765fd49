"""A data-free method cannot reach a real image."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FunctionType, MethodType, ModuleType
from typing import Any

import pytest
import tiny
import torch
from pydantic import ValidationError
from source_tree import METHODS, ROOT, imports, source_of
from torch import Tensor

from dfrd_bench.datasets.base import Dataset
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import DatasetInfo, Precision, Problem, ThreatModel, TrainingProblem
from dfrd_bench.registry import METHODS as METHOD_REGISTRY
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import Request


def reachable(start: object) -> Iterator[tuple[str, object]]:
    """Everything that can be reached from an object through attributes, containers and closures, with its path."""
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("problem", start)]
    keep_alive = []
    while waiting:
        path, thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, (type, ModuleType, str, bytes, int, float, complex, type(None))):
            continue
        seen.add(id(thing))
        keep_alive.append(thing)
        yield path, thing
        if isinstance(thing, dict):
            waiting += [(f"{path}[{key!r}]", value) for key, value in thing.items()]
        elif isinstance(thing, (list, tuple, set, frozenset)):
            waiting += [(f"{path}[{i}]", value) for i, value in enumerate(thing)]
        elif isinstance(thing, MethodType):
            waiting += [(f"{path}.__self__", thing.__self__), (f"{path}.__func__", thing.__func__)]
        elif isinstance(thing, FunctionType):
            cells = thing.__closure__ or ()
            waiting += [(f"{path}.<closure {i}>", cell.cell_contents) for i, cell in enumerate(cells)]
            waiting += [(f"{path}.<defaults>", thing.__defaults__), (f"{path}.<kwdefaults>", thing.__kwdefaults__)]
        waiting += [(f"{path}.{name}", value) for name, value in getattr(thing, "__dict__", {}).items()]
        for base in type(thing).__mro__:
            slots = base.__dict__.get("__slots__", ())
            for name in [slots] if isinstance(slots, str) else slots:
                if hasattr(thing, name):
                    waiting.append((f"{path}.{name}", getattr(thing, name)))


def ways_to_images(problem: Problem) -> list[str]:
    """Paths from a problem to a dataset, labelled images, or a batch of tensors of an image's shape."""
    found = []
    for path, thing in reachable(problem):
        images = isinstance(thing, Tensor) and thing.dim() == 4 and tuple(thing.shape[1:]) == problem.shape
        if isinstance(thing, (Dataset, LabelledImages)) or (images and len(thing) > 1):  # type: ignore[arg-type]
            found.append(path)
    return found


class TestNoWayToAnImage:
    @pytest.fixture(scope="class")
    @staticmethod
    def problem() -> Problem:
        return prepare(Request("zskt", device="cpu")).problem

    def test_from_the_problem_of_a_real_run(self, problem: Problem) -> None:
        assert sum(1 for _ in reachable(problem)) > 100
        assert ways_to_images(problem) == []

    def test_and_the_walk_would_find_one(self, problem: Problem) -> None:
        images = Digits().load("test")

        @dataclass
        class Hidden:
            layers: dict[str, Any]

        hidden = Hidden({"deep": [lambda: images]})
        for way in (images, Digits(), {"a": (images.images,)}, hidden):
            teacher = tiny.SmallConv()
            teacher.secret = way  # type: ignore[assignment]
            assert ways_to_images(replace(problem, teacher=teacher)), way

    def test_a_problem_cannot_be_given_more(self, problem: Problem) -> None:
        with pytest.raises(AttributeError):
            problem.dataset = Digits()  # type: ignore[attr-defined]


def built_in(sees: str) -> list[str]:
    return [
        name
        for name in METHOD_REGISTRY.names()
        if METHOD_REGISTRY.distribution(name).startswith("dfrd-bench ") and METHOD_REGISTRY.get(name).sees == sees
    ]


class TestWhoIsGivenImages:
    @pytest.mark.parametrize("name", built_in("nothing"))
    def test_a_method_that_sees_nothing_is_given_a_problem_and_the_training_split_is_not_opened(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Digits, "load", lambda self, split: pytest.fail(f"{split} was opened"))
        problem = prepare(Request(name, device="cpu")).problem
        assert type(problem) is Problem
        assert ways_to_images(problem) == []

    @pytest.mark.parametrize("name", built_in("training images"))
    def test_one_that_says_it_sees_them_is_given_every_training_image_and_no_other(self, name: str) -> None:
        problem = prepare(Request(name, device="cpu")).problem
        assert isinstance(problem, TrainingProblem)
        assert ways_to_images(problem) == ["problem.images"]
        train = Digits().load("train")
        assert torch.equal(problem.labels, train.labels)
        assert problem.images.dtype == torch.uint8
        assert (problem.images.float() / 255 - train.images).abs().max() <= 0.5 / 255 + 1e-6

    def test_both_kinds_are_there(self) -> None:
        assert {"ferd", "zskt"} <= set(built_in("nothing"))
        assert {"rslad", "fair-ard", "natural"} <= set(built_in("training images"))


@pytest.mark.parametrize(
    "module",
    [
        "dfrd_bench.problem",
        "dfrd_bench.method",
        *(f"dfrd_bench.distillation.{p.stem}" for p in sorted((ROOT / "distillation").glob("[!_]*.py"))),
    ],
)
def test_imports_stated_in_the_source_of_a_data_free_module_lead_to_no_dataset(module: str) -> None:
    """Follows every import, also those inside functions, through the whole package."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += imports(source_of(name))
    assert len(seen) >= 1
    assert not [name for name in seen if name.startswith(("dfrd_bench.datasets", "dfrd_bench.evaluation"))]


def test_importing_the_data_free_rooms_and_the_methods_loads_no_dataset() -> None:
    modules = ["dfrd_bench.problem", "dfrd_bench.method"]
    modules += [f"dfrd_bench.distillation.{p.stem}" for p in (ROOT / "distillation").glob("[!_]*.py")]
    modules += [f"dfrd_bench.methods.data_free.{p.stem}" for p in (METHODS / "data_free").glob("[!_]*.py")]
    script = f"import sys, json, importlib\nfor m in {modules!r}: importlib.import_module(m)\n"
    script += "print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert set(modules) <= set(loaded)
    forbidden = ("dfrd_bench.datasets", "dfrd_bench.evaluation", "dfrd_bench.teachers", "sklearn", "torchvision")
    assert [name for name in loaded if name.startswith(forbidden)] == []


class TestValues:
    @pytest.mark.parametrize(
        "wrong",
        [{"eps": 0}, {"eps": -0.1}, {"eps": 1.1}, {"eps": float("nan")}, {"step": 0}, {"norm": "L2"}, {"surprise": 1}],
    )
    def test_an_impossible_threat_model_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            ThreatModel(**wrong)

    def test_the_default_threat_model_is_the_papers(self) -> None:
        assert (ThreatModel().eps * 255, ThreatModel().step * 255) == (pytest.approx(8), pytest.approx(2))

    @pytest.mark.parametrize("wrong", [{"shape": (0, 8, 8)}, {"class_names": ("one",)}])
    def test_an_impossible_task_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            DatasetInfo(**{"name": "x", "shape": (1, 8, 8), "class_names": ("a", "b"), **wrong})


class TestPrecision:
    def test_bf16_computes_in_bfloat16_and_fp32_does_not(self) -> None:
        layer, x = torch.nn.Linear(4, 4), torch.ones(1, 4)
        for name, expected in (("bf16", torch.bfloat16), ("fp32", torch.float32), ("tf32", torch.float32)):
            with Precision(name).autocast(tiny.CPU):  # type: ignore[arg-type]
                assert layer(x).dtype == expected

    @pytest.mark.parametrize(("name", "inside"), [("tf32", "high"), ("fp32", "highest"), ("bf16", "highest")])
    def test_matrix_units_are_switched_for_a_run_and_back(self, name: Any, inside: str) -> None:
        def failing_inside() -> None:
            with Precision(name).backends():
                assert torch.get_float32_matmul_precision() == inside
                assert torch.backends.cudnn.allow_tf32 == (name == "tf32")
                raise ZeroDivisionError

        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        try:
            torch.set_float32_matmul_precision("medium")
            for convolutions in (True, False):
                torch.backends.cudnn.allow_tf32 = convolutions
                with pytest.raises(ZeroDivisionError):
                    failing_inside()
                assert torch.get_float32_matmul_precision() == "medium"
                assert torch.backends.cudnn.allow_tf32 is convolutions
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.backends.cudnn.allow_tf32 = before[1]

    @pytest.mark.parametrize("channels_last", [True, False])
    def test_layout_changes_and_numbers_do_not(self, channels_last: bool) -> None:
        precision = Precision(channels_last=channels_last)
        model, x = tiny.wide_resnet(3, 10), tiny.random_images(4, (3, 8, 8))
        before = model(x)
        placed = precision.place(model, tiny.CPU)
        images = precision.images(x)
        assert images.is_contiguous(memory_format=torch.channels_last) is channels_last
        assert placed.block1.layer[0].conv1.weight.is_contiguous(memory_format=torch.channels_last) is channels_last
        torch.testing.assert_close(placed(images), before, atol=1e-5, rtol=1e-5)
