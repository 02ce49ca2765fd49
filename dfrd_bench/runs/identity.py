"""Which run a request asks for, said without loading a network: where it would lie, and whether a spec is its."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import PrecisionName
from dfrd_bench.records.schema import NO_TEACHER, ExperimentSpec, TeacherRecord
from dfrd_bench.runs.natural_teacher import natural_teacher_of
from dfrd_bench.runs.preparation import AUTO, check_training, resolve_config, teacher_of, threat_of
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.twins import folders_like

LOOSE = ("variant", "precision", "compiled", "teacher", "natural_teacher", "code")  # what is compared in another way


@dataclass(frozen=True)
class Identity:
    """What a run's spec will be, but for the digests of its teachers' weights.

    Attributes:
        spec: with empty digests and architectures of teachers.
        precisions: those that the run may come to have: one, or any with `--precision auto`.
        may_compile: whether it is to be compiled, where that can be done.
    """

    spec: ExperimentSpec
    precisions: tuple[PrecisionName, ...]
    may_compile: bool

    def is_of(self, spec: ExperimentSpec) -> bool:
        """Whether a spec is of this run, or of one with other weights in teachers of the same name.

        Also one that does not say by which code it was made; one by other code is not.
        """
        return spec.code in (None, self.spec.code) and self.has_settings_of(spec)

    def has_settings_of(self, spec: ExperimentSpec) -> bool:
        """As `is_of`, whatever code made it."""
        return (
            _strict(spec) == _strict(self.spec)
            and _teachers(spec) == _teachers(self.spec)
            and spec.precision in self.precisions
            and (self.may_compile or not spec.compiled)
        )

    def folders(self, results: Path) -> list[Path]:
        """Folders there that are named as this run's would be, whatever their hash; what is in them must still be looked at."""
        return folders_like(self.spec.folder(results))


def identity_of(request: Request) -> Identity:
    """The identity of the run of a student; neither a network nor an image is loaded.

    Raises:
        DfrdBenchError: whatever is wrong with the request, as far as that can be seen so.
        FailedError: the method's plugin cannot be imported.
    """
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.registry import METHODS
    from dfrd_bench.teachers.base import shown_name

    if request.method is None:
        raise DfrdBenchError("Name a method: --method NAME (`dfrd-bench list methods` shows them).")
    check_training(request)
    method_class = METHODS.get(request.method)
    dataset = open_dataset(**request.images)
    config, variant = resolve_config(request, method_class, dataset)

    def named(name: str) -> TeacherRecord:
        return TeacherRecord(name=shown_name(name), architecture="", sha256="")

    spec = ExperimentSpec(
        method=request.method,
        variant=variant,
        provider=METHODS.distribution(request.method),
        config=config.model_dump(mode="json"),
        dataset=dataset.name,
        teacher=named(request.teacher or teacher_of(dataset)) if method_class.has_teacher else NO_TEACHER,
        student=request.student or dataset.default_student,
        threat=threat_of(request, dataset),
        precision="fp32",
        seed=request.seed,
        sees=method_class.sees,
        natural_teacher=named(natural_teacher_of(request, dataset)) if method_class.needs_natural_teacher else None,
        code=METHODS.code(request.method),
    )
    names = get_args(PrecisionName) if request.precision == AUTO else (request.precision,)
    return Identity(spec, cast("tuple[PrecisionName, ...]", names), request.compile)


def _strict(spec: ExperimentSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude=set(LOOSE))


def _teachers(spec: ExperimentSpec) -> tuple[str, str]:
    return (spec.teacher.name, spec.natural_teacher.name if spec.natural_teacher else "")
