"""What was made elsewhere lands whole: nothing is seen before it is, a record comes last, and only if it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.ray.outgoing import files_of
from dfrd_bench.records.alone import alone_in
from dfrd_bench.records.presence import at_work
from dfrd_bench.runs.arrivals import Arrivals
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.run import fulfil
from dfrd_bench.runs.verification import verify_run

SMALL = {"epochs": 1, "batch_size": 8, "distillation_steps": 2, "attack_steps": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a finished run."""
    with pytest.MonkeyPatch.context() as patch:
        tiny.cut_digits(patch)
        results = tmp_path_factory.mktemp("made")
        request = Request(method="zskt", device="cpu", attacks=("clean",), settings=SMALL, results=str(results))
        folder = fulfil(request).folder
    return files_of(folder, folder)


def test_a_run_lands_as_it_was_and_what_only_the_way_needed_goes(tmp_path: Path, made: dict[str, bytes]) -> None:
    arrivals = Arrivals(tmp_path / "run")
    arrivals.stage("checkpoint/method.pt", b"a checkpoint")
    arrivals.stage("state", b"{}")
    assert not (tmp_path / "run" / "state").exists()
    arrivals.keep()
    assert (tmp_path / "run" / "checkpoint" / "method.pt").read_bytes() == b"a checkpoint"
    for name, data in made.items():
        arrivals.stage(name, data)
    assert not (tmp_path / "run" / "record.json").exists()
    arrivals.keep([*made])
    arrivals.close()
    assert files_of(tmp_path / "run", tmp_path / "run") == made
    assert [path.name for path in (tmp_path / "run").iterdir() if path.is_dir()] == []
    assert verify_run(tmp_path / "run") == []


@pytest.mark.parametrize("damaged", ["predictions.npz", "student.safetensors", "record.json"])
def test_a_record_that_its_evidence_contradicts_does_not_land(
    tmp_path: Path, made: dict[str, bytes], damaged: str
) -> None:
    arrivals = Arrivals(tmp_path / "run")
    for name, data in made.items():
        middle = len(data) // 2
        changed = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
        arrivals.stage(name, changed if name == damaged else data)
    with pytest.raises(DfrdBenchError):
        arrivals.keep([*made])
    arrivals.close()
    assert not (tmp_path / "run" / "record.json").exists()
    assert not [*(tmp_path / "run").rglob("*.tmp")]


def test_while_a_run_lands_its_folder_is_nobody_elses(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path / "run")
    arrivals.stage("state", b"{}")
    assert at_work(tmp_path / "run")
    with pytest.raises(DfrdBenchError, match="Another process is at work in"):
        Arrivals(tmp_path / "run")
    arrivals.close()
    with alone_in(tmp_path / "run"):
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["lock"]


@pytest.mark.parametrize("name", ["../state", "/etc/state", "", "lock", "a/../../b"])
def test_a_file_has_its_place_in_the_folder_or_none(tmp_path: Path, name: str) -> None:
    arrivals = Arrivals(tmp_path / "run")
    with pytest.raises(DfrdBenchError, match="has no place"):
        arrivals.stage(name, b"")
    arrivals.close()
