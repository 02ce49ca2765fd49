"""A request as a file: read, written, overridden from the command line, and got back from a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.store import find_records, load_record
from dfrd_bench.runs.plan import planned
from dfrd_bench.runs.request import Request, read_request, requested
from dfrd_bench.runs.subject import request_again

COMMITTED = sorted(path.parent for path in (Path(__file__).parents[2] / "results").rglob("record.json"))
EVERYTHING = Request(
    method="ferd",
    dataset="imagefolder:birds and bees",
    teacher="checkpoint:t.safetensors",
    teacher_arch="wrn-16-2",
    student="wrn:16-1",
    preset="quick",
    settings={"gamma": 0.3, "utae": False, "strategy": "minmax", "layer": None},
    epochs=3,
    seed=7,
    eps=0.1,
    step=1e-3,
    precision="bf16",
    device="cuda:1",
    data_dir="/data/ümläut",
    test_images=30,
    compile=True,
    probe=5,
    probe_on="test",
    attacks=("clean", "pgd20"),
    results="elsewhere",
)


@pytest.mark.parametrize("request_", [Request(), Request("zskt"), EVERYTHING], ids=["nothing", "method", "everything"])
def test_a_request_comes_back_from_yaml_and_from_json(tmp_path: Path, request_: Request) -> None:
    content = request_.to_dict()
    for path, text in (
        (tmp_path / "r.yaml", yaml.safe_dump(content, allow_unicode=True)),
        (tmp_path / "r.json", json.dumps(content, indent=1)),
    ):
        path.write_text(text, encoding="utf-8")
        assert read_request(path) == request_


def test_attacks_may_be_a_text_and_numbers_are_numbers_however_yaml_reads_them() -> None:
    found = requested({"attacks": "clean, pgd20,clean", "settings": {"lr": "1e-2"}, "eps": "1e-1"})
    assert found == Request(attacks=("clean", "pgd20"), settings={"lr": 0.01}, eps=0.1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methd: ferd", "Unknown argument of r.yaml 'methd'. Did you mean 'method'?"),
        ("seed: many", "Bad value for r.yaml: seed = 'many' should be a valid integer"),
        ("settings: [1]", "Bad value for r.yaml: settings = [1] should be"),
        ("precision: fp16", "Bad value for r.yaml: precision = 'fp16' should be 'fp32', 'tf32', 'bf16' or 'auto'"),
        ("- method: ferd", "r.yaml does not say names and values"),
        ("", "r.yaml does not say names and values"),
        ("1: 2", "r.yaml does not say names and values"),
        ("a: [", "r.yaml is not YAML"),
        ("results: x\nseeds: 0-2", "Unknown argument of r.yaml 'seeds'. Did you mean 'seed'"),
    ],
)
def test_a_file_that_is_no_request_gives_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(text)
    outcome = tiny.command("run", "--config", "r.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"Error: {said}")
    assert len(outcome.err.splitlines()) == 1
    assert tiny.files_below(tmp_path) == ["r.yaml"]


def test_a_missing_file_and_a_field_that_a_command_has_no_use_for_are_said(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    assert "Cannot read" in tiny.command("run", "--config", path).err
    path.write_text("method: ferd\n")
    outcome = tiny.command("suite", "main", "--config", path, "--dry-run")
    assert outcome.code == 2
    assert "method is of no use to `dfrd-bench suite`" in outcome.err


class TestThroughTheCommandLine:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
        """What a run is asked for, instead of the run."""
        found: list[Request] = []

        def fulfil(request: Request, *_: object, **__: object) -> None:
            found.append(request)
            raise DfrdBenchError("enough")

        monkeypatch.setattr("dfrd_bench.runs.run.fulfil", fulfil)
        return found

    def ask(self, asked: list[Request], *args: str | Path) -> Request:
        assert tiny.command("run", *args).err == "Error: enough\n"
        return asked[-1]

    def test_options_are_the_fields(self, asked: list[Request]) -> None:
        words: list[str] = []
        for name, value in EVERYTHING.to_dict().items():
            option = f"--{name.replace('_', '-')}"
            if name == "settings":
                words += [part for n, v in value.items() for part in ("--set", f"{n}={json.dumps(v)}")]
            else:
                text = ",".join(value) if name == "attacks" else str(value)
                words += [option] if value is True else [option, text]
        assert self.ask(asked, *words) == EVERYTHING

    def test_what_is_given_goes_before_the_file_and_the_file_before_the_defaults(
        self, asked: list[Request], tmp_path: Path
    ) -> None:
        path = tmp_path / "r.yaml"
        path.write_text("{method: ferd, seed: 3, attacks: clean, settings: {gamma: 0.1, lr: 0.2}}")
        assert self.ask(asked, "--config", path) == Request(
            "ferd", seed=3, attacks=("clean",), settings={"gamma": 0.1, "lr": 0.2}
        )
        changed = self.ask(asked, "--config", path, "--seed", "0", "--set", "lr=0.3", "--method", "fast")
        assert changed == Request("fast", seed=0, attacks=("clean",), settings={"gamma": 0.1, "lr": 0.3})


@pytest.mark.parametrize("command", [("suite",), ("evaluate",), ("teacher", "train"), ("run",)])
def test_every_command_that_takes_a_request_takes_a_file(command: tuple[str, ...]) -> None:
    text = tiny.command(*command, "--help").out
    assert all(option in text for option in ("--config", "--dataset", "--data-dir", "--test-images", "--device"))


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_a_record_gives_a_request_that_can_be_written(folder: Path) -> None:
    record = load_record(folder)
    if record.spec.kind == "teacher" and record.training is None:
        with pytest.raises(DfrdBenchError, match="was not trained here"):
            request_again(record)
        return
    found, unknown = request_again(record)
    assert requested(json.loads(json.dumps(found.to_dict()))) == found
    own = [line for line in unknown if line.startswith(("dataset:", "teacher:"))]
    of_users = "cifar10-jpeg" in str(folder)
    assert len(own) == of_users + (
        of_users and "checkpoint-" in str(folder)
    )  # its images, and its teacher where it has one


@pytest.mark.parametrize(
    "words",
    [
        ("--method", "zskt", "--preset", "quick", "--set", "epochs=1", "--set", "distillation_steps=2"),
        ("--method", "ferd", "--no-conversion", "--epochs", "1", "--eps", "0.1", "--test-images", "10"),
    ],
    ids=lambda words: words[1],
)
@pytest.mark.usefixtures("few_digits")
def test_the_file_that_a_run_shows_makes_that_run_and_no_other(tmp_path: Path, words: tuple[str, ...]) -> None:
    where = ("--results", str(tmp_path / "results"), "--quiet")
    small = tiny.settings() if "ferd" in words else []
    made = tiny.command("run", *words, *small, "--attacks", "clean,fgsm", *where)
    assert made.code == 0, made.err
    ((folder, _),) = find_records(tmp_path / "results")
    shown = tiny.command("show", folder, "--as-config")
    (tmp_path / "again.yaml").write_text(shown.out)
    again = tiny.command("run", "--config", tmp_path / "again.yaml", *where)
    assert again.out.startswith(f"Already run: {folder}\n")
    assert yaml.safe_load(shown.out) == json.loads(tiny.command("show", folder, "--as-config", "--json").out)


@pytest.mark.usefixtures("few_digits")
def test_so_does_the_file_that_a_teacher_shows(tmp_path: Path) -> None:
    words = ("--arch", "wrn-10-1", "--epochs", "1", "--set", "attack_steps=1", "--attacks", "clean", "--quiet")
    output = tmp_path / "t.safetensors"
    assert tiny.command("teacher", "train", *words, "--output", output).code == 0
    (tmp_path / "again.yaml").write_text(tiny.command("show", tmp_path / "t.record", "--as-config").out)
    again = tiny.command("teacher", "train", "--config", tmp_path / "again.yaml", "--output", output, "--quiet")
    assert again.out.startswith(f"Already trained: {output}\n")
    record = load_record(tmp_path / "t.record")
    older = {"method": "teacher", "provider": "dfrd-bench 0.2.0", "config": {"method": "at", "inner_steps": 1}}
    with pytest.raises(DfrdBenchError, match=r"trained by dfrd-bench 0\.2\.0, whose settings had other names"):
        request_again(record.model_copy(update={"spec": record.spec.model_copy(update=older)}))


def test_a_suite_is_its_rows_with_every_seed_and_nothing_else_changed() -> None:
    from dfrd_bench.records.suites import Suite

    rows: list[dict[str, Any]] = [{"method": "fast"}, {"method": "ferd", "settings": {"gamma": 0.1}}]
    suite = Suite.model_validate({"title": "x", "runs": rows})
    found = planned(suite, [2, 0], Request(dataset="svhn", preset="quick"))
    assert [str(request) for request in found] == [
        "fast seed=2",
        "ferd gamma=0.1 seed=2",
        "fast seed=0",
        "ferd gamma=0.1 seed=0",
    ]
    assert {(request.dataset, request.preset) for request in found} == {("svhn", "quick")}


@pytest.mark.parametrize(
    "text",
    [
        "seed: 2020-13-45",
        "seed: !!int foo",
        "seed: !!bool foo",
        "seed: !!timestamp foo",
        "seed: " + 5000 * "9",
        "method: " + 5000 * "[",
        "settings: &s {gamma: *s}",
        "a: &a [x, x]\nsettings: {gamma: *a}",
        "settings: {gamma: {deep: 1}}",
        "settings: {gamma: [[1]]}",
        "results: null",
        "attacks: 3",
        "!!python/object/apply:os.system ['true']",
    ],
    ids=lambda text: text[:24],
)
def test_whatever_stands_in_the_file_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(text)
    outcome = tiny.command("run", "--method", "ferd", "--config", "r.yaml", "--dry-run")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: ")
    assert len(outcome.err.splitlines()) == 1


class TestPrecedence:
    """What is given on the command line goes before the file, in whichever of its two spellings either has it."""

    def asked(self, monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> Request:
        found: list[Request] = []

        def fulfil(request: Request, *_: object, **__: object) -> None:
            found.append(request)
            raise DfrdBenchError("enough")

        monkeypatch.setattr("dfrd_bench.runs.run.fulfil", fulfil)
        assert tiny.command("run", *words).err == "Error: enough\n"
        return found[0]

    def test_a_setting_goes_before_the_field_of_its_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "r.yaml").write_text("method: ferd\nepochs: 3\n")
        found = self.asked(monkeypatch, "--config", tmp_path / "r.yaml", "--set", "epochs=1")
        assert (found.epochs, found.settings) == (None, {"epochs": 1})

    def test_a_switch_can_be_turned_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "r.yaml").write_text("method: ferd\ncompile: true\n")
        assert self.asked(monkeypatch, "--config", tmp_path / "r.yaml").compile
        assert not self.asked(monkeypatch, "--config", tmp_path / "r.yaml", "--no-compile").compile


def test_a_run_of_another_version_says_that_it_is_one() -> None:
    (folder,) = (path for path in COMMITTED if path.name.startswith("default-seed1-6022cc0c"))
    shown = tiny.command("show", folder, "--as-config").out
    assert shown.startswith("# made with dfrd-bench 0.1.0, this is dfrd-bench ")


def test_a_run_without_as_config_is_told_what_to_give() -> None:
    assert "--as-config`" in " ".join(tiny.command("show", COMMITTED[0]).out.split())


def test_seeds_nobody_means_are_refused_at_once() -> None:
    for seeds, said in (("0-99999999999", "must lie in"), ("0-4000000000", "at most 1,000")):
        assert said in tiny.command("suite", "main", "--seeds", seeds, "--dry-run").err
