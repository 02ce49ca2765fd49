"""The life of one run: resolve names, train epoch by epoch, checkpoint, evaluate, record."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench.attacks import STANDARD_ATTACKS
from dfrd_bench.checkpoint import Checkpoint, History, State
from dfrd_bench.environment import choose_device, peak_memory
from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.problem import Precision, PrecisionName, Problem, ThreatModel
from dfrd_bench.records import RECORD_FILE, WEIGHTS_FILE, ExperimentSpec, Record, TrainingRecord, save_record
from dfrd_bench.registry import ATTACKS, DATASETS, METHODS
from dfrd_bench.settings import validated

if TYPE_CHECKING:
    from dfrd_bench.datasets.base import Dataset
    from dfrd_bench.method import Method, MethodConfig

log = logging.getLogger(__name__)
CHECKPOINT_SHARE = 0.05  # of the time may go into saving checkpoints
SEEDS = 2**32


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        folder: where its files are.
        record: what was measured.
        cached: True when nothing had to be trained because the same spec had been run before.
    """

    folder: Path
    record: Record
    cached: bool = False


@dataclass(frozen=True)
class Request:
    """A run as a user asks for it; None means the dataset's default. `run` takes the same arguments."""

    method: str
    dataset: str = "digits"
    teacher: str | None = None
    teacher_arch: str | None = None
    student: str | None = None
    preset: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    seed: int = 0
    eps: float | None = None
    step: float | None = None
    precision: PrecisionName = "fp32"
    device: str = "auto"


@dataclass(frozen=True)
class Prepared:
    """A request with every name resolved and everything loaded that a run needs."""

    spec: ExperimentSpec
    config: MethodConfig
    method_class: type[Method]
    dataset: Dataset
    problem: Problem


def resolve_config(request: Request, method_class: type[Method], dataset: Dataset) -> tuple[MethodConfig, str]:
    """The method's hyper-parameters (its defaults, under the preset, under the user's settings), and the variant's label.

    Raises:
        DfrdBenchError: an unknown preset or hyper-parameter, or a bad value.
    """
    presets = {"paper": {}, **dataset.presets}
    if request.preset not in presets:
        raise unknown_name(f"preset of {dataset.info.name}", request.preset, presets)
    budget = method_class.Config.at_budget(presets[request.preset])
    values = {**budget, **request.settings}
    if request.epochs is not None:
        values["epochs"] = request.epochs
    config = validated(method_class.Config, values, request.method)
    return config, variant_of(request.preset, config, validated(method_class.Config, budget, request.method))


def variant_of(preset: str, config: MethodConfig, default: MethodConfig) -> str:
    """A short label of what sets a run apart: its preset, and every hyper-parameter that is not that preset's."""
    values, usual = config.model_dump(), default.model_dump()
    parts = [preset] if preset != "default" else []
    parts += [f"{name}={_plain(value)}" for name, value in sorted(values.items()) if value != usual[name]]
    return "+".join(parts) or "default"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def prepare(request: Request) -> Prepared:
    """Resolve and load everything a run needs.

    Raises:
        DfrdBenchError: whatever is wrong with the request.
    """
    from dfrd_bench.students.base import build_network
    from dfrd_bench.teachers.base import load_teacher

    if not 0 <= request.seed < SEEDS:
        raise DfrdBenchError(f"The seed must lie in 0 … {SEEDS - 1}, not {request.seed}.")
    method_class: type[Method] = METHODS.get(request.method)
    dataset: Dataset = DATASETS.get(request.dataset)()
    config, variant = resolve_config(request, method_class, dataset)
    given = {"eps": request.eps, "step": request.step}
    threat = validated(
        ThreatModel,
        {**dataset.threat.model_dump(), **{k: v for k, v in given.items() if v is not None}},
        "the threat model",
    )
    device = choose_device(request.device)
    precision = Precision(request.precision)
    student_name = request.student or dataset.default_student
    student = build_network(
        student_name, channels=dataset.info.shape[0], num_classes=dataset.info.num_classes, seed=request.seed
    )
    teacher = load_teacher(
        request.teacher or dataset.default_teacher,
        dataset.info,
        architecture=request.teacher_arch,
        device=device,
        precision=precision,
    )
    problem = Problem(
        teacher=teacher.model,
        student=precision.place(student, device),
        info=dataset.info,
        threat=threat,
        device=device,
        precision=precision,
        seed=request.seed,
    )
    spec = ExperimentSpec(
        method=request.method,
        variant=variant,
        provider=METHODS.distribution(request.method),
        config=config.model_dump(mode="json"),
        dataset=dataset.info.name,
        teacher=teacher.record,
        student=student_name,
        threat=threat,
        precision=request.precision,
        seed=request.seed,
    )
    return Prepared(spec, config, method_class, dataset, problem)


