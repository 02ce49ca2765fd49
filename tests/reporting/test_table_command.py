"""`dfrd-bench table`, from folders to output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from table_records import make_record, write_record

from dfrd_bench import DfrdBenchError
from dfrd_bench.cli.table import FORMATS, table
from dfrd_bench.reporting import found
from dfrd_bench.reporting.tables import rendering
from dfrd_bench.reporting.tables.build import build_tables


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(table, [str(argument) for argument in arguments])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for method, value in (("ferd", 0.5), ("zskt", 0.4)):
        write_record(folder, make_record({"pgd20": (value, 0.2, 0.3), "clean": (0.9, 0.8, 0.1)}, method=method))
    return folder


def test_the_table_is_printed_plain_when_nobody_watches(results: Path) -> None:
    outcome = invoke(results)
    assert outcome.exit_code == 0
    assert "50.00" in outcome.stdout
    assert "\x1b" not in outcome.stdout


def test_attacks_can_be_chosen(results: Path) -> None:
    assert "Clean" not in invoke(results, "--attacks", "pgd20").stdout
    assert isinstance(invoke(results, "--attacks", "fgsm").exception, DfrdBenchError)


def test_an_invalid_record_is_named_and_the_rest_printed(results: Path) -> None:
    bad = results / "x" / "record.json"
    bad.parent.mkdir()
    bad.write_text('{"created": 1}')
    outcome = invoke(results)
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(f"Skipped: {bad} is not a valid record")
    assert outcome.stderr.count("\n") == 1
    assert "FERD" in outcome.stdout
    assert "Skipped" not in outcome.stdout


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_folders_without_a_valid_record_are_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "record.json").write_text(content)
    error = invoke(tmp_path).exception
    assert isinstance(error, DfrdBenchError)
    assert "\n" not in str(error)


def test_a_folder_that_does_not_exist_is_refused_even_beside_a_good_one(results: Path) -> None:
    error = invoke(results, results / "nowhere").exception
    assert isinstance(error, DfrdBenchError)
    assert "nowhere" in str(error)


def test_overlapping_folders_count_each_run_once(results: Path) -> None:
    assert invoke(results, results / "digits").stdout == invoke(results).stdout


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_reaches_a_file_unchanged(results: Path, tmp_path: Path, style: str) -> None:
    target = tmp_path / "new" / "table.txt"
    outcome = invoke(results, "--format", style, "--output", target)
    assert outcome.stdout == f"Wrote {target}.\n"
    assert target.read_text(encoding="utf-8") == invoke(results, "--format", style).stdout
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_formats_offered_are_the_formats_there_are() -> None:
    assert set(FORMATS) == set(rendering.FORMATS)


def test_csv_says_on_stderr_what_must_not_be_compared(results: Path) -> None:
    write_record(results, make_record({"pgd20": (0.4, 0.2, 0.3)}, method="cmi", sha256="b" * 64))
    outcome = invoke(results, "--format", "csv")
    assert "Not comparable" in outcome.stderr
    assert "Not comparable" not in outcome.stdout
    assert "Not comparable" in invoke(results).stdout


def test_teachers_alone_need_the_option(tmp_path: Path) -> None:
    write_record(tmp_path, make_record({"pgd20": (0.4, 0.2, 0.3)}, kind="teacher"))
    assert "--teacher" in str(invoke(tmp_path).exception)
    assert "Teacher (wrn-10-2)" in invoke(tmp_path, "--teacher").stdout


def test_how_to_record_a_teacher_is_said_in_full(tmp_path: Path) -> None:
    write_record(tmp_path, make_record({"pgd20": (0.4, 0.2, 0.3)}, teacher="checkpoint:t.safetensors"))
    shown = " ".join(invoke(tmp_path, "--teacher").stdout.split())
    assert (
        "`dfrd-bench evaluate --teacher checkpoint:PATH --teacher-arch wrn-10-2 --dataset digits --attacks pgd20"
        in shown
    )


@pytest.mark.parametrize(("name", "quote"), [("mine", ""), ("my own", "'")])
def test_the_command_that_records_a_teacher_leaves_it_where_the_table_looks(
    name: str, quote: str, tmp_path: Path
) -> None:
    record = make_record({"clean": (0.9, 0.8, 0.1), "pgd20": (0.4, 0.2, 0.3)})
    (table,) = build_tables([(write_record(tmp_path / name, record), record)], teachers=True)
    where = f"--attacks clean,pgd20 --results {quote}{tmp_path / name}{quote}`"
    assert f"`dfrd-bench evaluate --teacher wrn-teacher --dataset digits {where}" in " ".join(table.notes)


def test_a_shipped_teacher_stands_in_for_a_missing_record(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "files", lambda package: tmp_path)
    assert "No record of teacher wrn-teacher" in invoke(results, "--teacher").stdout
    (tmp_path / "weights").mkdir()
    shipped = tmp_path / "weights" / "wrn-teacher.record.json"
    record = make_record({"pgd20": (0.7, 0.2, 0.3)}, kind="teacher")
    shipped.write_text(json.dumps(record.model_dump(mode="json")))
    outcome = invoke(results, "--teacher")
    assert "70.00" in outcome.stdout
    assert "No record" not in outcome.stdout
    assert "70.00" not in invoke(results).stdout
    write_record(results, make_record({"pgd20": (0.75, 0.2, 0.3)}, kind="teacher"))
    outcome = invoke(results, "--teacher")
    assert "75.00" in outcome.stdout
    assert "70.00" not in outcome.stdout
    shipped.write_text("{}")
    (results / "digits" / "wrn-teacher" / "wrn-10-2").rename(tmp_path / "elsewhere")
    assert "damaged" in str(invoke(results, "--teacher").exception)


def test_a_teacher_that_is_a_path_is_not_looked_for_in_the_package() -> None:
    assert found.shipped_teacher("/etc/../x") is None
    assert found.shipped_teacher("../weights/x") is None


@pytest.mark.parametrize("style", FORMATS)
def test_no_table_imports_torch(results: Path, style: str) -> None:
    code = (
        "import sys; from dfrd_bench.cli.table import table\n"
        f"table([{str(results)!r}, '--teacher', '--format', {style!r}], standalone_mode=False)\n"
        "assert not {'torch', 'torchvision', 'robustbench'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from dfrd_bench.cli.table import table\n"
        "table(['--help'], standalone_mode=False)\n"
        "assert not {'torch', 'pandas', 'numpy', 'pydantic', 'rich', 'tabulate'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Examples:" in done.stdout


def test_only_the_rows_of_a_suite_are_shown(tmp_path: Path) -> None:
    """A run belongs to a row at any budget, but not with a hyper-parameter that the row does not name."""
    suite = tmp_path / "mine.yaml"
    suite.write_text("title: Mine\nruns:\n  - {method: zskt}\n  - {method: ferd, settings: {utae: false, gamma: 1}}\n")
    runs = {
        "quick": ("zskt", {"utae": True}, 0.11),
        "quick+utae=false": ("zskt", {"utae": False}, 0.22),
        "gamma=1.0+utae=false": ("ferd", {"utae": False, "gamma": 1.0}, 0.33),
        "utae=false": ("ferd", {"utae": False, "gamma": 0.5}, 0.44),
        "default": ("ferd", {"utae": True, "gamma": 0.5}, 0.55),
    }
    folder = tmp_path / "results"
    for variant, (method, config, value) in runs.items():
        write_record(folder, make_record({"clean": (value, 0.1, 0.3)}, method=method, variant=variant, config=config))
    write_record(folder, make_record({"clean": (0.66, 0.1, 0.3)}, kind="teacher"))
    write_record(folder, make_record({"clean": (0.77, 0.1, 0.3)}, kind="teacher", dataset="letters"))
    outcome = invoke(folder, "--suite", suite, "--teacher", "--format", "markdown")
    assert outcome.exit_code == 0, outcome.exception
    assert "**Mine on digits, distilled from wrn-teacher**" in outcome.stdout
    assert {int(value) for value in re.findall(r"(\d+)\.00", outcome.stdout)} == {10, 11, 33, 66}


def test_a_suite_without_a_record_is_refused(results: Path) -> None:
    refused = str(invoke(results, "--suite", "layer").exception)
    assert "None of these records" in refused
    assert "leave out --suite" in refused
    assert "Did you mean 'layer'" in str(invoke(results, "--suite", "layers").exception)
