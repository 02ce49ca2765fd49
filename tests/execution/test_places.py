"""Where runs go: never more at once than fit, and no core or GPU promised twice."""

from __future__ import annotations

import pytest

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.places import places_of, visible_gpus
from dfrd_bench.execution.protocol import Means


def threads(means: Means, gpus: tuple[str, ...] = (), device: str = "auto") -> list[str]:
    return [place.environment["OMP_NUM_THREADS"] for place in places_of(means, device, gpus)[0]]


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        (Means(jobs=2, cores=2), ["1", "1"]),  # not two of two
        (Means(jobs=1, cores=2), ["2"]),
        (Means(jobs=None, cores=8), ["8"]),
        (Means(jobs=3, cores=8), ["2"] * 3),
        (Means(jobs=4, cores=8, most_threads=1), ["1"] * 4),
        (Means(jobs=2, cores=8, most_threads=6), ["4"] * 2),
        (Means(jobs=2, cores=8, threads=3), ["3"] * 2),
        (Means(jobs=1, cores=2, threads=4), ["4"]),  # asked for, so it is not less
    ],
)
def test_threads_are_divided_among_jobs(means: Means, expected: list[str]) -> None:
    assert threads(means) == expected
    assert places_of(means, "cpu", ["0"])[1] == ""


@pytest.mark.parametrize("jobs", range(1, 20))
@pytest.mark.parametrize("cores", [1, 2, 7])
def test_no_core_is_promised_twice(jobs: int, cores: int) -> None:
    given = threads(Means(jobs=jobs, cores=cores))
    assert sum(map(int, given)) <= cores
    assert len(given) == min(jobs, cores)


def test_more_jobs_than_fit_is_said_and_fewer_are_taken() -> None:
    places, said = places_of(Means(jobs=5, cores=4, threads=2), "cpu", [])
    assert (len(places), said) == (2, "5 jobs do not fit at once: 2 of them on 4 cores, with 2 threads for each job.")
    places, said = places_of(Means(jobs=5, cores=4), "auto", ["0", "3"])
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in places] == ["0", "3"]
    assert said == "5 jobs do not fit at once: 2 of them on 2 GPUs, with 1 of one for each job."


def test_a_gpu_is_shared_only_when_asked_and_others_are_filled_first() -> None:
    places, said = places_of(Means(jobs=3, gpus_per_job=0.5, cores=9), "cuda", ["0", "MIG-x"])
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in places] == ["0", "MIG-x", "0"]
    assert [place.environment["OMP_NUM_THREADS"] for place in places] == ["3"] * 3
    assert said == ""
    assert len(places_of(Means(jobs=99, gpus_per_job=0.3, cores=1), "auto", ["0"])[0]) == 3
    assert len(places_of(Means(cores=1), "auto", ["0", "1"])[0]) == 2


def test_a_gpu_that_is_named_stays_the_one_that_is_named() -> None:
    (place,), said = places_of(Means(jobs=2, cores=2), "cuda:1", ["0", "1"])
    assert (place.name, place.environment) == ("cuda:1", {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"})
    assert "2 jobs do not fit" in said


@pytest.mark.parametrize(
    ("means", "device", "complaint"),
    [
        (Means(jobs=0), "auto", "--jobs must be 1 or more"),
        (Means(gpus_per_job=0), "auto", "--gpus-per-job must lie above 0"),
        (Means(gpus_per_job=2), "auto", "a run uses one"),
        (Means(), "cuda", "PyTorch finds no CUDA device"),
    ],
)
def test_what_cannot_be_is_refused(means: Means, device: str, complaint: str) -> None:
    with pytest.raises(DfrdBenchError, match=complaint):
        places_of(means, device, [])


def test_gpus_keep_the_names_that_the_user_gave_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-8932f937")
    assert visible_gpus() == ["5", "GPU-8932f937"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert visible_gpus() == ["0", "1"]
