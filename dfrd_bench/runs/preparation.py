"""From a request to what a run needs: every name looked up, every default filled in, everything loaded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from dfrd_bench.datasets.base import TEACHER_PRESET, open_dataset
from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.problem import Precision, PrecisionChoice, PrecisionName, Problem, ThreatModel, TrainingProblem
from dfrd_bench.records.files import file_name
from dfrd_bench.records.schema import ExperimentSpec
from dfrd_bench.records.seeds import SEEDS
from dfrd_bench.records.store import TEACHER_SUFFIX
from dfrd_bench.registry import METHODS
from dfrd_bench.runs.environment import can_compile
from dfrd_bench.runs.loading import Loading, Real
from dfrd_bench.runs.natural_teacher import natural_teacher_of
from dfrd_bench.runs.place import new_teacher
from dfrd_bench.runs.precision import quicker
from dfrd_bench.runs.request import Request, is_cpu
from dfrd_bench.runs.training_split import with_training
from dfrd_bench.settings import check_names, validated

if TYPE_CHECKING:
    from dfrd_bench.datasets.base import Dataset
    from dfrd_bench.method import Method, MethodConfig

TEACHERS_FOLDER = Path("results", "teachers")  # where teachers go that are not told where to
AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True)
class Prepared:
    """A request with every name resolved and everything loaded that a run needs.

    Attributes:
        problem: what the method is given; a `TrainingProblem` exactly if it sees the training images.
        training_digest: of the training images, where the method sees them.
        stood_in: what is not the real thing, but has its size (see `stand_ins`): of a run to be rehearsed, and not made.
        total: training images, where what stands in has fewer.
    """

    spec: ExperimentSpec
    config: MethodConfig
    method_class: type[Method]
    dataset: Dataset
    problem: Problem
    training_digest: str | None = None
    stood_in: tuple[str, ...] = ()
    total: int | None = None

    @property
    def training_images(self) -> int:
        """How many of them the method sees; 0 where it sees none."""
        if not isinstance(self.problem, TrainingProblem):
            return 0
        return self.total or len(self.problem.labels)

    @property
    def trained_on(self) -> tuple[int, str] | None:
        """How many training images the method sees, and their digest; None where it sees none."""
        if not isinstance(self.problem, TrainingProblem) or self.training_digest is None:
            return None
        return len(self.problem.labels), self.training_digest


def resolve_config(request: Request, method_class: type[Method], dataset: Dataset) -> tuple[MethodConfig, str]:
    """The method's hyper-parameters (its defaults, under the preset, under the user's settings), and the variant's label.

    Raises:
        DfrdBenchError: an unknown preset or hyper-parameter, or a bad value.
    """
    presets = {"paper": {}, **dataset.presets_of(method_class.sees)}
    preset = request.preset or (dataset.default_preset if dataset.default_preset in presets else "default")
    if preset not in presets:
        raise unknown_name(f"preset of {dataset.task}", preset, presets)
    budget = budget_of(method_class, dataset.num_classes, presets[preset])
    values = {**budget, **request.settings}
    if request.epochs is not None:
        values["epochs"] = request.epochs
    name = str(request.method)
    config = validated(method_class.Config, values, name)
    usual = {**method_class.Config.implied(dict(config)), **budget}
    return config, variant_of(preset, config, validated(method_class.Config, usual, name))


def with_defaults(request: Request) -> Request:
    """The request with what its device decides filled in, so that it means the same run wherever it is made.

    Raises:
        DfrdBenchError: no such dataset.
    """
    data = open_dataset(**request.images)
    if not data.on_cpu or not is_cpu(request.device):
        return request
    return replace(
        request,
        teacher=request.teacher or data.default_teacher,
        student=request.student or data.default_student,
        preset=request.preset or data.default_preset,
    )


def budget_of(method_class: type[Method], num_classes: int, preset: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of a method that a preset changes, and those that the number of classes does."""
    return {**method_class.Config.for_classes(num_classes), **method_class.Config.at_budget(preset)}


def variant_of(preset: str, config: MethodConfig, default: MethodConfig) -> str:
    """A short label of what sets a run apart: its preset, and every hyper-parameter that is not that preset's."""
    values, usual = dict(config), dict(default)
    parts = [preset] if preset != "default" else []
    parts += [f"{name}={_plain(value)}" for name, value in sorted(values.items()) if value != usual[name]]
    return "+".join(parts) or "default"


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_plain, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def teacher_of(dataset: Dataset) -> str:
    """The name of a dataset's own teacher.

    Raises:
        DfrdBenchError: it has none.
    """
    if dataset.default_teacher is None:
        raise DfrdBenchError(
            f"{dataset.task} has no teacher of its own: name one, e.g. --teacher checkpoint:FILE --teacher-arch NAME "
            "(`dfrd-bench teacher train` makes one)."
        )
    return dataset.default_teacher


