"""What a site is worked out from: ranks, tested pairs, names of points, pages that no two runs share, scripts."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from measured_runs import measured, right_on
from scipy.stats import rankdata
from table_records import make_record

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.store import load_record
from dfrd_bench.reporting.comparison.differences import compare_runs
from dfrd_bench.reporting.evidence import predictions_beside_records
from dfrd_bench.reporting.site import pairs as pairs_of_runs
from dfrd_bench.reporting.site.assets import as_plain_script
from dfrd_bench.reporting.site.boards import build_boards
from dfrd_bench.reporting.site.borda import borda
from dfrd_bench.reporting.site.chart_data import MOST_POINTS, curves
from dfrd_bench.reporting.site.collecting import site_runs, without_the_way
from dfrd_bench.reporting.site.labels import DOT, HEIGHT, LETTER, LINE, LONGEST, WIDTH, placed, shortened
from dfrd_bench.reporting.site.names import brief_names
from dfrd_bench.reporting.site.writing import check_folder, write_site
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.layout import Row


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def group_of(values: dict[str, tuple[float, float, float | None]], clean: dict[str, float]) -> tuple:
    runs = [
        (name, make_record({"clean": (clean[name], 0.5, 0.1), "pgd20": numbers}, method=name))
        for name, numbers in values.items()
    ]
    table = build_tables(runs)[0]
    return table.groups[0].rows, table.columns


def test_bordas_count_is_that_of_ranks_with_ties_over_the_columns_under_attack() -> None:
    values = {"ferd": (0.7, 0.4, 0.2), "fast": (0.7, 0.5, 0.3), "cmi": (0.6, 0.4, None), "dfhl": (0.1, 0.0, 0.1)}
    rows, columns = group_of(values, {"ferd": 0.1, "fast": 0.2, "cmi": 0.9, "dfhl": 0.95})
    found = borda(rows, columns)
    methods = [row.method for row in rows]
    merits = np.array([[a, w, -np.inf if n is None else -n] for a, w, n in (values[name] for name in methods)])
    expected = (rankdata(merits, axis=0) - 1).sum(axis=1) / (3 * 3)
    assert [found[place].share for place in range(4)] == pytest.approx(expected.tolist())
    assert [found[place].rank for place in range(4)] == rankdata(-expected, method="min").tolist()


def test_all_of_bordas_points_are_given_out() -> None:
    rng = np.random.default_rng(0)
    values = {name: tuple(rng.integers(1, 5, 3) / 10) for name in ("ferd", "fast", "cmi", "dfhl", "zskt")}
    found = borda(*group_of(values, dict.fromkeys(values, 0.9)))
    assert sum(count.share for count in found.values()) == pytest.approx(len(values) / 2)


def test_a_lone_row_has_no_rank() -> None:
    assert borda(*group_of({"ferd": (0.7, 0.4, 0.2)}, {"ferd": 0.9})) == {}


def test_tested_pairs_are_those_of_compare(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for seed, share in enumerate((0.5, 0.62, 0.64)):
        hard = rng.random(600)
        measured(tmp_path, {"clean": hard < 0.9, "pgd20": hard < share}, seed=seed)
    folders = sorted(path.parent for path in tmp_path.rglob("record.json"))
    runs = site_runs([(str(folder), load_record(folder)) for folder in folders], [tmp_path])
    evidence = predictions_beside_records()
    board = build_boards(runs, evidence, silent)[0]
    pairs, why = pairs_of_runs.tested_pairs(board, {id(run.record): run for run in runs}, evidence)
    assert why == ""
    assert len(pairs) == 3
    where = {run.page: Path(run.where) for run in runs}
    for (first, second), tested in pairs.items():
        reference = {line.column: line for line in compare_runs(where[first], where[second]).lines}
        for one in tested:
            line = reference[one.column]
            assert one.difference.value == pytest.approx(line.difference.value)
            assert one.difference.interval == pytest.approx(line.difference.interval, abs=0.02)
            assert one.difference.p == pytest.approx(line.difference.p, abs=0.03)
            assert (one.holm < 0.05) == (line.holm < 0.05) or abs(line.holm - 0.05) < 0.03


def test_a_board_with_too_many_pairs_tests_the_first_run_of_each_row_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        measured(tmp_path, {"clean": right_on(30), "pgd20": right_on(200 + seed)}, seed=seed, variant=variant)
        for variant in ("default", "fae=false")
        for seed in range(2)
    ]
    found = site_runs(runs, [tmp_path])
    by_record, evidence = {id(run.record): run for run in found}, predictions_beside_records()
    board = build_boards(found, evidence, silent)[0]
    monkeypatch.setattr(pairs_of_runs, "MOST_PAIRS", 5)
    pairs, why = pairs_of_runs.tested_pairs(board, by_record, evidence)
    first = {run.page for run in found if run.record.spec.seed == 0}
    assert [set(pages) for pages in pairs] == [first]
    assert "6 pairs" in why
    assert "first run" in why


def test_of_a_board_with_too_many_rows_the_best_are_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"default": 300, "fae=false": 200, "gamma=1": 100, "utae=false": 400}
    runs = [measured(tmp_path, {"pgd20": right_on(count)}, variant=variant) for variant, count in wrong.items()]
    found = site_runs(runs, [tmp_path])
    by_record, evidence = {id(run.record): run for run in found}, predictions_beside_records()
    board = build_boards(found, evidence, silent)[0]
    best = {row.variant: place for place, (_, row) in enumerate(board.named_rows)}
    monkeypatch.setattr(pairs_of_runs, "MOST_PAIRS", 3)  # of 3 rows
    pairs, why = pairs_of_runs.tested_pairs(board, by_record, evidence)
    tested = {run.record.spec.variant for run in found if any(run.page in pages for pages in pairs)}
    assert (len(pairs), tested) == (3, {variant for variant, place in best.items() if place < 3})
    assert why.endswith("of these all but those of the first run of the first 3 of 4 rows")


def row(label: str, kind: str = "student") -> Row:
    return Row(kind=kind, method="m", variant="", settings="", label=label, seeds=(0,), cells={})  # type: ignore[arg-type]


def test_what_all_students_of_a_board_share_is_not_in_their_brief_names() -> None:
    teacher = row("Teacher (wrn-16-2)", "teacher")
    assert brief_names([teacher, row("RSLAD (epochs=10)"), row("ARD (epochs=10)")]) == [teacher.label, "RSLAD", "ARD"]
    assert brief_names([row("RSLAD (epochs=10)"), row("ARD")]) == ["RSLAD (epochs=10)", "ARD"]
    assert brief_names([row("FERD (utae=false)")]) == ["FERD (utae=false)"]


def test_brief_names_never_call_two_rows_the_same() -> None:
    near = [row(f"FERD (adversarial_weight=0.83333{k})") for k in (1, 2)]
    assert brief_names(near) == [one.label for one in near]
    assert brief_names([near[0], row("FERD")]) == ["FERD (adversarial_weight=0.8333)", "FERD"]


def test_names_of_points_cover_neither_each_other_nor_a_point() -> None:
    rng = np.random.default_rng(2)
    for count in (1, 2, 8, 30):
        spots = rng.random((count, 2))
        spots = (spots - spots.min(axis=0)) / np.maximum(np.ptp(spots, axis=0), 1e-9)
        names = placed([(x, y, f"method {k}") for k, (x, y) in enumerate(spots.tolist())], wanted=[True] * count)
        boxes = []
        for (x, y), (text, side) in zip(spots.tolist(), names, strict=True):
            if side:
                left, top = x * WIDTH, HEIGHT - y * HEIGHT
                left += 8 if "right" in side else -8 - LETTER * len(text)
                top += (-8 if "up" in side else 8) - LINE / 2
                boxes.append((left, top, left + LETTER * len(text), top + LINE))
        dots = [(x * WIDTH, HEIGHT - y * HEIGHT) for x, y in spots.tolist()]
        assert boxes
        for one, other in combinations(boxes, 2):
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        if count > 1:
            for left, top, r, bottom in boxes:
                inside = [left < x + DOT and r > x - DOT and top < y + DOT and bottom > y - DOT for x, y in dots]
                assert not any(inside)


def test_a_long_name_keeps_what_tells_it_from_others() -> None:
    found = {n: shortened(f"Fast (synthesis_rounds={n}+synthesis_steps=7)") for n in (1, 6)}
    assert found == {1: "Fast (sr=1+ss=7)", 6: "Fast (sr=6+ss=7)"}
    assert shortened("FERD (adversarial_weight=0.8333333333333334)") == "FERD (aw=0.833)"
    assert shortened("Fair-ARD") == "Fair-ARD"
    assert len(shortened("x" * 99)) == LONGEST


def test_two_runs_never_share_a_page_whatever_they_are_called(tmp_path: Path) -> None:
    records = [make_record({"clean": (0.5, 0.4, 0.1)}, method=name) for name in ("a/b", "a b", "../../a", "é", "A.B")]
    runs = site_runs([(str(tmp_path / str(k)), record) for k, record in enumerate([*records, *records])], [tmp_path])
    pages = [run.page for run in runs]
    assert len(set(pages)) == len(pages) == 10
    assert all(
        page.startswith("runs/") and set(page[5:]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for page in pages
    )


def test_the_way_to_a_results_folder_is_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "private" / "results"
    runs = site_runs([(str(folder / "digits" / "run"), make_record({"clean": (0.5, 0.4, 0.1)}))], [folder])
    assert runs[0].shown == "results/digits/run"
    said = f"{folder}/digits/run/record.json contradicts its evidence."
    assert without_the_way(said, [folder]) == "results/digits/run/record.json contradicts its evidence."
    assert (
        without_the_way("results/a/record.json is damaged.", [Path("results")]) == "results/a/record.json is damaged."
    )


def test_long_histories_are_thinned_and_no_number_is_made_up() -> None:
    lines = [f'{{"epoch": {k}, "seconds": 1, "loss": {k}.5, "p/0": 0.25, "bad": NaN}}' for k in range(1000)]
    single, families = curves([*lines, "no json", "[1]", '{"loss": 3}'])
    assert len(single.rows) == MOST_POINTS
    assert all(value == epoch + 0.5 for _, epoch, value in single.rows)
    assert list(families) == ["p"]


def test_a_module_becomes_a_script_only_where_its_form_is_known() -> None:
    script = as_plain_script("const a=1;export{a as A,b};", "Things")
    assert script.splitlines()[1] == 'const a=1;window["Things"]={"A":a,"b":b};'
    for module in ("const a=1;", "export{a};export{b};", "import.meta.url;export{a};"):
        with pytest.raises(DfrdBenchError, match="install itables"):
            as_plain_script(module, "Things")


def test_a_site_is_not_written_among_somebodys_own_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DfrdBenchError, match="other files and no earlier report"):
        check_folder(tmp_path)
    (tmp_path / "index.json").write_text('{"format": "something else"}')
    with pytest.raises(DfrdBenchError, match="other files and no earlier report"):
        check_folder(tmp_path)


def test_a_new_site_removes_only_what_the_earlier_one_wrote(tmp_path: Path) -> None:
    site = tmp_path / "site"
    index = {"format": "dfrd-bench report", "files": ["old.html", "../../outside.html", "/etc/hosts.html", "notes.txt"]}
    write_site(site, [("old.html", "old"), ("both.html", "old")], index, [])
    for own in (site / "notes.txt", site / "mine.html", tmp_path / "outside.html"):
        own.write_text("mine")
    write_site(site, [("both.html", "new")], {**index, "files": ["both.html"]}, check_folder(site))
    assert sorted(path.name for path in site.iterdir()) == ["both.html", "index.json", "mine.html", "notes.txt"]
    assert (site / "both.html").read_text() == "new"
    assert (tmp_path / "outside.html").read_text() == "mine"
