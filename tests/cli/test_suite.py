"""`dfrd-bench suite`: the papers' tables as lists of runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.seeds import parse_seeds
from dfrd_bench.records.store import find_records, load_record
from dfrd_bench.records.suites import SuiteRun, load_suite, suite_names
from dfrd_bench.registry import DATASETS
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.published import published_table
from dfrd_bench.runs.plan import check_suite, planned
from dfrd_bench.runs.request import Request, requested

SMALL = "epochs: 1, batch_size: 16, warmup_epochs: 0, synthesis_steps: 2, distillation_steps: 2"


@pytest.mark.parametrize("name", suite_names())
@pytest.mark.parametrize("dataset", DATASETS.names()[:1])
def test_every_suite_of_the_package_can_be_run(name: str, dataset: str) -> None:
    check_suite(load_suite(name), Request(dataset=dataset, natural_teacher="run:of-natural"))


@pytest.mark.parametrize(
    ("suite", "table"),
    [
        *(("main", "ferd:table1"), ("components", "ferd:table3"), ("conversion", "ferd:table8")),
        *(("layer", "ferd:table9"), ("fair-ard-comparators", "fair-ard:table4")),
        ("fair-ard", "fair-ard:table2"),
    ],
)
def test_a_suite_has_the_methods_and_as_many_rows_as_the_table_it_stands_for(suite: str, table: str) -> None:
    printed = {(entry.method, entry.variant) for entry in published_table(table)}
    runs = load_suite(suite).runs
    assert {run.method for run in runs} == {method for method, _ in printed}
    assert len(runs) == len(printed)


def test_a_suite_may_name_the_student_of_a_row_and_then_is_asked_for_no_other(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("title: Mine\nruns:\n  - {method: sat, student: 'wrn:10-2'}\n  - {method: sat}\n")
    jobs = planned(load_suite(str(path)), [0], Request(dataset="digits"))
    assert [job.student for job in jobs] == ["wrn:10-2", None]
    refused = tiny.command("suite", str(path), "--student", "wrn-10-1", "--dry-run")
    assert (refused.code, refused.err) == (2, "Error: The suite 'Mine' names its own students: leave --student out.\n")
    path.write_text("title: Mine\nruns:\n  - {method: sat, student: wrn-10-l}\n")
    assert "Unknown student 'wrn-10-l'" in tiny.command("suite", str(path), "--dry-run").err


def test_a_row_with_a_student_is_that_students_run_only() -> None:
    (folder,) = (Path(__file__).parents[2] / "results" / "digits").glob("*/*/ferd/default-seed1-*")
    spec = load_record(folder).spec
    rows = [SuiteRun(method="ferd", student=student) for student in (None, spec.student, "wrn-10-2")]
    assert [row.includes(spec) for row in rows] == [True, True, False]


def record_of(method: str, variant: str, **config: object) -> Run:
    folder = next((Path(__file__).parents[2] / "results" / "digits").glob("*/*/ferd/default-seed1-*"))
    record = load_record(folder)
    spec = record.spec.model_copy(
        update={"method": method, "variant": variant, "config": {**record.spec.config, **config}}
    )
    return f"{method}/{variant}", record.model_copy(update={"spec": spec})


def test_a_suite_of_which_every_row_was_changed_alike_is_found_as_that_suite() -> None:
    main = load_suite("main")
    short = [record_of(method, "quick+epochs=3", epochs=3) for method in ("fast", "ferd")]
    assert main.select(short) == short
    assert [row.method for row in main.lacking(short)] == ["zskt", "cmi", "deepinv", "dfhl"]
    assert [main.place(record.spec) for _, record in short] == [3, 5]
    whole = record_of("ferd", "default")
    assert main.select([*short, whole]) == [whole]
    assert main.select([*short, record_of("ferd", "epochs=5", epochs=5)]) == []


def test_of_rows_that_differ_in_a_setting_a_changed_run_is_of_its_own() -> None:
    gap = load_suite("data-gap")
    run = record_of("fast", "conversion=ard+epochs=3", conversion="ard", epochs=3)
    assert gap.select([run]) == [run]
    row = gap.runs[gap.place(run[1].spec)]
    assert (row.method, row.settings) == ("fast", {"conversion": "ard"})


def test_capacity_grows_by_one_dimension_at_a_time() -> None:
    names = [str(run.student).removeprefix("wrn")[1:] for run in load_suite("capacity").runs if run.method == "ard"]
    sizes = [tuple(map(int, name.split("-"))) for name in names]
    assert [depth for depth, width in sizes if width == 1] == [10, 16, 22, 28]
    assert [width for depth, width in sizes if depth == 10] == [1, 2, 4, 8]
    assert len(sizes) == 4 + 4 - 1


def test_list_shows_every_suite_with_its_title() -> None:
    listed = json.loads(tiny.command("list", "suites", "--json").out)
    assert {entry["name"]: entry["summary"] for entry in listed} == {n: load_suite(n).title for n in suite_names()}
    assert {"main", "conversion", "components"} <= {entry["name"] for entry in listed}


def test_a_users_suite_is_run_once_and_goes_on_after_a_failure(tmp_path: Path, few_digits: None) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"title: mine\nruns:\n"
        f"  - {{method: ferd, settings: {{{SMALL}, layer: block9}}}}\n"  # fails when it meets the teacher
        f"  - {{method: zskt, settings: {{{SMALL.replace('synthesis_steps: 2, ', '')}}}}}\n"
    )
    args = ["suite", str(path), "--seeds", "0-1", "--attacks", "clean", "--results", str(tmp_path), "--quiet"]
    done = tiny.command(*args)
    assert done.code == 1
    assert "2 of 4 runs failed" in done.err
    assert "block9" in done.err
    made = {folder: (folder / "record.json").stat().st_mtime_ns for folder, _ in find_records(tmp_path)}
    assert len(made) == 2
    told = tiny.command(*args, "--status").out.splitlines()
    assert told[-1] == "4 runs: 2 done, 0 running, 0 stopped, 2 failed, 0 missing"
    assert "block9" in told[0]
    tiny.command(*args)
    assert made == {folder: (folder / "record.json").stat().st_mtime_ns for folder, _ in find_records(tmp_path)}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("title: x\nruns: []\n", "runs"),
        ("title: x\nruns:\n  - {methd: ferd}\n", "row 1: Unknown key 'methd'. Did you mean 'method'?"),
        ("a: [", "not YAML"),
    ],
)
def test_a_file_that_is_no_suite_gives_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    done = tiny.command("suite", str(path))
    assert done.code == 2
    assert complaint in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_wrong_names_are_found_before_the_first_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("title: x\nruns:\n  - {method: zskt}\n  - {method: ferd, settings: {gama: 1}}\n")
    done = tiny.command("suite", str(path), "--results", str(tmp_path / "results"))
    assert done.code == 2
    assert "gamma" in done.err
    assert not (tmp_path / "results").exists()
    assert "main" in tiny.command("suite", "mian").err


def test_precision_and_compilation_are_those_of_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def fulfil(request: Request, *_: object) -> None:
        asked.append(vars(request))
        raise DfrdBenchError("enough")

    monkeypatch.setattr("dfrd_bench.runs.run.fulfil", fulfil)
    arguments = ("--precision", "bf16", "--compile", "--teacher", "checkpoint:x", "--results", tmp_path)
    assert tiny.command("suite", "layer", *arguments).code == 1
    assert [(r["precision"], r["compile"], r["teacher"]) for r in asked] == [("bf16", True, "checkpoint:x")] * 3


def test_what_watches_every_run_reaches_it_through_the_file_that_launchers_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Request] = []

    def drive(launcher: object, wanted: list[Request], *_: object) -> Iterator[object]:
        sent.extend(requested(json.loads(json.dumps(one.to_dict()))) for one in wanted)
        yield from ()

    monkeypatch.setattr("dfrd_bench.execution.driving.drive", drive)
    asked = ("--probe", "3", "--probe-on", "test", "--observer", "jsonl", "--observer", "tensorboard")
    assert tiny.command("suite", "layer", "--jobs", "2", *asked, "--results", tmp_path).code == 0
    assert [(r.probe, r.probe_on, r.observers) for r in sent] == [(3, "test", ("jsonl", "tensorboard"))] * 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "jsonk",
            "Unknown observer 'jsonk'. Did you mean 'jsonl'? "
            "(One of your own has to be installed first: `pip install -e .` in its folder.)",
        ),
        ("jsonl=x", "--observer jsonl=x: in a suite each run has jsonl in its own folder: leave out =x."),
    ],
)
def test_observers_of_a_suite_are_refused_before_the_first_run(tmp_path: Path, asked: str, said: str) -> None:
    for more in ([], ["--jobs", "2"], ["--dry-run"]):
        done = tiny.command("suite", "layer", "--observer", asked, "--results", tmp_path / "results", *more)
        assert (done.code, done.err) == (2, f"Error: {said}\n")
    assert not (tmp_path / "results").exists()


def test_a_run_for_which_memory_is_short_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fulfil(request: Request, *_: object) -> None:
        tried.append(str(request.method))
        raise MemoryError("CUDA out of memory") if request.method == "cmi" else DfrdBenchError("another reason")

    monkeypatch.setattr("dfrd_bench.runs.run.fulfil", fulfil)
    outcome = tiny.command("suite", "main", "--results", tmp_path)
    assert len(tried) == 6
    assert "6 of 6 runs failed" in outcome.err


def test_seeds_are_lists_and_ranges() -> None:
    assert parse_seeds("0,2,4-6, 2") == [0, 2, 4, 5, 6]
    for wrong in ("", "a", "1-b", "3-1"):
        with pytest.raises(DfrdBenchError):
            parse_seeds(wrong)


def test_a_number_that_yaml_reads_as_text_is_the_number_it_is_for_a_run(tmp_path: Path) -> None:
    """YAML 1.1 takes 1e-2 for a text; `--set lr=1e-2` and the record of the run have 0.01."""
    (tmp_path / "rows.yaml").write_text("title: Rows\nruns:\n- {method: ferd, settings: {lr: 1e-2}}\n")
    (folder,) = (Path(__file__).parents[2] / "results" / "superseded").glob("*/*/*/ferd/lr=0.01-seed0-*")
    assert load_suite(str(tmp_path / "rows.yaml")).includes(load_record(folder).spec)


def test_a_dry_run_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a dataset whose class names stand in its files; what can be checked without them is."""

    def obtain(*_: object) -> None:
        pytest.fail("a download")

    monkeypatch.setattr("dfrd_bench.datasets.tiny_imagenet.obtain", obtain)
    words = ("suite", "main", "--dataset", "tiny-imagenet", "--teacher", "checkpoint:x.pt", "--dry-run")
    outcome = tiny.command(*words, "--seeds", "0-1")
    assert (outcome.code, len(outcome.out.splitlines())) == (0, 12)
    assert "Unknown preset of tiny-imagenet 'papr'" in tiny.command(*words, "--preset", "papr").err
    assert "tiny-imagenet has no teacher of its own" in tiny.command(*words[:4], "--dry-run").err
