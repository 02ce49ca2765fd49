"""The check of the contract, rule by rule."""

from __future__ import annotations

import io
import math
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from dfrd_bench.method import Method, MethodConfig, Reference
from dfrd_bench.problem import Problem, Sees, TrainingProblem
from dfrd_bench.testing.advice import advised
from dfrd_bench.testing.budget import given_config, tiny_config
from dfrd_bench.testing.toys import problem_for
from dfrd_bench.testing.untouched import condition, difference, global_state, globals_put_back, other_randomness

TASKS = (((1, 8, 8), 10), ((3, 12, 12), 3), ((3, 12, 16), 2))
"""Image shapes and class counts on which every method must run; the last is not square."""


def check_method(method: type[Method], *, config: Mapping[str, Any] | None = None) -> None:
    """Check that a method keeps the contract of `dfrd_bench.Method`; a few seconds on toy problems, on the CPU.

    A method that sees the training images is given a `TrainingProblem`, with a second teacher if it needs one; any other a
    `Problem`.

    It must declare itself (a docstring, a `Reference`, a frozen `Config` whose every field has a description and a source),
    run on several shapes and class counts, return finite numbers and sample images in [0, 1], train the student, leave the
    teacher and the process's global state alone, give the same student for the same seed and another for another, and go on
    after a stop as if there had been none.

    Args:
        method: the class.
        config: hyper-parameters for the check beside the tiny budget, e.g. the steps of a loop that only this method has.

    Raises:
        AssertionError: the first rule that is broken, and what to do about it, with a line of example.
        DfrdBenchError: `config` has a name that the method has not, or a value that it does not take.
        ValueError: the budget has fewer than 2 epochs, so that no stop can be checked.
    """
    try:
        _check(method, config)
    except AssertionError as error:
        told = AssertionError(advised(str(error))).with_traceback(error.__traceback__)  # of the check that failed
        raise told from error.__cause__


def _check(method: type[Method], config: Mapping[str, Any] | None) -> None:
    name = getattr(method, "__name__", repr(method))
    _check_declaration(method)
    settings = given_config(method, config or {})
    if settings is None:
        with _explained(name, "building its Config at a tiny budget"):
            settings = tiny_config(method)
    if settings.epochs < 2:
        raise ValueError(f"check_method needs at least 2 epochs, not {settings.epochs}")
    runs = [_run(method, settings, problem_for(method, *task)) for task in TASKS]
    with other_randomness():
        again = _run(method, settings, problem_for(method, *TASKS[0]))
    changed = difference(runs[0].student, again.student)
    _require(
        changed is None,
        f"{name}: the same seed gave another student ({changed} differs): draw random numbers from a torch.Generator "
        "seeded with problem.seed, never from a global source.",
    )
    other = _run(method, settings, replace(problem_for(method, *TASKS[0]), seed=1))
    _require(
        difference(runs[0].student, other.student) is not None,
        f"{name}: another seed gave the same student: seed the method's random source with problem.seed.",
    )
    _check_stops(method, settings, runs[0])


@dataclass(frozen=True)
class _Run:
    """What a whole run left: the student's weights and buffers, the numbers of every epoch, and the method's state."""

    student: dict[str, Tensor]
    numbers: list[dict[str, float]]
    state: Any


def _check_declaration(method: type[Method]) -> None:
    """Docstring, reference and Config are what `list`, `show` and the records rely on."""
    _require(isinstance(method, type) and issubclass(method, Method), f"{method!r} is not a subclass of Method.")
    name = method.__name__
    _require(bool((method.__doc__ or "").strip()), f"{name} has no docstring: its first line is what `list` shows.")
    reference = getattr(method, "reference", None)
    _require(isinstance(reference, Reference), f"{name}.reference must be a Reference(title, venue, link).")
    _require(method.sees in get_args(Sees), f"{name}.sees must be one of {get_args(Sees)}, not {method.sees!r}.")
    _require(
        not method.needs_natural_teacher or method.sees == "training images",
        f"{name}.needs_natural_teacher is for methods that see the training images.",
    )
    config = method.Config
    _require(
        isinstance(config, type) and issubclass(config, MethodConfig),
        f"{name}.Config must be a subclass of MethodConfig.",
    )
    _require(
        bool(config.model_config.get("frozen")) and config.model_config.get("extra") == "forbid",
        f"{name}.Config must stay frozen and refuse unknown names, as MethodConfig does.",
    )
    for field, info in config.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        _require(
            bool(info.description) and bool(extra.get("source")),
            f"{name}.Config.{field} has no description or no source: declare it with param(default, meaning, source).",
        )
    with _explained(name, "building its Config from its own defaults"):
        defaults = config()
        same = config.model_validate(defaults.model_dump(mode="json")) == defaults
    _require(same, f"{name}.Config does not come back from JSON as it was, which is how records keep it.")


