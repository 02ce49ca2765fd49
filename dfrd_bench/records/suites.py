"""Suites: the papers' tables as lists of runs, from the package or from a user's own YAML file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.records.files import read_mapping
from dfrd_bench.records.schema import ExperimentSpec
from dfrd_bench.settings import number


class SuiteRun(BaseModel):
    """One row: a method, the hyper-parameters that differ from its preset, and its student where the suite compares students."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    settings: dict[str, Any] = Field(default_factory=dict)
    student: str | None = None

    @field_validator("settings")
    @classmethod
    def _numbers(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return {name: number(value) for name, value in settings.items()}

    def includes(self, spec: ExperimentSpec) -> bool:
        """Whether a run is of this row, at any preset: all that is named here holds, and nothing else was changed."""
        changed = {part.partition("=")[0] for part in spec.variant.split("+") if "=" in part}
        return (
            spec.method == self.method
            and self.student in (None, spec.student)
            and changed <= self.settings.keys()
            and all(spec.config.get(name) == value for name, value in self.settings.items())
        )


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
    if name.endswith((".yaml", ".yml")):
        content = read_mapping(Path(name))
    elif name in suite_names():
        content = read_mapping(files("dfrd_bench.benchmarks") / "suites" / f"{name}.yaml")
    else:
        raise unknown_name("suite", name, suite_names())
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DfrdBenchError(f"{name} is not a suite: {where}: {first['msg']}.") from error
