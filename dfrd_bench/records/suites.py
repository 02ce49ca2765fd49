"""Suites: the papers' tables as lists of runs, from the package or from a user's own YAML file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.records.files import read_mapping
from dfrd_bench.records.schema import ExperimentSpec, Record
from dfrd_bench.records.seeds import parse_seeds
from dfrd_bench.settings import names, number


def _seeds(given: Any) -> Any:
    """A number, a text as of `--seeds`, or a list of numbers, as numbers."""
    parts = given if isinstance(given, list) else [given]
    if any(isinstance(part, bool) or not isinstance(part, (int, str)) for part in parts):
        return given
    try:
        return tuple(parse_seeds(",".join(map(str, parts))))
    except DfrdBenchError as error:
        raise ValueError(str(error).rstrip(".")) from error


Names = Annotated[tuple[str, ...], BeforeValidator(names)]


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SuiteRun(_Content):
    """One row: a method, the hyper-parameters that differ from its preset, and its student where the suite compares students."""

    method: str
    settings: dict[str, Any] = Field(default_factory=dict)
    student: str | None = None

    @field_validator("settings")
    @classmethod
    def _numbers(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return {name: number(value) for name, value in settings.items()}

    def includes(self, spec: ExperimentSpec) -> bool:
        """Whether a run is of this row, at any preset: all that is named here holds, and nothing else was changed."""
        return self.beside(spec) == frozenset()

    def beside(self, spec: ExperimentSpec) -> frozenset[str] | None:
        """What else was changed in a run of this row, e.g. {"epochs=3"}; None where it is none of this row."""
        if (
            spec.method != self.method
            or self.student not in (None, spec.student)
            or any(spec.config.get(name) != value for name, value in self.settings.items())
        ):
            return None
        changed = (part for part in spec.variant.split("+") if "=" in part)
        return frozenset(part for part in changed if part.partition("=")[0] not in self.settings)


class Exclusion(_Content):
    """Runs that are not wanted: those of which all holds that is named here."""

    method: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    dataset: str | None = None
    teacher: str | None = None
    student: str | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def _some(self) -> Exclusion:
        if not self.model_fields_set:
            raise ValueError("name something, or every run is excluded")
        return self

    def __str__(self) -> str:
        return ", ".join(f"{name}: {value}" for name, value in self.model_dump(exclude_unset=True).items())


class Suite(_Content):
    """The runs behind one table.

    Attributes:
        title: of the table.
        runs: its rows.
        datasets, teachers, students: each row is run on or with each of them; what belongs to the dataset where there is none. A
            row that names a student has that one.
        seeds: of each row; the command's where there is none.
        exclude: which of all these runs are left out.
    """

    title: str
    runs: tuple[SuiteRun, ...] = Field(min_length=1)
    datasets: Names = ()
    teachers: Names = ()
    students: Names = ()
    seeds: Annotated[tuple[int, ...], BeforeValidator(_seeds)] = ()
    exclude: tuple[Exclusion, ...] = ()

    def has_none(self, what: str) -> DfrdBenchError:
        """The error where none of these (runs, records) is of one of the rows."""
        return DfrdBenchError(
            f"None of these {what} is of the suite {self.title!r}: `dfrd-bench suite` makes its runs. Those with different "
            "--epochs or --set are no one suite: leave out --suite to see them."
        )

    def includes(self, spec: ExperimentSpec) -> bool:
        """Whether a run is of one of the rows, and with what the suite lists; what it calls by a path is not compared."""
        return frozenset() in self._beside(spec)

    def select(self, runs: Iterable[tuple[str, Record]]) -> list[tuple[str, Record]]:
        """Of students' runs those that the suite includes; where there is none, those with one and the same change of all rows.

        So a suite that was made with `--epochs 3` is found. Runs with different changes are not taken for one suite. A run is
        where its record was found, and the record.
        """
        students = [run for run in runs if run[1].spec.kind == "student"]
        change = self._change(students)
        return [run for run in students if change in self._beside(run[1].spec)]

    def lacking(self, runs: Sequence[tuple[str, Record]]) -> list[SuiteRun]:
        """The rows that have none of the runs, which are selected."""
        change = self._change(runs)
        return [row for row in self.runs if not any(row.beside(record.spec) == change for _, record in runs)]

    def place(self, spec: ExperimentSpec) -> int:
        """Which row a selected run is of: the first of those that come nearest."""
        near = [(len(beside), n) for n, row in enumerate(self.runs) if (beside := row.beside(spec)) is not None]
        return min(near)[1]

    def _change(self, runs: Iterable[tuple[str, Record]]) -> frozenset[str]:
        """What was changed of every row; nothing where a run is of a row as it is, or where runs differ in it."""
        found = (self._beside(record.spec) for _, record in runs)
        changes = {min(beside, key=lambda one: (len(one), sorted(one))) for beside in found if beside}
        return frozenset() if frozenset() in changes or len(changes) != 1 else changes.pop()

    def _beside(self, spec: ExperimentSpec) -> set[frozenset[str]]:
        """What else was changed, by each of the rows that a run may be of."""
        if not (
            _among(spec.dataset.partition("-first")[0], self.datasets)
            and _among(spec.teacher.name, self.teachers)
            and (not self.seeds or spec.seed in self.seeds)
        ):
            return set()
        rows = (row for row in self.runs if row.student or not self.students or spec.student in self.students)
        return {beside for row in rows if (beside := row.beside(spec)) is not None}


def _among(name: str, listed: tuple[str, ...]) -> bool:
    """Whether a record's name may be one of those listed; paths are shortened in records, and a method may have no teacher."""
    return not listed or name in (*listed, "none") or any(":" in one for one in listed)


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
        raise DfrdBenchError(f"{name} is not a suite: {_first(error)}") from error


PARTS: dict[str, tuple[str, type[BaseModel]]] = {"runs": ("row", SuiteRun), "exclude": ("exclusion", Exclusion)}
"""Of each list of mappings: what a reader calls one of them, and what it may say."""


def _first(error: ValidationError) -> str:
    """What is wrong first, with its place; a key that is misspelt before one that is missing for it."""
    details = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    loc, message, place = details[0]["loc"], details[0]["msg"], ""
    model: type[BaseModel] = Suite
    if len(loc) > 1 and loc[0] in PARTS and isinstance(loc[1], int):
        called, model = PARTS[loc[0]]
        place, loc = f"{called} {loc[1] + 1}", loc[2:]
    if details[0]["type"] == "extra_forbidden":
        return ": ".join(filter(None, [place, str(unknown_name("key", str(loc[-1]), model.model_fields))]))
    return f"{': '.join(filter(None, [place, '.'.join(map(str, loc))])) or 'the file'}: {message}."
