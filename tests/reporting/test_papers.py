"""Which version of a paper its printed numbers are of: against the papers' text, and files of papers that are wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dfrd_bench import DfrdBenchError
from dfrd_bench.reporting.papers import papers, read_papers
from dfrd_bench.reporting.published import published_table

TEXTS = Path(__file__).parent.parent.parent.parent / "shared" / "papers"
ENTRY = {"title": "A title", "venue": "ICML 2030", "version": "Mine, preprint", "link": "https://example.org/1"}


def text_of(paper: str) -> str:
    if not (TEXTS / f"{paper}.txt").is_file():
        pytest.skip("needs the papers' text, which is not part of the repository")
    return (TEXTS / f"{paper}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("paper", ["ferd", "fair-ard"])
def test_the_text_that_was_transcribed_has_the_papers_title(paper: str) -> None:
    assert text_of(paper).lstrip().lower().startswith(papers()[paper].title.lower())


def test_ferds_numbers_are_of_the_version_under_review() -> None:
    assert "Anonymous authors\n\nPaper under double-blind review" in text_of("ferd")
    assert "under review" in papers()["ferd"].version


def test_ferds_table_1_gains_what_the_anonymous_abstract_says_and_not_what_other_versions_say() -> None:
    """19.6 points and 0.092; arXiv v2 says 15.1 points and the conference version 11.3 and 0.077."""
    mobile = [e for e in published_table("ferd:table1") if e.student == "mobilenet-v2" and e.attack != "clean"]
    gains = {}
    for attack, metric in {(e.attack, e.metric) for e in mobile if e.metric != "average"}:
        numbers = {e.method: e.number for e in mobile if (e.attack, e.metric) == (attack, metric)}
        ours = numbers.pop("ferd")
        best = min(numbers.values()) - ours if metric == "nsd" else ours - max(numbers.values())
        gains[attack, metric] = best
    assert max(gain for (_, metric), gain in gains.items() if metric == "worst_class") == pytest.approx(0.196)
    assert max(gain for (_, metric), gain in gains.items() if metric == "nsd") == pytest.approx(0.092)


class TestReading:
    def read(self, folder: Path, content: object, *tables: str) -> str:
        """The message of the error that a folder gives."""
        for name in tables:
            (folder / f"{name}.csv").touch()
        (folder / "papers.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        with pytest.raises(DfrdBenchError) as caught:
            read_papers(folder)
        message = str(caught.value)
        assert "\n" not in message
        assert str(folder) in message
        return message

    def test_an_entry_gives_one_sentence_with_the_note_where_there_is_one(self, tmp_path: Path) -> None:
        (tmp_path / "b.csv").touch()
        (tmp_path / "a.csv").touch()
        entries = {"b": ENTRY, "a": {**ENTRY, "note": "v2 differs"}}
        (tmp_path / "papers.yaml").write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")
        found = read_papers(tmp_path)
        assert {name: paper.source for name, paper in found.items()} == {
            "b": "Mine, preprint",
            "a": "Mine, preprint; v2 differs",
        }
        assert list(found) == ["b", "a"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"publisher": "X"}, r"mine\.publisher: Extra inputs are not permitted"),
            ({"version": ""}, r"mine\.version: .*at least 1 character"),
            ({"link": "openreview"}, r"mine\.link: "),
            ({"venue": 2030}, r"mine\.venue: .*valid string"),
        ],
    )
    def test_an_entry_that_is_not_valid_is_named_by_its_key(
        self, tmp_path: Path, change: dict[str, object], message: str
    ) -> None:
        assert re.search(message, self.read(tmp_path, {"mine": {**ENTRY, **change}}, "mine"))

    @pytest.mark.parametrize("field", sorted(ENTRY))
    def test_only_the_note_may_be_missing(self, tmp_path: Path, field: str) -> None:
        entry = {name: value for name, value in ENTRY.items() if name != field}
        assert f"mine.{field}: Field required" in self.read(tmp_path, {"mine": entry}, "mine")

    def test_an_entry_that_is_a_word_is_refused(self, tmp_path: Path) -> None:
        assert "papers.yaml: mine: " in self.read(tmp_path, {"mine": "ICML 2030"}, "mine")

    def test_numbers_without_their_paper_are_refused(self, tmp_path: Path) -> None:
        assert "has no entry 'other', the paper of other.csv" in self.read(tmp_path, {"mine": ENTRY}, "mine", "other")

    def test_a_paper_without_its_numbers_is_refused(self, tmp_path: Path) -> None:
        assert "has an entry 'mine', but there is no mine.csv" in self.read(tmp_path, {"mine": ENTRY})

    def test_a_folder_without_the_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DfrdBenchError, match=r"Cannot read .*papers\.yaml: No such file or directory\."):
            read_papers(tmp_path)
