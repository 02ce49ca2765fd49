"""A method's code is edited: old numbers are not given out for new code, and everything says by which code a run was made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plugin_packages
import pytest
import tiny

from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import load_record

pytestmark = pytest.mark.usefixtures("few_digits")

SOURCE = """
from dfrd_bench.methods.data_free.zskt import ZSKT
from dfrd_bench_weights import weight

class Mine(ZSKT):
    '''Mine.'''
    def train_epoch(self, epoch):
        return {**super().train_epoch(epoch), "weight": weight()}
"""
WEIGHTS = "def weight():\n    return {}\n"
SETTINGS = ("batch_size=8", "distillation_steps=2", "attack_steps=2", "epochs=1")


class Plugin:
    """A method `mine` of two modules, whose second is edited."""

    def __init__(self, site: Path, results: Path, patch: pytest.MonkeyPatch) -> None:
        self.site, self.results, self.edits = site, results, 0
        plugin_packages.plant(site, "methods", {"mine": "Mine"}, SOURCE, "dfrd_bench_mine")
        (site / "dfrd_bench_mine-1.5.dist-info" / "top_level.txt").write_text("dfrd_bench_mine\ndfrd_bench_weights\n")
        self.edit(WEIGHTS.format("1.0"))
        patch.syspath_prepend(site)

    def edit(self, text: str) -> None:
        path = self.site / "dfrd_bench_weights.py"
        path.write_text(text, encoding="utf-8")
        self.edits += 1
        os.utime(
            path, ns=(self.edits * 10**9,) * 2
        )  # so that neither Python nor the digest takes it for the one before
        shutil.rmtree(self.site / "__pycache__", ignore_errors=True)
        plugin_packages.forget()

    def run(self, *more: str) -> tiny.Outcome:
        chosen = [part for setting in SETTINGS for part in ("--set", setting)]
        done = tiny.command(
            "run",
            "--method",
            "mine",
            *chosen,
            "--attacks",
            "clean",
            "--results",
            self.results,
            "--device",
            "cpu",
            *more,
        )
        assert done.code == 0, done.err
        return done

    def records(self) -> dict[Path, Record]:
        return {path.parent: load_record(path.parent) for path in sorted(self.results.rglob("record.json"))}


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    yield Plugin(tmp_path / "site", tmp_path / "results", monkeypatch)
    monkeypatch.undo()
    plugin_packages.forget()


def forget_code(folder: Path) -> Path:
    """Make of a record one of the time before they named their code; returns its folder, whose name has another hash."""
    content = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    del content["spec"]["code"]
    (folder / "record.json").write_text(json.dumps({**content, "schema_version": 2}), encoding="utf-8")
    return folder.rename(folder.with_name(load_record(folder).spec.folder(Path()).name))


def edited(plugin: Plugin, log: pytest.LogCaptureFixture) -> tuple[Path, Path]:
    """Run, edit, and run again; returns both folders, the older first."""
    plugin.run()
    (old,) = plugin.records()
    plugin.edit(WEIGHTS.format("2.0"))
    said = plugin.run()
    (new,) = set(plugin.records()) - {old}
    lines = [line for line in log.messages if "other code" in line]  # which the command line prints
    assert len(lines) == 1
    assert f"{old} was made by other code ({str(load_record(old).spec.code)[:8]})" in lines[0]
    assert "Already run" not in said.out
    return old, new


def test_an_edit_in_what_the_method_imports_makes_another_run_and_leaves_the_old_one(
    plugin: Plugin, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = edited(plugin, caplog)
    assert old.name != new.name
    before, after = load_record(old), load_record(new)
    assert before.training is not None
    assert after.training is not None
    assert (before.training.last["weight"], after.training.last["weight"]) == (1.0, 2.0)
    assert before.spec.without_code == after.spec.without_code
    assert plugin.run().out.startswith(f"Already run: {new}\n")
    plugin.edit(WEIGHTS.format("1.0"))
    assert plugin.run().out.startswith(f"Already run: {old}\n")


def test_a_comment_is_no_other_code(plugin: Plugin) -> None:
    plugin.run()
    plugin.edit('"""Weights."""\n\n\n' + WEIGHTS.format("1.0") + "# one\n")
    assert plugin.run().out.startswith("Already run: ")


def test_a_record_without_a_digest_is_the_run_and_the_line_says_what_is_not_known(plugin: Plugin) -> None:
    plugin.run()
    folder = forget_code(next(iter(plugin.records())))
    before = {name: (folder / name).read_bytes() for name in tiny.files_below(folder)}
    plugin.edit(WEIGHTS.format("2.0"))
    first = plugin.run().out.splitlines()[0]
    assert first.startswith(f"Already run: {folder} ")
    assert "does not say by which code it was made" in first
    assert {name: (folder / name).read_bytes() for name in tiny.files_below(folder)} == before
    assert "this record does not say by which code it was made" in tiny.command("show", folder).out

    forced = plugin.run("--force")
    (new,) = set(plugin.records()) - {folder}
    assert f"Recorded in {new}" in forced.out
    assert load_record(new).spec.code is not None
    assert plugin.run().out.startswith(f"Already run: {new}\n")  # which says more than the older one


def test_show_and_lists_say_which_runs_are_by_other_code(plugin: Plugin, caplog: pytest.LogCaptureFixture) -> None:
    old, new = edited(plugin, caplog)
    assert "other than today's" in tiny.command("show", old).out
    assert "which is today's" in tiny.command("show", new).out
    listed = tiny.command("list", "runs", plugin.results, "--json")
    assert {run["folder"]: run["other_code"] for run in json.loads(listed.out)} == {str(old): True, str(new): False}
    assert tiny.command("list", "runs", plugin.results).out.count("by other code") == 1
    again = tiny.command("show", old, "--as-config").out
    assert again.splitlines()[0].startswith("# made by other code")
    assert "other code" not in tiny.command("show", new, "--as-config").out
    for folder in (old, new):
        assert tiny.command("verify", folder).out.startswith("holds")


def test_a_suite_counts_only_what_todays_code_made(plugin: Plugin, tmp_path: Path) -> None:
    plugin.run()
    (old,) = plugin.records()
    rows = tmp_path / "rows.yaml"
    rows.write_text(json.dumps({"title": "mine", "runs": [{"method": "mine", "settings": dict(_pairs())}]}))
    words = ("suite", rows, "--results", plugin.results, "--attacks", "clean", "--device", "cpu")
    assert "1 done" in tiny.command(*words, "--status").out
    plugin.edit(WEIGHTS.format("2.0"))
    now = tiny.command(*words, "--status").out
    assert now.startswith("missing")
    assert f"by other code than today's there is {old}" in now
    assert tiny.command(*words, "--quiet").code == 0
    assert "1 done" in tiny.command(*words, "--status").out
    assert len(plugin.records()) == 2


def test_a_table_averages_no_seeds_of_different_code(plugin: Plugin, caplog: pytest.LogCaptureFixture) -> None:
    edited(plugin, caplog)
    plugin.run("--seed", "1")
    out = tiny.command("table", plugin.results, "--format", "markdown").out
    codes = {str(record.spec.code)[:8]: 0 for record in plugin.records().values()}
    assert len(codes) == 2
    assert all(f"code={code}" in out for code in codes)
    assert "rows made by different code" in out
    rows = [line for line in out.splitlines() if line.startswith("|") and "mine" in line]
    assert sorted(row.split("|")[3].strip() for row in rows) == ["1", "2"]  # seeds


def test_merging_keeps_runs_of_different_code_apart(
    plugin: Plugin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edited(plugin, caplog)
    done = tiny.command("merge", plugin.results, "--into", tmp_path / "all")
    assert done.code == 0, done.err
    assert len(list((tmp_path / "all").rglob("record.json"))) == 2


def test_a_teacher_by_other_code_is_refused_and_one_that_names_none_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dfrd_bench.registry import METHODS

    words: tuple[Any, ...] = ("teacher", "train", "--method", "natural", "--epochs", "1", "--attacks", "clean")
    words = (*words, "--output", tmp_path / "t.safetensors", "--quiet", "--device", "cpu")
    assert tiny.command(*words).code == 0
    assert tiny.command(*words).out.startswith("Already trained: ")
    with monkeypatch.context() as patch:
        patch.setattr(METHODS, "code_loaded", lambda name: "f" * 64)
        refused = tiny.command(*words)
        assert refused.code == 2
        assert "trained with other settings (code = " in refused.err
        assert "not ffffffff" in refused.err
        path = tmp_path / "t.record" / "record.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["spec"]["code"]
        path.write_text(json.dumps(content), encoding="utf-8")
        first = tiny.command(*words).out.splitlines()[0]
        assert first.startswith("Already trained: ")
        assert "does not say by which code" in first


def _pairs() -> Iterator[tuple[str, int]]:
    for setting in SETTINGS:
        name, _, value = setting.partition("=")
        yield name, int(value)