def _run(method: type[Method], settings: MethodConfig, problem: Problem) -> _Run:
    """Train to the last epoch and sample, checking all that one run can show."""
    name, shape = method.__name__, problem.shape
    before = {key: value.clone() for key, value in problem.student.named_parameters()}
    task = f"on images {shape} of {problem.num_classes} classes"
    natural = problem.natural_teacher if isinstance(problem, TrainingProblem) else None
    teachers = problem.teacher if natural is None else nn.ModuleDict({"robust": problem.teacher, "natural": natural})
    with _unchanged(name, teachers), _explained(name, task):
        trained = method(problem, settings)
        numbers = [_checked(name, trained.train_epoch(epoch)) for epoch in range(settings.epochs)]
        state = _saved(trained)
        for n in (1, 5):
            _check_images(name, trained.sample(n), n, shape)
    student = trained.student
    _require(student is problem.student, f"{name}.student must stay problem.student, which is what gets evaluated.")
    with torch.no_grad():
        finite = all(bool(value.isfinite().all()) for value in student.state_dict().values())
    _require(finite, f"{name}: the student's weights are no longer finite {task}.")
    _require(
        difference(before, dict(student.named_parameters())) is not None,
        f"{name}: the student's weights did not change in {settings.epochs} epochs.",
    )
    return _Run({key: value.clone() for key, value in student.state_dict().items()}, numbers, state)


def _check_stops(method: type[Method], settings: MethodConfig, whole: _Run) -> None:
    """A run whose every epoch is trained by a new object, restored from the last one's saved state, is the same run."""
    name = method.__name__
    advice = (
        "state_dict() must hold all that changes in training. An attribute is kept by itself if it is a tensor, a "
        "torch.Generator, or has state_dict() and load_state_dict(); for any other, extend both methods."
    )
    state: Any = None
    for epoch in range(settings.epochs):
        problem = problem_for(method, *TASKS[0])
        with _explained(name, f"going on after a stop before epoch {epoch}"):
            fresh = method(problem, settings)
            if state is not None:
                fresh.load_state_dict(state)
                changed = difference(state, _saved(fresh), "state")
                _require(changed is None, f"{name}: load_state_dict() did not restore {changed}.")
            numbers = fresh.train_epoch(epoch)
            state = _saved(fresh)
        changed = difference(whole.numbers[epoch], numbers)
        _require(changed is None, f"{name}: after a stop before epoch {epoch}, its {changed!r} is another. {advice}")
    changed = difference(whole.state, state, "state")
    _require(changed is None, f"{name}: a run that was stopped ended with another {changed}. {advice}")
    changed = difference(whole.student, dict(fresh.student.state_dict()))
    _require(changed is None, f"{name}: a run that was stopped gave another student ({changed}). {advice}")


def _checked(name: str, numbers: dict[str, float]) -> dict[str, float]:
    """The numbers of an epoch, if they can be written into the history."""
    _require(isinstance(numbers, dict), f"{name}.train_epoch must return a dict[str, float], not {numbers!r}.")
    for key, value in numbers.items():
        _require(
            isinstance(key, str) and isinstance(value, (int, float)) and not isinstance(value, bool),
            f"{name}.train_epoch must return a dict[str, float]; {key!r} is a {type(value).__name__}.",
        )
        _require(math.isfinite(value), f"{name}.train_epoch returned {key} = {value}: every number must be finite.")
        _require(
            key not in ("epoch", "seconds"), f"{name}.train_epoch returned {key!r}, a name the history itself uses."
        )
    return numbers


def _check_images(name: str, images: Tensor, n: int, shape: tuple[int, int, int]) -> None:
    _require(isinstance(images, Tensor), f"{name}.sample must return a tensor, not {type(images).__name__}.")
    _require(
        images.shape[1:] == shape and 1 <= len(images) <= n and images.is_floating_point(),
        f"{name}.sample({n}) must return 1 to {n} float images {shape}, not {images.dtype} {tuple(images.shape)}.",
    )
    low, high = float(images.min()), float(images.max())
    _require(0 <= low <= high <= 1, f"{name}.sample: pixels must be in [0, 1], not in [{low:.4g}, {high:.4g}].")


def _saved(method: Method) -> Any:
    """The state as it comes back from a checkpoint."""
    buffer = io.BytesIO()
    with _explained(type(method).__name__, "saving its state with torch.save and loading it with weights_only=True"):
        torch.save(method.state_dict(), buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=True)


@contextmanager
def _unchanged(name: str, teacher: nn.Module) -> Iterator[None]:
    """Fails if the process's global state (which is put back) or the teacher is another afterwards."""
    with globals_put_back():
        before = {"teacher": condition(teacher), "process": global_state()}
        yield
        process, its_teacher = global_state(), condition(teacher)
    changed = difference(before["process"], process)
    _require(changed is None, f"{name} changed {changed}, which belongs to the whole process.")
    changed = difference(before["teacher"], its_teacher)
    _require(changed is None, f"{name} changed the teacher: its {changed} is another after training.")


@contextmanager
def _explained(name: str, doing: str) -> Iterator[None]:
    """An exception inside becomes an AssertionError that says when it happened."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{name} fails {doing}: {type(error).__name__}: {error}{_place(error)}") from error


def _place(error: BaseException) -> str:
    """Where the last line of code outside dfrd-bench and PyTorch stands that led to an error; "" where there is none."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not {"torch", "dfrd_bench", "pydantic"} & set(Path(frame.filename).parts)
    ]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
