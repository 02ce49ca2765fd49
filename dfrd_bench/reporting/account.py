"""A record as a person reads it: what was run, how it was made, what to beware of, and the files that there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfrd_bench.evaluation.best_known import BestKnown, best_known
from dfrd_bench.records.schema import NO_TEACHER, EnvironmentRecord, Record
from dfrd_bench.records.sweeps import ABOUT, is_sweep
from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.codes import said_of_code
from dfrd_bench.reporting.hyperparameters import shown
from dfrd_bench.reporting.one_class import taken_for_one_class
from dfrd_bench.reporting.tables.comparability import SUPERSEDED, threat_text
from dfrd_bench.reporting.tables.layout import display_name

FILES = {
    "record.json": "every setting and every number",
    "predictions.npz": "the class that each test image was given under each attack",
    "history.jsonl": "a line per epoch",
    "student.safetensors": "the student's weights",
    "samples.npz": "synthetic images",
    "samples.png": "some of them as a picture",
    "curve.png": "accuracy against ε",
    "confusion.png": "confusion matrices",
}
UNIT = 1024

Pairs = tuple[tuple[str, str], ...]
"""Names and what is said of each."""


@dataclass(frozen=True)
class Account:
    """What there is to say of a run beside its numbers.

    Attributes:
        title: the run in a line.
        what, made: what was run, and how it was made.
        warnings: in full, none left out.
        contests: what others' attacks on the same weights left, and what everybody's together do; none where nobody contested.
        files: those in the run's folder, each with its size and what it holds.
    """

    title: str
    what: Pairs
    made: Pairs
    warnings: tuple[str, ...]
    contests: Pairs
    files: Pairs


def about_file(name: str) -> str:
    """What a file of a run's folder holds; "" where that is not known."""
    return ABOUT if is_sweep(name) else FILES.get(name, "")


def account_of(folder: Path, record: Record, contradicted: tuple[str, ...] = ()) -> Account:
    """A record in words.

    Args:
        folder: where it lies.
        record: what it says.
        contradicted: what it says and what lies beside it does not, see `evaluation.contradictions`.
    """
    spec = record.spec
    called = (
        f"Teacher {spec.teacher.name}" if spec.kind == "teacher" else f"{display_name(spec.method)} ({spec.variant})"
    )
    warnings = [f"This record contradicts its evidence: {text}" for text in contradicted]
    if spec.kind == "student" and spec.provider in SUPERSEDED:
        warnings.append(f"Superseded: {SUPERSEDED[spec.provider]}")
    if (one := taken_for_one_class(record)) is not None:
        warnings.append(
            f"Takes nearly every clean image for the class {one}: what it keeps under attack is that class's share."
        )
    return Account(
        title=f"{called} on {spec.dataset}, seed {spec.seed}",
        what=tuple(_what(record)),
        made=tuple(_made(record)),
        warnings=(*warnings, *record.warnings),
        contests=tuple(_contests(best_known(folder, record))),
        files=tuple(_files(folder)),
    )


def _contests(found: BestKnown) -> Iterator[tuple[str, str]]:
    """Each contest, and what is left after all of them."""
    for one in found.contests:
        evaluation = one.record.evaluation
        results = ", ".join(f"{name} {100 * result.average:.2f} %" for name, result in evaluation.attacks.items())
        when = f"{one.record.created[:10]}, seed {evaluation.seed}"
        yield f"contested by {one.record.by}", f"{when}: {results}; {one.broken} images that the run's own attacks left"
    yield from (("contest left out", text) for text in found.doubted)
    if found.contests:
        left = f"{100 * found.accuracy:.2f} % of the images survive every attack of the run and of its contests"
        yield "best known robust accuracy", f"{left} (of the run alone: {100 * found.own:.2f} %)"


def _what(record: Record) -> Iterator[tuple[str, str]]:
    spec, data = record.spec, record.dataset
    info = data.info
    if spec.method == "teacher":
        yield "method", "none: a teacher, evaluated and not trained here"
    else:
        seen = "no image of the dataset" if spec.sees == "nothing" else "the training images"
        yield "method", f"{spec.method} of {spec.provider}; sees {seen}"
    yield "network", f"{spec.student}, {record.parameters:,} parameters, sha256 {record.weights_sha256[:8]}"
    for name, taught in (("teacher", spec.teacher), ("natural teacher", spec.natural_teacher)):
        if taught is not None:
            which = (
                "none" if taught == NO_TEACHER else f"{taught.name} ({taught.architecture}), sha256 {taught.sha256[:8]}"
            )
            yield name, which
    if said := said_of_code(spec):
        yield "code", said
    shape = " × ".join(map(str, info.shape))
    yield (
        "tested on",
        f"{spec.dataset}: {data.test_images:,} images of {len(info.class_names)} classes, {shape}, "
        f"digest {data.test_digest[:8]}",
    )
    if data.training_images is not None:
        yield "trained on", f"{data.training_images:,} images, digest {str(data.training_digest)[:8]}"
    yield "threat model", threat_text(spec.threat)


def _made(record: Record) -> Iterator[tuple[str, str]]:
    spec, training = record.spec, record.training
    yield "recorded", record.created
    yield "where", _where(record.environment)
    for name, result in record.evaluation.attacks.items():
        if result.environment is not None:
            yield f"{name} later", _where(result.environment)
    if training is not None:
        memory = training.peak_memory_bytes / UNIT**2
        yield (
            "training",
            (
                f"{training.epochs} epochs, {_time(training.seconds)}, {memory:,.0f} MiB at most, {spec.precision}"
                f"{', compiled' if spec.compiled else ''}"
            ),
        )
        if training.passes is not None:
            passes = training.passes
            yield (
                "passes",
                (
                    f"images through the teacher {passes.teacher_forward:,} (back {passes.teacher_backward:,}), "
                    f"the student {passes.student_forward:,} (back {passes.student_backward:,})"
                ),
            )
    yield "evaluation", _time(sum(result.seconds for result in record.evaluation.attacks.values()))
    others, usual = _settings(spec.method, spec.config)
    if others:
        yield "set otherwise", f"{', '.join(others)} (than the method's own defaults)"
    if usual:
        yield "as by default", ", ".join(usual)


def _settings(method: str, config: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The hyper-parameters that are not the method's defaults of today, and those that are."""
    fields = METHODS.get(method).Config.model_fields if method in METHODS.names() else {}
    others: list[str] = []
    usual: list[str] = []
    for name, value in config.items():
        plain = tuple(value) if isinstance(value, list) else value
        same = name in fields and fields[name].default == plain
        (usual if same else others).append(f"{name}={shown(plain)}")
    return others, usual


def _where(environment: EnvironmentRecord) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    commit = f", commit {environment.git_commit}" if environment.git_commit else ""
    threads = f"{environment.threads} thread{'s' * (environment.threads != 1)}"
    return f"{environment.device}, {threads}, Python {environment.python}, {versions}{commit}"


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.iterdir()):
        if path.is_file():
            about = about_file(path.name)
            yield path.name, f"{_size(path.stat().st_size)}{'  ' + about if about else ''}"


def _size(count: int) -> str:
    """Bytes in units of 1024."""
    if count < UNIT:
        return f"{count} B"
    return f"{count / UNIT:.1f} KiB" if count < UNIT**2 else f"{count / UNIT**2:.1f} MiB"


def _time(seconds: float) -> str:
    """Seconds as hours and minutes, whichever are there."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.1f} s"
