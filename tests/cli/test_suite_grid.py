"""A suite over several datasets, teachers, students and seeds: which runs it comes to, and what is refused before any is made."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import tiny

from dfrd_bench.records.store import load_record
from dfrd_bench.records.suites import load_suite
from dfrd_bench.runs.plan import check_suite, planned
from dfrd_bench.runs.request import Request

RESULTS = Path(__file__).parents[2] / "results" / "digits"
ROWS = "runs:\n- {method: zskt}\n- {method: ferd}\n"


def suite(folder: Path, text: str = ROWS) -> str:
    path = folder / "mine.yaml"
    path.write_text(f"title: Mine\n{text}")
    return str(path)


def status(*words: object) -> tiny.Outcome:
    """Of a suite of which nothing is recorded."""
    return tiny.command("suite", *map(str, words), "--status", "--results", "nowhere")


def names(told: str) -> list[str]:
    """What the runs of a status are called."""
    *each, count = told.splitlines()
    assert count.startswith(f"{len(each)} runs: 0 done")
    return [line.partition(" ")[2].strip() for line in each]


def lines(*words: object) -> list[str]:
    outcome = status(*words)
    assert outcome.code == 0, outcome.err
    return names(outcome.out)


def refused(*words: object) -> str:
    outcome = status(*words)
    assert (outcome.code, outcome.err.count("\n"), outcome.out) == (2, 1, "")
    return outcome.err


def test_a_suite_is_the_product_of_what_is_listed_seed_by_seed(tmp_path: Path) -> None:
    text = (
        f"{ROWS}datasets: [digits, cifar10]\nteachers: 'checkpoint:a, checkpoint:b'\nstudents: [wrn-10-1]\nseeds: 1-2\n"
    )
    found = planned(load_suite(suite(tmp_path, text)), [1, 2], Request())
    product = itertools.product([1, 2], ["digits", "cifar10"], ["checkpoint:a", "checkpoint:b"], ["zskt", "ferd"])
    assert [(one.seed, one.dataset, one.teacher, one.method) for one in found] == list(product)
    assert {one.student for one in found} == {"wrn-10-1"}
    told = lines(suite(tmp_path, text))  # of its own seeds
    assert len(told) == len(set(told)) == 8 * 2
    assert told[0] == "zskt student=wrn-10-1 seed=1 dataset=digits teacher=checkpoint:a"


@pytest.mark.parametrize(
    "given", [["--student", "wrn-10-1, wrn-10-2"], ["--student", "wrn-10-1", "--student", "wrn-10-2"]]
)
def test_the_command_line_lists_with_commas_or_one_by_one_and_goes_before_the_file(
    tmp_path: Path, given: list[str]
) -> None:
    text = f"{ROWS}students: wrn-16-2\nseeds: [4, 5]\n"
    assert lines(suite(tmp_path, text), *given, "--seeds", "0") == [
        f"{method} student={student} seed=0" for student in ("wrn-10-1", "wrn-10-2") for method in ("zskt", "ferd")
    ]


def test_a_row_differs_only_in_what_it_has(tmp_path: Path) -> None:
    """A method without a teacher is one run for all teachers, and a row with a student one for all students."""
    text = "runs:\n- {method: sat}\n- {method: rslad, student: wrn-10-2}\nteachers: ['checkpoint:a', 'checkpoint:b']\n"
    found = planned(load_suite(suite(tmp_path, f"{text}students: [wrn-10-1, wrn-16-2]\n")), [0], Request())
    assert [(one.method, str(one.teacher)[-1], one.student) for one in found] == [
        ("sat", "a", "wrn-10-1"),
        ("rslad", "a", "wrn-10-2"),
        ("sat", "a", "wrn-16-2"),
        ("rslad", "b", "wrn-10-2"),
    ]


def test_exclude_leaves_out_what_all_that_is_named_holds_of(tmp_path: Path) -> None:
    text = f"{ROWS}datasets: [digits, svhn]\nseeds: 0-1\nteachers: [x]\nexclude:\n- {{method: ferd, seed: 1}}\n"
    text += "- {dataset: svhn, student: wrn-10-1}\n- {method: zskt, seed: 0, dataset: digits}\n"
    found = planned(load_suite(suite(tmp_path, text)), [0, 1], Request(student="wrn-10-1"))
    assert [(one.method, one.dataset, one.seed) for one in found] == [("ferd", "digits", 0), ("zskt", "digits", 1)]
    usual = (
        f"{ROWS}datasets: digits\nexclude:\n- {{student: wrn-10-1, teacher: digits-wrn-10-2}}\n"  # the dataset's own
    )
    assert "excludes all of its runs" in refused(suite(tmp_path, usual))
    assert len(lines(suite(tmp_path, usual), "--student", "wrn-10-2")) == 2  # what it excludes, it has by itself


def test_the_suite_in_the_documents_comes_to_what_its_comments_say(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(title: Two students.*?)```", page, re.DOTALL)
    (tmp_path / "rows.yaml").write_text(text)
    told = lines(tmp_path / "rows.yaml")
    assert len(told) == 3 * 3 * 3 - 3  # rows, pairs of dataset and student, seeds; and a row's last seed left out
    assert not [line for line in told if "cifar100" in line and "mobilenet" in line]
    assert not [line for line in told if "gamma=0.3" in line and "seed=2" in line]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("exclude: [{seed: 7}]", "'Mine' excludes what it does not have: seed: 7."),
        ("exclude: [{methd: ferd}]", "exclusion 1: Unknown key 'methd'. Did you mean 'method'?"),
        ("exclude: [{}]", "name something, or every run is excluded"),
        ("seeds: 2-1", "Seeds are numbers like 0,1,2 or a range like 0-2"),
        ("seeds: 0-", "Seeds are numbers like 0,1,2 or a range like 0-2"),
        ("seeds: [a]", "Seeds are numbers like"),
        ("seeds: true", "seeds"),
        ("datasets: [digitz]", "Unknown dataset 'digitz'. Did you mean 'digits'?"),
        ("datasets: {digits: 1}", "datasets"),
        ("students: [wrn-10-l]", "Unknown student 'wrn-10-l'"),
        ("teachers: [checkpont]", "Unknown teacher 'checkpont'"),
        (
            "datasets: [digits, cifar10]\nteachers: [digits-wrn-10-2]",
            "Teacher digits-wrn-10-2 is of digits, not of cifar10",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in refused(suite(tmp_path, f"{ROWS}{text}\n"))


def test_two_rows_that_are_one_run_are_refused_however_they_are_written(tmp_path: Path) -> None:
    usual = load_record(next(RESULTS.glob("*/*/ferd/default-seed1-*"))).spec.config["gamma"]
    text = f"runs:\n- {{method: ferd}}\n- {{method: ferd, settings: {{gamma: {usual}}}}}\n"
    assert f"Two rows are the same run: ferd seed=0, and ferd gamma={usual} seed=0." in refused(suite(tmp_path, text))
    other = suite(tmp_path, text.replace(str(usual), "0.123"))
    assert len(lines(other)) == 2
    assert "Two rows are the same run" in refused(other, "--set", f"gamma={0.123}")


def test_what_is_set_for_all_is_for_the_rows_that_have_it_and_do_not_say_otherwise(tmp_path: Path) -> None:
    text = "runs:\n- {method: zskt}\n- {method: ferd}\n- {method: ferd, settings: {gamma: 0.5, epochs: 3}}\n"
    words = (suite(tmp_path, text), "--set", "gamma=2", "--epochs", "7")
    outcome = status(*words)
    assert names(outcome.out) == [
        "zskt epochs=7 seed=0",
        "ferd gamma=2 epochs=7 seed=0",
        "ferd gamma=0.5 epochs=3 seed=0",
    ]
    assert outcome.err.splitlines() == [
        "gamma is for 1 of 3 rows: the others have none, or their own.",
        "epochs is for 2 of 3 rows: the others have none, or their own.",
    ]
    assert "Unknown hyper-parameter of 'Mine' 'gama'. Did you mean 'gamma'?" in refused(words[0], "--set", "gama=2")
    assert "epochs = 0 should be greater than or equal to 1" in refused(words[0], "--set", "epochs=0")


def test_a_table_of_a_suite_has_the_runs_that_it_lists_and_no_others(tmp_path: Path) -> None:
    records = [load_record(folder.parent) for folder in RESULTS.glob("*/*/ferd/default-seed*/record.json")]
    specs = [record.spec for record in records]
    assert len({spec.seed for spec in specs}) > 1

    def included(text: str) -> set[int]:
        chosen = load_suite(suite(tmp_path, ROWS + text))
        return {spec.seed for spec in specs if chosen.includes(spec)}

    every = {spec.seed for spec in specs}
    assert included("") == included("datasets: digits\nteachers: digits-wrn-10-2\n") == every
    assert included(f"seeds: {min(every)}") == {min(every)}
    assert included("datasets: svhn") == included("students: resnet-18") == included("teachers: other") == set()
    assert included("teachers: 'checkpoint:/a/b.pt'") == every  # records shorten paths


def test_seeds_do_not_make_rows_the_same_and_any_seed_is_checked_once(tmp_path: Path) -> None:
    check_suite(load_suite(suite(tmp_path, f"{ROWS}seeds: 0-9\n")), Request())
    assert len(lines(suite(tmp_path), "--seeds", "0-99")) == 200
