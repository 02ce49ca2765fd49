"""What is measured of long runs is what is there."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from dfrd_bench.benchmarks.reliability.long_runs import measured, size

from dfrd_bench.runs import epochs


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_the_size_of_a_process_and_its_folder_is_what_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(b"x" * 1000)
    (tmp_path / "below" / "other").write_bytes(b"x" * 24)
    found = size(3, tmp_path)
    assert (found.epoch, found.folder, found.files) == (3, 1024, 2)
    with (tmp_path / "one").open(), (tmp_path / "one").open():
        assert size(3, tmp_path).descriptors == found.descriptors + 2


def test_epochs_leave_no_open_file_and_no_file_but_two_checkpoints(
    tmp_path: Path, few_digits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "CHECKPOINT_SHARE", math.inf)  # one after each
    sizes = measured("zskt", 5, tmp_path)
    assert [one.epoch for one in sizes] == [1, 2, 3, 4, 5, 6]
    during = sizes[2:-1]  # the first two are before the second checkpoint
    assert {one.descriptors for one in during} == {during[0].descriptors}
    assert {one.files for one in during} == {sizes[0].files + 2}
    assert not {"lock", "state", "method.pt", "previous.pt", "error.log"} & {path.name for path in tmp_path.rglob("*")}
