"""Several methods compared at once: rows of seeds, all pairs, Holm over all, and the formats."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from measured_runs import LABELS, measured, right_on
from table_records import make_record, write_record

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.significance import holm
from dfrd_bench.records.store import find_records
from dfrd_bench.reporting.comparison.grids import STYLES, render_matrix
from dfrd_bench.reporting.comparison.matrix import Matrix, compare_rows
from dfrd_bench.reporting.comparison.members import members_of
from dfrd_bench.reporting.paper import Paper
from dfrd_bench.reporting.tables.layout import Column

PGD = Column("pgd20", "average")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """FERD and Fast differ much with three seeds each; ZSKT is FERD but for few images; DFHL has one seed."""
    rng = np.random.default_rng(0)
    for seed in range(3):
        noise = rng.random(len(LABELS)) < 0.02
        measured(tmp_path, {"pgd20": right_on(120) ^ noise, "clean": right_on(10 + seed)}, seed=seed)
        measured(tmp_path, {"pgd20": right_on(300) ^ noise, "clean": right_on(10 + seed)}, seed=seed, method="fast")
        measured(tmp_path, {"pgd20": right_on(120 + seed) ^ noise, "clean": right_on(11)}, seed=seed, method="zskt")
    measured(tmp_path, {"pgd20": right_on(200), "fgsm": right_on(3), "clean": right_on(9)}, method="dfhl")
    return tmp_path


def matrix(results: Path, *names: str, **options: list[str]) -> Matrix:
    return compare_rows(members_of(names or [str(results)], results), **options)


def test_rows_are_methods_with_all_their_seeds_and_pairs_are_all_of_them_once(results: Path) -> None:
    found = matrix(results)
    assert found.rows == ("DFHL", "Fast", "FERD", "ZSKT")
    assert found.seeds == ((0,), (0, 1, 2), (0, 1, 2), (0, 1, 2))
    keys = [(pair.column, pair.first, pair.second) for pair in found.pairs]
    assert len(keys) == len(set(keys)) == 6 * len(found.means)
    assert {column.attack for column in found.means} == {"clean", "pgd20"}  # fgsm is DFHL's alone


def test_means_and_differences_are_those_of_the_records(results: Path) -> None:
    found = matrix(results)
    by_method: dict[str, list[float]] = {}
    for _, record in find_records(results):
        assert not isinstance(record, DfrdBenchError)
        by_method.setdefault(record.spec.method, []).append(record.evaluation.attacks["pgd20"].average)
    wanted = [np.mean(by_method[name]) for name in ("dfhl", "fast", "ferd", "zskt")]
    assert found.means[PGD] == pytest.approx(wanted)
    for pair in (pair for pair in found.pairs if pair.column == PGD):
        assert pair.difference.value == pytest.approx(wanted[pair.first] - wanted[pair.second])


def test_what_differs_is_marked_what_does_not_is_not_and_one_seed_is_said(results: Path) -> None:
    marks = {(pair.first, pair.second): pair.mark for pair in matrix(results).pairs if pair.column == PGD}
    assert marks[1, 2] == "**"  # Fast, FERD
    assert marks[2, 3] == ""  # FERD, ZSKT
    assert marks[0, 1].endswith("°")
    assert any("one seed" in note for note in matrix(results).notes)
    assert not any("one seed" in note for note in matrix(results, "ferd", "fast").notes)


def test_holm_is_over_all_that_is_shown(results: Path) -> None:
    found = matrix(results)
    assert [pair.holm for pair in found.pairs] == pytest.approx(holm([pair.difference.p for pair in found.pairs]))  # type: ignore[misc]
    alone = matrix(results, "ferd", "fast", attacks=["pgd20"], metrics=["average"])
    assert [pair.holm for pair in alone.pairs] == [alone.pairs[0].difference.p]


def test_runs_folders_and_methods_may_be_mixed_and_each_run_counts_once(results: Path) -> None:
    ferd = sorted(folder for folder, _ in find_records(results) if "ferd" in folder.parts)
    assert members_of([str(ferd[0])], results) == ferd[:1]
    assert sorted(members_of(["ferd", str(ferd[0]), str(ferd[0].parent)], results)) == ferd
    with pytest.raises(
        DfrdBenchError, match=r"neither a run, nor a folder with runs, nor a method\. Did you mean 'ferd'"
    ):
        members_of(["ferdd"], results)
    with pytest.raises(DfrdBenchError, match=r"There is no run of cmi below .*: give --results"):
        members_of(["cmi"], results)


class TestRefused:
    def test_one_method(self, results: Path) -> None:
        with pytest.raises(DfrdBenchError, match="one method with one setting"):
            matrix(results, "ferd")

    def test_other_images(self, results: Path) -> None:
        measured(results, {"pgd20": right_on(5)}, method="cmi", digest="e" * 64)
        with pytest.raises(DfrdBenchError, match="were not tested on the same images"):
            matrix(results)

    def test_an_attack_or_metric_that_not_all_have(self, results: Path) -> None:
        with pytest.raises(DfrdBenchError, match="Unknown attack that all these runs have 'fgsm'"):
            matrix(results, attacks=["fgsm"])
        with pytest.raises(DfrdBenchError, match="Unknown metric"):
            matrix(results, metrics=["mean"])

    def test_a_run_without_predictions(self, results: Path) -> None:
        write_record(results, make_record({"pgd20": (0.4, 0.2, 0.3), "clean": (0.4, 0.2, 0.3)}, method="cmi"))
        with pytest.raises(DfrdBenchError, match=r"holds no predictions\.npz"):
            matrix(results)


class TestFormats:
    def test_csv_has_a_line_per_pair_with_all_that_is_known(self, results: Path) -> None:
        found = matrix(results)
        frame = pd.read_csv(io.StringIO(render_matrix(found, "csv")))
        assert len(frame) == len(found.pairs)
        row = frame.query("attack == 'pgd20' and metric == 'average' and a == 'Fast' and b == 'FERD'").iloc[0]
        assert row["difference"] == pytest.approx(row["mean_a"] - row["mean_b"])
        assert row["low"] < row["difference"] < row["high"] < 0
        assert (row["seeds_a"], row["over_seeds"], row["significant_after_holm"]) == (3, True, True)

    def test_the_sign_in_a_grid_is_row_minus_column(self, results: Path) -> None:
        text = render_matrix(matrix(results, "fast", "ferd", metrics=["average"], attacks=["pgd20"]), "terminal")
        assert re.search(r"^2 FERD +7\d\.\d\d +\+\d\d\.\d\d\*\*$", text, re.MULTILINE)
        assert "It assumes that seeds are drawn independently" in text

    @pytest.mark.parametrize("style", STYLES)
    def test_the_command_prints_each(self, results: Path, style: str) -> None:
        done = tiny.command("compare", "ferd", "fast", "zskt", "--results", results, "--format", style)
        assert (done.code, done.out) == (0, render_matrix(matrix(results, "ferd", "fast", "zskt"), style))

    def test_a_file_takes_what_the_terminal_would(self, results: Path, tmp_path: Path) -> None:
        words, file = ("compare", "ferd", "fast", "--results", results, "--format", "csv"), tmp_path / "differences.csv"
        done = tiny.command(*words, "-o", file)
        assert (done.code, done.out) == (0, f"Wrote {file}.\n")
        assert file.read_text() == tiny.command(*words).out

    def test_latex_rows_have_every_column(self, results: Path) -> None:
        text = render_matrix(matrix(results), "latex")
        assert all(line.isascii() for line in text.splitlines() if not line.startswith("%"))
        widths = {len(spec) for spec in re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)}
        assert widths == {line.count("&") + 1 for line in text.splitlines() if line.endswith(r"\\")} == {5}

    def test_two_runs_are_still_compared_image_by_image(self, results: Path) -> None:
        pair = [folder for folder, _ in find_records(results) if "seed0" in folder.name][:2]
        assert "McNemar" in tiny.command("compare", *pair).out
        assert "McNemar" not in tiny.command("compare", *pair, "--metrics", "average").out

    def test_latex_stands_in_a_paper_as_tables_do(self, results: Path) -> None:
        options = ("--format", "latex", "--wide", "--caption", "Ours.", "--label", "tab:ours", "--notes", "caption")
        text = tiny.command("compare", results, *options).out
        assert re.findall(r"\\caption\{(Ours\.[^.]*\.)", text) == [
            r"Ours. For notes see Table~\ref{tab:ours-2}.",
            "Ours. (Continued.",
        ]
        assert re.findall(r"\\label\{(.*)\}", text) == ["tab:ours", "tab:ours-2"]
        assert text.count(r"\begin{table*}[t]") == 2
        assert "threeparttable" not in text
        assert "It assumes that seeds are drawn independently" in text
        assert r"\item" in tiny.command("compare", results, "--format", "latex").out
        refused = tiny.command("compare", results, "--wide")
        assert (refused.code, refused.out) == (2, "")
        assert "are for --format latex" in refused.err

    def test_a_latex_table_wider_than_a_column_becomes_several_with_every_difference_once(self, tmp_path: Path) -> None:
        for k in range(9):
            measured(tmp_path, {"pgd20": right_on(50 + 9 * k)}, method=f"a-method-called-{k}")
        found = compare_rows(members_of([str(tmp_path)], tmp_path), None, ["average"])
        parts = render_matrix(found, "latex").split(r"\begin{table}")[1:]
        assert len(parts) > 1
        differences = re.findall(r"[+](\d+\.\d\d)[*]*\$", "".join(parts))
        assert len(differences) + "".join(parts).count("$-$") == 9 * 8 / 2
        for part in parts:
            cells = [line.split("&") for line in part.splitlines() if "mean" not in line and "&" in line]
            assert all(any(map(str.strip, line[2:])) for line in cells) or part is parts[0]
        assert len(render_matrix(found, "latex", Paper(wide=True)).split(r"\begin{table*}")) == 2


class TestOfASuite:
    def test_its_rows_are_compared_in_its_order_and_those_without_a_run_are_named(
        self, results: Path, tmp_path: Path
    ) -> None:
        rows = tmp_path / "rows.yaml"
        rows.write_text("title: mine\nruns: [{method: zskt}, {method: ferd}, {method: cmi, settings: {epochs: 3}}]\n")
        done = tiny.command("compare", "--suite", rows, "--results", results, "--metrics", "average")
        assert done.code == 0
        found = re.findall(r"^\d (\w+)", done.out, re.MULTILINE)
        assert found == ["ZSKT", "FERD"] * 2  # under two attacks
        assert "Rows of the suite without a run here: cmi epochs=3." in done.out
        assert tiny.command("compare", results, "--suite", rows, "--metrics", "average").out == done.out
        csv = tiny.command("compare", results, "--suite", rows, "--format", "csv")
        assert "without a run here" in csv.err

    def test_a_name_that_is_none_and_rows_without_runs_are_refused(self, results: Path) -> None:
        for words, said in (
            (["--suite", "mian"], "Unknown suite 'mian'. Did you mean 'main'?"),
            (["--suite", "beta"], "None of these runs is of the suite"),
            ([], "Name what is to be compared"),
        ):
            done = tiny.command("compare", *words, "--results", results)
            assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
            assert said in done.err


def test_a_record_that_cannot_be_read_is_named_and_left_out(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder,) = (folder for folder, _ in find_records(results) if "dfhl" in folder.parts)
    (folder / "record.json").write_text("{")
    assert matrix(results).rows == ("Fast", "FERD", "ZSKT")
    assert [str(folder) in text and text.startswith("Left out: ") for text in caplog.messages] == [True]


def test_a_method_is_meant_where_a_folder_without_runs_is_called_like_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record({"clean": (0.9, 0.8, 0.1)})
    monkeypatch.chdir(tmp_path)
    folder = write_record(Path("results"), record)
    Path("ferd").mkdir()
    assert members_of(["ferd"], Path("results")) == [folder]
    other = write_record(Path("ferd"), record)
    assert members_of(["ferd"], Path("results")) == [other]
    Path("nothing").mkdir()
    with pytest.raises(DfrdBenchError, match=r"^There is no run of nothing\.$"):
        members_of(["nothing"], Path("results"))
