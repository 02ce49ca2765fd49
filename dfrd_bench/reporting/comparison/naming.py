"""What is compared, by names that tell it apart, and in which order it stands."""

from __future__ import annotations

from collections.abc import Sequence

from dfrd_bench.records.schema import ExperimentSpec
from dfrd_bench.records.suites import Suite
from dfrd_bench.reporting.codes import beside_todays
from dfrd_bench.reporting.tables.comparability import distinguish, settings_of
from dfrd_bench.reporting.tables.layout import OTHER_CODE, row_label
from dfrd_bench.reporting.tables.other_code import line_about


def names_of(specs: Sequence[ExperimentSpec], *, students: bool) -> list[str]:
    """What rows are called: as in tables, with the settings in which those differ that would be called the same.

    Args:
        specs: one of each row.
        students: whether to name the student, too.
    """

    def name(spec: ExperimentSpec, settings: str = "") -> str:
        label = row_label(spec.kind, spec.method, spec.variant, spec.student, settings)
        return f"{label} on {spec.student}" if students and spec.kind == "student" else label

    plain = [name(spec) for spec in specs]
    settings = dict.fromkeys(map(settings_of, specs), "")
    for shared in dict.fromkeys(plain):
        alike = {settings_of(spec): spec for spec, own in zip(specs, plain, strict=True) if own == shared}
        settings |= zip(alike, distinguish([*alike.values()]), strict=True)
    return [name(spec, settings[settings_of(spec)]) for spec in specs]


def marked_names(names: Sequence[str], codes: Sequence[str]) -> list[str]:
    """The names, with the tables' mark behind those of rows that are not by today's code.

    Args:
        names: of rows.
        codes: what `beside_todays` says of each.
    """
    return [f"{name}{OTHER_CODE}" if code else name for name, code in zip(names, codes, strict=True)]


def about_codes(names: Sequence[str], codes: Sequence[str]) -> tuple[str, ...]:
    """The line that says what that mark means; none where no row has it."""
    line = line_about({name: code for name, code in zip(names, codes, strict=True) if code})
    return (line,) if line else ()


def order_of(spec: ExperimentSpec, suite: Suite | None) -> tuple[int, str, str, str, bool]:
    """By what rows are sorted: by their place in a suite, else by name; what is by today's code comes first."""
    place = 0 if suite is None else suite.place(spec)
    return place, spec.method, spec.variant, spec.student, bool(beside_todays(spec))
