"""Two runs compared: what is refused, what is said, and that the numbers are the records'."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from measured_runs import LABELS, measured, right_on
from scipy.stats import binomtest, norm
from table_records import make_record, write_record

from dfrd_bench.cli.compare import STYLES
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import Predictions
from dfrd_bench.records.store import load_record, save_record
from dfrd_bench.reporting.comparison import text as comparison_text
from dfrd_bench.reporting.comparison.differences import Comparison, Line, compare_runs
from dfrd_bench.reporting.tables.layout import Column


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A is right wherever B is and on 60 images more under PGD; under `clean` they differ on 10 images each."""
    a, _ = measured(tmp_path, {"pgd20": right_on(120), "clean": right_on(10), "only_a": right_on(5)})
    b, _ = measured(tmp_path, {"pgd20": right_on(180), "clean": right_on(10, start=100)}, method="zskt")
    return Path(a), Path(b)


def lines(comparison: Comparison) -> dict[tuple[str, str], Line]:
    return {(line.column.attack, line.column.metric): line for line in comparison.lines}


def test_values_are_the_records_and_the_difference_is_theirs(pair: tuple[Path, Path]) -> None:
    found = lines(compare_runs(*pair))
    records = [load_record(folder).evaluation.attacks for folder in pair]
    for (attack, metric), line in found.items():
        assert (line.a, line.b) == tuple(getattr(record[attack], metric) for record in records)
        assert line.difference.value == pytest.approx(line.a - line.b)  # type: ignore[operator]


def test_attacks_of_both_come_in_the_papers_order_and_ten_classes_have_no_worst_tenth(pair: tuple[Path, Path]) -> None:
    keys = [line.column for line in compare_runs(*pair).lines]
    assert keys == [Column(a, m) for a in ("clean", "pgd20") for m in ("average", "worst_class", "nsd")]


def test_a_worst_tenth_of_several_classes_is_compared_too(tmp_path: Path) -> None:
    labels = np.arange(12 * 20) % 12
    folders = [measured(tmp_path, {"pgd20": labels != k}, labels=labels, seed=k)[0] for k in (0, 1)]
    found = lines(compare_runs(*map(Path, folders)))
    assert found["pgd20", "worst_10"].a == 0.5  # the empty class and a full one


def test_a_clear_difference_is_significant_and_equal_counts_are_not(pair: tuple[Path, Path]) -> None:
    found = lines(compare_runs(*pair))
    clear, equal = found["pgd20", "average"], found["clean", "average"]
    assert clear.difference.p is not None
    assert norm.isf(clear.difference.p / 2) == pytest.approx(60 / (60 * 0.9) ** 0.5, rel=0.1)  # 6 of each class's 60
    assert clear.significant
    assert clear.significant_after_holm
    assert clear.better == "A"
    assert clear.mcnemar == pytest.approx(binomtest(60, 60).pvalue)
    assert not equal.significant
    assert equal.mcnemar == 1.0
    assert found["pgd20", "worst_class"].mcnemar is None


def test_lower_nsd_is_better(tmp_path: Path) -> None:
    even, odd = right_on(300), LABELS % 2 == 0  # both right on half the images
    a, _ = measured(tmp_path, {"pgd20": odd}, seed=1)
    b, _ = measured(tmp_path, {"pgd20": even}, seed=2)
    line = lines(compare_runs(Path(a), Path(b)))["pgd20", "nsd"]
    assert line.a == 1.0
    assert (line.significant, line.better) == (True, "B")


def test_words_say_what_is_significant_and_what_holm_leaves(pair: tuple[Path, Path]) -> None:
    first, second, third = compare_runs(*pair).conclusions()
    assert first == "Significant at 0.05 (*): 2 of 6 differences: A is better in PGD-20 Avg., PGD-20 Worst."
    assert second.startswith("With 6 comparisons, chance alone makes about 0.3 look significant; after Holm's")
    assert second.endswith("all of them remain (**).")
    assert "several seeds" in third
    same = compare_runs(pair[0], pair[0]).conclusions()
    assert same[0] == "Significant at 0.05 (*): none of 9 differences."


