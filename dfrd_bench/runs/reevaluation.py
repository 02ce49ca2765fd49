"""What `dfrd-bench evaluate` does: attacks added to the record of a finished run or of a teacher, or any file of weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from dfrd_bench.attacks import STANDARD_ATTACKS
from dfrd_bench.datasets.base import Dataset, open_dataset
from dfrd_bench.evaluation.contradictions import believed_record, check_believed
from dfrd_bench.evaluation.correctness import own_predictions
from dfrd_bench.evaluation.recomputation import differences, recomputed
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.problem import Precision, ThreatModel
from dfrd_bench.records.alone import alone_in
from dfrd_bench.records.files import expanded
from dfrd_bench.records.schema import EvaluationRecord, ExperimentSpec, Predictions, Record
from dfrd_bench.records.store import (
    RECORD_FILE,
    TEACHER_SUFFIX,
    UNFINISHED_FOLDER,
    drop_unfinished,
    load_predictions,
    load_record,
    save_record,
    teacher_folder,
)
from dfrd_bench.registry import ATTACKS, TEACHERS
from dfrd_bench.runs.defaults import usual_defaults
from dfrd_bench.runs.environment import choose_device
from dfrd_bench.runs.failures import logs_failures
from dfrd_bench.runs.leftovers import clear_leftovers
from dfrd_bench.runs.measurement import measure
from dfrd_bench.runs.subject import check_own_images, open_again, recorded_network

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds to wait for another process in the folder


@logs_failures(lambda folder, **_: Path(folder))
@usual_defaults()
def evaluate_run(
    folder: str | Path,
    *,
    attacks: Sequence[str] = STANDARD_ATTACKS,
    dataset: Dataset | str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    observer: Observer = SILENT,
    jobs: int | None = 1,
) -> Record:
    """Add to a finished run's record the attacks it lacks, and the numbers that records did not hold when it was made.

    Nothing is written when it lacks none.

    Args:
        folder: of the run.
        attacks: names of attacks.
        dataset: where the test images are, if the record's name for them does not say so (`imagefolder:PATH`).
        data_dir: see `open_dataset`.
        device: where to run.
        observer: told about progress.
        jobs: processes that attack batches side by side; None: as many as pay, see `jobs_that_pay`.

    Raises:
        DfrdBenchError: no valid record there, or one that is contradicted, weights or test images that are not the record's, or
            an unknown attack.
    """
    folder = Path(folder)
    clear_leftovers(folder)
    record = load_record(folder)
    names = [*ATTACKS.select(attacks)]
    missing = _missing(names, record)
    if missing:
        own_predictions(folder, record)
    check_believed(folder, record)
    if not missing and not isinstance(dataset, str):
        return _completed(folder, record)
    data = dataset if isinstance(dataset, Dataset) else open_again(record, dataset, data_dir, observer)
    if not missing:  # but the dataset that was named is the record's
        return _completed(folder, record)
    with alone_in(folder, PATIENCE) as alone:
        record = believed_record(folder)  # as another process may have left it meanwhile
        if missing := _missing(names, record):
            _say_interrupted(folder)
            record, predictions = measure(
                record.spec,
                recorded_network(folder, record, data.info),
                data,
                attacks=missing,
                device=choose_device(device),
                weights_sha256=record.weights_sha256,
                earlier=(record, own_predictions(folder, record)),
                unfinished=folder / UNFINISHED_FOLDER,
                observer=observer,
                jobs=jobs,
            )
            alone.check()
            save_record(folder, record, predictions)
    return _completed(folder, record)


def _missing(attacks: Sequence[str], record: Record) -> list[str]:
    """The attacks that a record does not have."""
    return [name for name in attacks if name not in record.evaluation.attacks]


def _say_interrupted(folder: Path) -> None:
    """Warn where an evaluation in a folder was stopped."""
    if (folder / UNFINISHED_FOLDER).exists():
        log.warning("%s: an evaluation was interrupted. What its attacks had found is not looked for again.", folder)


@logs_failures(lambda _, results="results", **__: Path(results), clears=False)
@usual_defaults()
def evaluate_teacher(
    name: str,
    *,
    dataset: Dataset | str = "digits",
    architecture: str | None = None,
    attacks: Sequence[str] = STANDARD_ATTACKS,
    results: str | Path = "results",
    device: str = "auto",
    observer: Observer = SILENT,
    jobs: int | None = 1,
) -> tuple[Path, Record]:
    """Evaluate a teacher and keep its record below the results folder, where `table --teacher` finds it.

    What a teacher that was trained here lacks is added to the record beside its weights.

    Raises:
        DfrdBenchError: see `load_teacher`.
    """
    from dfrd_bench.teachers.base import load_teacher

    data = dataset if isinstance(dataset, Dataset) else open_dataset(dataset, progress=observer.on_data)
    place = choose_device(device)
    teacher = load_teacher(name, data.info, architecture=architecture, device=place, precision=Precision())
    spec = ExperimentSpec(
        kind="teacher",
        method="teacher",
        provider="",
        config={},
        dataset=data.name,
        teacher=teacher.record,
        student=teacher.record.architecture,
        threat=data.threat,
        precision="fp32",
        seed=0,
    )
    folder = _beside_its_weights(name, spec) or spec.folder(Path(results))
    if (folder / RECORD_FILE).exists():
        clear_leftovers(folder)
        known = believed_record(folder)
        check_own_images(known, data)
        if not _missing(attacks, known):
            return folder, known
    with alone_in(folder, PATIENCE) as alone:
        earlier = None
        if (folder / RECORD_FILE).exists():
            known = believed_record(folder)
            earlier, spec = (known, own_predictions(folder, known)), known.spec
            if not _missing(attacks, known):
                return folder, known
        _say_interrupted(folder)
        record, predictions = measure(
            spec,
            teacher.model,
            data,
            attacks=attacks,
            device=place,
            weights_sha256=teacher.record.sha256,
            earlier=earlier,
            unfinished=folder / UNFINISHED_FOLDER,
            observer=observer,
            jobs=jobs,
        )
        alone.check()
        save_record(folder, record, predictions)
    return folder, record


@logs_failures(lambda _, results="results", **__: Path(results), clears=False)
@usual_defaults()
def evaluate_weights(
    path: str | Path,
    *,
    architecture: str,
    dataset: Dataset | str = "digits",
    attacks: Sequence[str] = STANDARD_ATTACKS,
    threat: ThreatModel | None = None,
    results: str | Path = "results",
    device: str = "auto",
    observer: Observer = SILENT,
    jobs: int | None = 1,
) -> tuple[EvaluationRecord, Predictions]:
    """Evaluate any file of weights; nothing is recorded. A stopped evaluation leaves what it has below the results folder.

    Raises:
        DfrdBenchError: weights that cannot be read or do not fit the architecture.
    """
    from dfrd_bench.evaluation.evaluate import evaluate_model
    from dfrd_bench.evaluation.helpers import jobs_that_pay
    from dfrd_bench.records.weights import sha256_of
    from dfrd_bench.teachers.checkpoint import load_file

    data = dataset if isinstance(dataset, Dataset) else open_dataset(dataset, progress=observer.on_data)
    place = choose_device(device)
    model = load_file(Path(path), data.info, architecture).model.to(place)
    unfinished = Path(results) / UNFINISHED_FOLDER / sha256_of(Path(path))[:16]
    with alone_in(unfinished, PATIENCE):
        evaluation, predictions, _ = evaluate_model(
            model,
            data.load_tested(),
            num_classes=data.info.num_classes,
            threat=threat or data.threat,
            attacks=attacks,
            device=place,
            unfinished=unfinished,
            on_batch=observer.on_attack,
            stops=observer.stops,
            jobs=jobs_that_pay(attacks, model, data.info.num_classes, place) if jobs is None else jobs,
        )
        drop_unfinished(unfinished, evaluation.attacks)
    drop_unfinished(unfinished, ())  # the folder, which the lock was in
    return evaluation, predictions


def _completed(folder: Path, record: Record) -> Record:
    """The record with every number that its predictions give and that it was made too early to hold."""
    if all(attack.target_entropy is not None for attack in record.evaluation.attacks.values()):
        return record
    predictions = load_predictions(folder)
    changed = differences(record, predictions)
    if changed and all("target_entropy: None" in line for line in changed):
        complete = record.model_copy(update={"evaluation": recomputed(record, predictions)})
        with alone_in(folder, PATIENCE):
            if load_record(folder) == record:
                save_record(folder, complete, predictions)
        return complete
    return record


def _beside_its_weights(name: str, spec: ExperimentSpec) -> Path | None:
    """The record that a teacher has from its training, if it is of the same network, test images and threat model."""
    path = expanded(TEACHERS.parse(name)[1])
    folder = teacher_folder(path) if path.suffix == TEACHER_SUFFIX else None
    if folder is None or not (folder / RECORD_FILE).exists():
        return None
    found = load_record(folder).spec
    ours = (found.teacher, found.dataset, found.threat) == (spec.teacher, spec.dataset, spec.threat)
    return folder if ours else None
