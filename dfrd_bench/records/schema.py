"""What there is to know of a finished run: its spec, its record and its predictions, validated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from dfrd_bench.problem import DatasetInfo, PrecisionName, Sees, ThreatModel
from dfrd_bench.records.files import file_name
from dfrd_bench.records.versions import migrated_record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LABEL_LENGTH = 100  # of a variant in a folder's name, which may have 255 bytes

Fraction = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[float, float]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class TeacherRecord(_Data):
    """Which network was the teacher, down to its weights."""

    name: str
    architecture: str
    sha256: str


NO_TEACHER = TeacherRecord(name="none", architecture="none", sha256="")
"""Of a method that has none (`Method.has_teacher`): its runs stand in the tables of every teacher."""


class DatasetRecord(_Data):
    """Which images were tested on, and which trained on.

    Attributes:
        training_images, training_digest: of a run that saw the training images; left out of the file for any other.
    """

    info: DatasetInfo
    test_images: int = Field(ge=1)
    test_digest: str
    training_images: int | None = Field(default=None, ge=1)
    training_digest: str | None = None

    @model_serializer(mode="wrap")
    def _without_absent_training(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = usual(self)
        if self.training_images is None:  # so that a record written again without them stays the same to the byte
            content.pop("training_images", None)
            content.pop("training_digest", None)
        return content


class ExperimentSpec(_Data):
    """Everything that can change a run's numbers, resolved: no default is left to look up elsewhere.

    Attributes:
        kind: "student" for the run of a method, "teacher" for a teacher itself, evaluated or trained as well.
        method: name in the method registry, "teacher" for a teacher that was not trained here.
        variant: a short label for tables, e.g. "default" or "utae=false"; not part of the hash.
        provider: distribution and version that provide the method.
        config: every hyper-parameter of the method.
        teacher: `NO_TEACHER` for a method that has none; of a teacher the teacher itself.
        compiled: whether the student was trained as compiled by `torch.compile`, which rounds differently.
        sees: what the method saw of the dataset; left out of the file, and of the hash, where that is nothing.
        natural_teacher: the second teacher of a method that asks for one; left out of the file, and of the hash, of any other.
        code: digest of the source of the method and of what it imports from its own distribution (`Registry.code`); None, and
            left out of the file and of the hash, in records older than this field and of a teacher that was not trained here.
    """

    kind: Literal["student", "teacher"] = "student"
    method: str
    variant: str = "default"
    provider: str
    config: dict[str, Any]
    dataset: str
    teacher: TeacherRecord
    student: str
    threat: ThreatModel
    precision: PrecisionName
    compiled: bool = False
    seed: int = Field(ge=0)
    sees: Sees = "nothing"
    natural_teacher: TeacherRecord | None = None
    code: str | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = usual(self)
        if self.sees == "nothing":  # so that older records stay the same to the byte, and keep their hash
            content.pop("sees", None)
        if self.natural_teacher is None:
            content.pop("natural_teacher", None)
        if self.code is None:
            content.pop("code", None)
        return content

    @property
    def role(self) -> str:
        """What a table calls it: by its method, or a teacher, however it was trained, "teacher"."""
        return self.method if self.kind == "student" else "teacher"

    @property
    def without_code(self) -> ExperimentSpec:
        """The same settings, as records said them before they named their code; in whose hash it is not."""
        return self.model_copy(update={"code": None})

    def digest(self) -> str:
        """Eight hexadecimal digits that change whenever anything but the variant's label does."""
        content = self.model_dump(mode="json", exclude={"variant"} if self.compiled else {"variant", "compiled"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def folder(self, results: Path) -> Path:
        """The run's folder below a results folder: dataset/teacher/student/method/variant-seed-hash."""
        leaf = f"{self.variant[:LABEL_LENGTH]}-seed{self.seed}-{self.digest()}"
        parts = (self.dataset, self.teacher.name, self.student, self.method, leaf)
        return results.joinpath(*(file_name(part) for part in parts))


class EnvironmentRecord(_Data):
    """Where it ran."""

    python: str
    packages: dict[str, str]
    device: str
    threads: int
    platform: str
    git_commit: str | None


METRICS = ("average", "worst_class", "worst_10", "nsd")
"""The metrics among an `AttackRecord`'s fields, see `dfrd_bench.evaluation.metrics`."""


class AttackRecord(_Data):
    """What one attack did to the network.

    Attributes:
        parameters: the attack's settings.
        confusion: counts, true class by predicted class.
        per_class: share still correct per true class; null for a class without images.
        average, worst_class, worst_10, nsd: see `dfrd_bench.evaluation.metrics`; nsd is null when undefined.
        target_entropy: how evenly the classes are taken for the true one, see `dfrd_bench.evaluation.metrics`; null where
            nothing is misclassified, and in records older than this field.
        intervals: 95% bootstrap interval per metric.
        stages: of an attack that is a sequence of attacks (AutoAttack), the share of all images still standing after each, in
            the order in which they ran; left out of the file for other attacks and in records older than this field.
        seconds: wall time.
        environment: where the attack ran, if not as the rest: added to the record later, or by processes with one thread each.
    """

    parameters: dict[str, Any]
    confusion: list[list[int]]
    per_class: list[Fraction | None]
    average: Fraction
    worst_class: Fraction
    worst_10: Fraction
    nsd: float | None
    target_entropy: Fraction | None = None
    intervals: dict[str, Interval | None]
    stages: dict[str, Fraction] | None = None
    seconds: float = Field(ge=0)
    environment: EnvironmentRecord | None = None

    @model_serializer(mode="wrap")
    def _without_absent_stages(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = usual(self)
        if self.stages is None:  # so that a record written again without them stays the same to the byte
            del content["stages"]
        return content


class EvaluationRecord(_Data):
    """Every attack run on the network, with one seed, on one set of test images."""

    seed: int
    attacks: dict[str, AttackRecord]
    worst_case: Fraction


class PassesRecord(_Data):
    """How many images went through the whole teacher and the whole student, over all of a training.

    Attributes:
        teacher_forward, student_forward: images that a network was called with.
        teacher_backward, student_backward: images for which a gradient came back to what it returned.
        student_steps: optimisation steps of the student; null for a method that reports no stage "distill".
    """

    teacher_forward: int = Field(ge=0)
    teacher_backward: int = Field(ge=0)
    student_forward: int = Field(ge=0)
    student_backward: int = Field(ge=0)
    student_steps: int | None = Field(default=None, ge=0)


class TrainingRecord(_Data):
    """How the training went.

    Attributes:
        peak_memory_bytes: the process's on a CPU, the allocator's on a GPU.
        last: the last epoch's numbers.
        passes: what it asked of teacher and student; None where that is not known, and left out of the file: in
            records older than this field, and after a stop in an older version.
    """

    epochs: int
    seconds: float
    peak_memory_bytes: int
    last: dict[str, float]
    passes: PassesRecord | None = None

    @model_serializer(mode="wrap")
    def _without_absent_passes(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = usual(self)
        if self.passes is None:  # so that a record written again without them stays the same to the byte
            content.pop("passes", None)
        return content


class Record(_Data):
    """The whole truth about one run; `predictions.npz` beside it holds what every number was computed from.

    Read from an earlier format (`records.versions`), it is as today's code would have written it.
    """

    schema_version: Literal[3] = 3
    created: str
    spec: ExperimentSpec
    dataset: DatasetRecord
    evaluation: EvaluationRecord
    training: TrainingRecord | None
    weights_sha256: str
    parameters: int
    environment: EnvironmentRecord
    warnings: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_format(cls, content: Any) -> Any:
        return migrated_record(content) if isinstance(content, dict) else content


@dataclass(frozen=True)
class Predictions:
    """True labels [N] and, per attack, predicted classes [N] of the test images in their fixed order."""

    labels: NDArray[np.int64]
    attacks: dict[str, NDArray[np.int64]]
