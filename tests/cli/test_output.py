"""Output reaches every terminal and pipe, whatever its encoding and width; no name in it moves a cursor or cuts a number."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import tiny
from rich.table import Table

from dfrd_bench.cli import printing, progress
from dfrd_bench.cli.main import cli
from dfrd_bench.cli.printing import SafeConsole, fit
from dfrd_bench.cli.streams import Output, clean, one_line
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.audit import Finding
from dfrd_bench.records.files import expanded
from dfrd_bench.records.store import load_record
from dfrd_bench.reporting.audit.findings import to_csv
from dfrd_bench.reporting.escaping import cell
from dfrd_bench.reporting.found import find_runs
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.terminal import renderable
from dfrd_bench.teachers.robustbench_files import models_folder

RESULTS = Path(__file__).parents[2] / "results"
RUN = min((RESULTS / "digits").rglob("*/ferd/default-seed1-*/record.json")).parent
NASTY = "a\x1b[2J\x07\rb\x9b31m\u202e\ud800c"


def through(text: str, encoding: str) -> bytes:
    """What reaches a pipe of an encoding."""
    pipe = io.BytesIO()
    with io.TextIOWrapper(pipe, encoding) as stream:
        output = Output(stream, lambda error: None)
        output.write(text)
        output.flush()
        found = pipe.getvalue()
        output.rich_proxied_file.detach()
        output.detach()
        return found


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"CWinf 62.44 +- 0.5+ eps <= 1 - \\u4e2d\\xe9"),
        ("latin-1", b"CWinf 62.44 \xb1 0.5+ eps <= 1 - \\u4e2d\xe9"),
        ("cp1252", b"CWinf 62.44 \xb1 0.5\x86 eps <= 1 \x96 \\u4e2d\xe9"),
        ("utf-8", "CW∞ 62.44 ± 0.5† ε ≤ 1 – 中é".encode()),
    ],
)
def test_what_an_encoding_lacks_is_spelled_out(encoding: str, written: bytes) -> None:
    assert through("CW∞ 62.44 ± 0.5† ε ≤ 1 – 中é", encoding) == written


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8", "utf-16"])
def test_no_control_character_gets_through(encoding: str) -> None:
    text = through(f"{NASTY}\n\tx", encoding).decode(encoding)
    assert not set(text) & set("\x1b\x07\r\x9b\u202e")
    assert text.endswith("\n\tx")
    assert "a\\x1b[2J\\x07\\rb\\x9b31m\\u202e" in text


def test_a_message_is_one_line() -> None:
    assert one_line("a\nError: b\x1b") == r"a\nError: b\x1b"
    assert clean("a\n\tb") == "a\n\tb"


def test_rich_moves_the_cursor_and_what_it_is_given_does_not() -> None:
    stream = io.StringIO()
    table = Table("n\x1bame")
    table.add_row(f"[bold]x[/bold]{NASTY}")
    SafeConsole(file=stream, force_terminal=True, width=80).print(table)
    left = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())
    assert "\x1b[1m" in stream.getvalue()
    assert "n\\x1bame" in left
    assert not set(left) & set("\x1b\x07\r\x9b\u202e")


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of its own")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_bars_on_a_narrow_terminal_move_its_cursor_and_keep_their_numbers(tmp_path: Path, encoding: str) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dfrd_bench", "evaluate", "--teacher", "digits-wrn-10-2", "--test-images", "100"]
    command += ["--attacks", "clean", "--results", str(tmp_path)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "40", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[" in shown
    assert b"\\x1b" not in shown
    assert b"100/100" in shown
    assert b"100.00" in shown
    assert "…".encode() not in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that nobody writes any more
        return b""


def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "check": False, **options}
    return subprocess.run([sys.executable, "-m", "dfrd_bench", *map(str, args)], **given)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_and_exit_code_2() -> None:
    with Path("/dev/full").open("wb") as full:
        done = run("table", RESULTS, stdout=full)
    assert done.stderr == b"Error: The output cannot be written: No space left on device.\n"
    assert done.returncode == 2


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor as a shell does")
def test_a_closed_stdout_and_stderr_are_nowhere_to_write() -> None:
    done = subprocess.run(
        f"{sys.executable} -m dfrd_bench table {RESULTS} >&- 2>&-", shell=True, check=False, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_reader_that_has_seen_enough_hears_no_complaint() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "dfrd_bench", "table", str(RESULTS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_help_and_a_file_with_any_name_reach_an_ascii_console(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9 \x1b[2J.yaml"
    done = run("suite", path, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert done.stderr.isascii()
    assert b"\x1b" not in done.stderr
    assert b"caf\\udce9 \\x1b[2J.yaml" in done.stderr
    helped = run("table", "--help", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert helped.stdout.isascii()
    assert b"mean +- standard" in helped.stdout.replace(b"\n", b" ").replace(b"  ", b"")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_number_of_a_table_is_cut_on_a_narrow_terminal(width: int) -> None:
    tables = build_tables(find_runs([RESULTS / "digits"]).runs)

    stream = io.StringIO()
    SafeConsole(file=stream, force_terminal=True, width=width, color_system=None).print(renderable(tables))
    assert max(map(len, stream.getvalue().splitlines())) <= width
    found = Counter(re.findall(r"(?<![\d.])\d+\.\d{2,3}(?![\d.])", stream.getvalue()))
    wanted: Counter[str] = Counter()
    for row in (row for table in tables for row in table.rows):
        for one in row.cells.values():
            wanted.update(text for text in (one.text, one.spread) if re.fullmatch(r"\d+\.\d+", text))
    assert wanted - found == Counter()


def test_columns_of_an_outcome_are_left_out_and_numbers_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    place = SafeConsole(file=stream, force_terminal=True, width=40, color_system=None)
    monkeypatch.setattr(printing, "console", lambda: place)
    evaluation = load_record(RUN).evaluation
    printing.print_outcome(evaluation)
    for attack in evaluation.attacks.values():
        assert f"{100 * attack.average:.2f}" in stream.getvalue()
        assert f"{100 * attack.worst_class:.2f}" in stream.getvalue()
    shown = " ".join(stream.getvalue().split())
    assert "Left out, as the terminal is narrow: 95 %, worst 10 %, NSD, seconds." in shown


def test_in_a_pipe_no_path_is_broken_and_no_line_ends_in_blanks(tmp_path: Path) -> None:
    long = tmp_path.joinpath(*(12 * ["with blanks and many letters"]))
    there = long / RUN.relative_to(RESULTS)
    shutil.copytree(RUN, there)
    listed, shown = tiny.command("list", "runs", tmp_path).out, tiny.command("show", there).out
    assert f"{there.relative_to(tmp_path)}  finished  " in listed
    assert f"\n{there}\n" in shown
    assert f"`dfrd-bench show {there} --as-config`" in shown
    assert not re.findall(r" +$", listed + shown, re.MULTILINE)


def test_a_table_that_fits_keeps_its_columns() -> None:
    table = Table("name", "value")
    table.add_row("a", "1.00")
    assert fit(table, SafeConsole(width=40, file=io.StringIO()), (1, 0)) == []


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-0.5", "-0.5"),
        ("+3", "+3"),
        ("-1e-3", "-1e-3"),
        ("gamma=1", "gamma=1"),
        ("\t=1", "'\t=1"),
        (-0.5, -0.5),
        (None, None),
    ],
)
def test_no_cell_is_a_formula(text: object, written: object) -> None:
    assert cell(text) == written


def test_a_csv_of_findings_and_one_of_records_hold_no_formula(tmp_path: Path) -> None:
    finding = Finding("=cmd|' /C calc'!A0", "@x", "-y", "rule", "suspicious", "-1.5", "+z")
    (row,) = csv.DictReader(io.StringIO(to_csv([finding])))
    assert [*row.values()] == ["'=cmd|' /C calc'!A0", "'@x", "'-y", "rule", "suspicious", "-1.5", "'+z"]
    record = load_record(RUN)
    spec = record.spec.model_copy(update={"method": "=1+1", "variant": "@x"})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text(record.model_copy(update={"spec": spec}).model_dump_json())
    (row,) = csv.DictReader(io.StringIO(tiny.command("table", tmp_path, "--format", "csv").out))
    assert (row["method"], row["variant"]) == ("'=1+1", "'@x")


def test_without_a_home_folder_what_to_set_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setattr(Path, "expanduser", nowhere)
    for variable in ("XDG_CACHE_HOME", "DFRD_BENCH_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(DfrdBenchError, match="set XDG_CACHE_HOME"):
        models_folder()
    with pytest.raises(DfrdBenchError, match="Write the whole path"):
        expanded("~/x")


def test_the_worst_class_is_named_under_every_attack() -> None:
    record = load_record(RUN)
    shown = tiny.command("show", RUN).out
    (said,) = re.findall(r"^worst class: (.*)$", shown, re.MULTILINE)
    found = {attack: name for name, attacks in re.findall(r"(\S+) \(([^)]*)\)", said) for attack in attacks.split(", ")}
    for attack, result in record.evaluation.attacks.items():
        accuracies = [row[k] / sum(row) for k, row in enumerate(result.confusion)]
        assert found[attack] == record.dataset.info.class_names[accuracies.index(min(accuracies))]
    assert " 1 thread, " in shown


def test_many_classes_that_are_worst_together_are_counted() -> None:
    evaluation = load_record(RUN).evaluation
    attack = evaluation.attacks["clean"].model_copy(update={"per_class": (0.5, 0.0, 0.0, 0.0, 0.0), "worst_class": 0.0})
    alone = evaluation.model_copy(update={"attacks": {"clean": attack}})
    assert printing.worst_classes(alone, "abcde") == "b or c or d or 1 more (clean)"
    assert printing.worst_classes(alone, ()) == ""


def test_attacks_by_several_processes_are_announced_once_and_without_a_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SafeConsole", lambda stderr: SafeConsole(file=io.StringIO()))
    with progress.watching(quiet=False) as observer:
        for attack in ("clean", "fgsm"):
            observer.on_attack(attack, 0, 60, math.nan)
            observer.on_attack(attack, 60, 60, 0.5)
    assert capsys.readouterr().err.splitlines() == [
        f"clean 0/60  {progress.UNDER_WAY}",
        "clean 60/60  50.00 % correct",
        "fgsm 60/60  50.00 % correct",
    ]


def test_whatever_writes_a_file_takes_its_place_by_the_same_short_option() -> None:
    def commands(group: click.Group, context: click.Context) -> Iterator[click.Command]:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield from commands(found, context) if isinstance(found, click.Group) else [found]

    options = [p for one in commands(cli, click.Context(cli)) for p in one.params if "--output" in p.opts]
    assert len(options) > 5
    assert all("-o" in option.opts for option in options)
