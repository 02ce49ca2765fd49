"""Tables for a paper: no wider than there is room for, legible, with caption, label and notes as asked for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tiny
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from table_records import make_record, write_record

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.reporting.paper import NARROW, SIZES, WIDE, Paper, text_width
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.choice import narrowed
from dfrd_bench.reporting.tables.latex import fitted, to_latex, width_of
from dfrd_bench.reporting.tables.layout import ResultTable

ATTACKS = ("clean", "fgsm", "pgd20", "cw", "autoattack")
SMALLEST = 7.0  # points
METHODS = ("zskt", "cmi", "deepinv", "fast", "dfhl", "ferd", "ferd-released")


def a_table(attacks: tuple[str, ...] = ATTACKS, seeds: int = 2) -> ResultTable:
    records = [
        make_record(dict.fromkeys(attacks, (0.5 + s / 7 - m / 30, 0.3 + s / 9, 0.2 + m / 50)), method=method, seed=s)
        for m, method in enumerate(METHODS)
        for s in range(seeds)
    ]
    records.append(make_record(dict.fromkeys(attacks, (0.9, 0.8, 0.1)), kind="teacher"))
    (table,) = build_tables([("run", record) for record in records], teachers=True)
    return table


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for seed in (0, 1):
        numbers = dict.fromkeys(ATTACKS, (0.5 + seed / 10, 0.25, 0.3))
        write_record(tmp_path / "results", make_record(numbers, seed=seed))
        write_record(tmp_path / "results", make_record(numbers, seed=seed, method="zskt"))
    return tmp_path / "results"


def latex(results: Path, *options: str) -> str:
    outcome = tiny.command("table", results, "--format", "latex", *options)
    assert outcome.code == 0, outcome.err
    return outcome.out


class TestFit:
    def test_five_attacks_by_two_metrics_are_one_legible_table_across_two_columns(self) -> None:
        table = narrowed(a_table(), ["average", "worst"])
        fit = fitted(table, WIDE)
        assert fit.parts == (table.columns,)
        assert dict(SIZES)[fit.size] >= SMALLEST
        assert width_of(table, table.columns, dict(SIZES)[fit.size], stacked=fit.stacked) <= WIDE

    @pytest.mark.parametrize("width", [NARROW, WIDE, 397.0])
    @pytest.mark.parametrize("seeds", [1, 2])
    def test_every_column_is_in_exactly_one_part_and_every_part_has_room(self, width: float, seeds: int) -> None:
        table = a_table(seeds=seeds)
        fit = fitted(table, width)
        assert [column for part in fit.parts for column in part] == list(table.columns)
        points = dict(SIZES)[fit.size]
        assert all(width_of(table, part, points, stacked=fit.stacked) <= width for part in fit.parts)

    def test_a_small_table_keeps_the_larger_type_and_its_spread_beside_the_number(self) -> None:
        fit = fitted(a_table(("pgd20",)), WIDE)
        assert (fit.size, fit.stacked, len(fit.parts)) == ("footnotesize", False, 1)

    @pytest.mark.parametrize(
        "text",
        ["97.28", "0.151", "100.00", "Method", "FERD (released code)", "Teacher (wrn-10-2)", "PGD-20", "Worst-10%"],
    )
    def test_widths_are_no_less_than_computer_moderns(self, text: str) -> None:
        """By matplotlib's copy of cmr10; at 7 points TeX takes cmr7, whose digits are 0.569 em wide and not 0.5."""
        font = FontProperties(family="cmr10", size=100)
        measured = TextPath((0, 0), text, prop=font).get_extents().width / 100
        assert 1.0 < text_width(text) / measured < 1.45

    def test_digits_are_as_wide_as_those_of_cmr7(self) -> None:
        assert text_width("0123456789") == pytest.approx(10 * 0.569, rel=0.03)  # cmr7.tfm: 0.569446 of the design size


