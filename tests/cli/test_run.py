"""A whole run through the command line: what it leaves, that it is not made twice, and that a stop changes nothing."""

from __future__ import annotations

import hashlib
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from dfrd_bench.methods.data_free.ferd import FERD
from dfrd_bench.methods.data_free.zskt import ZSKT
from safetensors.torch import load_file

from dfrd_bench import DfrdBenchError, run
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import load_predictions, load_record
from dfrd_bench.runs import epochs

pytestmark = pytest.mark.usefixtures("few_digits")


def arguments(results: Path, *, seed: int = 0, epochs: int = 2, attacks: str = "clean,pgd20") -> list[str | Path]:
    return [
        *("run", "--method", "ferd", "--dataset", "digits", "--epochs", str(epochs), *tiny.settings()),
        *("--seed", str(seed), "--attacks", attacks, "--results", results, "--device", "cpu"),
    ]


def only_run(results: Path) -> Path:
    (path,) = results.rglob("record.json")
    return path.parent


def numbers(folder: Path) -> tuple[str, Any, Any]:
    """Everything a seed decides: the weights, every prediction, every metric."""
    record, predictions = load_record(folder), load_predictions(folder)
    measured = {name: attack.model_dump(exclude={"seconds"}) for name, attack in record.evaluation.attacks.items()}
    return record.weights_sha256, {n: p.tolist() for n, p in predictions.attacks.items()}, measured


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tiny.Outcome]:
    """One finished run; tests leave it as it is."""
    results = tmp_path_factory.mktemp("finished") / "results"
    with pytest.MonkeyPatch.context() as patch:
        tiny.cut_digits(patch, pictures=True)
        return results, tiny.command(*arguments(results))


@pytest.fixture
def record(finished: tuple[Path, tiny.Outcome]) -> Record:
    return load_record(only_run(finished[0]))


