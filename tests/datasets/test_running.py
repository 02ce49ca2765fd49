"""Every dataset in its own format, from its download to a rehearsal and a finished run."""

from __future__ import annotations

from pathlib import Path

import homes
import pytest
import tiny

from dfrd_bench.datasets import tiny_imagenet
from dfrd_bench.datasets.download import Remote
from dfrd_bench.records.store import find_records
from dfrd_bench.records.weights import write_weights
from dfrd_bench.students.base import build_network

CLASSES = {"cifar10": 10, "cifar100": 100, "svhn": 10, "tiny-imagenet": 200}


def put(dataset: str, home: homes.Home, patch: pytest.MonkeyPatch) -> None:
    """Small files of a dataset in its own format, where it is downloaded from."""
    if dataset == "svhn":
        homes.svhn(patch, home)
    elif dataset == "tiny-imagenet":
        home.files["t.zip"] = packed = homes.tiny_imagenet()
        archive = Remote(f"{home.url}/t.zip", "tiny-imagenet-200.zip", homes.md5(packed))
        patch.setattr(tiny_imagenet, "ARCHIVE", archive)
    else:
        homes.cifar(patch, home, classes=CLASSES[dataset])


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("dataset", CLASSES)
def test_a_dataset_is_rehearsed_and_run(
    dataset: str, home: homes.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(dataset, home, monkeypatch)
    write_weights(Path("t.safetensors"), build_network("wrn-10-1", channels=3, num_classes=CLASSES[dataset], seed=0))
    words = (
        *("run", "--method", "ferd", "--dataset", dataset, "--student", "wrn-10-1", "--epochs", "1", "--quiet"),
        *("--teacher", "checkpoint:t.safetensors", "--teacher-arch", "wrn-10-1", *tiny.settings()),
        *("--attacks", "clean,fgsm"),
    )
    rehearsed = tiny.command(*words, "--dry-run")
    assert rehearsed.code == 0, rehearsed.err
    assert not Path("results").exists()
    done = tiny.command(*words)
    assert done.code == 0, done.err
    ((folder, record),) = find_records(Path("results"))
    assert str(folder) in rehearsed.out
    assert not isinstance(record, Exception)
    assert record.dataset.info.num_classes == CLASSES[dataset]
    assert record.evaluation.attacks.keys() == {"clean", "fgsm"}
