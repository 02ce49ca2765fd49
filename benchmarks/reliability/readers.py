"""Every reader of files that others may have made, with a valid file for it and what must hold of whatever it accepts."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from dfrd_bench.datasets.decoding import decode, look
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.best_known import best_known
from dfrd_bench.evaluation.contradictions import believed_record
from dfrd_bench.evaluation.summary import attack_record, evaluation_record
from dfrd_bench.evaluation.swept import swept
from dfrd_bench.evaluation.unfinished import Finished, Unfinished
from dfrd_bench.exchange.submission import MANIFESTS_FOLDER, check_submissions, submit
from dfrd_bench.problem import DatasetInfo, ThreatModel
from dfrd_bench.records.contests import CONTEST_FILE, ContestRecord, save_contest
from dfrd_bench.records.history import read_history
from dfrd_bench.records.reading import read_file
from dfrd_bench.records.schema import (
    DatasetRecord,
    EnvironmentRecord,
    ExperimentSpec,
    Predictions,
    Record,
    TeacherRecord,
)
from dfrd_bench.records.store import save_record, unfinished_file
from dfrd_bench.records.suites import load_suite
from dfrd_bench.records.sweeps import SweepPoint, SweepRecord, save_sweep
from dfrd_bench.records.weights import read_weights, write_weights
from dfrd_bench.reporting.figures.samples import Samples, load_samples
from dfrd_bench.reporting.published import read_entries
from dfrd_bench.runs.checkpoint import History
from dfrd_bench.runs.request import read_request

LABELS = np.arange(60) % 3
PREDICTED = {"clean": LABELS, "pgd20": np.where(np.arange(60) % 4 == 0, (LABELS + 1) % 3, LABELS)}
INFO = DatasetInfo(name="tiny", shape=(1, 8, 8), class_names=("a", "b", "c"))
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "WEBP", "TIFF")
LONGEST = 2_000  # characters of a message, with a path in it


class WrongError(AssertionError):
    """A reader accepted what it must not have."""


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: its key in `mutants.MUTATE`.
        file: what is read, below `folder`.
        valid: valid contents of that file.
        read: reads it from the folder and checks what is accepted.
    """

    name: str
    folder: Path
    file: Path
    valid: tuple[bytes, ...]
    read: Callable[[], object]

    def accepts(self, data: bytes) -> bool:
        """Whether a content is accepted; refused it is in one line that is not long.

        Raises:
            WrongError: what is accepted is not what was measured, or the message is no short line.
            Exception: the reader is not total.
        """
        self.file.write_bytes(data)
        try:
            self.read()
        except DfrdBenchError as error:
            if len(str(error)) > LONGEST:
                raise WrongError(f"a message of {len(str(error))} characters") from error
            return False
        finally:
            self.file.write_bytes(self.valid[0])
        return True


