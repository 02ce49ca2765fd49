"""A finished run's accuracy against ε: its stored weights, attacked again on its test images, and the numbers kept beside it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.alone import alone_in
from dfrd_bench.records.store import load_record
from dfrd_bench.records.sweeps import SweepPoint, SweepRecord, save_sweep
from dfrd_bench.registry import ATTACKS
from dfrd_bench.runs.defaults import usual_defaults
from dfrd_bench.runs.environment import choose_device, describe_environment
from dfrd_bench.runs.failures import logs_failures
from dfrd_bench.runs.subject import check_same_images, open_again, recorded_network

if TYPE_CHECKING:
    from dfrd_bench.evaluation.curve import Curve


@logs_failures(lambda folder, **_: Path(folder), clears=False)
@usual_defaults()
def sweep_run(
    folder: str | Path,
    *,
    attack: str = "pgd20",
    dataset: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    observer: Observer = SILENT,
) -> Curve:
    """Measure the accuracy of a run's network under an attack at growing ε, with the record's seed.

    The record is not touched; `keep_sweep` keeps the numbers beside it.

    Args:
        folder: of the run.
        attack: name of an attack that keeps within an L∞ ball.
        dataset: where the test images are, if the record's name for them does not say so (`imagefolder:PATH`).
        data_dir: see `open_dataset`.
        device: where to run.
        observer: told about progress.

    Raises:
        DfrdBenchError: no valid record there, weights or test images that are not the record's, or an attack that is unknown or
            has no ball.
    """
    import torch

    from dfrd_bench.evaluation.curve import accuracy_curve

    folder = Path(folder)
    record, chosen = load_record(folder), ATTACKS.get(attack)
    data = open_again(record, dataset, data_dir, observer)
    images, place = data.load_tested(), choose_device(device)
    check_same_images(record, images.digest())
    model = recorded_network(folder, record, data.info).to(place).float().eval()
    return accuracy_curve(
        attack,
        chosen,
        model.to(memory_format=torch.channels_last),
        images,
        num_classes=data.info.num_classes,
        eps=record.spec.threat.eps,
        device=place,
        seed=record.evaluation.seed,
        on_level=lambda level, *progress: observer.on_attack(f"{attack} ε = {level:.4g}", *progress),
    )


def keep_sweep(folder: str | Path, curve: Curve, *, device: str = "auto") -> Path:
    """Keep what a sweep found in the run's folder, in the place of an earlier one under the same attack; returns its file.

    Args:
        folder: of the run.
        curve: see `sweep_run`.
        device: where it ran.

    Raises:
        DfrdBenchError: nothing can be written there, or another process is at work in it.
    """
    folder = Path(folder)
    with alone_in(folder):
        record = load_record(folder)
        sweep = SweepRecord(
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            attack=curve.attack,
            provider=ATTACKS.distribution(curve.attack),
            eps=curve.eps,
            seed=record.evaluation.seed,
            points=tuple(
                SweepPoint(eps=point.eps, average=point.average, worst_class=point.worst_class)
                for point in curve.points
            ),
            weights_sha256=record.weights_sha256,
            test_digest=record.dataset.test_digest,
            environment=describe_environment(choose_device(device)),
            notes=curve.notes,
        )
        return save_sweep(folder, sweep)
