"""The built wheel, not only the editable install, holds everything the main job needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMALL = (
    "epochs=1",
    "batch_size=16",
    "warmup_epochs=0",
    "synthesis_steps=2",
    "distillation_steps=2",
    "bottleneck_steps=2",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("needs a Git checkout: the wheel is built from the tracked files only")
    for name in tracked.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        str(source),
    ]
    subprocess.run(command, check=True)
    return next(out.glob("*.whl"))


def test_wheel_contains_the_weights_and_the_mapped_packages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "dfrd_bench/teachers/weights/digits-wrn-10-2.safetensors",
        "dfrd_bench/teachers/weights/digits-natural-wrn-10-1.safetensors",
        "dfrd_bench/methods/data_free/ferd.py",
        "dfrd_bench/benchmarks/__init__.py",
        "dfrd_bench/benchmarks/published/ferd.csv",
        "dfrd_bench/benchmarks/published/papers.yaml",
        "dfrd_bench/py.typed",
    ):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests/", "methods/", "results/"))]


def test_main_job_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    settings = [part for setting in SMALL for part in ("--set", setting)]
    command = [
        sys.executable,
        "-m",
        "dfrd_bench",
        "run",
        "--method",
        "ferd",
        "--dataset",
        "digits",
        "--attacks",
        "clean",
    ]
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *settings], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "results").rglob("record.json")
    assert json.loads(record.read_text())["spec"]["method"] == "ferd"
    where = subprocess.run(
        [sys.executable, "-c", "import dfrd_bench; print(dfrd_bench.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(site))