def network() -> nn.Module:
    """A small network with BatchNorm."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))


def write_run(folder: Path) -> Record:
    """A small finished run."""
    folder.mkdir(parents=True)
    weights = write_weights(folder / "student.safetensors", network())
    attacks = {name: attack_record(LABELS, p, 3, {"eps": 0.1}, 1.0) for name, p in PREDICTED.items()}
    record = Record(
        created="2026-01-01T00:00:00Z",
        spec=ExperimentSpec(
            method="ferd",
            provider="dfrd-bench 0",
            config={"epochs": 2, "gamma": 0.5},
            dataset="tiny",
            teacher=TeacherRecord(name="t", architecture="wrn-10-2", sha256="a" * 64),
            student="wrn-10-1",
            threat=ThreatModel(),
            precision="fp32",
            seed=0,
        ),
        dataset=DatasetRecord(info=INFO, test_images=len(LABELS), test_digest="d"),
        evaluation=evaluation_record(LABELS, PREDICTED, attacks, 0),
        training=None,
        weights_sha256=weights,
        parameters=1,
        environment=EnvironmentRecord(
            python="3", packages={}, device="cpu", threads=1, platform="linux", git_commit=None
        ),
    )
    save_record(folder, record, Predictions(LABELS, PREDICTED))
    Samples(np.zeros((6, 1, 8, 8), np.uint8), np.arange(6) % 3, np.ones(6, np.float32)).save(folder)
    return record


def _write_contest(run: Path, record: Record) -> Path:
    """A contest of that run, after which every second image stands."""
    predicted = np.where(np.arange(60) % 2 == 0, (LABELS + 1) % 3, LABELS)
    attacks = {"pgd20x5": attack_record(LABELS, predicted, 3, {"norm": "Linf", "eps": record.spec.threat.eps}, 1.0)}
    made = ContestRecord(
        created="2026-01-01T00:00:00Z",
        by="somebody",
        weights_sha256=record.weights_sha256,
        test_digest=record.dataset.test_digest,
        threat=record.spec.threat,
        evaluation=evaluation_record(LABELS, {"pgd20x5": predicted}, attacks, 1),
        providers={"pgd20x5": "dfrd-bench 0"},
        environment=record.environment,
    )
    return save_contest(run, made, Predictions(LABELS, {"pgd20x5": predicted})) / CONTEST_FILE


def _write_sweep(run: Path, record: Record) -> Path:
    """A sweep of that run under an attack that its record does not have."""
    eps = record.spec.threat.eps
    levels = ((0.0, record.evaluation.attacks["clean"].average), (eps, 0.25), (1.0, 0.0))
    made = SweepRecord(
        created="2026-01-01T00:00:00Z",
        attack="fgsm",
        provider="dfrd-bench 0",
        eps=eps,
        seed=0,
        points=tuple(SweepPoint(eps=level, average=left, worst_class=0) for level, left in levels),
        weights_sha256=record.weights_sha256,
        test_digest=record.dataset.test_digest,
        environment=record.environment,
    )
    return save_sweep(run, made)


def readers(root: Path) -> dict[str, Reader]:
    """All readers, each with a folder of its own below a root."""
    run = root / "run"
    true = write_run(run)
    run = run.rename(root / true.spec.folder(root).name)
    made = _contents()

    def record() -> None:
        _same_numbers(believed_record(run), true)

    contested = _write_contest(run, true)

    def contest() -> None:
        found = best_known(run, true)
        if found.doubted:
            raise DfrdBenchError(found.doubted[0])
        if found.accuracy != 0.5:
            raise WrongError(f"best known {found.accuracy}")

    swept_file = _write_sweep(run, true)

    def sweep() -> None:
        found = swept(run, true)
        if found.doubted:
            raise DfrdBenchError(found.doubted[0])
        if [one.at(0.0) != one.points[0] or one.eps != true.spec.threat.eps for one in found.sweeps] != [False]:
            raise WrongError("sweep")

    handed_in = root / "repository"
    submit([run], handed_in, by="somebody")
    (manifest_path,) = (handed_in / MANIFESTS_FOLDER).glob("*.json")

    def manifest() -> None:
        if found := next(check_submissions(handed_in), ""):
            raise DfrdBenchError(found)

    def samples() -> None:
        found = load_samples(run, INFO)
        if found.images.shape[1:] != INFO.shape or not set(found.classes) <= {0, 1, 2}:
            raise WrongError("samples")

    def unfinished() -> None:
        kept = Unfinished(root, "key").load("pgd20", {})
        if (
            kept is not None
            and (done := Finished.from_arrays(kept, 60, 3)) is not None
            and not done.predicted.max() < 3
        ):
            raise WrongError("unfinished")

    def weights(path: Path) -> Callable[[], None]:
        def read() -> None:
            for name, tensor in read_weights(path).items():
                if not isinstance(name, str) or tensor.device.type != "cpu" or tensor.numel() > 10**6:
                    raise WrongError(name)
                tensor.sum()  # every element can be reached

        return read

    def image() -> None:
        path = root / "x.png"
        _, shape = look(read_file(path, 1 << 20), str(path))
        found = decode([str(path)], lambda name: read_file(Path(name), 1 << 20), shape)
        if found.shape != (1, *shape):
            raise WrongError("image")

    def history() -> None:
        for epochs, values in read_history(root).values():
            if len(epochs) != len(values) or values.dtype != np.float64:
                raise WrongError("history")
        History(root / "history.jsonl").truncate(3)

    unfinished_path = unfinished_file(root, "pgd20")
    Unfinished(root, "key").save("pgd20", {}, Finished(PREDICTED["pgd20"], 1.0, ["a"], {"one": 0.5}).to_arrays())
    files: dict[str, tuple[Path, tuple[bytes, ...], Callable[[], object]]] = {
        "record": (run / "record.json", ((run / "record.json").read_bytes(),), record),
        "predictions": (run / "predictions.npz", ((run / "predictions.npz").read_bytes(),), record),
        "contest": (contested, (contested.read_bytes(),), contest),
        "sweep": (swept_file, (swept_file.read_bytes(),), sweep),
        "manifest": (manifest_path, (manifest_path.read_bytes(),), manifest),
        "samples": (run / "samples.npz", ((run / "samples.npz").read_bytes(),), samples),
        "unfinished": (unfinished_path, (unfinished_path.read_bytes(),), unfinished),
        "checkpoint": (root / "c.pt", made["checkpoint"], weights(root / "c.pt")),
        "old-checkpoint": (root / "o.pt", made["old-checkpoint"], weights(root / "o.pt")),
        "safetensors": (root / "s.safetensors", made["safetensors"], weights(root / "s.safetensors")),
        "suite": (root / "s.yaml", made["suite"], lambda: load_suite(str(root / "s.yaml"))),
        "request": (root / "r.yaml", made["request"], lambda: read_request(root / "r.yaml")),
        "image": (root / "x.png", made["image"], image),
        "published": (root / "p.csv", made["published"], lambda: read_entries(root / "p.csv")),
        "history": (root / "history.jsonl", made["history"], history),
    }
    return {name: Reader(name, root, *parts) for name, parts in files.items()}


def _contents() -> dict[str, tuple[bytes, ...]]:
    """Valid files that need no run."""
    state = network().state_dict()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)

    def saved(content: object, *, zipped: bool = True) -> bytes:
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=zipped)
        return stream.getvalue()

    def drawn(form: str) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, form)
        return stream.getvalue()

    from safetensors.torch import save

    return {
        "checkpoint": (
            saved({"state_dict": {f"module.{n}": t for n, t in state.items()}, "acc": np.float64(1), "epoch": 3}),
            saved(network()),
        ),
        "old-checkpoint": (saved(state, zipped=False),),
        "safetensors": (save(dict(state)),),
        "suite": (b"title: t\nruns:\n  - {method: ferd, settings: {gamma: 0.5, utae: false}}\n  - {method: zskt}\n",),
        "request": (
            b"method: ferd\ndataset: digits\nseed: 1\neps: 0.1\nattacks: [clean, pgd20]\nsettings:\n  gamma: 1\n",
        ),
        "image": tuple(map(drawn, FORMATS)),
        "published": (
            b"paper,table,dataset,teacher,student,method,variant,attack,metric,value,mark\n"
            b"ferd,table1,cifar10,t,resnet-18,zskt,default,clean,average,61.20,\n"
            b"ferd,table1,cifar10,t,resnet-18,zskt,default,pgd20,nsd,0.31,second\n",
        ),
        "history": (b'{"epoch": 0, "loss": 1.5}\n{"epoch": 1, "loss": 1.0}\n{"epoch": 2, "loss": null}\n',),
    }


def _same_numbers(found: Record, true: Record) -> None:
    """What was accepted says what was measured."""
    for name, attack in found.evaluation.attacks.items():
        measured = true.evaluation.attacks.get(name)
        if measured is None:
            raise WrongError(f"an attack {name!r}")
        for metric in ("average", "worst_class", "worst_10", "nsd"):
            one, other = getattr(attack, metric), getattr(measured, metric)
            if (one is None) != (other is None) or (one is not None and abs(one - other) > 1e-6):
                raise WrongError(f"{name} {metric}: {one}, but {other} was measured")
    if found.spec.model_copy(update={"variant": ""}) != true.spec.model_copy(update={"variant": ""}):
        raise WrongError("another spec")
