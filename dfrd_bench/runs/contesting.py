"""A contest: somebody else's evaluation of a run's weights, on its images, under its threat model, kept beside its record."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.attacks import STANDARD_ATTACKS
from dfrd_bench.datasets.base import Dataset
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.best_known import outside
from dfrd_bench.evaluation.contradictions import believed_record
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.alone import alone_in
from dfrd_bench.records.contests import CONTESTS_FOLDER, LONGEST_NAME, ContestRecord, find_contests, save_contest
from dfrd_bench.records.schema import EvaluationRecord, Predictions, Record
from dfrd_bench.records.store import UNFINISHED_FOLDER, drop_unfinished
from dfrd_bench.registry import ATTACKS
from dfrd_bench.runs.defaults import usual_defaults
from dfrd_bench.runs.environment import choose_device, describe_environment
from dfrd_bench.runs.failures import logs_failures
from dfrd_bench.runs.subject import check_same_images, open_again

if TYPE_CHECKING:
    import torch
    from torch import nn

PATIENCE = 10.0  # seconds to wait for another contest of the run


@dataclass(frozen=True)
class Contested:
    """A contest that was made.

    Attributes:
        folder: where it lies.
        record: what it says.
        cached: whether the same person had made it before, so that nothing was attacked.
    """

    folder: Path
    record: ContestRecord
    cached: bool = False


@logs_failures(lambda weights, run, **_: Path(run) / CONTESTS_FOLDER, clears=False)
@usual_defaults()
def contest(
    weights: str | Path,
    run: str | Path,
    *,
    by: str,
    attacks: Sequence[str] = STANDARD_ATTACKS,
    seed: int = 0,
    dataset: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    observer: Observer = SILENT,
) -> Contested:
    """Attack the weights of a finished run, and keep what was found below its folder; its record stays as it is.

    Args:
        weights: a file of the run's weights, as it was recorded or saved again.
        run: the run's folder.
        by: who attacks.
        attacks: names of attacks.
        seed: of the attacks.
        dataset: where the test images are, if the record's name for them does not say so (`imagefolder:PATH`).
        data_dir: see `open_dataset`.
        device: where to run.
        observer: told about progress.

    Raises:
        DfrdBenchError: the weights or the images are not the run's, an attack is outside its threat model, or nothing can be
            written there.
    """
    run = Path(run)
    check_by(by)
    record = believed_record(run)
    chosen = ATTACKS.select(attacks)
    for name, attack in chosen.items():
        if why := outside(attack.parameters(record.spec.threat), record.spec.threat):
            raise DfrdBenchError(f"{name} {why}: what it finds cannot be counted.")
    model = contested_network(Path(weights), record)
    data = open_again(record, dataset, data_dir, observer)
    check_same_images(record, data.load_tested().digest())
    unfinished = run / CONTESTS_FOLDER / UNFINISHED_FOLDER
    with alone_in(unfinished, PATIENCE):
        if (known := _made_before(run, record, by, seed, list(chosen))) is not None:
            made = Contested(*known, cached=True)
        else:
            found, predictions = _attacked(
                model, record, data, by, list(chosen), seed, choose_device(device), unfinished, observer
            )
            made = Contested(save_contest(run, found, predictions), found)
        drop_unfinished(unfinished, chosen)
    drop_unfinished(unfinished, ())  # the folder, which the lock was in
    return made


def _attacked(
    model: nn.Module,
    record: Record,
    data: Dataset,
    by: str,
    attacks: Sequence[str],
    seed: int,
    device: torch.device,
    unfinished: Path,
    observer: Observer,
) -> tuple[ContestRecord, Predictions]:
    """What attacks find on the record's network and images, and what there is to say of it."""
    from dfrd_bench.evaluation.evaluate import evaluate_model

    evaluation, predictions, warnings = evaluate_model(
        model.to(device),
        data.load_tested(),
        num_classes=data.info.num_classes,
        threat=record.spec.threat,
        attacks=attacks,
        device=device,
        seed=seed,
        unfinished=unfinished,
        on_batch=observer.on_attack,
        stops=observer.stops,
    )
    found = ContestRecord(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        by=by,
        weights_sha256=record.weights_sha256,
        test_digest=record.dataset.test_digest,
        threat=record.spec.threat,
        evaluation=evaluation,
        providers={name: ATTACKS.distribution(name) for name in attacks},
        environment=describe_environment(device),
        warnings=tuple(warnings),
    )
    return found, predictions


def check_by(by: str) -> None:
    """Refuse a name that says nobody.

    Raises:
        DfrdBenchError: it is empty, longer than a line, or holds something else than printable characters.
    """
    if not by.strip() or len(by) > LONGEST_NAME or not by.isprintable():
        raise DfrdBenchError(f"--by says who you are: a name of 1 to {LONGEST_NAME} printable characters.")


def contested_network(path: Path, record: Record) -> nn.Module:
    """The network in a file, if it is the one that a record describes: by the file's sha256, or by its weights' saved anew.

    Raises:
        DfrdBenchError: it is another network, or cannot be read; or the record is of a teacher that was not trained here.
    """
    from dfrd_bench.records.weights import fill, read_weights, saved_weights, sha256_of
    from dfrd_bench.students.base import build_network

    spec, info = record.spec, record.dataset.info
    if spec.kind == "teacher" and record.training is None:
        raise DfrdBenchError(
            f"{spec.teacher.name} was not trained here: contests are of runs, and of teachers trained here."
        )
    weights = read_weights(path)
    model = build_network(spec.student, channels=info.shape[0], num_classes=info.num_classes, seed=spec.seed)
    fill(model, weights, source=str(path), architecture=spec.student)
    digests = sha256_of(path), hashlib.sha256(saved_weights(model)).hexdigest()
    if record.weights_sha256 not in digests:
        raise DfrdBenchError(
            f"{path} is not the network of this run (sha256 {digests[0][:8]}, recorded {record.weights_sha256[:8]}): "
            "a contest is of the same weights."
        )
    return model


def _made_before(
    run: Path, record: Record, by: str, seed: int, attacks: Sequence[str]
) -> tuple[Path, ContestRecord] | None:
    """The same contest by the same person, if it is there; whether it counts, `best_known` says."""
    for folder, found in find_contests(run):
        if not isinstance(found, ContestRecord):
            continue
        evaluation: EvaluationRecord = found.evaluation
        asked = (found.by, evaluation.seed, list(evaluation.attacks), found.weights_sha256, found.test_digest)
        if asked == (by, seed, list(attacks), record.weights_sha256, record.dataset.test_digest):
            versions = {name: ATTACKS.distribution(name) for name in attacks}
            if versions == found.providers:
                return folder, found
    return None
