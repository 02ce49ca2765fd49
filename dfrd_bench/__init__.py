"""dfrd-bench: the benchmark for data-free robust distillation.

The names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError

if TYPE_CHECKING:
    from dfrd_bench.method import Method, MethodConfig, Reference, param
    from dfrd_bench.problem import Problem, TrainingProblem
    from dfrd_bench.reporting.frame import load_results
    from dfrd_bench.runs.reevaluation import evaluate_run as evaluate
    from dfrd_bench.runs.run import run
    from dfrd_bench.runs.student import load_student

_HOMES = {
    "Method": ("method", "Method"),
    "MethodConfig": ("method", "MethodConfig"),
    "Problem": ("problem", "Problem"),
    "Reference": ("method", "Reference"),
    "TrainingProblem": ("problem", "TrainingProblem"),
    "evaluate": ("runs.reevaluation", "evaluate_run"),
    "load_results": ("reporting.frame", "load_results"),
    "load_student": ("runs.student", "load_student"),
    "param": ("method", "param"),
    "run": ("runs.run", "run"),
}

__all__ = [
    "DfrdBenchError",
    "Method",
    "MethodConfig",
    "Problem",
    "Reference",
    "TrainingProblem",
    "__version__",
    "evaluate",
    "load_results",
    "load_student",
    "param",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(f"dfrd_bench.{module}"), attribute)
