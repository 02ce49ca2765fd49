"""Records of every format there was: read as today's, left as they are; those of a later one are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import load_record
from dfrd_bench.records.versions import CHECKPOINT, RECORD, STEPS

FILES = sorted((Path(__file__).parent / "versions").glob("record-*.json"))
LATER = f"was written by dfrd-bench 9.1.0, this is {__version__}: update it (pip install -U dfrd-bench)."


def version_of(path: Path) -> int:
    """The number in a fixture's name."""
    return int(path.stem.split("-")[1])


def as_record(folder: Path, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "record.json").write_bytes(content)
    return folder


def test_there_is_a_record_of_every_version_and_a_step_from_each_to_the_next() -> None:
    assert {version_of(path) for path in FILES} == set(range(1, RECORD + 1))
    for kind, newest in (("record", RECORD), ("checkpoint", CHECKPOINT)):
        assert set(STEPS[kind]) == set(range(1, newest))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_record_of_any_version_says_what_it_said_and_its_file_stays(tmp_path: Path, path: Path) -> None:
    folder = as_record(tmp_path / "run", path.read_bytes())
    record = load_record(folder)
    assert json.loads(path.read_text(encoding="utf-8"))["schema_version"] == version_of(path)
    assert record.schema_version == RECORD
    assert record.spec.without_code.digest() == "aef5e31c"  # as the code of version 1 named the folder
    assert record.spec.code == (None if version_of(path) < 3 else "e" * 64)
    assert (record.spec.digest() == "aef5e31c") == (version_of(path) < 3)
    pgd = record.evaluation.attacks["pgd20"]
    assert pgd.confusion == [[2, 1, 0], [0, 2, 0], [3, 0, 0]]
    assert (pgd.average, pgd.worst_class, record.evaluation.worst_case) == (0.5, 0.0, 0.5)
    assert (record.parameters, record.dataset.info.class_names[2]) == (77, "ü")
    assert (folder / "record.json").read_bytes() == path.read_bytes()


def test_what_a_record_of_the_first_version_did_not_say_is_not_known() -> None:
    record = Record.model_validate_json(FILES[0].read_bytes())
    assert record.training is not None
    assert record.training.passes is None
    assert (record.spec.compiled, record.spec.sees) == (False, "nothing")
    assert {attack.target_entropy for attack in record.evaluation.attacks.values()} == {None}


def test_a_record_without_a_number_is_of_the_first_version(tmp_path: Path) -> None:
    content = json.loads(FILES[0].read_text(encoding="utf-8"))
    del content["schema_version"]
    found = load_record(as_record(tmp_path, json.dumps(content).encode()))
    assert found == Record.model_validate_json(FILES[0].read_bytes())


def later(**changes: object) -> bytes:
    """A record of the next version, with a field that today's does not know."""
    content = json.loads(FILES[-1].read_text(encoding="utf-8"))
    content["environment"]["packages"]["dfrd-bench"] = "9.1.0"
    return json.dumps({**content, "schema_version": RECORD + 1, "calibration": 0.1, **changes}).encode()


def test_a_later_one_is_refused_with_who_wrote_it(tmp_path: Path) -> None:
    folder = as_record(tmp_path / "run", later())
    with pytest.raises(DfrdBenchError) as caught:
        load_record(folder)
    assert str(caught.value) == f"{folder / 'record.json'} {LATER}"


@pytest.mark.parametrize("environment", [None, [], {"packages": 3}, {"packages": {"dfrd-bench": {}}}])
def test_a_later_one_may_have_any_form(tmp_path: Path, environment: object) -> None:
    with pytest.raises(DfrdBenchError, match="was written by a later dfrd-bench, this is "):
        load_record(as_record(tmp_path, later(environment=environment)))


@pytest.mark.parametrize("version", [True, 0, -1, 2.5, "3", None, [3]])
def test_what_is_no_version_is_refused(tmp_path: Path, version: object) -> None:
    with pytest.raises(DfrdBenchError, match="is not a valid record: schema_version: "):
        load_record(as_record(tmp_path, later(schema_version=version)))


def test_a_table_names_a_later_record_and_leaves_it_out(tmp_path: Path) -> None:
    as_record(tmp_path / "later", later())
    outcome = tiny.command("table", tmp_path)
    assert outcome.code != 0
    assert LATER in outcome.err
    assert "Traceback" not in outcome.err
