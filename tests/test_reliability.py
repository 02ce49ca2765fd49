"""What is measured of long runs is what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from dfrd_bench.benchmarks.reliability.long_runs import measured, size


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_the_size_of_a_process_and_its_folder_is_what_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(b"x" * 1000)
    (tmp_path / "below" / "other").write_bytes(b"x" * 24)
    found = size(3, tmp_path)
    assert (found.epoch, found.folder, found.files) == (3, 1024, 2)
    with (tmp_path / "one").open(), (tmp_path / "one").open():
        assert size(3, tmp_path).descriptors == found.descriptors + 2


def test_epochs_leave_no_open_file_and_no_file_but_the_checkpoint(tmp_path: Path, few_digits: None) -> None:
    sizes = measured("zskt", 4, tmp_path)
    assert [one.epoch for one in sizes] == [1, 2, 3, 4, 5]
    during = sizes[1:-1]  # the first is before the first checkpoint
    assert {one.descriptors for one in during} == {during[0].descriptors}
    assert {one.files for one in during} == {during[0].files}
    assert not {"lock", "state", "method.pt", "error.log"} & {path.name for path in tmp_path.rglob("*")}
