"""What does not fit together in the papers' tables: findings known by hand, and each table rule on a made-up table."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from dfrd_bench.reporting.audit.published import (
    audit_published,
    printed_changes,
    repeated_cells,
    second_marks,
)
from dfrd_bench.reporting.published import Entry, published


def entry(value: str, **others: str) -> Entry:
    common = {"paper": "p", "table": "table1", "dataset": "cifar10", "teacher": "t", "student": "s", "method": "m"}
    common |= {"variant": "default", "attack": "clean", "metric": "average", "mark": ""}
    return Entry.model_validate({**common, "value": value, **others})


class TestKnownByHand:
    found = audit_published()

    def numbers(self, where: str, rule: str) -> dict[str, str]:
        return {f"{f.row}: {f.cell}": f.numbers for f in self.found if (f.where, f.rule) == (where, rule)}

    def test_ferds_resnet_18_survives_autoattack_more_often_than_cw(self) -> None:
        found = self.numbers("ferd:table1", "autoattack-above-weaker")
        assert found["ferd on resnet-18, cifar10: autoattack average"] == "autoattack average 40.12, cw average 36.17"

    def test_autoattack_rows_of_table_1_counted_by_eye(self) -> None:
        averages = [cell for cell in self.numbers("ferd:table1", "autoattack-above-weaker") if "average" in cell]
        assert len(averages) == 8  # all but DeepInv on either student, and CMI and Fast on MobileNet-V2

    def test_pgd_above_fgsm(self) -> None:
        assert self.numbers("ferd:table2", "pgd-above-fgsm") == {
            "zskt on resnet-18, cifar100: pgd20 average": "pgd20 average 12.90, fgsm average 12.69"
        }

    def test_changes_that_are_no_differences(self) -> None:
        assert sorted(self.numbers("ferd:table8", "printed-change").values()) == [
            "22.69 → 22.76, printed change +0.7",
            "26.53 → 26.85, printed change +0.34",
            "29.60 → 29.80, printed change +0.02",
            "41.04 → 43.96, printed change +1.98",
            "66.94 → 62.77, printed change -4.15",
        ]

    def test_cells_printed_twice(self) -> None:
        assert {f.where: f.numbers for f in self.found if f.rule == "repeated-cell" and f.where != "ferd:table8"} == {
            "ferd:table3": "79.86; in ferd:table1 79.26"
        }
        assert len(self.numbers("ferd:table8", "repeated-cell")) == 2

    def test_underlined_values_that_are_not_second(self) -> None:
        assert self.numbers("ferd:table1", "underline") == self.numbers("ferd:table2", "underline") == {}
        assert list(self.numbers("ferd:table5", "underline")) == [
            "cmi on preactresnet-18, tiny-imagenet: autoattack NSD"
        ]
        assert list(self.numbers("ferd:table7", "underline").values()) == ["40.30 underlined; second best 41.10"]
        assert len(self.numbers("fair-ard:table4", "underline")) == 4

    def test_a_worst_class_of_half_an_image(self) -> None:
        (found,) = (f for f in self.found if f.rule == "no-whole-image")
        assert (found.where, found.numbers) == ("ferd:table7", "pgd20 worst-class 24.55")

    def test_no_printed_nsd_is_out_of_reach_and_nothing_is_impossible(self) -> None:
        assert Counter(f.kind for f in self.found) == {"suspicious": 44, "contradictory": 14}

    def test_findings_come_table_by_table(self) -> None:
        tables = list(published())
        assert [f.where for f in self.found] == sorted((f.where for f in self.found), key=tables.index)


class TestRules:
    @pytest.mark.parametrize(("change", "findings"), [("-2.00", 0), ("-1.99", 0), ("-1.98", 1), ("+2.00", 1)])
    def test_a_printed_change_is_the_difference_up_to_rounding(self, change: str, findings: int) -> None:
        table = [entry("50.00", variant="conversion=false"), entry("48.00"), entry(change, metric="average_change")]
        assert len(list(printed_changes("p:table1", table))) == findings

    def test_a_change_with_nothing_to_compare_is_passed_over(self) -> None:
        assert list(printed_changes("p:table1", [entry("48.00"), entry("-1.00", metric="average_change")])) == []

    @pytest.mark.parametrize(("marked", "findings"), [(0, 1), (1, 0), (2, 1)])
    def test_the_second_largest_accuracy_is_underlined(self, marked: int, findings: int) -> None:
        values = enumerate(("50.00", "40.00", "30.00"))
        table = [entry(v, method=str(k), mark="second" if k == marked else "") for k, v in values]
        assert len(list(second_marks("p:table1", table))) == findings

    def test_the_second_smallest_nsd_is_underlined(self) -> None:
        values = enumerate(("0.100", "0.200", "0.300"))
        table = [entry(v, method=str(k), metric="nsd", mark="second" if k else "") for k, v in values]
        (found,) = second_marks("p:table1", table)
        assert found.numbers == "0.300 underlined; second best 0.200"

    def test_equal_values_share_the_second_place(self) -> None:
        values = enumerate(("50.00", "40.00", "40.00"))
        table = [entry(v, method=str(k), mark="second" if k else "") for k, v in values]
        assert list(second_marks("p:table1", table)) == []

    def test_students_do_not_compete(self) -> None:
        table = [entry("50.00", student="a"), entry("40.00", student="b", mark="second")]
        assert list(second_marks("p:table1", table)) == []

    def test_one_network_in_two_tables_has_one_number(self) -> None:
        tables = {"p:table1": [entry("50.00")], "p:table2": [entry("50.0", variant="lambda_bn=5")]}
        assert list(repeated_cells(tables)) == []
        tables["p:table3"] = [entry("50.01", variant="layer=block3"), entry("1.00", variant="layer=block1")]
        (found,) = repeated_cells(tables)
        assert (found.where, found.numbers) == ("p:table3", "50.01; in p:table1 50.00")

    def test_two_papers_may_differ(self) -> None:
        assert list(repeated_cells({"p:table1": [entry("50.00")], "q:table1": [entry("51.00", paper="q")]})) == []


DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "published-audit.md"


def test_the_document_lists_every_finding_with_its_numbers() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for finding in audit_published():
        numbers = re.findall(r"[+-]?\d+\.\d+", finding.numbers.replace("-class", "").replace("pgd20", ""))
        about = [line for line in lines if finding.where in line and all(number in line for number in numbers)]
        assert about, finding
    assert f"It finds {len(audit_published())} places" in " ".join(lines)
