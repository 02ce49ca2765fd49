"""`--force`: the old run is whole until the new one is, wherever the process is killed between the two."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.alone import alone_in
from dfrd_bench.records.store import load_record
from dfrd_bench.runs import anew
from dfrd_bench.runs.run import Finished, run

pytestmark = pytest.mark.usefixtures("few_digits")

SETTINGS = {"batch_size": 8, "distillation_steps": 2, "attack_steps": 2}


def made(results: Path, **more: bool) -> Finished:
    return run("zskt", epochs=2, settings=SETTINGS, attacks=("clean",), results=str(results), device="cpu", **more)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tiny.files_below(folder)}


def test_it_is_made_again_in_its_place_and_the_old_one_is_gone(tmp_path: Path) -> None:
    first = made(tmp_path)
    (first.folder / "notes.txt").write_text("mine")
    again = made(tmp_path, force=True)
    assert not again.cached
    assert again.folder == first.folder
    assert again.before == first.record
    assert again.record.weights_sha256 == first.record.weights_sha256  # the same bits, as nothing was changed
    assert again.weights.exists()
    assert "notes.txt" not in tiny.files_below(first.folder)
    assert [path.name for path in first.folder.parent.iterdir()] == [first.folder.name]
    assert load_record(again.folder) == again.record


def test_where_there_is_nothing_it_is_a_run_like_any_other(tmp_path: Path) -> None:
    done = made(tmp_path, force=True)
    assert (done.cached, done.before) == (False, None)


def test_stopped_half_way_the_old_one_is_untouched_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(tmp_path)
    before = contents(first.folder)
    trained: list[int] = []
    from dfrd_bench.methods.data_free.zskt import ZSKT

    whole = ZSKT.train_epoch

    def stopped(self: ZSKT, epoch: int) -> dict[str, float]:
        trained.append(epoch)
        if len(trained) == 2:
            raise KeyboardInterrupt("stop")
        return whole(self, epoch)

    monkeypatch.setattr(ZSKT, "train_epoch", stopped)
    with pytest.raises(BaseException, match="stop"):
        made(tmp_path, force=True)
    assert contents(first.folder) == before
    assert made(tmp_path).cached
    assert made(tmp_path, force=True).record.weights_sha256 == first.record.weights_sha256
    assert trained == [0, 1, 1]  # from the checkpoint on


@pytest.mark.parametrize("killed", ["before the first", "between both", "before the old one is removed"])
def test_killed_at_a_renaming_the_next_command_finishes_it(tmp_path: Path, killed: str) -> None:
    """What a kill leaves, made by hand: the new folder whole beside the old one, or the old one set aside."""
    first = made(tmp_path)
    folder = first.folder
    new, old = (folder.with_name(folder.name + end) for end in (anew.ANEW, anew.OLD))
    shutil.copytree(folder, old)
    (old / "mark").touch()
    if killed == "before the first":
        folder.rename(new)
        old.rename(folder)
    elif killed == "between both":
        folder.rename(new)
    done = made(tmp_path)
    assert done.cached
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert "mark" not in tiny.files_below(folder)
    assert load_record(folder) == first.record


def test_while_somebody_works_in_the_old_one_it_stays(tmp_path: Path) -> None:
    first = made(tmp_path)
    with alone_in(first.folder), pytest.raises(DfrdBenchError, match="Another process is at work"):
        made(tmp_path, force=True)
    assert load_record(first.folder) == first.record
    assert made(tmp_path).cached  # and the new one, which was whole, has taken its place


def test_an_old_record_that_cannot_be_read_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = made(tmp_path)
    (first.folder / "record.json").write_text("{")
    again = made(tmp_path, force=True)
    assert again.before is None
    assert "cannot be read" in caplog.text
    assert load_record(first.folder).weights_sha256 == first.record.weights_sha256


def test_the_command_says_what_it_replaced(tmp_path: Path) -> None:
    folder = made(tmp_path).folder
    chosen = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    words = ("run", "--method", "zskt", "--epochs", "2", *chosen, "--attacks", "clean", "--device", "cpu", "--quiet")
    out = tiny.command(*words, "--results", tmp_path, "--force").out
    assert "Made anew: the same student, bit for bit, as before." in out
    assert f"Recorded in {folder}\n" in out