def teacher_request(request: Request) -> Request:
    """The request for a teacher's training with what belongs to the dataset filled in: architecture, method, recipe, place.

    Raises:
        DfrdBenchError: no such dataset; or a precision that a place says nothing of.
    """
    data = open_dataset(**request.images)
    method = request.method or data.teacher_method
    if request.precision == AUTO:
        raise DfrdBenchError(
            "--precision auto is for runs, whose folder says what it came to: name fp32, tf32 or bf16."
        )
    student = request.student or data.teacher_architecture or data.default_student
    stem = file_name(f"{data.task}-{student}-{method}-seed{request.seed}")
    output = request.output or str(TEACHERS_FOLDER / f"{stem}{TEACHER_SUFFIX}")
    return replace(request, method=method, student=student, preset=TEACHER_PRESET, output=output)


def check_training(request: Request) -> None:
    """Refuse a seed that not every random generator takes, and a precision that does not exist.

    Raises:
        DfrdBenchError: there is such a thing.
    """
    if not 0 <= request.seed < SEEDS:
        raise DfrdBenchError(f"The seed must lie in 0 … {SEEDS - 1}, not {request.seed}.")
    check_names("precision", [request.precision], get_args(PrecisionChoice))


def threat_of(request: Request, dataset: Dataset) -> ThreatModel:
    """The dataset's threat model, with what the request says of it.

    Raises:
        DfrdBenchError: there is no such ball.
    """
    given = {name: value for name in ("eps", "step") if (value := getattr(request, name)) is not None}
    return validated(ThreatModel, {**dataset.threat.model_dump(), **given}, "the threat model")


def precision_of(request: Request, spec: ExperimentSpec, measure: Callable[[], PrecisionName]) -> PrecisionName:
    """The precision that is asked for; of `auto` the one that a run with this spec was begun with, or else what is quicker."""
    if request.precision != AUTO:
        return request.precision
    for name in get_args(PrecisionName):
        begun = spec.model_copy(update={"precision": name})
        if any(one.folder(Path(request.results)).exists() for one in (begun, begun.without_code)):
            return cast(PrecisionName, name)
    return measure()


REAL = Real()


def prepare(request: Request, observer: Observer = SILENT, loading: Loading = REAL) -> Prepared:
    """Resolve and load everything a run needs.

    Args:
        request: what is asked for.
        observer: told about reading and downloading.
        loading: where the device, teachers and training images come from.

    Raises:
        DfrdBenchError: whatever is wrong with the request.
    """
    from dfrd_bench.attacks.folding import freeze_norms
    from dfrd_bench.students.base import build_network
    from dfrd_bench.teachers.nobody import nobody

    if request.method is None:
        raise DfrdBenchError("Name a method: --method NAME (`dfrd-bench list methods` shows them).")
    check_training(request)
    method_class: type[Method] = METHODS.get(request.method)
    dataset = open_dataset(**request.images, progress=observer.on_data)
    loading.open(dataset)
    student_name = request.student or dataset.default_student
    made = request.output and new_teacher(request.output, request.method, student_name, dataset.teacher_method)
    config, variant = resolve_config(request, method_class, dataset)
    if method_class.needs_natural_teacher:
        natural_teacher_of(request, dataset)  # that there is none is said before the other teacher is downloaded
    threat = threat_of(request, dataset)
    device = loading.device(request.device)
    student = build_network(
        student_name, channels=dataset.info.shape[0], num_classes=dataset.info.num_classes, seed=request.seed
    )
    if method_class.has_teacher:
        teacher = loading.teacher(request.teacher or teacher_of(dataset), request, dataset, device)
    else:
        teacher = nobody()
    natural = loading.natural(request, dataset, teacher, device) if method_class.needs_natural_teacher else None
    batch = int(config.model_dump().get("batch_size", 1))
    training = loading.training(dataset, batch) if method_class.sees == "training images" else None
    compiled = request.compile and can_compile(device)
    if compiled:
        student.compile()  # in place: its parameters keep their names; copies of it are not compiled

    spec = ExperimentSpec(
        kind="teacher" if made else "student",
        method=request.method,
        variant=variant,
        provider=METHODS.distribution(request.method),
        config=config.model_dump(mode="json"),
        dataset=dataset.name,
        teacher=made or teacher.record,
        student=student_name,
        threat=threat,
        precision="fp32",
        compiled=compiled,
        seed=request.seed,
        sees=method_class.sees,
        natural_teacher=natural.record if natural else None,
        code=METHODS.code_loaded(request.method),
    )

    def measured() -> PrecisionName:
        timed = teacher.model if method_class.has_teacher else copy.deepcopy(student).to(device).eval()
        return quicker(timed, dataset.info.shape, batch, device)

    name = precision_of(request, spec, measured)
    spec, precision = spec.model_copy(update={"precision": name}), Precision(name)
    problem = Problem(
        teacher=freeze_norms(teacher.model),
        student=precision.place(student, device),
        info=dataset.info,
        threat=threat,
        device=device,
        precision=precision,
        seed=request.seed,
    )
    stood_in = loading.stood_in
    if training is None:
        return Prepared(spec, config, method_class, dataset, problem, stood_in=stood_in)
    second = freeze_norms(natural.model) if natural else None
    problem, digest = with_training(problem, training, second), training.digest()
    total = None if dataset.at_hand else dataset.sizes.get("train")
    return Prepared(spec, config, method_class, dataset, problem, digest, stood_in, total)
