"""Does a record hold? Its numbers against its predictions, and its predictions against its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.best_known import best_known
from dfrd_bench.evaluation.contradictions import origin_astray
from dfrd_bench.evaluation.recomputation import differences
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.alone import alone_in
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import RERUN_FOLDER, drop_unfinished, load_predictions, load_record
from dfrd_bench.runs.defaults import usual_defaults
from dfrd_bench.runs.environment import choose_device
from dfrd_bench.runs.failures import logs_failures
from dfrd_bench.runs.measurement import measure
from dfrd_bench.runs.subject import check_same_images, open_again, recorded_network


@logs_failures(lambda folder, **_: Path(folder), clears=False)
@usual_defaults()
def verify_run(
    folder: str | Path,
    *,
    rerun: bool = False,
    attacks: Sequence[str] | None = None,
    dataset: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    observer: Observer = SILENT,
) -> list[str]:
    """Check a record against its predictions, its folder and its weights; with `rerun` its predictions against its weights.

    Nothing is changed.

    Args:
        folder: of the run.
        rerun: attack the stored weights again and compare, image by image.
        attacks: those to run again; all that the record has by default.
        dataset: where the test images are, if the record's name for them does not say so (`imagefolder:PATH`).
        data_dir: see `open_dataset`.
        device: for running again.
        observer: told about progress.

    Returns:
        One line for every difference; none if the record holds. Where predictions are missing, nothing is attacked.

    Raises:
        DfrdBenchError: no valid record or predictions there, or weights or test images that are not the record's.
    """
    folder = Path(folder)
    record = load_record(folder)
    predictions = load_predictions(folder)
    found = [*origin_astray(folder, record), *differences(record, predictions), *_contests_astray(folder, record)]
    if not rerun:
        return found
    chosen = [name for name in record.evaluation.attacks if attacks is None or name in attacks]
    if not chosen:
        raise DfrdBenchError(f"{folder} has none of these attacks; it has {', '.join(record.evaluation.attacks)}.")
    lengths = {len(predictions.labels), *(len(predictions.attacks.get(name, ())) for name in chosen)}
    if lengths != {record.dataset.test_images}:
        return found
    data = open_again(record, dataset, data_dir, observer)
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
        )
        drop_unfinished(folder / RERUN_FOLDER, chosen)
    drop_unfinished(folder / RERUN_FOLDER, ())  # the folder, which the lock was in
    if not (again.labels == predictions.labels).all():
        return [*found, "labels: those of the test images are not those of the predictions"]
    for name in chosen:
        before, after = predictions.attacks[name], again.attacks[name]
        verdicts = int(((before == again.labels) != (after == again.labels)).sum())
        classes = int((before != after).sum())
        if classes:
            found.append(f"{name}: {classes} of {len(before)} predictions differ, {verdicts} of them in being correct")
    return found


def _contests_astray(folder: Path, record: Record) -> Iterator[str]:
    """Every contest below a run that does not count, and every number of one that its predictions do not give."""
    known = best_known(folder, record)
    yield from known.doubted
    for one in known.contests:
        claimed = record.model_copy(update={"evaluation": one.record.evaluation})
        yield from (f"{one.folder.name}: {line}" for line in differences(claimed, load_predictions(one.folder)))
