"""Training a teacher from the command line: what it leaves and where that is taken, and that a stop changes nothing."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny

from dfrd_bench import load_results
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.distillation.learner import Learner
from dfrd_bench.evaluation import evaluate
from dfrd_bench.records.arrays import read_arrays
from dfrd_bench.records.store import load_record
from dfrd_bench.runs import epochs
from dfrd_bench.runs.run import train_teacher
from dfrd_bench.runs.training_split import load_training

pytestmark = pytest.mark.usefixtures("few_digits")

TRAIN = (
    *("teacher", "train", "--dataset", "digits", "--arch", "wrn-10-1", "--epochs", "2", "--set", "attack_steps=1"),
    *("--set", "batch_size=30", "--attacks", "clean,fgsm", "--device", "cpu"),
)
WEIGHTS = Path("results/teachers/digits-wrn-10-1-trades-seed0.safetensors")
RECORD = WEIGHTS.with_suffix(".record")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tiny.Outcome]:
    """A folder in which a teacher was trained; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        tiny.cut_digits(patch)
        patch.chdir(folder)
        return folder, tiny.command(*TRAIN)


@pytest.fixture
def trained(made: tuple[Path, tiny.Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny.Outcome:
    """A copy of that folder, to work in."""
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return made[1]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(folder: Path = Path()) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tiny.files_below(folder)}


def decided(folder: Path) -> tuple[Any, ...]:
    """Everything a seed decides: weights, predictions, metrics, losses."""
    record = load_record(folder / RECORD)
    history = [json.loads(line) for line in (folder / RECORD / "history.jsonl").read_text().splitlines()]
    predictions = read_arrays(folder / RECORD / "predictions.npz", "labels")
    return (
        (folder / WEIGHTS).read_bytes(),
        {name: values.tolist() for name, values in predictions.items()},
        {name: attack.model_dump(exclude={"seconds"}) for name, attack in record.evaluation.attacks.items()},
        [{name: value for name, value in line.items() if name != "seconds"} for line in history],
        record.spec,
    )


def refused(*args: str | Path) -> str:
    """Run a command that must be refused and change no file; its one line."""
    before = content()
    outcome = tiny.command(*args)
    assert outcome.code == 2, outcome
    assert re.fullmatch(r"Error: [^\n]+\n", outcome.err), outcome.err
    assert content() == before
    return outcome.err


class TestFinished:
    def test_leaves_weights_and_their_record_and_nothing_of_the_way_there(self, trained: tiny.Outcome) -> None:
        assert trained.code == 0, trained.err
        kept = {f"{RECORD}/{name}" for name in ("history.jsonl", "predictions.npz", "record.json")}
        assert set(tiny.files_below(Path())) == {str(WEIGHTS), *kept}
        assert f"Weights in {WEIGHTS}, recorded in {RECORD}" in trained.out

    def test_the_record_says_how_it_was_trained(self, trained: tiny.Outcome) -> None:
        record = load_record(RECORD)
        assert (record.spec.kind, record.spec.student, record.spec.seed) == ("teacher", "wrn-10-1", 0)
        assert record.spec.config["attack_steps"] == 1
        assert record.spec.config["weight_decay"] == 5e-3  # the dataset's recipe
        assert record.spec.config["robust_weight"] == 6  # a default
        assert record.spec.threat.eps == 0.2
        assert record.weights_sha256 == record.spec.teacher.sha256
        assert record.training is not None
        assert record.training.epochs == 2
        assert record.training.last.keys() == {"loss", "loss_natural", "loss_robust", "lr"}
        assert record.dataset.test_images == tiny.FEW
        assert (record.spec.method, record.spec.sees) == ("trades", "training images")
        assert record.dataset.training_digest == load_training(Digits()).digest()
        assert record.training.passes is not None
        assert record.training.passes.student_steps == 2 * 2  # epochs × batches of 30
        assert record.training.passes.teacher_forward == 0

    def test_its_row_is_a_teachers_whatever_trained_it(self, trained: tiny.Outcome) -> None:
        (row,) = load_results("results").query("attack == 'clean' and metric == 'average'").to_dict("records")
        assert (row["kind"], row["method"]) == ("teacher", "teacher")
        assert "Teacher (wrn-10-1)" in tiny.command("table", "results", "--teacher").out

    def test_is_used_as_printed_and_adds_to_its_own_record(self, trained: tiny.Outcome) -> None:
        use = shlex.split(trained.out.split("Use them with: ")[1])
        before = load_record(RECORD)
        added = tiny.command("evaluate", *use, "--attacks", "clean,pgd20", "--quiet")
        assert added.code == 0, added.err
        assert f"Recorded in {RECORD}" in added.out
        assert load_record(RECORD).evaluation.attacks.keys() == {"clean", "fgsm", "pgd20"}
        assert load_record(RECORD).spec == before.spec
        few = ("--set", "batch_size=8", "--set", "distillation_steps=2", "--set", "generator_width=8")
        ran = tiny.command("run", "--method", "zskt", "--epochs", "1", *few, *use, "--attacks", "clean", "--quiet")
        assert ran.code == 0, ran.err
        shown = tiny.command("table", "results", "--teacher", "--attacks", "clean", "--format", "csv").out
        assert {"teacher", "zskt"} <= {cell for line in shown.splitlines() for cell in line.split(",")}
        assert "No record of teacher" not in tiny.command("table", "results", "--teacher").out
        assert "contradictory" not in tiny.command("audit", "results").out

    def test_on_part_of_the_test_images_it_has_a_record_of_its_own(self, trained: tiny.Outcome) -> None:
        use = shlex.split(trained.out.split("Use them with: ")[1])
        part = tiny.command("evaluate", *use, "--attacks", "clean", "--test-images", "10", "--quiet")
        assert part.code == 0, part.err
        assert "Recorded in results/digits-first10/" in part.out

    @pytest.mark.parametrize("way", ["here", "moved", "inside"])
    def test_is_verified_from_its_weights(
        self, trained: tiny.Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        place: Path = RECORD
        if way == "moved":
            place = Path(shutil.move("results/teachers", "elsewhere")) / RECORD.name
        if way == "inside":
            monkeypatch.chdir(RECORD)
            place = Path()
        checked = tiny.command("verify", place, "--rerun", "--quiet")
        assert (checked.code, checked.out[:5]) == (0, "holds"), checked

    def test_other_weights_are_not_verified(self, trained: tiny.Outcome) -> None:
        data = bytearray(WEIGHTS.read_bytes())
        data[-1] ^= 1
        WEIGHTS.write_bytes(bytes(data))
        checked = tiny.command("verify", RECORD, "--rerun", "--quiet")
        assert checked.code == 1
        assert "is not the network" in checked.out
        assert "is not the network" in refused(*TRAIN)

    def test_is_not_trained_again_but_gets_the_attacks_it_lacks(
        self, trained: tiny.Outcome, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = content()
        monkeypatch.setattr(Learner, "train_epoch", lambda *_: pytest.fail("trained again"))
        again = tiny.command(*TRAIN, "--quiet")
        assert (again.code, content()) == (0, before)
        assert again.out.startswith(f"Already trained: {WEIGHTS}")
        words = [word if word != "clean,fgsm" else "pgd20" for word in TRAIN]
        assert tiny.command(*words, "--quiet").code == 0
        assert load_record(RECORD).evaluation.attacks.keys() == {"clean", "fgsm", "pgd20"}

    def test_from_python_it_is_the_same(self, trained: tiny.Outcome) -> None:
        settings = {"epochs": 2, "attack_steps": 1, "batch_size": 30}
        found = train_teacher("digits", student="wrn-10-1", settings=settings, attacks=["clean"], device="cpu")
        assert found.cached
        assert (found.weights, found.folder, found.record) == (WEIGHTS, RECORD, load_record(RECORD))

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--set", "robust_weight=3"), "robust_weight = 6.0, not 3.0"),
            (("--epochs", "3"), "epochs = 2, not 3"),
            (("--eps", "0.1"), "eps = 0.2, not 0.1"),
            (("--precision", "bf16"), "precision = fp32, not bf16"),
            (("--method", "sat", "--output", str(WEIGHTS)), "method = trades, not sat"),
            (("--seed", "1", "--output", str(WEIGHTS)), "seed = 0, not 1"),
        ],
    )
    def test_with_other_settings_nothing_is_overwritten(
        self, trained: tiny.Outcome, words: tuple[str, ...], said: str
    ) -> None:
        message = refused(*TRAIN, *words)
        assert f"{WEIGHTS} was trained with other settings ({said})" in message
        assert "choose another --output, or delete the file" in message

    def test_is_trained_anew_where_the_weights_were_deleted(self, trained: tiny.Outcome) -> None:
        WEIGHTS.unlink()
        assert tiny.command(*TRAIN, "--set", "robust_weight=3", "--quiet").code == 0
        assert load_record(RECORD).spec.config["robust_weight"] == 3
        assert tiny.command("verify", RECORD, "--rerun", "--quiet").code == 0


def interrupt_at(patch: pytest.MonkeyPatch, epoch: int) -> None:
    """Ctrl-C within an epoch, after its steps."""
    original = Learner.train_epoch

    def stopped(self: Learner, now: int) -> dict[str, float]:
        numbers = original(self, now)
        if now == epoch:
            signal.raise_signal(signal.SIGINT)
        return numbers

    patch.setattr(Learner, "train_epoch", stopped)


def stopped(patch: pytest.MonkeyPatch, epoch: int, share: float = math.inf) -> None:
    """A training in this folder that was stopped."""
    with patch.context() as inner:
        inner.setattr(epochs, "CHECKPOINT_SHARE", share)
        interrupt_at(inner, epoch)
        outcome = tiny.command(*TRAIN)
    assert outcome.code == 130
    assert "The same command goes on from the last checkpoint" in outcome.err
    assert not WEIGHTS.exists()


@pytest.mark.usefixtures("elsewhere")
class TestInterrupted:
    @pytest.mark.parametrize("share", [math.inf, -1.0], ids=["checkpoint-each-epoch", "no-checkpoint"])
    def test_the_same_command_ends_as_if_there_had_been_no_stop(
        self, made: tuple[Path, tiny.Outcome], monkeypatch: pytest.MonkeyPatch, share: float
    ) -> None:
        stopped(monkeypatch, 1, share)
        again = tiny.command(*TRAIN)
        assert again.code == 0, again.err
        assert ("going on after epoch 1" in again.err) is (share > 0)
        assert decided(Path()) == decided(made[0])
        assert tiny.files_below(Path()) == tiny.files_below(made[0])

    def test_a_stopped_evaluation_goes_on_with_the_attack_it_was_at(
        self, made: tuple[Path, tiny.Outcome], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attack, begun = evaluate.predict_under_attack, []

        def counted(one: Any, *args: Any, **more: Any) -> Any:
            begun.append(one.summary)
            if len(begun) == 2:
                signal.raise_signal(signal.SIGINT)
            return attack(one, *args, **more)

        monkeypatch.setattr(evaluate, "predict_under_attack", counted)
        assert tiny.command(*TRAIN, "--quiet").code == 130
        assert not (RECORD / "record.json").exists()
        monkeypatch.setattr(Learner, "train_epoch", lambda *_: pytest.fail("trained again"))
        assert tiny.command(*TRAIN, "--quiet").code == 0
        assert len(begun) == 3  # clean; fgsm, stopped; fgsm
        assert decided(Path()) == decided(made[0])

    @pytest.mark.parametrize("stage", ["training", "evaluation"])
    def test_other_settings_do_not_go_on_with_it(self, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
        def stop(*_: object, **__: object) -> None:
            signal.raise_signal(signal.SIGINT)

        if stage == "training":
            stopped(monkeypatch, 1)
        else:
            with monkeypatch.context() as patch:
                patch.setattr(evaluate, "predict_under_attack", stop)
                assert tiny.command(*TRAIN, "--quiet").code == 130
            shutil.rmtree(RECORD / "checkpoint")  # the weights of these settings are still there
        message = refused(*TRAIN, "--set", "robust_weight=3")
        assert f"{RECORD} holds an unfinished training with other settings (robust_weight = 6.0, not 3.0)" in message
        assert "choose another --output, or delete that folder" in message

    def test_a_damaged_checkpoint_is_refused_with_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stopped(monkeypatch, 1)
        (path,) = RECORD.rglob("method.pt")
        path.write_bytes(path.read_bytes()[:-1000])
        outcome = tiny.command(*TRAIN)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert f"delete {path.parent} to begin the run again" in outcome.err


@pytest.mark.usefixtures("elsewhere")
class TestOtherMethods:
    @pytest.mark.parametrize("method", ["natural", "sat"])
    def test_that_need_no_teacher_make_one(self, method: str) -> None:
        few = ("--epochs", "1", "--set", "batch_size=30", "--attacks", "clean", "--quiet", "--device", "cpu")
        made = tiny.command("teacher", "train", "--dataset", "digits", "--arch", "wrn-10-1", "--method", method, *few)
        assert made.code == 0, made.err
        weights = Path(f"results/teachers/digits-wrn-10-1-{method}-seed0.safetensors")
        record = load_record(weights.with_suffix(".record"))
        assert (record.spec.method, record.spec.config["ema"], record.weights_sha256) == (
            *(method, 0.99),  # the recipe's
            hashlib.sha256(weights.read_bytes()).hexdigest(),
        )

    def test_a_training_of_an_earlier_version_is_not_gone_on_with(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stopped(monkeypatch, 1)
        (RECORD / "state").write_text(json.dumps({"stage": "training", "settings": {"beta": 6.0}}))
        assert "other settings (those of another version): choose another --output" in refused(*TRAIN)


BAD = {
    "architecture": (("--arch", "wrn-10-3"), "Unknown student 'wrn-10-3'"),
    "method": (("--method", "at"), "Unknown method 'at'"),
    "method-that-is-taught": (
        ("--method", "rslad"),
        "rslad needs a teacher itself: train one by a method that needs none",
    ),
    "method-without-data": (("--method", "ferd"), "ferd needs a teacher itself"),
    "attack": (("--attacks", "clean,pgd2"), "Unknown attack 'pgd2'"),
    "no-attack": (("--attacks", ""), "Name at least one attack"),
    "hyper-parameter": (("--set", "betta=1"), "Unknown hyper-parameter of trades 'betta'"),
    "eps": (("--eps", "2"), "eps = 2.0 should be less than or equal to 1"),
    "seed": (("--seed", "-1"), "The seed must lie in 0"),
    "ending": (("--output", "t.pt"), "Weights are written as a .safetensors file: t.pt needs that ending"),
    "size": (("--arch", "wrn:11-1"), "the depth of a WideResNet is 6n + 4"),
}


@pytest.mark.usefixtures("elsewhere")
class TestRefused:
    @pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
    def test_what_is_wrong_is_said_before_anything_is_written(self, words: tuple[str, ...], message: str) -> None:
        assert message in refused(*TRAIN, *words)

    def test_weights_that_nobody_knows_are_left_alone(self) -> None:
        Path("t.safetensors").write_bytes(b"precious")
        message = refused(*TRAIN, "--output", "t.safetensors")
        assert "t.safetensors exists, and no record says how it was trained: choose another --output" in message


@pytest.mark.usefixtures("elsewhere")
def test_a_training_that_diverges_is_stopped_and_leaves_no_weights() -> None:
    outcome = tiny.command(*TRAIN, "--set", "lr=1e30", "--quiet")
    assert outcome.code == 2
    assert re.fullmatch(
        r"Error: Loss term [^\n]+ became nan in the distillation stage: lower a learning rate [^\n]+\n",
        outcome.err,
    )
    assert not WEIGHTS.exists()


class TestItsRowInATable:
    """Of a teacher that was trained here, whose record lies in results/teachers and not below the folder that is asked about."""

    RUN = (
        *("run", "--method", "zskt", "--epochs", "1", "--set", "batch_size=8", "--set", "distillation_steps=1"),
        *("--set", "attack_steps=1", "--attacks", "clean,fgsm", "--teacher", f"checkpoint:{WEIGHTS}"),
        *("--teacher-arch", "wrn-10-1", "--quiet"),
    )

    def table(self, *folders: str) -> str:
        shown = tiny.command("table", *folders, "--teacher", "--format", "markdown")
        assert shown.code == 0, shown.err
        return shown.out

    @pytest.mark.usefixtures("trained")
    def test_is_found_beside_its_weights(self) -> None:
        assert tiny.command(*self.RUN).code == 0
        average = 100 * load_record(RECORD).evaluation.attacks["fgsm"].average
        (row,) = (line for line in self.table("results/digits").splitlines() if "Teacher (wrn-10-1)" in line)
        assert f" {average:.2f} " in row
        assert "No record of teacher" not in self.table("results/digits")
        assert self.table("results").count("Teacher (wrn-10-1)") == 1

    @pytest.mark.usefixtures("trained")
    def test_is_not_taken_from_one_of_other_weights_and_the_command_is_said(self) -> None:
        assert tiny.command(*self.RUN).code == 0
        content = json.loads((RECORD / "record.json").read_text())
        content["weights_sha256"] = "0" * 64
        (RECORD / "record.json").write_text(json.dumps(content))
        shown = self.table("results/digits").replace("\\", "")
        assert "Teacher (wrn-10-1)" not in shown
        assert f"`dfrd-bench table RESULTS PATH/{RECORD.name} --teacher` shows it" in shown
