"""What is handed in holds, is copied whole, and can be compared with its manifest ever after."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import tiny

from dfrd_bench.exchange.submission import check_submissions, submit
from dfrd_bench.records.arrays import read_arrays, write_arrays
from dfrd_bench.runs.merging import merge

METHOD = Path(__file__).parents[2] / "results/digits/digits-wrn-10-2/wrn-10-1/ferd"
NAMES = ("default-seed1-96fe9e44", "default-seed2-2c6ae134", "default-seed3-f2c86039")


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Copies of three committed runs that a test may damage."""
    return [Path(shutil.copytree(METHOD / name, tmp_path / "mine" / name)) for name in NAMES]


def manifests(repository: Path) -> list[Path]:
    return sorted((repository / "submissions").glob("*.json"))


def test_a_manifest_names_every_file_with_its_sha256(runs: list[Path], tmp_path: Path) -> None:
    (runs[0] / "events.jsonl").write_text("{}\n")  # nobody's evidence
    repository = tmp_path / "there"
    done = tiny.command("submit", *runs[:2], "--to", repository, "--by", "A. Author", "--quiet")
    assert done.code == 0, done.err
    (path,) = manifests(repository)
    content = json.loads(path.read_text())
    assert content["by"] == "A. Author"
    named = {name: entry for run in content["runs"] for name, entry in run["files"].items()}
    assert sorted(named) == [name for name in tiny.files_below(repository) if not name.startswith("submissions/")]
    for name, entry in named.items():
        data = (repository / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        assert data == (METHOD / Path(name).parent.name / Path(name).name).read_bytes()
    assert tiny.command("submit", "--to", repository, "--check").code == 0


def test_the_check_names_a_file_that_was_changed_or_removed(runs: list[Path], tmp_path: Path) -> None:
    submit(runs[:1], tmp_path / "there", by="x")
    (history,) = (tmp_path / "there").rglob("history.jsonl")
    (picture,) = (tmp_path / "there").rglob("samples.png")
    history.write_text("{}\n")
    picture.unlink()
    done = tiny.command("submit", "--to", tmp_path / "there", "--check")
    assert done.code == 1
    assert "history.jsonl is not what was handed in" in done.out
    assert "samples.png is missing" in done.out
    manifests(tmp_path / "there")[0].write_text("{")
    assert "is not a valid manifest" in next(check_submissions(tmp_path / "there"))


def test_a_run_that_does_not_hold_is_refused_with_what_was_found_and_the_others_are_taken(
    runs: list[Path], tmp_path: Path
) -> None:
    arrays = read_arrays(runs[0] / "predictions.npz", "labels", wanted=lambda name: True)
    write_arrays(runs[0] / "predictions.npz", {**arrays, "attack_clean": arrays["labels"]})
    done = tiny.command("submit", *runs[:2], "--to", tmp_path / "there", "--by", "x", "--quiet")
    assert done.code == 1
    assert "1 taken, 0 there already, 1 refused." in done.out
    assert "refused" in done.out.splitlines()[0]
    assert "evaluation.attacks.clean" in done.out
    assert {path.parent.name for path in (tmp_path / "there").rglob("record.json")} == {runs[1].name}


def test_nothing_is_left_where_everything_is_refused(runs: list[Path], tmp_path: Path) -> None:
    (runs[0] / "student.safetensors").write_bytes((runs[1] / "student.safetensors").read_bytes())
    done = tiny.command("submit", runs[0], "--to", tmp_path / "there", "--by", "x", "--quiet")
    assert done.code == 1
    assert "their sha256 differ" in done.out
    assert not (tmp_path / "there").exists()


def test_a_run_on_other_images_than_the_repositorys_fails_its_audit(runs: list[Path], tmp_path: Path) -> None:
    repository = tmp_path / "there"
    submit(runs[:2], repository, by="x")
    record = json.loads((runs[2] / "record.json").read_text())
    record["dataset"]["test_digest"] = "0" * 64
    (runs[2] / "record.json").write_text(json.dumps(record))
    ((one,), manifest) = submit(runs[2:], repository, by="x")
    assert one.verdict == "refused"
    assert manifest is None
    assert any("contradictory, same-test-digest" in text for text in one.findings)


def test_what_a_submission_copied_before_it_was_killed_gets_its_manifest_the_next_time(
    runs: list[Path], tmp_path: Path
) -> None:
    repository = tmp_path / "there"
    assert [one.verdict for one in merge(runs[:1], repository)] == ["taken"]  # and then the process died
    ((one,), manifest) = submit(runs[:1], repository, by="x")
    assert one.verdict == "there"
    assert manifest is not None
    assert list(check_submissions(repository)) == []
    assert submit(runs[:1], repository, by="x")[1] is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["{run}", "--to", "{to}"], "Say who hands them in: --by NAME."),
        (["--to", "{to}", "--by", "x"], "Name the runs to hand in, or --check."),
        (["{to}/nowhere", "--to", "{to}", "--by", "x"], "There is no record below {to}/nowhere."),
        (["--to", "{to}", "--check"], "There is no manifest in {to}/submissions."),
        (["{run}", "--to", "{to}", "--check"], "--check looks at what is there: leave RUN and --by out."),
        (["{run}", "--to", "{to}", "--by", "\n"], "--by says who you are: a name of 1 to 200 printable characters."),
    ],
)
def test_wrong_use_gets_one_line(call: list[str], said: str, tmp_path: Path) -> None:
    given = [text.format(run=METHOD / NAMES[0], to=tmp_path / "there") for text in call]
    done = tiny.command("submit", *given)
    assert (done.code, done.err) == (2, f"Error: {said.format(to=tmp_path / 'there')}\n")
    assert not (tmp_path / "there").exists()
