"""The life of one run: prepare, train epoch by epoch, checkpoint, evaluate, record."""

from __future__ import annotations

import copy
import gc
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.observers.attached import attached
from dfrd_bench.records.alone import Alone, alone_in
from dfrd_bench.records.files import check_writable, drop_temporaries
from dfrd_bench.records.schema import ExperimentSpec, Record, TrainingRecord
from dfrd_bench.records.store import RECORD_FILE, UNFINISHED_FOLDER, load_record, save_record, was_interrupted
from dfrd_bench.registry import ATTACKS
from dfrd_bench.runs.anew import known_before, place_anew, put_in_place, settled
from dfrd_bench.runs.checkpoint import State
from dfrd_bench.runs.defaults import usual_defaults
from dfrd_bench.runs.epochs import train_epochs
from dfrd_bench.runs.failures import logs_failures
from dfrd_bench.runs.foresight import foreseen
from dfrd_bench.runs.leftovers import check_weights, finish
from dfrd_bench.runs.pictures import keep_samples
from dfrd_bench.runs.place import Place, begun_at, is_finished, place_of
from dfrd_bench.runs.preflight import COPIES, check_place, check_recordable, size_of
from dfrd_bench.runs.preparation import Prepared, prepare, teacher_request
from dfrd_bench.runs.probing import Probe, no_probe, probing
from dfrd_bench.runs.request import Request, requested
from dfrd_bench.runs.subject import check_own_images, check_trained_on
from dfrd_bench.runs.twins import recorded_at, said_of_twins, twins_of

