"""Readers of files that others may have made are total: they accept, or say in one line what is wrong; never a wrong number.

Past failures lie in `corpus/`, by reader; hypothesis makes new ones that keep the structure of the format. The same mutants, as
many as one likes and each in bounded time and memory: `python -m dfrd_bench.benchmarks.reliability.fuzz`.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from dfrd_bench.benchmarks.reliability.archives import MUTATE
from dfrd_bench.benchmarks.reliability.readers import Reader, readers
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
FAILURES = sorted(CORPUS.glob("*/*"))
ACCEPTED = {"checkpoint/memo.pt"}  # was a hang or a failure, and is in order; damaged lines of a history are dropped


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    return readers(tmp_path_factory.mktemp("readers"))


def test_every_reader_accepts_valid_files(every: dict[str, Reader]) -> None:
    assert every.keys() == MUTATE.keys()
    for reader in every.values():
        assert all(reader.accepts(valid) for valid in reader.valid), reader.name


@pytest.mark.parametrize("path", FAILURES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_past_failures_are_one_line(every: dict[str, Reader], path: Path) -> None:
    accepted = every[path.parent.name].accepts(path.read_bytes())
    assert accepted == (path.parent.name == "history" or str(path.relative_to(CORPUS)) in ACCEPTED)


@pytest.mark.parametrize("name", MUTATE)
def test_mutants_are_accepted_for_what_they_are_or_refused_in_one_line(every: dict[str, Reader], name: str) -> None:
    reader = every[name]

    @settings(max_examples=50, derandomize=True, deadline=None, database=None)
    @given(place=st.integers(0, len(reader.valid) - 1), rng=st.randoms(use_true_random=False))
    def check(place: int, rng: Random) -> None:
        reader.accepts(MUTATE[name](reader.valid[place], rng))

    check()
