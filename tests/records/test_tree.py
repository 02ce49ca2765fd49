"""Walking results hides nothing: links are followed once, and what cannot be read is named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny

from dfrd_bench.records.store import find_records, load_record
from dfrd_bench.records.tree import find_files

RESULTS = Path(__file__).parents[2] / "results"
RUN = min((RESULTS / "digits").rglob("*/zskt/*/record.json")).parent


@pytest.fixture
def results(tmp_path: Path) -> Path:
    shutil.copytree(RUN, tmp_path / "results" / "here" / RUN.name)
    shutil.copytree(RUN, tmp_path / "elsewhere" / RUN.name)
    return tmp_path / "results"


def names(results: Path) -> list[str]:
    return [str(folder.relative_to(results)) for folder, problem in find_files(results, "record.json") if not problem]


def problems(results: Path) -> list[str]:
    return [str(problem) for _, problem in find_files(results, "record.json") if problem]


def test_a_linked_folder_is_followed(results: Path) -> None:
    (results / "link").symlink_to(results.parent / "elsewhere")
    assert names(results) == [f"here/{RUN.name}", f"link/{RUN.name}"]


def test_what_a_link_repeats_is_found_once_and_where_it_is(results: Path) -> None:
    (results / "a-link").symlink_to("here")
    assert names(results) == [f"here/{RUN.name}"]


def test_loops_end(results: Path) -> None:
    (results / "here" / "up").symlink_to(results)
    (results / "self").symlink_to("self")
    assert names(results) == [f"here/{RUN.name}"]
    (problem,) = problems(results)
    assert problem.startswith(f"Cannot read {results / 'self'}: ")


def test_a_link_that_leads_nowhere_is_named(results: Path) -> None:
    (results / "gone").symlink_to(results.parent / "unmounted")
    assert problems(results) == [f"Cannot read {results / 'gone'}: No such file or directory."]


def test_a_record_that_leads_nowhere_is_named(results: Path) -> None:
    (results / "dangling").mkdir()
    (results / "dangling" / "record.json").symlink_to("unmounted/record.json")
    wrong = {str(record) for _, record in find_records(results) if isinstance(record, Exception)}
    assert wrong == {
        f"{results / 'dangling' / 'record.json'} is a link that leads nowhere: unmounted/record.json is missing."
    }


@pytest.fixture
def locked(results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the system refuses to list, to an administrator too."""
    folder, scandir = results / "locked", os.scandir
    folder.mkdir()

    def refusing(path: Any) -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return folder


@pytest.mark.parametrize("command", ["table", "audit", "verify"])
def test_every_command_names_a_folder_that_cannot_be_read(results: Path, locked: Path, command: str) -> None:
    done = tiny.command(command, results)
    assert done.code == 1
    assert f"Cannot read {locked}: Permission denied." in done.out + done.err


def test_the_order_is_that_of_the_paths(results: Path) -> None:
    for name in ("b", "b/inside", "a"):
        shutil.copytree(RUN, results / name, dirs_exist_ok=True)
    expected = sorted(path.parent.relative_to(results) for path in results.rglob("record.json"))
    assert {*names(results)} == {*map(str, expected)}
    assert names(results) == [str(path.parent.relative_to(results)) for path in sorted(results.rglob("record.json"))]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "record.json")
    return tmp_path


def test_a_record_that_is_a_pipe_is_named_and_nobody_waits_for_it(pipe: Path) -> None:
    ((_, problem),) = find_records(pipe)
    assert str(problem) == f"{pipe / 'record.json'} is a pipe: only regular files are read."


def test_a_record_is_read_through_a_link(results: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").symlink_to(results / "here" / RUN.name / "record.json")
    assert load_record(tmp_path / "run") == load_record(RUN)