if TYPE_CHECKING:
    from dfrd_bench.method import Method

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        folder: where its record is, and all its files but for a teacher's weights.
        record: what was measured; `record.spec.student` is its architecture.
        weights: the file.
        cached: True when nothing had to be trained because the same spec had been run before.
        before: of a run that was made anew, the record that it replaced, if that could be read.
    """

    folder: Path
    record: Record
    weights: Path
    cached: bool = False
    before: Record | None = None


def run(
    method: str,
    dataset: str = "digits",
    *,
    observer: Observer = SILENT,
    keep_checkpoint: bool = False,
    force: bool = False,
    **request: Any,
) -> Finished:
    """Train a student by a method, evaluate it, and record it; the same as `dfrd-bench run`.

    Args:
        method: name of a method.
        dataset: name of a dataset.
        observer: told what happens.
        keep_checkpoint: keep the folder `checkpoint/` of a finished run.
        force: make it anew where it is finished; the old one is replaced once the new one is whole.
        request: the other fields of `Request`: teacher, student, preset, settings, epochs, seed, eps, precision, device,
            attacks, results, data_dir, test_images, …

    Raises:
        DfrdBenchError: whatever is wrong with the request.
    """
    asked = requested({"method": method, "dataset": dataset, **request}, "run")
    return fulfil(asked, observer, keep_checkpoint=keep_checkpoint, force=force)


def train_teacher(dataset: str = "digits", *, observer: Observer = SILENT, **request: Any) -> Finished:
    """Train a robust teacher on real images, evaluate and record it; the same as `dfrd-bench teacher train`.

    Args:
        dataset: name of a dataset.
        observer: told what happens.
        request: the other fields of `Request`: method, student (the architecture), settings, seed, eps, output, …

    Raises:
        DfrdBenchError: whatever is wrong with the request; or the output is another teacher, or nobody knows what.
    """
    return fulfil(teacher_request(requested({"dataset": dataset, **request}, "train_teacher")), observer)


@logs_failures(
    lambda request, *_, **__: Path(request.output).parent if request.output else Path(request.results), clears=False
)
@usual_defaults()
def fulfil(
    request: Request, observer: Observer = SILENT, *, keep_checkpoint: bool = False, force: bool = False
) -> Finished:
    """Make the run that a request asks for: of a student, or with an `output` of a teacher (see `teacher_request`).

    A spec that has been run before is not run again: its record comes back, with any attack it lacks added. So is one of the same
    settings whose record does not say by which code it was made; not one by other code, which stays as it is. A run that was
    interrupted goes on from its last checkpoint. What was trained is written before anything that can fail: weights, synthetic
    images as numbers, predictions, the record, and then the picture.

    Args:
        request: what is asked for.
        observer: told what happens, beside those that the request names.
        keep_checkpoint: see `run`.
        force: of a student, see `run`.

    Raises:
        DfrdBenchError: whatever is wrong with the request.
        FailedError: a plugin, or dfrd-bench itself, raised anything else; the traceback is in `error.log` in the run's folder, or
            in that of the results where there was no run yet.
    """
    attacks = tuple(ATTACKS.select(request.attacks))  # a wrong name is said before anything is loaded
    with attached(observer, request.observers) as told:
        return _fulfilled(request, attacks, told, keep_checkpoint, force)


def _fulfilled(
    request: Request, attacks: tuple[str, ...], observer: Observer, keep_checkpoint: bool, force: bool
) -> Finished:
    from dfrd_bench.runs.reevaluation import evaluate_run

    prepared = prepare(request, observer)
    spec, place = prepared.spec, place_of(request, prepared.spec)
    if spec.kind == "student" and not settled(place.folder):
        if force and is_finished(place, spec):
            return _replaced(request, prepared, place, observer, keep_checkpoint)
        folder = place.folder if force else recorded_at(spec, Path(request.results))
        place = Place(folder, folder / place.weights.name)
    if not is_finished(place, spec):
        if spec.kind == "student" and (said := said_of_twins([*twins_of(spec, Path(request.results))], spec)):
            log.warning(said)
        if (made := _made_alone(request, prepared, place, observer, keep_checkpoint)) is not None:
            return made
    folder = place.folder
    if request.probe is not None:
        log.warning("%s is there already: a finished run is not probed any more.", folder)
    there = load_record(folder)
    check_own_images(there, prepared.dataset)
    check_trained_on(folder, there.dataset.training_digest, prepared.training_digest)
    record = evaluate_run(
        folder,
        attacks=attacks,
        dataset=prepared.dataset,
        device=request.device,
        observer=observer,
        jobs=request.evaluation_jobs,
    )
    observer.on_record(folder)
    return Finished(folder, record, place.weights, cached=True)


def _made_alone(
    request: Request, prepared: Prepared, place: Place, observer: Observer, keep_checkpoint: bool
) -> Finished | None:
    """Make a run where nobody else does; None if somebody else has, as long as it took to get the folder."""
    attacks = tuple(ATTACKS.select(request.attacks))
    check_recordable(prepared, place.folder, attacks)
    if prepared.spec.kind != "student":
        check_writable(place.weights)  # outside the folder
    if not State(place.folder).read():
        for said in foreseen(request, prepared, attacks):
            log.warning(said)
    with alone_in(place.folder) as alone:
        if is_finished(place, prepared.spec):
            return None
        return _make(prepared, place, alone, request, observer, keep_checkpoint)


def _replaced(
    request: Request, prepared: Prepared, place: Place, observer: Observer, keep_checkpoint: bool
) -> Finished:
    """Make a finished run anew, beside the old one until it is whole."""
    new, before = place_anew(place), known_before(place.folder)
    made = _made_alone(request, prepared, new, observer, keep_checkpoint)
    record = load_record(new.folder) if made is None else made.record
    put_in_place(new.folder, place.folder)
    return Finished(place.folder, record, place.weights, before=before)


@logs_failures(lambda _, place, *__: place.folder)
def _make(
    prepared: Prepared, place: Place, alone: Alone, request: Request, observer: Observer, keep_checkpoint: bool
) -> Finished:
    """Train, evaluate and record, in a folder that nobody else works in."""
    from dfrd_bench.runs.measurement import measure

    folder, attacks = place.folder, tuple(ATTACKS.select(request.attacks))
    if was_interrupted(folder):
        log.warning("%s: an evaluation was interrupted. What its attacks had found is not looked for again.", folder)
    prepared.dataset.load_tested()  # what is wrong with the images is said now, not after the training
    with prepared.problem.precision.backends():
        trainee = prepared.method_class(prepared.problem, prepared.config)  # may refuse: before anything is written
        for caution in trainee.cautions:
            log.warning(caution)
        check_place(folder, attacks, COPIES * size_of(trainee.state_dict()))
        state, digest = State(folder), prepared.training_digest
        if begun := begun_at(place, prepared.spec, digest):
            check_trained_on(folder, begun.get("training images"), digest)
        known = {"spec": prepared.spec.model_dump(mode="json"), **({"training images": digest} if digest else {})}
        state.write("training", **known)
        (folder / RECORD_FILE).unlink(missing_ok=True)  # of a teacher whose weights are gone
        drop_temporaries(place.weights.parent, place.weights.name)
        epochs, tested = prepared.config.epochs, prepared.dataset.load_tested
        probe = probing(request.probe, request.probe_on, epochs, prepared.problem, tested)
        training, weights_sha256 = train(trainee, prepared, place, alone, observer, probe)
        for finding in (found := trainee.findings()):
            log.warning(finding)
        cautions = (*trainee.cautions, *found)
        del trainee
        gc.collect()  # its pool and networks, before the attacks need the memory
    state.write("evaluation", keep_checkpoint=keep_checkpoint, **known)
    record, predictions = measure(
        _with_weights(prepared.spec, weights_sha256),
        copy.deepcopy(prepared.problem.student),  # a copy is not compiled: evaluation asks the network itself
        prepared.dataset,
        attacks=attacks,
        device=prepared.problem.device,
        weights_sha256=weights_sha256,
        training=training,
        trained_on=prepared.trained_on,
        cautions=cautions,
        unfinished=folder / UNFINISHED_FOLDER,
        observer=observer,
        jobs=request.evaluation_jobs,
    )
    alone.check()
    check_weights(place.weights, weights_sha256)
    save_record(folder, record, predictions)
    finish(folder, record, keep_checkpoint=keep_checkpoint)
    observer.on_record(folder)
    return Finished(folder, record, place.weights)


def _with_weights(spec: ExperimentSpec, sha256: str) -> ExperimentSpec:
    """The spec of a teacher with what it came to; that of a student as it is."""
    if spec.kind == "student":
        return spec
    return spec.model_copy(update={"teacher": spec.teacher.model_copy(update={"sha256": sha256})})


def train(
    method: Method, prepared: Prepared, place: Place, alone: Alone, observer: Observer, probe: Probe = no_probe
) -> tuple[TrainingRecord, str]:
    """Train to the last epoch, going on from a checkpoint if there is one, and write the student's weights.

    Returns:
        How it went, and the sha256 of the weights file.
    """
    from dfrd_bench.records.weights import write_weights

    problem, epochs = prepared.problem, prepared.config.epochs
    record = train_epochs(
        method,
        epochs,
        settings=prepared.config.model_dump(),
        folder=place.folder,
        device=problem.device,
        observer=observer,
        networks={"teacher": problem.teacher, "student": problem.student},
        still_alone=alone.check,
        images=prepared.training_digest,
        probe=partial(probe, method),
    )
    alone.check()
    weights_sha256 = write_weights(place.weights, method.student)
    if method.sees == "nothing":  # else they are the dataset's own
        keep_samples(prepared, method, place.folder)
    return record, weights_sha256