class TestFinished:
    def test_exits_with_0_and_says_where_the_record_is(self, finished: tuple[Path, tiny.Outcome]) -> None:
        results, outcome = finished
        assert outcome.code == 0, outcome.err
        assert f"Recorded in {only_run(results)}" in outcome.out
        assert "pgd20" in outcome.out
        assert "epoch 2/2" in outcome.err

    def test_leaves_the_runs_files_and_nothing_of_the_way_there(self, finished: tuple[Path, tiny.Outcome]) -> None:
        folder = only_run(finished[0])
        assert folder.relative_to(finished[0]).parts[:4] == ("digits", "digits-wrn-10-2", "wrn-10-1", "ferd")
        assert {"record.json", "predictions.npz", "history.jsonl", "student.safetensors", "samples.png"} <= set(
            tiny.files_below(finished[0] / folder)
        )
        assert not (folder / "checkpoint").exists()
        assert not (folder / "state").exists()
        assert not list(finished[0].rglob("*.tmp"))

    def test_history_has_a_line_per_epoch(self, finished: tuple[Path, tiny.Outcome]) -> None:
        lines = (only_run(finished[0]) / "history.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [0, 1]
        assert all({"loss", "lr", "p_entropy", "seconds"} <= set(json.loads(line)) for line in lines)

    def test_record_tells_what_was_run(self, finished: tuple[Path, tiny.Outcome], record: Record) -> None:
        folder = only_run(finished[0])
        assert record.spec.config["batch_size"] == 8
        assert record.spec.config["gamma"] == 0.5  # defaults are resolved
        assert record.training is not None
        assert record.training.epochs == 2
        assert record.weights_sha256 == hashlib.sha256((folder / "student.safetensors").read_bytes()).hexdigest()
        assert folder.name.endswith(record.spec.digest())
        assert record.dataset.test_images == tiny.FEW

    def test_record_tells_what_it_asked_of_the_student(self, record: Record) -> None:
        assert record.training is not None
        assert record.training.passes is not None
        passes, epochs, rounds = record.training.passes, 2, record.spec.config["synthesis_rounds"]
        assert passes.student_steps == epochs * 2
        batches = epochs * (
            2 * (2 + 2) + rounds * 2
        )  # steps, each of two for the attack and two for the loss; synthesis
        assert passes.student_forward == passes.student_backward == 8 * batches

    def test_numbers_follow_from_the_predictions(self, finished: tuple[Path, tiny.Outcome], record: Record) -> None:
        predictions = load_predictions(only_run(finished[0]))
        hits = {name: p == predictions.labels for name, p in predictions.attacks.items()}
        assert {name: a.average for name, a in record.evaluation.attacks.items()} == {
            name: pytest.approx(hit.mean()) for name, hit in hits.items()
        }
        assert record.evaluation.worst_case == pytest.approx(np.mean(hits["clean"] & hits["pgd20"]))

    def test_its_weights_evaluated_alone_give_the_same_numbers(
        self, finished: tuple[Path, tiny.Outcome], record: Record
    ) -> None:
        path = only_run(finished[0]) / "student.safetensors"
        outcome = tiny.command("evaluate", path, "--arch", "wrn-10-1", "--attacks", "clean,pgd20", "--quiet")
        assert outcome.code == 0, outcome.err
        for attack in record.evaluation.attacks.values():
            assert f"{100 * attack.average:.2f}" in outcome.out

    def test_table_shows_it_without_importing_torch(self, finished: tuple[Path, tiny.Outcome], record: Record) -> None:
        script = (
            "import sys\nfrom dfrd_bench.cli.main import main\n"
            f"main(['table', {str(finished[0])!r}, '--format', 'csv'])\nassert 'torch' not in sys.modules"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "ferd" in done.stdout

    def test_running_again_says_so_and_changes_nothing(
        self, finished: tuple[Path, tiny.Outcome], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results = finished[0]
        before = {name: (results / name).read_bytes() for name in tiny.files_below(results)}
        monkeypatch.setattr(FERD, "train_epoch", lambda *_: pytest.fail("trained again"))
        outcome = tiny.command(*arguments(results))
        assert outcome.code == 0
        assert outcome.out.startswith(f"Already run: {only_run(results)}")
        assert {name: (results / name).read_bytes() for name in tiny.files_below(results)} == before


class TestSeeds:
    def test_the_same_seed_gives_the_same_numbers_and_another_does_not(self, tmp_path: Path) -> None:
        longer = tiny.settings(batch_size=32, distillation_steps=15, lr=0.02, attack_steps=1)
        for name, seed in (("first", 0), ("again", 0), ("other", 1)):
            done = tiny.command(*arguments(tmp_path / name, seed=seed), *longer, "--quiet")
            assert done.code == 0, done.err
        first, again, other = (numbers(only_run(tmp_path / name)) for name in ("first", "again", "other"))
        assert again == first
        for ours, theirs in zip(first, other, strict=True):  # weights, predictions, metrics
            assert ours != theirs

    def test_seeds_and_settings_have_folders_of_their_own(self, tmp_path: Path) -> None:
        for more in ([], ["--seed", "1"], ["--set", "gamma=0.1"], ["--eps", "0.1"], ["--student", "wrn:10-1"]):
            done = tiny.command(*arguments(tmp_path, epochs=1, attacks="clean"), *more, "--quiet")
            assert done.code == 0, done.err
        assert len(list(tmp_path.rglob("record.json"))) == 5


class TestEvaluateARun:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        assert tiny.command(*arguments(tmp_path / "results", epochs=1), "--quiet").code == 0
        return only_run(tmp_path / "results")

    def test_adds_what_the_record_lacks_and_only_that(self, run: Path) -> None:
        before, predictions = load_record(run), load_predictions(run)
        outcome = tiny.command("evaluate", run, "--attacks", "clean,fgsm", "--device", "cpu")
        assert outcome.code == 0, outcome.err
        after = load_record(run)
        assert list(after.evaluation.attacks) == ["clean", "pgd20", "fgsm"]
        for name in ("clean", "pgd20"):
            assert after.evaluation.attacks[name] == before.evaluation.attacks[name]
            assert np.array_equal(load_predictions(run).attacks[name], predictions.attacks[name])
        assert after.model_copy(update={"evaluation": before.evaluation}) == before
        assert "fgsm" in outcome.err
        assert "clean 6" not in outcome.err  # no progress of an attack that was not run

    def test_nothing_missing_writes_nothing(self, run: Path) -> None:
        times = {name: (run / name).stat().st_mtime_ns for name in tiny.files_below(run)}
        assert tiny.command("evaluate", run, "--attacks", "clean").code == 0
        assert {name: (run / name).stat().st_mtime_ns for name in tiny.files_below(run)} == times

    def test_gives_what_a_run_with_that_attack_would_have(self, run: Path, tmp_path: Path) -> None:
        assert tiny.command("evaluate", run, "--attacks", "cw", "--quiet").code == 0
        together = arguments(tmp_path / "together", epochs=1, attacks="clean,pgd20,cw")
        assert tiny.command(*together, "--quiet").code == 0
        assert numbers(run) == numbers(only_run(tmp_path / "together"))

    def test_other_weights_under_the_runs_name_are_refused(self, run: Path) -> None:
        path = run / "student.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        outcome = tiny.command("evaluate", run, "--attacks", "fgsm")
        assert outcome.code == 2
        assert "is not the network that" in outcome.err

    def test_other_test_images_are_refused(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()  # all the digits again
        outcome = tiny.command("evaluate", run, "--attacks", "fgsm")
        assert outcome.code == 2
        assert "The test images of digits are not those of the record" in outcome.err

    def test_a_damaged_record_is_refused(self, run: Path) -> None:
        (run / "record.json").write_text("{")
        outcome = tiny.command("evaluate", run, "--attacks", "fgsm")
        assert outcome.code == 2
        assert "is not a valid record" in outcome.err


def interrupt_at(monkeypatch: pytest.MonkeyPatch, epoch: int, method: type = FERD) -> pytest.MonkeyPatch:
    """Ctrl-C at the beginning of an epoch."""
    original = method.train_epoch  # type: ignore[attr-defined]

    def stopped(self: Any, now: int) -> dict[str, float]:
        if now == epoch:
            signal.raise_signal(signal.SIGINT)
        return original(self, now)  # type: ignore[no-any-return]

    monkeypatch.setattr(method, "train_epoch", stopped)
    return monkeypatch


class TestInterrupted:
    @pytest.fixture
    def whole(self, tmp_path: Path) -> Path:
        assert tiny.command(*arguments(tmp_path / "whole", epochs=3), "--quiet").code == 0
        return only_run(tmp_path / "whole")

    @pytest.mark.parametrize("share", [math.inf, -1.0], ids=["checkpoint-each-epoch", "no-checkpoint"])
    def test_a_run_stopped_and_called_again_gives_the_numbers_of_one_that_was_not(
        self, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
    ) -> None:
        results = tmp_path / "results"
        with monkeypatch.context() as patch:
            patch.setattr(epochs, "CHECKPOINT_SHARE", share)
            interrupt_at(patch, 2)
            stopped = tiny.command(*arguments(results, epochs=3))
        assert stopped.code == 130
        assert "The same command goes on from the last checkpoint" in stopped.err
        assert "Traceback" not in stopped.err
        assert not list(results.rglob("record.json"))
        (state,) = results.rglob("state")
        assert json.loads(state.read_text())["stage"] == "training"
        again = tiny.command(*arguments(results, epochs=3))
        assert again.code == 0, again.err
        assert ("going on after epoch 2" in again.err) is (share > 0)
        assert numbers(only_run(results)) == numbers(whole)
        history = [json.loads(s) for s in (only_run(results) / "history.jsonl").read_text().splitlines()]
        expected = [json.loads(s) for s in (whole / "history.jsonl").read_text().splitlines()]
        for line in (*history, *expected):
            del line["seconds"]
        assert history == expected
        assert not state.exists()

    def test_a_run_stopped_while_it_is_evaluated_is_not_trained_again(
        self, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results = tmp_path / "results"

        def stop(*_: object, **__: object) -> None:
            signal.raise_signal(signal.SIGINT)

        with monkeypatch.context() as patch:
            patch.setattr("dfrd_bench.runs.measurement.measure", stop)
            assert tiny.command(*arguments(results, epochs=3)).code == 130
        with monkeypatch.context() as patch:
            patch.setattr(FERD, "train_epoch", lambda *_: pytest.fail("trained again"))
            assert tiny.command(*arguments(results, epochs=3), "--quiet").code == 0
        assert numbers(only_run(results)) == numbers(whole)

    def test_zskt_goes_on_as_well(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        zskt = ["run", "--method", "zskt", "--epochs", "3", "--attacks", "clean", "--quiet"]
        for setting in ("batch_size=8", "distillation_steps=3", "student_steps=2", "attack_steps=1"):
            zskt += ["--set", setting]
        assert tiny.command(*zskt, "--results", tmp_path / "whole").code == 0
        with monkeypatch.context() as patch:
            patch.setattr(epochs, "CHECKPOINT_SHARE", math.inf)
            interrupt_at(patch, 1, ZSKT)
            assert tiny.command(*zskt, "--results", tmp_path / "parts").code == 130
        assert tiny.command(*zskt, "--results", tmp_path / "parts").code == 0
        assert numbers(only_run(tmp_path / "parts")) == numbers(only_run(tmp_path / "whole"))

    def test_a_damaged_checkpoint_is_refused_with_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(epochs, "CHECKPOINT_SHARE", math.inf)
            interrupt_at(patch, 1)
            assert tiny.command(*arguments(tmp_path)).code == 130
        (path,) = tmp_path.rglob("method.pt")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        outcome = tiny.command(*arguments(tmp_path))
        assert outcome.code == 2
        assert f"delete {path.parent} to begin the run again" in outcome.err
        assert outcome.err.count("\n") == 1


def test_the_checkpoint_stays_when_asked(tmp_path: Path) -> None:
    assert tiny.command(*arguments(tmp_path, epochs=1, attacks="clean"), "--keep-checkpoint", "--quiet").code == 0
    assert (only_run(tmp_path) / "checkpoint" / "method.pt").exists()


def test_a_setting_that_states_the_default_finds_the_finished_run(tmp_path: Path) -> None:
    args = arguments(tmp_path, epochs=1, attacks="clean")
    assert tiny.command(*args, "--quiet").code == 0
    assert "Already run" in tiny.command(*args, "--set", "gamma=0.5", "--quiet").out


def test_the_python_api_finds_the_run_of_the_command_line(tmp_path: Path) -> None:
    assert tiny.command(*arguments(tmp_path, epochs=1, attacks="clean"), "--quiet").code == 0
    pairs = [pair.split("=") for pair in tiny.settings()[1::2]]
    found = run(
        "ferd", results=tmp_path, attacks=["clean"], settings={k: int(v) for k, v in pairs}, epochs=1, device="cpu"
    )
    assert found.cached
    assert found.folder == only_run(tmp_path)


def test_an_argument_that_does_not_exist_gets_the_nearest() -> None:
    with pytest.raises(DfrdBenchError, match=r"Unknown argument of run 'epoch'\. Did you mean 'epochs'"):
        run("ferd", epoch=3)


def test_the_digits_are_the_same_900_test_images_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # all of them
    one, two = Digits().load("test"), Digits().load("test")
    assert one.digest() == two.digest()
    assert len(one) == 900
    assert one.images.min() == 0
    assert one.images.max() == 1
    train = {tuple(image.flatten().tolist()) for image in Digits().load("train").images}
    assert not [image for image in one.images if tuple(image.flatten().tolist()) in train]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 2 GiB"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_memory_that_runs_out_is_named_with_its_stage_and_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, said: bool
) -> None:
    steps, distill = 0, FERD.distill

    def fail_in_the_second_epoch(self: FERD, *images: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps > self.recipe.distillation_steps:
            raise error
        return distill(self, *images)

    with monkeypatch.context() as patch:
        patch.setattr(epochs, "CHECKPOINT_SHARE", math.inf)
        patch.setattr(FERD, "distill", fail_in_the_second_epoch)
        outcome = tiny.command(*arguments(tmp_path, epochs=3), "--quiet")
    assert outcome.err.count("\n") == 1
    if not said:
        assert outcome.code == 1
        assert "RuntimeError: shapes do not match (traceback: " in outcome.err
        return
    assert outcome.code == 2
    for part in ("on cpu in epoch 2, stage 'distill'", "--set batch_size=… (now 8)", "--precision bf16"):
        assert part in outcome.err
    assert list(tmp_path.rglob("method.pt"))


def test_a_compiled_student_learns_the_same_within_rounding_and_is_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_calls: list[int] = []

    def backend(graph: torch.fx.GraphModule, example: list[torch.Tensor]) -> Callable[..., Any]:
        compiled_calls.append(len(example))
        return graph.forward

    original = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: original(self, backend=backend))  # no C++ in a test

    def trained(*more: str) -> Path:
        results = tmp_path / f"{len(more)}"
        outcome = tiny.command(*arguments(results, epochs=1, attacks="clean"), *more, "--quiet")
        assert outcome.code == 0, outcome.err
        return only_run(results)

    plain = trained()
    assert not compiled_calls
    compiled = trained("--compile")
    assert compiled_calls
    specs = [load_record(folder).spec for folder in (plain, compiled)]
    assert [spec.compiled for spec in specs] == [False, True]
    assert specs[0].digest() != specs[1].digest()
    weights = [load_file(folder / "student.safetensors") for folder in (plain, compiled)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("cautions", [(), ("this row is no good",)])
def test_what_a_method_cautions_about_is_shown_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cautions: tuple[str, ...]
) -> None:
    original = FERD.__init__

    def cautious(self: FERD, *args: Any) -> None:
        original(self, *args)
        self.cautions = cautions

    monkeypatch.setattr(FERD, "__init__", cautious)
    assert tiny.command(*arguments(tmp_path, epochs=1, attacks="clean"), "--quiet").code == 0
    assert load_record(only_run(tmp_path)).warnings[: len(cautions)] == cautions
    assert ("this row is no good" in caplog.text) is bool(cautions)
