"""Does a record hold? Its numbers against its predictions, and its predictions against its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.best_known import BestKnown, best_known
from dfrd_bench.evaluation.contradictions import folder_astray, named_by_settings, weights_astray, weights_beside
from dfrd_bench.evaluation.recomputation import differences, numbers_in
from dfrd_bench.evaluation.swept import swept
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.alone import alone_in
from dfrd_bench.records.schema import Predictions, Record
from dfrd_bench.records.store import RERUN_FOLDER, drop_unfinished, load_predictions, load_record
from dfrd_bench.records.sweeps import PREFIX, SUFFIX
from dfrd_bench.runs.defaults import usual_defaults
from dfrd_bench.runs.environment import choose_device
from dfrd_bench.runs.failures import logs_failures
from dfrd_bench.runs.measurement import measure
from dfrd_bench.runs.subject import check_same_images, open_again, recorded_network

if TYPE_CHECKING:
    from dfrd_bench.datasets.base import Dataset


@dataclass(frozen=True)
class Check:
    """One thing that was held against another.

    Attributes:
        name: in a word.
        what: what was held against what, in a line; or why it could not be.
        found: a line for every difference.
        made: whether it could be made.
    """

    name: str
    what: str
    found: tuple[str, ...] = ()
    made: bool = True


@dataclass(frozen=True)
class Verification:
    """What was checked of a record.

    Attributes:
        checks: in order.
        images: how many it was tested on.
        attacks: that it has.
        numbers: how many of it follow from its predictions.
        rerun: whether the weights were attacked again.
        to_rerun: seconds that its attacks took when it was made, and on what.
    """

    checks: tuple[Check, ...]
    images: int
    attacks: tuple[str, ...]
    numbers: int
    rerun: bool
    to_rerun: tuple[float, str]

    @property
    def differences(self) -> list[str]:
        """Of all checks; none if the record holds."""
        return [line for check in self.checks for line in check.found]


def verify_run(folder: str | Path, **how: Any) -> list[str]:
    """One line for every difference that `examine_run` finds; none if the record holds. Arguments and errors are its."""
    return examine_run(folder, **how).differences


@logs_failures(lambda folder, **_: Path(folder), clears=False)
@usual_defaults()
def examine_run(
    folder: str | Path,
    *,
    rerun: bool = False,
    attacks: Sequence[str] | None = None,
    dataset: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    observer: Observer = SILENT,
    jobs: int | None = 1,
) -> Verification:
    """Check a record against its predictions, its folder and its weights; with `rerun` its predictions against its weights.

    Nothing is changed.

    Args:
        folder: of the run.
        rerun: attack the stored weights again and compare, image by image; where predictions are missing, nothing is attacked.
        attacks: those to run again; all that the record has by default.
        dataset: where the test images are, if the record's name for them does not say so (`imagefolder:PATH`).
        data_dir: see `open_dataset`.
        device: for running again.
        observer: told about progress.
        jobs: for running again, processes that attack batches side by side; None: as many as pay, see `jobs_that_pay`.

    Raises:
        DfrdBenchError: no valid record or predictions there, or weights or test images that are not the record's.
    """
    folder = Path(folder)
    record = load_record(folder)
    predictions = load_predictions(folder)
    checks = [*_against_files(folder, record, predictions)]
    if rerun:
        data = partial(open_again, record, dataset, data_dir, observer)
        checks.append(_against_weights(folder, record, predictions, attacks, data, device, observer, jobs))
    results = record.evaluation.attacks
    return Verification(
        checks=tuple(checks),
        images=record.dataset.test_images,
        attacks=tuple(results),
        numbers=numbers_in(record.evaluation),
        rerun=rerun,
        to_rerun=(sum(result.seconds for result in results.values()), record.environment.device),
    )


def _against_files(folder: Path, record: Record, predictions: Predictions) -> Iterator[Check]:
    """What is asked of the files beside a record."""
    spec, results = record.spec, record.evaluation.attacks
    if named_by_settings(folder):
        what = f"named for seed {spec.seed} and settings {spec.digest()}, as the record says"
        yield Check("folder", what, (*folder_astray(folder, record),))
    else:
        yield Check("folder", "is not named for a seed and settings", made=False)
    if weights := weights_beside(folder, record):
        what = f"{weights.name} is the network that was measured, sha256 {record.weights_sha256[:8]}"
        yield Check("weights", what, (*weights_astray(folder, record),))
    else:
        yield Check("weights", "are not kept beside this record", made=False)
    what = f"{numbers_in(record.evaluation):,} of {len(results)} attacks ({', '.join(results)})"
    staged = [name for name, result in results.items() if result.stages]
    stages = f"; the stages of {', '.join(staged)} can have led there" if staged else ""
    yield Check(
        "numbers",
        f"{what} computed again from the predictions of {len(predictions.labels):,} images: confusion matrices, accuracies, NSD, "
        f"their intervals, and what survives every attack{stages}",
        (*differences(record, predictions),),
    )
    beside = swept(folder, record)
    if count := len(beside.sweeps) + len(beside.doubted):
        what = f"{count} over ε ({PREFIX}*{SUFFIX}) of these weights and images, at ε = 0 and the run's ε as recorded"
        yield Check("sweeps", what, beside.doubted)
    known = best_known(folder, record)
    if count := len(known.contests) + len(known.doubted):
        what = f"the numbers of {count} from the predictions of each, and that it is of these weights and images"
        yield Check("contests", what, (*_contests_astray(known, record),))


def _against_weights(
    folder: Path,
    record: Record,
    predictions: Predictions,
    attacks: Sequence[str] | None,
    images: Callable[[], Dataset],
    device: str,
    observer: Observer,
    jobs: int | None,
) -> Check:
    """The weights' answers under the same attacks again, image by image."""
    chosen = [name for name in record.evaluation.attacks if attacks is None or name in attacks]
    if not chosen:
        raise DfrdBenchError(f"{folder} has none of these attacks; it has {', '.join(record.evaluation.attacks)}.")
    lengths = {len(predictions.labels), *(len(predictions.attacks.get(name, ())) for name in chosen)}
    if lengths != {record.dataset.test_images}:
        return Check("rerun", "was left out, as predictions are missing", made=False)
    data = images()
    check_same_images(record, data.load_tested().digest())
    with alone_in(folder / RERUN_FOLDER):
        _, again = measure(
            record.spec,
            recorded_network(folder, record, data.info),
            data,
            attacks=chosen,
            device=choose_device(device),
            weights_sha256=record.weights_sha256,
            unfinished=folder / RERUN_FOLDER,
            observer=observer,
            jobs=jobs,
        )
        drop_unfinished(folder / RERUN_FOLDER, chosen)
    drop_unfinished(folder / RERUN_FOLDER, ())  # the folder, which the lock was in
    what = f"the stored weights, attacked again with {', '.join(chosen)} on the same images (digest "
    what += f"{record.dataset.test_digest[:8]}), give the recorded predictions of each image"
    return Check("rerun", what, tuple(_changed(predictions, again, chosen)))


def _changed(predictions: Predictions, again: Predictions, attacks: Sequence[str]) -> Iterator[str]:
    """A line for each attack under which some image is taken for another class than before."""
    if not (again.labels == predictions.labels).all():
        yield "labels: those of the test images are not those of the predictions"
        return
    for name in attacks:
        before, after = predictions.attacks[name], again.attacks[name]
        verdicts = int(((before == again.labels) != (after == again.labels)).sum())
        if classes := int((before != after).sum()):
            yield f"{name}: {classes} of {len(before)} predictions differ, {verdicts} of them in being correct"


def _contests_astray(known: BestKnown, record: Record) -> Iterator[str]:
    """Every contest below a run that does not count, and every number of one that its predictions do not give."""
    yield from known.doubted
    for one in known.contests:
        claimed = record.model_copy(update={"evaluation": one.record.evaluation})
        yield from (f"{one.folder.name}: {line}" for line in differences(claimed, load_predictions(one.folder)))
