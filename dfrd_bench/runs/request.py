"""What a user asks for, as one object from the command line down, and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from dfrd_bench.attacks import STANDARD_ATTACKS
from dfrd_bench.problem import PrecisionChoice
from dfrd_bench.records.files import read_mapping
from dfrd_bench.records.probes import ProbeOn
from dfrd_bench.settings import names as names  # whose values lists of names are
from dfrd_bench.settings import number, validated


def _numbers(settings: Any) -> Any:
    """Values of hyper-parameters: single ones, or lists of such."""
    if not isinstance(settings, Mapping):
        return settings
    for name, value in settings.items():
        if any(
            isinstance(part, (list, tuple, dict)) for part in (value if isinstance(value, (list, tuple)) else [value])
        ):
            raise ValueError(f"should have single values or lists of them, and {name} has neither")
    return {name: number(value) for name, value in settings.items()}


def is_cpu(device: str) -> bool:
    """Whether a device, as users name it, is a CPU here; it need not exist."""
    if device != "auto":
        return device == "cpu"
    import torch

    return not torch.cuda.is_available()


def _text(path: Any) -> Any:
    return str(path) if isinstance(path, Path) else path


def _several(texts: Any) -> Any:
    """Several texts, of which a single one need not be in a list; one may have commas in it."""
    return (texts,) if isinstance(texts, str) else texts


Place = Annotated[str, BeforeValidator(_text)]


@dataclass(frozen=True)
class Request:
    """A run, of a student or of a teacher, or an evaluation as a user asks for it; None means what belongs to the dataset.

    Attributes:
        method: a name of `dfrd-bench list methods`.
        dataset: a name of `dfrd-bench list datasets`; digits, or what the record at hand names, when None.
        teacher, teacher_arch: a name of `dfrd-bench list teachers`, and its architecture where it does not say.
        natural_teacher, natural_teacher_arch: the same of the second teacher, of methods that ask for one; or a weights file, or
            the folder of a finished run.
        student: architecture of what is trained or evaluated, a name of `dfrd-bench list students`.
        preset: the budget, by name; None: "default", or on a CPU that of the dataset for one.
        settings: hyper-parameters that shall not be the preset's.
        epochs: the hyper-parameter of this name.
        seed: of every random draw.
        eps, step: of the L∞ threat model.
        precision: of training; evaluation is always in float32. auto: fp32 or bf16, whichever is quicker here.
        device: auto, cpu, cuda or cuda:N.
        data_dir, test_images: those of `dfrd_bench.datasets.base.open_dataset`.
        compile: whether the student is compiled.
        probe: of a run: measure the student after every so many epochs, for its history; never when None.
        probe_on: the images that this is done on.
        observers: of a run: who else is told of it, `NAME` or `NAME=WHERE` each, by names of `dfrd-bench list observers`.
        attacks: names of `dfrd-bench list attacks`.
        evaluation_jobs: processes that attack batches of test images side by side; no number depends on it. As many as pay when
            None, see `dfrd_bench.evaluation.helpers.jobs_that_pay`.
        results: folder of all results.
        output: of a run that makes a teacher, and of no other: the `.safetensors` file of its weights; its record lies beside it.
    """

    method: str | None = None
    dataset: str | None = None
    teacher: str | None = None
    teacher_arch: str | None = None
    natural_teacher: Place | None = None
    natural_teacher_arch: str | None = None
    student: str | None = None
    preset: str | None = None
    settings: Annotated[Mapping[str, Any], BeforeValidator(_numbers)] = field(default_factory=dict)
    epochs: int | None = None
    seed: int = 0
    eps: float | None = None
    step: float | None = None
    precision: PrecisionChoice = "fp32"
    device: str = "auto"
    data_dir: Place | None = None
    test_images: int | None = None
    compile: bool = False
    probe: Annotated[int, Field(ge=1)] | None = None
    probe_on: ProbeOn = "synthetic"
    observers: Annotated[tuple[str, ...], BeforeValidator(_several)] = ()
    attacks: Annotated[tuple[str, ...], BeforeValidator(names)] = STANDARD_ATTACKS
    evaluation_jobs: Annotated[int, Field(ge=1)] | None = None
    results: Place = "results"
    output: Place | None = None

    @property
    def images(self) -> dict[str, Any]:
        """The arguments of `open_dataset`."""
        return {
            **{"name": self.dataset or "digits", "data_dir": self.data_dir, "test_images": self.test_images},
            "on_cpu": is_cpu(self.device),
        }

    def __str__(self) -> str:
        asked = {name: getattr(self, name) for name in ("epochs", "student")}
        named = {name: value for name, value in asked.items() if value is not None}
        words = (f"{name}={value}" for name, value in {**self.settings, **named, "seed": self.seed}.items())
        return " ".join([str(self.method), *words])

    def to_dict(self) -> dict[str, Any]:
        """What is asked for beside the defaults, as JSON and YAML can say it; `requested` makes the request of it again."""
        usual = asdict(Request())
        asked = {name: value for name, value in asdict(self).items() if value != usual[name]}
        plain: dict[str, Any] = json.loads(json.dumps(asked))
        return plain


def requested(values: Mapping[str, Any], owner: str = "a request") -> Request:
    """The request that some of its fields make.

    Args:
        values: the fields by name.
        owner: whose they are, for the message.

    Raises:
        DfrdBenchError: a name that no field has, or a value of the wrong type.
    """
    return validated(Request, values, owner, "argument")


def read_request(path: Path) -> Request:
    """The request in a YAML or JSON file, by the names of its fields.

    Raises:
        DfrdBenchError: the file cannot be read, or see `requested`.
    """
    return requested(read_mapping(path), str(path))
