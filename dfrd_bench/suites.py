"""Suites: the papers' tables as lists of runs, from the package or from a user's own YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dfrd_bench.attacks import STANDARD_ATTACKS
from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.records import ExperimentSpec
from dfrd_bench.settings import number


class SuiteRun(BaseModel):
    """One row: a method and the hyper-parameters that differ from its preset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("settings")
    @classmethod
    def _numbers(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return {name: number(value) for name, value in settings.items()}

    def includes(self, spec: ExperimentSpec) -> bool:
        """Whether a run is of this row, at any preset: all that is named here holds, and nothing else was changed."""
        changed = {part.partition("=")[0] for part in spec.variant.split("+") if "=" in part}
        return (
            spec.method == self.method
            and changed <= self.settings.keys()
            and all(spec.config.get(name) == value for name, value in self.settings.items())
        )

    def __str__(self) -> str:
        return " ".join([self.method, *(f"{name}={value}" for name, value in self.settings.items())])


class Suite(BaseModel):
    """The runs behind one table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    runs: tuple[SuiteRun, ...] = Field(min_length=1)

    def includes(self, spec: ExperimentSpec) -> bool:
        """Whether a run is of one of the rows."""
        return any(row.includes(spec) for row in self.runs)


def suite_names() -> list[str]:
    """The suites that come with the package."""
    found = (files("dfrd_bench.benchmarks") / "suites").iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in found if entry.name.endswith(".yaml"))


def load_suite(name: str) -> Suite:
    """A suite of the package by name, or of a user's by the path of its YAML file.

    Raises:
        DfrdBenchError: no such suite or file, or one that is not a suite.
    """
    import yaml

    try:
        if name.endswith((".yaml", ".yml")):
            text = Path(name).read_text(encoding="utf-8")
        elif name in suite_names():
            text = (files("dfrd_bench.benchmarks") / "suites" / f"{name}.yaml").read_text(encoding="utf-8")
        else:
            raise unknown_name("suite", name, suite_names())
        return Suite.model_validate(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise DfrdBenchError(f"Cannot read suite {name}: {error}.") from error
    except yaml.YAMLError as error:
        raise DfrdBenchError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DfrdBenchError(f"{name} is not a suite: {where}: {first['msg']}.") from error


def check_suite(
    suite: Suite,
    dataset: str,
    preset: str,
    data_dir: str | None = None,
    *,
    teacher: str | None = None,
    student: str | None = None,
    attacks: Sequence[str] = STANDARD_ATTACKS,
) -> None:
    """Fail before the first run rather than in the middle of a long night.

    Raises:
        DfrdBenchError: an unknown method, preset, hyper-parameter, teacher, student or attack, or a bad value.
    """
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.registry import ATTACKS, METHODS, STUDENTS
    from dfrd_bench.request import Request, resolve_config, teacher_of
    from dfrd_bench.teachers.base import teacher_source

    data = open_dataset(dataset, data_dir=data_dir)
    ATTACKS.select(attacks)
    STUDENTS.get(student or data.default_student)
    teacher_source(teacher or teacher_of(data), data.info.name)
    for run in suite.runs:
        request = Request(run.method, dataset, preset=preset, settings=run.settings)
        resolve_config(request, METHODS.get(run.method), data)


def parse_seeds(text: str) -> Sequence[int]:
    """`0,1,2` or `0-2` as numbers.

    Raises:
        DfrdBenchError: anything else.
    """
    seeds: dict[int, None] = {}
    try:
        for part in filter(None, (part.strip() for part in text.split(","))):
            first, _, last = part.partition("-")
            seeds.update(dict.fromkeys(range(int(first), int(last or first) + 1)))
    except ValueError as error:
        raise DfrdBenchError(f"Seeds are numbers like 0,1,2 or a range like 0-2, not {text!r}.") from error
    if not seeds:
        raise DfrdBenchError(f"Seeds are numbers like 0,1,2 or a range like 0-2, not {text!r}.")
    return list(seeds)