def run(
    method: str,
    dataset: str = "digits",
    *,
    results: str | Path = "results",
    attacks: Sequence[str] = STANDARD_ATTACKS,
    observer: Observer = SILENT,
    keep_checkpoint: bool = False,
    **request: Any,
) -> Finished:
    """Distill a student without data, evaluate it, and record it; the same as `dfrd-bench run`.

    A spec that has been run before is not run again: its record comes back, with any attack it lacks added. A run that was
    interrupted goes on from its last checkpoint.

    Args:
        method: name of a method.
        dataset: name of a dataset.
        results: folder of all results.
        attacks: names of attacks; the standard five by default.
        observer: told what happens.
        keep_checkpoint: keep the folder `checkpoint/` of a finished run.
        request: the other fields of `Request`: teacher, student, preset, settings, epochs, seed, eps, precision, device, …

    Raises:
        DfrdBenchError: whatever is wrong with the request.
    """
    from dfrd_bench.measurement import evaluate_run, measure

    if not attacks:
        raise DfrdBenchError("Name at least one attack.")
    for name in attacks:
        ATTACKS.get(name)
    prepared = prepare(Request(method, dataset, **request))
    folder = prepared.spec.folder(Path(results))
    if (folder / RECORD_FILE).exists():
        record = evaluate_run(folder, attacks=attacks, device=request.get("device", "auto"), observer=observer)
        return Finished(folder, record, cached=True)
    with prepared.problem.precision.matmul():
        trainee = prepared.method_class(prepared.problem, prepared.config)  # may refuse: before anything is written
        state = State(folder)
        state.write("training", spec=prepared.spec.model_dump(mode="json"))
        training, weights_sha256 = train(trainee, prepared, folder, observer)
    state.write("evaluation")
    record, predictions = measure(
        prepared.spec,
        prepared.problem.student,
        prepared.dataset,
        attacks=attacks,
        device=prepared.problem.device,
        weights_sha256=weights_sha256,
        training=training,
        observer=observer,
    )
    save_record(folder, record, predictions)
    state.clear()
    if not keep_checkpoint:
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return Finished(folder, record)


def train(method: Method, prepared: Prepared, folder: Path, observer: Observer) -> tuple[TrainingRecord, str]:
    """Train to the last epoch, going on from a checkpoint if there is one, and write the student's weights.

    Returns:
        How it went, and the sha256 of the weights file.
    """
    import torch

    from dfrd_bench.weights import write_weights

    device, epochs = prepared.problem.device, prepared.config.epochs
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    method.progress = observer.on_step
    checkpoint, history = Checkpoint(folder / "checkpoint"), History(folder / "history.jsonl")
    done, seconds = checkpoint.restore(method)
    lines = history.truncate(done)
    observer.on_start(folder, epochs, done)
    saved, cost = time.monotonic(), 0.0
    for epoch in range(done, epochs):
        began = time.perf_counter()
        numbers = method.train_epoch(epoch)
        took = time.perf_counter() - began
        seconds += took
        lines.append({"epoch": epoch, "seconds": took, **numbers})
        history.append(lines[-1])
        observer.on_epoch(epoch, numbers)
        if (time.monotonic() - saved) * CHECKPOINT_SHARE >= cost or epoch == epochs - 1:
            saved = time.monotonic()
            checkpoint.save(method, epoch + 1, seconds)
            cost = time.monotonic() - saved
    keep_samples(prepared, method, folder)
    last = {name: value for name, value in lines[-1].items() if name not in ("epoch", "seconds")}
    record = TrainingRecord(epochs=epochs, seconds=seconds, peak_memory_bytes=peak_memory(device), last=last)
    return record, write_weights(folder / WEIGHTS_FILE, method.student)


def keep_samples(prepared: Prepared, method: Method, folder: Path) -> None:
    """Leave some synthetic images in the folder, as numbers and as a picture."""
    import torch

    from dfrd_bench.reporting.samples import KEPT, PICTURE_FILE, Samples, draw_samples

    images = method.sample(KEPT).float().clamp(0, 1)
    with torch.no_grad():
        confidence, classes = prepared.problem.teacher(images).softmax(dim=1).max(dim=1)
    samples = Samples(
        (images * 255).round().to(torch.uint8).cpu().contiguous().numpy(),
        classes.cpu().numpy(),
        confidence.cpu().numpy(),
    )
    samples.save(folder)
    draw_samples(samples, prepared.dataset.info.class_names, folder / PICTURE_FILE)