class TestText:
    def test_notes_stand_below_once_and_not_in_the_caption(self, results: Path) -> None:
        text = latex(results)
        assert text.count(r"\begin{tablenotes}") == 1
        assert text.count("NSD: standard deviation") == 1
        captions = re.findall(r"\\caption\{(.*)\}$", text, re.MULTILINE)
        assert len(captions) > 1
        assert not any("NSD" in caption for caption in captions)
        labels = re.findall(r"\\label\{(.*)\}", text)
        assert len(set(labels)) == len(captions)
        assert all(rf"For notes see Table~\ref{{{labels[-1]}}}" in caption for caption in captions[:-1])

    def test_or_in_the_caption_or_nowhere(self, results: Path) -> None:
        text = latex(results, "--notes", "caption", "--wide")
        assert "tablenotes" not in text
        assert re.search(r"\\caption\{.*NSD: standard deviation.*\}$", text, re.MULTILINE)
        text = latex(results, "--notes", "none", "--wide")
        assert "standard deviation" not in text
        assert "threeparttable" not in text

    def test_caption_and_label_are_the_users(self, results: Path) -> None:
        text = latex(results, "--caption", r"Digits, $\epsilon=0.2$.", "--label", "tab:mine")
        first, *others = re.findall(r"\\caption\{(.*)\}$", text, re.MULTILINE)
        assert first.startswith(r"Digits, $\epsilon=0.2$.")
        assert all(" (Continued.)" in other for other in others)
        assert re.findall(r"\\label\{(.*)\}", text) == ["tab:mine", *(f"tab:mine-{k + 2}" for k in range(len(others)))]

    def test_wide_is_the_environment_across_columns(self, results: Path) -> None:
        text = latex(results, "--wide", "--metrics", "average,worst")
        assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 1
        assert r"\begin{table}[t]" in latex(results)
        assert "resizebox" not in latex(results)

    @pytest.mark.parametrize("paper", [Paper(), Paper(wide=True)], ids=["column", "page"])
    def test_every_number_of_a_row_is_printed_once_and_in_order(self, paper: Paper) -> None:
        table = a_table()
        lines = [line for line in to_latex([table], paper).splitlines() if line.lstrip().startswith("FERD &")]
        printed = [re.findall(r"\d+\.\d+", cell)[0] for line in lines for cell in line.split("&")[2:]]
        (ferd,) = (row for row in table.rows if row.label == "FERD")
        assert printed == [ferd.cells[column].text for column in table.columns]

    def test_options_of_latex_are_of_no_use_elsewhere(self, results: Path) -> None:
        outcome = tiny.command("table", results, "--wide")
        assert (outcome.code, outcome.err) == (
            2,
            "Error: --wide, --caption, --label and --notes are for --format latex.\n",
        )


class TestChoice:
    def test_metrics_are_kept_under_every_attack_in_the_tables_order(self) -> None:
        table = narrowed(a_table(), ["worst", "average"])
        assert [c.key for c in table.columns] == [f"{a}_{m}" for a in ATTACKS for m in ("average", "worst_class")]
        assert not any("NSD" in sentence for sentence in table.legend)
        assert any("Worst: accuracy of the worst class" in sentence for sentence in table.legend)

    def test_columns_come_as_they_were_named(self) -> None:
        table = narrowed(a_table(), None, ["autoattack_worst", "clean_average", "autoattack_average"])
        assert [column.key for column in table.columns] == [
            "autoattack_worst_class",
            "autoattack_average",
            "clean_average",
        ]

    def test_worst_is_the_worst_tenth_where_there_are_many_classes(self) -> None:
        (table,) = build_tables([("run", make_record({"pgd20": (0.4, 0.1, 0.3)}, classes=100))])
        assert [column.metric for column in narrowed(table, ["worst"]).columns] == ["worst_10"]

    @pytest.mark.parametrize(
        ("metrics", "columns", "said"),
        [
            (["avarage"], None, "Did you mean 'average'"),
            (None, ["pgd20_nds"], "Did you mean 'pgd20_nsd'"),
            ([], None, "No column is left"),
        ],
    )
    def test_what_is_not_there_is_refused_with_what_is(
        self, metrics: list[str] | None, columns: list[str] | None, said: str
    ) -> None:
        with pytest.raises(DfrdBenchError, match=said):
            narrowed(a_table(), metrics, columns)

    @pytest.mark.parametrize("style", ["terminal", "markdown", "html", "csv"])
    def test_every_format_shows_only_these(self, results: Path, style: str) -> None:
        out = tiny.command("table", results, "--format", style, "--columns", "pgd20_average,clean_nsd").out
        above = re.split(r"Note\.", out)[0]
        assert "FGSM" not in above
        assert "fgsm" not in above
        if style == "html":
            assert re.findall(r'<th colspan="(\d)">([^<]*)', out) == [("1", "PGD-20"), ("1", "Clean")]

    def test_beside_a_paper_its_columns_are_shown(self, results: Path) -> None:
        outcome = tiny.command("table", results, "--published", "ferd:table1", "--metrics", "average")
        assert "leave --metrics and --columns out" in outcome.err


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("paper", [Paper(), Paper(wide=True)], ids=["column", "page"])
def test_pdflatex_sets_it_without_anything_running_over(tmp_path: Path, paper: Paper) -> None:
    table = narrowed(a_table(), ["average", "worst"])
    preamble = r"\documentclass[10pt,twocolumn]{article}\usepackage[textwidth=505.9pt,columnsep=20pt]{geometry}"
    preamble += r"\usepackage{booktabs,threeparttable}\begin{document}" + "\n"
    (tmp_path / "t.tex").write_text(preamble + to_latex([table], paper) + r"\end{document}")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    log = (tmp_path / "t.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert not re.findall(r"Overfull \\hbox .*", log)
