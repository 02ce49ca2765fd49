"""The life of one run: prepare, train epoch by epoch, checkpoint, evaluate, record."""

from __future__ import annotations

import copy
import gc
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.alone import Alone, alone_in
from dfrd_bench.records.schema import Record, TrainingRecord
from dfrd_bench.records.store import (
    RECORD_FILE,
    UNFINISHED_FOLDER,
    WEIGHTS_FILE,
    load_record,
    save_record,
    was_interrupted,
)
from dfrd_bench.registry import ATTACKS
from dfrd_bench.runs.checkpoint import State
from dfrd_bench.runs.defaults import usual_defaults
from dfrd_bench.runs.epochs import train_epochs
from dfrd_bench.runs.leftovers import check_weights, finish
from dfrd_bench.runs.pictures import keep_samples
from dfrd_bench.runs.preflight import COPIES, check_place, check_recordable, size_of
from dfrd_bench.runs.preparation import Prepared, prepare
from dfrd_bench.runs.request import Request, requested
from dfrd_bench.runs.subject import check_own_images, check_trained_on

if TYPE_CHECKING:
    from dfrd_bench.method import Method

log = logging.getLogger(__name__)


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


def run(
    method: str, dataset: str = "digits", *, observer: Observer = SILENT, keep_checkpoint: bool = False, **request: Any
) -> Finished:
    """Train a student by a method, evaluate it, and record it; the same as `dfrd-bench run`.

    Args:
        method: name of a method.
        dataset: name of a dataset.
        observer: told what happens.
        keep_checkpoint: keep the folder `checkpoint/` of a finished run.
        request: the other fields of `Request`: teacher, student, preset, settings, epochs, seed, eps, precision, device,
            attacks, results, data_dir, test_images, …

    Raises:
        DfrdBenchError: whatever is wrong with the request.
    """
    asked = requested({"method": method, "dataset": dataset, **request}, "run")
    return fulfil(asked, observer, keep_checkpoint=keep_checkpoint)


@usual_defaults()
def fulfil(request: Request, observer: Observer = SILENT, *, keep_checkpoint: bool = False) -> Finished:
    """Make the run that a request asks for.

    A spec that has been run before is not run again: its record comes back, with any attack it lacks added. A run that was
    interrupted goes on from its last checkpoint. What was trained is written before anything that can fail: weights, synthetic
    images as numbers, predictions, the record, and then the picture.

    Raises:
        DfrdBenchError: whatever is wrong with the request.
    """
    from dfrd_bench.runs.reevaluation import evaluate_run

    attacks = tuple(ATTACKS.select(request.attacks))
    prepared = prepare(request, observer)
    folder = prepared.spec.folder(Path(request.results))
    if not os.path.exists(folder / RECORD_FILE):  # noqa: PTH110  (whose path may be too long to be asked about)
        check_recordable(prepared, folder, attacks)
        with alone_in(folder) as alone:
            if not (folder / RECORD_FILE).exists():  # as long as it took to get the folder
                return _make(prepared, alone, attacks, observer, keep_checkpoint)
    check_own_images(load_record(folder), prepared.dataset)
    check_trained_on(folder, load_record(folder).dataset.training_digest, prepared.training_digest)
    record = evaluate_run(folder, attacks=attacks, dataset=prepared.dataset, device=request.device, observer=observer)
    return Finished(folder, record, cached=True)


def _make(
    prepared: Prepared, alone: Alone, attacks: Sequence[str], observer: Observer, keep_checkpoint: bool
) -> Finished:
    """Train, evaluate and record, in a folder that nobody else works in."""
    from dfrd_bench.runs.measurement import measure

    folder = alone.folder
    if was_interrupted(folder):
        log.warning("%s: an evaluation was interrupted. What its attacks had found is not looked for again.", folder)
    prepared.dataset.load_tested()  # what is wrong with the images is said now, not after the training
    with prepared.problem.precision.backends():
        trainee = prepared.method_class(prepared.problem, prepared.config)  # may refuse: before anything is written
        for caution in trainee.cautions:
            log.warning(caution)
        check_place(folder, attacks, COPIES * size_of(trainee.state_dict()))
        state, digest = State(folder), prepared.training_digest
        if begun := state.read():
            check_trained_on(folder, begun.get("training images"), digest)
        seen = {"training images": digest} if digest else {}
        state.write("training", spec=prepared.spec.model_dump(mode="json"), **seen)
        training, weights_sha256 = train(trainee, prepared, alone, observer)
        for finding in (found := trainee.findings()):
            log.warning(finding)
        cautions = (*trainee.cautions, *found)
        del trainee
        gc.collect()  # its pool and networks, before the attacks need the memory
    state.write("evaluation", keep_checkpoint=keep_checkpoint, **seen)
    record, predictions = measure(
        prepared.spec,
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
    )
    alone.check()
    check_weights(folder / WEIGHTS_FILE, weights_sha256)
    save_record(folder, record, predictions)
    finish(folder, record, keep_checkpoint=keep_checkpoint)
    return Finished(folder, record)


def train(method: Method, prepared: Prepared, alone: Alone, observer: Observer) -> tuple[TrainingRecord, str]:
    """Train to the last epoch, going on from a checkpoint if there is one, and write the student's weights.

    Returns:
        How it went, and the sha256 of the weights file.
    """
    from dfrd_bench.records.weights import write_weights

    problem, epochs, folder = prepared.problem, prepared.config.epochs, alone.folder
    record = train_epochs(
        method,
        epochs,
        settings=prepared.config.model_dump(),
        folder=folder,
        device=problem.device,
        observer=observer,
        networks={"teacher": problem.teacher, "student": problem.student},
        still_alone=alone.check,
        images=prepared.training_digest,
    )
    alone.check()
    weights_sha256 = write_weights(folder / WEIGHTS_FILE, method.student)
    if method.sees == "nothing":  # else they are the dataset's own
        keep_samples(prepared, method, folder)
    return record, weights_sha256
