"""What `doctor` says of an environment in which something is wrong, and where nothing is."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from typing import Any

import plugin_packages
import pytest
import tiny
from packaging.specifiers import SpecifierSet

from dfrd_bench.cli import threads
from dfrd_bench.runs import health
from dfrd_bench.runs.health import fits

CHECKS = {
    *("python", "packages", "device", "precision", "threads", "results", "downloads", "models"),
    *("temporary", "plugins", "robustbench"),
}


def told(*args: str | Path) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Exit code, and findings by what was looked at."""
    outcome = tiny.command("doctor", "--json", *args)
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(outcome.out):
        found.setdefault(one["check"], []).append(one)
    return outcome.code, found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """RobustBench takes seconds to import; and a cache that may be written."""
    monkeypatch.setattr("dfrd_bench.teachers.robustbench_import.robustbench", lambda _: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_where_nothing_is_wrong_every_check_has_a_line_and_the_exit_code_is_0(tmp_path: Path) -> None:
    code, found = told("--results", tmp_path / "results")
    assert found.keys() == CHECKS
    assert [one for ones in found.values() for one in ones if not one["ok"]] == []
    assert code == 0
    lines = tiny.command("doctor", "--results", tmp_path / "results").out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", name] for ones in found.values() for name in [ones[0]["check"]]
    ]
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "cache").exists()


def test_a_plugin_that_cannot_be_imported_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = plugin_packages.plant(tmp_path, "attacks", {"hostile": "thing"}, "raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(site)
    plugin_packages.forget()
    outcome = tiny.command("doctor")
    monkeypatch.undo()
    plugin_packages.forget()
    assert outcome.code == 1
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("WRONG")]
    assert "attack hostile of dfrd-bench-planted 1.5 cannot be loaded: SystemExit: 0. To do: " in line
    assert "pip uninstall dfrd-bench-planted" in line


def test_a_folder_that_cannot_be_written_is_named_with_the_option_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DFRD_BENCH_DATA", str(tmp_path / "file" / "cache"))
    code, found = told("--results", tmp_path / "file")
    assert code == 1
    assert "--results" in found["results"][0]["fix"]
    assert "DFRD_BENCH_DATA" in found["downloads"][0]["fix"]


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**40, 2**40, 10**6))
    code, found = told()
    assert code == 1
    assert found["results"][0]["found"].endswith("0.0 GiB free")
    assert found["results"][0]["fix"].startswith("make room")


def test_more_threads_than_processors_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "processors", lambda: 2)
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    _, found = told()
    assert found["threads"][0]["fix"].startswith("--threads 2")


@pytest.mark.parametrize(("version", "fix"), [(None, "is not installed"), ("1.3", "is 1.3, and >=")])
def test_a_package_that_is_missing_or_too_old_is_named(
    monkeypatch: pytest.MonkeyPatch, version: str | None, fix: str
) -> None:
    usual = metadata.version

    def other(name: str) -> str:
        if name != "torch":
            return usual(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(health.metadata, "version", other)
    code, found = told()
    (wrong,) = [one for one in found["packages"] if not one["ok"]]
    assert code == 1
    assert fix in wrong["found"]
    assert wrong["fix"].startswith('pip install "torch>=')


def test_robustbench_that_cannot_be_imported_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise SystemExit("broken")

    monkeypatch.setattr("dfrd_bench.teachers.robustbench_import.robustbench", fail)
    code, found = told()
    assert code == 1
    assert found["robustbench"][0]["found"] == "SystemExit: broken"


@pytest.mark.parametrize("version", ["1.0", "2.4", "2.4.0", "2.10.1+cu124", "80.9.0", "81", "81.0.1", "3.0rc1"])
@pytest.mark.parametrize("bounds", ["", ">=2.4", "<81", ">=2,<81", ">=2.4.1"])
def test_bounds_mean_what_they_mean_to_pip(version: str, bounds: str) -> None:
    assert fits(version, bounds) is SpecifierSet(bounds).contains(version, prereleases=True)