class TestRefused:
    def test_a_run_without_predictions(self, pair: tuple[Path, Path]) -> None:
        (pair[1] / "predictions.npz").unlink()
        self.refused(pair, r"zskt.* holds no predictions\.npz")

    def test_damaged_predictions(self, pair: tuple[Path, Path]) -> None:
        (pair[1] / "predictions.npz").write_bytes(b"PK\x03\x04half")
        self.refused(pair, r"zskt.*predictions\.npz is truncated, corrupt")

    def test_predictions_of_another_run(self, pair: tuple[Path, Path]) -> None:
        (pair[1] / "predictions.npz").write_bytes((pair[0] / "predictions.npz").read_bytes())
        self.refused(pair, "does not belong to the record beside it: the confusion matrix under")

    @pytest.mark.parametrize(
        "attacks", [{}, {"pgd20": LABELS[:5], "clean": LABELS[:5]}, {"pgd20": LABELS + 50, "clean": LABELS + 50}]
    )
    def test_predictions_that_do_not_fit(self, pair: tuple[Path, Path], attacks: dict[str, np.ndarray]) -> None:
        save_record(pair[1], load_record(pair[1]), Predictions(LABELS, attacks))
        self.refused(pair, "does not belong to the record beside it")

    def test_other_images(self, tmp_path: Path) -> None:
        folders = [measured(tmp_path, {"pgd20": right_on(9)}, digest=d * 64, seed=i)[0] for i, d in enumerate("xy")]
        self.refused(folders, r"not tested on the same images in the same order \(digests xxxxxxxx and yyyyyyyy\)")

    def test_other_labels(self, tmp_path: Path) -> None:
        folders = [
            measured(tmp_path, {"pgd20": right_on(9)}, labels=labels, seed=seed)[0]
            for seed, labels in enumerate((LABELS, LABELS[::-1].copy()))
        ]
        self.refused(folders, r"same images in the same order \(labels differ\)")

    def test_no_attack_in_common(self, tmp_path: Path) -> None:
        folders = [measured(tmp_path, {name: right_on(9)}, seed=i)[0] for i, name in enumerate(("pgd20", "clean"))]
        self.refused(folders, "have no attack in common")

    def test_a_folder_that_is_no_run(self, pair: tuple[Path, Path], tmp_path: Path) -> None:
        self.refused((pair[0], tmp_path / "nowhere"), "No record in .*nowhere")

    def refused(self, folders: object, message: str) -> None:
        outcome = tiny.command("compare", *folders)  # type: ignore[misc]
        assert outcome.code == 2
        assert outcome.out == ""
        assert outcome.err.count("\n") == 1
        with pytest.raises(DfrdBenchError, match=message):
            compare_runs(*map(Path, folders))  # type: ignore[call-overload]


class TestPrinted:
    def test_every_number_in_plain_text(self, pair: tuple[Path, Path]) -> None:
        outcome = tiny.command("compare", *pair)
        assert outcome.code == 0
        assert outcome.out.startswith(
            "A: FERD on wrn-10-1, seed 0\nB: ZSKT on wrn-10-1, seed 0\n600 test images of digits"
        )
        (row,) = (line for line in outcome.out.splitlines() if line.startswith("PGD-20"))
        assert row.split()[:6] == ["PGD-20", "Avg.", "↑", "80.00", "70.00", "+10.00"]
        assert row.split()[-3:] == ["<0.0001", "**", "<0.0001"]
        assert "−0.00" not in outcome.out

    def test_markdown_is_a_pipe_table(self, pair: tuple[Path, Path]) -> None:
        text = tiny.command("compare", *pair, "--format", "markdown").out
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len(rows) == 2 + 6
        assert {row.replace(r"\|", "").count("|") for row in rows} == {10}

    def test_csv_gives_every_number_back(self, pair: tuple[Path, Path]) -> None:
        frame = pd.read_csv(io.StringIO(tiny.command("compare", *pair, "--format", "csv").out))
        comparison = compare_runs(*pair)
        assert frame["a"].tolist() == [line.a for line in comparison.lines]
        assert frame["p"].tolist() == [line.difference.p for line in comparison.lines]
        assert frame["p_mcnemar"].notna().sum() == 2

    def test_an_undefined_nsd_is_a_dash(self, tmp_path: Path) -> None:
        a, _ = measured(tmp_path, {"pgd20": right_on(600)}, seed=1)
        b, _ = measured(tmp_path, {"pgd20": right_on(6)}, seed=2)
        row = tiny.command("compare", a, b).out.splitlines()[8].split()
        assert row == ["NSD", "↓", "–", "0.008", "–", "–", "–"]  # sqrt(0.6·0.4) / 60 over a mean of 0.99

    def test_what_must_not_be_compared_is_said(self, tmp_path: Path) -> None:
        folders = [
            measured(tmp_path, {"pgd20": right_on(9)}, seed=i, parameters={"steps": steps})[0]
            for i, steps in enumerate((10, 20))
        ]
        assert (
            "Warning. Not comparable: the rows do not share the same settings of PGD-20."
            in tiny.command("compare", *folders).out
        )

    def test_styles_offered_are_the_styles_there_are(self) -> None:
        assert STYLES == comparison_text.STYLES


def test_comparing_imports_no_torch(pair: tuple[Path, Path]) -> None:
    code = (
        "import sys; from dfrd_bench.cli.compare import compare\n"
        f"compare({[str(folder) for folder in pair]!r}, standalone_mode=False)\n"
        "assert not {'torch', 'torchvision', 'robustbench', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_hand_made_record_without_predictions_is_no_run_to_compare(tmp_path: Path) -> None:
    folder = write_record(tmp_path, make_record({"pgd20": (0.5, 0.1, 0.2)}))
    with pytest.raises(DfrdBenchError, match="which images were right is not known"):
        compare_runs(folder, folder)
